"""Files of rules, as `jobs.export --rules` writes them: one JSON object a line."""

from __future__ import annotations

from cluster.errors import InputError
from cluster.rules import MAX_RULES, Rule, parse_rule
from jobs.sources import open_table


def read_rules(url: str, tenant: str, now_ms: int) -> list[Rule]:
    """All rules of a file, for a tenant.

    Raises:
        InputError: a line is no rule, or there are too many; `place` is the file and the line.
    """
    rules: list[Rule] = []
    with open_table(url, "utf-8", None) as table:
        for row in table.rows:
            try:
                if row.fault is not None:
                    raise InputError(row.fault)
                rules.append(parse_rule(dict(row.values), now_ms=now_ms, tenant=tenant, keep_updated=True))
            except InputError as error:
                raise InputError(error.message, table.place(row.line, error.place or None)) from None
            if len(rules) > MAX_RULES:
                raise InputError(f"holds more than {MAX_RULES} rules", table.name)
    return rules

"""Rules of merchandising as they are stored: a document each, by tenant and id.

Each change moves a counter, so that a replica sees with one small read whether it has to read the rules again. A change
over HTTP and its entry in the audit log are one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from cluster.errors import ConflictError, NotFoundError
from cluster.rules import MAX_RULES, Rule, parse_rule, rule_record
from cluster.store.audit import AuditEntry, note
from cluster.store.part import Part, dump, load, write
from cluster.store.tables import counters, rules


class RuleStore(Part):
    """See the module."""

    name = "rules"

    @write
    def put(self, entry: AuditEntry | None, batch: list[Rule]) -> None:
        """Store rules in place of what has their ids; all or none.

        Raises:
            ConflictError: a tenant would have more than `MAX_RULES`.
        """
        if not batch:
            return
        with self.database.writing() as connection:
            self._advance(connection)  # the counter's row is the lock of all who write here
            statement = self.insert_into(rules)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["tenant", "rule_id"],
                    set_={name: statement.excluded[name] for name in ("updated_ms", "document")},
                ),
                [_row(rule) for rule in {(rule.tenant, rule.rule_id): rule for rule in batch}.values()],
            )
            for tenant in sorted({rule.tenant for rule in batch}):
                count = select(func.count()).select_from(rules).where(rules.c.tenant == tenant)
                if connection.execute(count).scalar_one() > MAX_RULES:
                    raise ConflictError(f"there would be more than {MAX_RULES} rules: delete some")
            if entry is not None:
                note(connection, entry)

    @write
    def delete(self, tenant: str, rule_id: str, entry: AuditEntry) -> None:
        """Delete a rule.

        Raises:
            NotFoundError: there is none with this id.
        """
        with self.database.writing() as connection:
            self._advance(connection)
            gone = delete(rules).where(rules.c.tenant == tenant, rules.c.rule_id == rule_id)
            if not connection.execute(gone).rowcount:
                raise NotFoundError(f"there is no rule {rule_id[:64]!r}")
            note(connection, entry)

    def get(self, tenant: str, rule_id: str) -> Rule:
        """One rule.

        Raises:
            NotFoundError: there is none with this id.
        """
        found = self._select(tenant, rules.c.rule_id == rule_id)
        if not found:
            raise NotFoundError(f"there is no rule {rule_id[:64]!r}")
        return found[0]

    def all(self, tenant: str | None = None) -> list[Rule]:
        """All rules of a tenant, or of all, in the order of their ids."""
        return self._select(tenant)

    def version(self) -> int:
        """A number that another change has moved: equal numbers mean equal rules."""
        with self.database.reading() as connection:
            return connection.execute(select(counters.c.value).where(counters.c.name == self.name)).scalar_one()

    def _select(self, tenant: str | None, *conditions: Any) -> list[Rule]:
        statement = select(rules).where(*conditions).order_by(rules.c.tenant, rules.c.rule_id)
        if tenant is not None:
            statement = statement.where(rules.c.tenant == tenant)
        with self.database.reading() as connection:
            rows: Sequence[Any] = connection.execute(statement).fetchall()
        return [
            parse_rule(load(row.document), tenant=row.tenant, rule_id=row.rule_id, keep_updated=True) for row in rows
        ]

    def _advance(self, connection: Connection) -> None:
        here = counters.c.name == self.name
        connection.execute(update(counters).where(here).values(value=counters.c.value + 1))


def _row(rule: Rule) -> dict[str, Any]:
    return {
        "tenant": rule.tenant,
        "rule_id": rule.rule_id,
        "updated_ms": rule.updated_ms,
        "document": dump(rule_record(rule)),
    }

"""`RequestRules`: rules that travel in a request, with the items that they are about."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cluster.catalogue import Catalogue
from cluster.errors import InputError
from cluster.messages import ActiveRule
from cluster.rules import Rule, RuleSets, parse_rule

if TYPE_CHECKING:
    from deployments.list_schemas import RuleBody

MAX_KEPT = 64
"""Sets of rules whose items are kept, until the catalogue changes."""


class RequestRules:
    """Belongs to one event loop. The same rules come again and again, so what they are about is kept.

    Args:
        catalogue: the process's mirror.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._kept: OrderedDict[tuple[str, tuple[Rule, ...]], tuple[int, tuple[ActiveRule, ...]]] = OrderedDict()

    async def read(self, tenant: str, bodies: Sequence[RuleBody]) -> tuple[ActiveRule, ...]:
        """The rules of a request that count now.

        Raises:
            InputError: one is wrong; `place` is `rules.INDEX.FIELD`.
        """
        now_ms = round(time.time() * 1000)
        rules = []
        for index, body in enumerate(bodies):
            raw = {"rule_id": str(index)} | body.model_dump(exclude_none=True)
            try:
                rule = parse_rule(raw, tenant=tenant)
            except InputError as error:
                place = f"rules.{index}.{error.place}" if error.place else f"rules.{index}"
                raise InputError(error.message, place) from None
            if rule.counts(now_ms):
                rules.append(rule)
        key, version = (tenant, tuple(rules)), self._catalogue.version
        kept = self._kept.get(key)
        if kept is None or kept[0] != version:
            active = await asyncio.to_thread(RuleSets(tenant).resolve, rules, self._catalogue, None)
            kept = self._kept[key] = version, active
        self._kept.move_to_end(key)
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return kept[1]

"""`RuleBook`: the rules of all tenants as one process knows them, never more than a moment behind the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from cluster.background import end, follow
from cluster.rules import Rule
from cluster.store import Store

log = logging.getLogger("tailorbird.rules")

NEVER_MS = 1 << 62


class RuleBook:
    """Belongs to one event loop; read from any thread.

    Args:
        store: open for reading.
        poll_s: seconds between two looks.
    """

    def __init__(self, store: Store, poll_s: float) -> None:
        self._store = store
        self._poll_s = poll_s
        self._version = -1
        self._rules: dict[str, tuple[Rule, ...]] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the rules, then keep up."""
        await self.refresh()
        self._task = asyncio.create_task(follow(self.refresh, self._poll_s, log, "the rules"), name="rule-book")

    async def stop(self) -> None:
        """Keep up no longer."""
        await end(self._task)
        self._task = None

    async def refresh(self) -> None:
        """Take in what is committed now."""
        version = await asyncio.to_thread(self._store.rules.version)
        if version == self._version:
            return
        found: dict[str, tuple[Rule, ...]] = {}
        for rule in await asyncio.to_thread(self._store.rules.all):
            found[rule.tenant] = (*found.get(rule.tenant, ()), rule)
        # Who has none of the changed rules is to see the same object as before.
        self._rules = {
            tenant: self._rules[tenant] if self._rules.get(tenant) == rules else rules
            for tenant, rules in found.items()
        }
        self._version = version

    def of(self, tenant: str) -> tuple[Rule, ...]:
        """A tenant's rules, in the order of their ids; the same object while none of them changes."""
        return self._rules.get(tenant, ())


def counting(rules: Sequence[Rule], now_ms: int) -> tuple[tuple[Rule, ...], int]:
    """The rules that count at a time, and the time (ms) until which these are they."""
    until_ms = NEVER_MS
    for rule in rules:
        for moment in (rule.starts_ms, rule.ends_ms):
            if rule.enabled and moment is not None and moment > now_ms:
                until_ms = min(until_ms, moment)
    return tuple(rule for rule in rules if rule.counts(now_ms)), until_ms

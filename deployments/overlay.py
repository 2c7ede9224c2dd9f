"""`Overlay`: the live version as it serves now, with the catalogue's news laid over it.

Items that the version does not know enter by what is known of them (`Ranker.with_items`), and once more when their text
vectors are there (`deployments.fresh_texts`); items that are hidden,
expired, not yet available or deleted are left out of every list; the tenant's rules are laid over it. All is made in a
thread when something changed or a time has come, and then ONE reference is swapped, so a request costs nothing here.

How soon: the mirror of the catalogue polls every `store.feed_poll_s` (0.1 s), this looks every `LOOK_S`, and the making
takes milliseconds for what is left out and some more for what is new; together well under a second.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cluster.background import end
from cluster.catalogue import Catalogue
from cluster.messages import Item
from cluster.rules import Rule, RuleSets
from deployments.fresh_texts import FreshTexts
from deployments.rule_book import counting

if TYPE_CHECKING:
    from graph.ranking import Ranker

log = logging.getLogger("tailorbird.overlay")

Live = tuple[str, "Ranker"]
"""A version's name and what ranks by it."""

LOOK_S = 0.05
REST = 2.0
"""After a making that took t seconds, the next begins REST x t later at the earliest, but never more than..."""
MAX_REST_S = 0.4
RETRY_S = 1.0
MAX_FRESH = 2_000
"""Items that the version does not know and that are ranked all the same: the newest. The next refresh takes all in."""


class Overlay:
    """Belongs to one event loop.

    Args:
        catalogue: the process's mirror.
        tenant: whose items.
        live: the version that the registry says is live, None before the first.
        rules: all rules of the tenant, the same object while none changes.
        texts: text vectors of items that the version does not know.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        tenant: str,
        live: Callable[[], Live | None],
        rules: Callable[[], tuple[Rule, ...]] = tuple,
        texts: FreshTexts | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._tenant = tenant
        self._live = live
        self._current: Live | None = None
        self._base: Live | None = None
        self._fresh: dict[str, Item] = {}
        self._extended: Ranker | None = None
        self._all_rules = rules
        self._rules: tuple[Rule, ...] = ()
        self._sets = RuleSets(tenant)
        self._texts = texts
        self._arrivals = 0
        self._seq = -1
        self._until_ms = 0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def current(self) -> Live | None:
        """What serves; None before the first version."""
        return self._current

    async def start(self) -> None:
        """Make it once, so that the first list is right, then keep up."""
        await self._refresh_safely()
        self._tasks = [asyncio.create_task(self._follow(), name="overlay")]
        if self._texts is not None:
            self._tasks.append(asyncio.create_task(self._texts.follow(), name="fresh-texts"))

    async def stop(self) -> None:
        """Keep up no longer."""
        await end(*self._tasks)
        self._tasks = []

    async def refresh(self) -> bool:
        """Take in what the catalogue and the registry say now; whether anything had to be made."""
        live, seq, rules = self._live(), self._catalogue.version, self._all_rules()
        arrivals = 0 if self._texts is None else self._texts.arrivals
        now_ms = round(time.time() * 1000)
        same = live is self._base and seq == self._seq and rules is self._rules and arrivals == self._arrivals
        if live is None or (same and now_ms < self._until_ms):
            return False
        changed = None
        if live is self._base:
            changed = self._catalogue.changed_since(self._tenant, self._seq)
        await asyncio.to_thread(self._make, live, changed, rules, now_ms, arrivals != self._arrivals)
        self._seq, self._arrivals = seq, arrivals
        return True

    def _make(
        self, live: Live, changed: set[str] | None, rules: tuple[Rule, ...], now_ms: int, has_texts: bool
    ) -> None:
        """Blocking. `changed` are the ids to look at, None for all; `has_texts`: further text vectors are there."""
        version, base = live
        fresh = self._fresh_items(base, changed)
        extended = self._extended
        if extended is None or live is not self._base or fresh is not self._fresh or has_texts:
            chosen = list(fresh.values())
            if len(chosen) > MAX_FRESH:
                chosen = heapq.nlargest(MAX_FRESH, chosen, key=lambda item: (item.updated_ms, item.item_id))
                log.warning(
                    "%d items wait for the next refresh: version %s does not know %d, more than the %d newest",
                    len(fresh) - MAX_FRESH,
                    version,
                    len(fresh),
                    MAX_FRESH,
                )
            extended = base.with_items(chosen, None if self._texts is None else self._texts.vectors(base, chosen))
        barred, until_ms = self._catalogue.barred(self._tenant, now_ms)
        count, rules_until_ms = counting(rules, now_ms)
        active = self._sets.resolve(count, self._catalogue, changed)
        ranker = extended.without(barred)
        self._current = (version, ranker.steered(active) if active else ranker)
        self._base, self._fresh, self._extended, self._rules = live, fresh, extended, rules
        self._until_ms = min(until_ms, rules_until_ms)

    def _fresh_items(self, base: Ranker, changed: set[str] | None) -> dict[str, Item]:
        """Items that the version does not know; the same object as before when none of them tells of other things."""
        if changed is None:
            return {item.item_id: item for item in self._catalogue.items(self._tenant) if item.item_id not in base}
        fresh = self._fresh
        for item_id in changed:
            if item_id in base:
                continue
            item, before = self._catalogue.get(self._tenant, item_id), fresh.get(item_id)
            # One that was deleted can stay where it is: it is barred.
            if item is None or (before is not None and _content(item) == _content(before)):
                continue
            if fresh is self._fresh:
                fresh = fresh.copy()
            fresh[item_id] = item
        return fresh

    async def _follow(self) -> None:
        while True:
            began = time.monotonic()
            made = await self._refresh_safely()
            if made is None:
                await asyncio.sleep(RETRY_S)
            else:
                await asyncio.sleep(max(LOOK_S, min(MAX_REST_S, REST * (time.monotonic() - began)) if made else 0.0))

    async def _refresh_safely(self) -> bool | None:
        """`refresh`; None when it failed, and what serves goes on serving."""
        try:
            return await self.refresh()
        except Exception:
            log.exception("the catalogue's changes cannot be laid over the live version")
            return None


def _content(item: Item) -> tuple[Any, ...]:
    """What an item's place in the ranking rests on."""
    return item.title, item.description, item.categories, item.tags, item.attributes, item.vectors

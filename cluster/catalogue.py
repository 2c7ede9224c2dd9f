"""The catalogue in memory: a mirror of the items table in one process, kept up to date through the change feed.

Read from any thread; changed only on the event loop that started it. Every read is one step on a whole dict or set, so
no reader sees half of a change.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

from cluster.background import end, follow
from cluster.filters import parse_filter
from cluster.messages import Item
from cluster.store import Change, Store

log = logging.getLogger("tailorbird.catalogue")

Entry = TypeVar("Entry")

PAGE = 5_000
MAX_FILTERS = 64
"""Answers of `matching` that are kept, until the catalogue changes."""
RECENT = 10_000
"""Changes that `changed_since` remembers."""
NEVER_MS = 1 << 62
MAX_LATEST = 500
YIELD_ITEMS = 500
"""A walk over the whole catalogue in a thread lets the threads that answer requests in after so many items."""


@dataclass(slots=True)
class _Tenant:
    items: dict[str, Item] = field(default_factory=dict)
    restricted: set[str] = field(default_factory=set)
    """Items that are hidden or have a time."""
    deleted: set[str] = field(default_factory=set)
    categories: dict[str, set[str]] = field(default_factory=dict)
    filters: OrderedDict[str, tuple[int, frozenset[str]]] = field(default_factory=OrderedDict)
    """Answers of `matching`: at which change, the ids."""
    barred: tuple[int, int, int, frozenset[str]] = (-1, 0, 0, frozenset())
    """The last answer of `barred`: at which change, from and until when it holds, the ids."""
    ordered: tuple[int, list[str]] = (-1, [])
    """The last answer of `ids`: at which change, the ids."""
    newest: tuple[int, frozenset[str], list[tuple[Item, int]]] = (-1, frozenset(), [])
    """What `latest` answers from: at which change, without which ids, the items and their times."""


class Catalogue:
    """See the module.

    Args:
        store: open for reading at least.
        poll_s: seconds between two looks at the change feed.
    """

    def __init__(self, store: Store, poll_s: float = 0.2) -> None:
        self._store = store
        self._poll_s = poll_s
        self._tenants: dict[str, _Tenant] = {}
        self._seq = 0
        self._recent: deque[tuple[int, str, str]] = deque(maxlen=RECENT)
        self._forgotten_seq = 0
        self._known_s = time.monotonic()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read everything, then keep up."""
        await self.refresh()
        self._task = asyncio.create_task(
            follow(self.refresh, self._poll_s, log, "the catalogue's changes"), name="catalogue"
        )

    async def stop(self) -> None:
        """Keep up no longer."""
        await end(self._task)
        self._task = None

    async def refresh(self) -> None:
        """Take in all changes that are committed now."""
        while True:
            asked_s = time.monotonic()
            changes = await asyncio.to_thread(self._store.items.changes, self._seq, PAGE)
            for change in changes:
                self._apply(change)
            if len(changes) < PAGE:
                self._known_s = asked_s
                return

    @property
    def version(self) -> int:
        """The number of the last change that is in here: equal numbers mean equal catalogues."""
        return self._seq

    @property
    def age_s(self) -> float:
        """Seconds since everything that was stored was in here."""
        return time.monotonic() - self._known_s

    @property
    def size(self) -> int:
        """How many items all tenants have."""
        return sum(len(tenant.items) for tenant in self._tenants.values())

    def get(self, tenant: str, item_id: str) -> Item | None:
        """One item, whether or not it may be shown now."""
        found = self._tenants.get(tenant)
        return None if found is None else found.items.get(item_id)

    def items(self, tenant: str) -> list[Item]:
        """All items as they are now, in the order in which they came."""
        found = self._tenants.get(tenant)
        return [] if found is None else list(found.items.values())

    def titles(self, tenant: str) -> list[str]:
        """The titles of all items that have one."""
        return [item.title for item in self.items(tenant) if item.title]

    def is_available(self, item: Item, now_ms: int) -> bool:
        """Whether an item may be shown at a time."""
        return is_available(item, now_ms)

    def ids(self, tenant: str) -> list[str]:
        """All ids in their order as texts; not to be changed. May take tens of milliseconds after a change."""
        found = self._tenants.get(tenant)
        if found is None:
            return []
        seq = self._seq  # before the data: what changes meanwhile makes the answer one of an earlier change
        if found.ordered[0] != seq:
            found.ordered = (seq, sorted(found.items.copy()))
        return found.ordered[1]

    def latest(self, tenant: str, n: int, now_ms: int) -> list[tuple[Item, int]]:
        """The n (at most `MAX_LATEST`) newest items that may be shown, newest first, with the time (ms) that says so.

        That is when an item became available, or when it was last stored if it has no such time. After a change it
        walks over the whole catalogue: call it in a thread.
        """
        found = self._tenants.get(tenant)
        if found is None:
            return []
        seq = self._seq
        barred = self.unavailable(tenant, now_ms)
        if found.newest[0] != seq or found.newest[1] is not barred:
            shown = (
                (item.updated_ms if item.available_from_ms is None else item.available_from_ms, item.item_id, item)
                for item in yielding(self.items(tenant))
                if item.item_id not in barred
            )
            best = heapq.nlargest(MAX_LATEST, shown, key=lambda entry: entry[:2])
            found.newest = (seq, barred, [(item, moment_ms) for moment_ms, _, item in best])
        return found.newest[2][:n]

    def changed_since(self, tenant: str, seq: int) -> set[str] | None:
        """Ids of the items that changed after a number (see `version`), or None when that is too long ago to know.

        On the event loop only.
        """
        if seq < self._forgotten_seq:
            return None
        changed = set()
        for number, owner, item_id in reversed(self._recent):
            if number <= seq:
                break
            if owner == tenant:
                changed.add(item_id)
        return changed

    def unavailable(self, tenant: str, now_ms: int) -> frozenset[str]:
        """Ids that may not be shown at a time: hidden, not yet or no longer available, or deleted."""
        return self.barred(tenant, now_ms)[0]

    def barred(self, tenant: str, now_ms: int) -> tuple[frozenset[str], int]:
        """The same ids, and the time (ms) until which they stay the same unless the catalogue changes.

        While they stay the same it is the same object, and the call costs nothing.
        """
        found = self._tenants.get(tenant)
        if found is None:
            return frozenset(), NEVER_MS
        seq = self._seq
        known_seq, since_ms, until_ms, ids = found.barred
        if known_seq == seq and since_ms <= now_ms < until_ms:
            return ids, until_ms
        since_ms, until_ms = 0, NEVER_MS
        barred = found.deleted.copy()
        for item_id in found.restricted.copy():
            item = found.items.get(item_id)
            if item is None:
                continue
            if not is_available(item, now_ms):
                barred.add(item_id)
            for moment in (item.available_from_ms, item.available_until_ms):
                if moment is not None and moment <= now_ms:
                    since_ms = max(since_ms, moment)
                elif moment is not None:
                    until_ms = min(until_ms, moment)
        found.barred = (seq, since_ms, until_ms, frozenset(barred))
        return found.barred[3], until_ms

    def in_categories(self, tenant: str, categories: Iterable[str]) -> frozenset[str]:
        """Ids of the items that are in at least one of these categories."""
        found = self._tenants.get(tenant)
        if found is None:
            return frozenset()
        return frozenset().union(*(found.categories.get(category, set()).copy() for category in categories))

    def matching(self, tenant: str, text: str) -> frozenset[str]:
        """Ids of the items for which a filter holds (see `cluster.filters`).

        Raises:
            InputError: the filter cannot be understood.
        """
        known = self.matching_known(tenant, text)
        if known is not None:
            return known
        holds = parse_filter(text)
        found = self._tenants.get(tenant)
        if found is None:
            return frozenset()
        seq = self._seq  # before the data, as in `ids`
        known = frozenset([item.item_id for item in yielding(self.items(tenant)) if holds(item)])
        found.filters[text] = (seq, known)
        if len(found.filters) > MAX_FILTERS:
            found.filters.popitem(last=False)
        return known

    def matching_known(self, tenant: str, text: str) -> frozenset[str] | None:
        """The answer of `matching` if it is at hand; else ask that in a thread, for it looks at every item."""
        found = self._tenants.get(tenant)
        seq, known = (-1, None) if found is None else found.filters.get(text, (-1, None))
        return known if seq == self._seq else None

    def _apply(self, change: Change[Item]) -> None:
        tenant = self._tenants.setdefault(change.tenant, _Tenant())
        before = tenant.items.get(change.item_id)
        for category in before.categories if before is not None else ():
            if (members := tenant.categories.get(category)) is not None:
                members.discard(change.item_id)
                if not members:
                    del tenant.categories[category]
        if change.item is None:
            tenant.items.pop(change.item_id, None)
            tenant.restricted.discard(change.item_id)
            tenant.deleted.add(change.item_id)
        else:
            item = _shared(change.item)
            tenant.items[change.item_id] = item
            tenant.deleted.discard(change.item_id)
            for category in item.categories:
                tenant.categories.setdefault(category, set()).add(change.item_id)
            if item.hidden or item.available_from_ms is not None or item.available_until_ms is not None:
                tenant.restricted.add(change.item_id)
            else:
                tenant.restricted.discard(change.item_id)
        if len(self._recent) == RECENT:
            self._forgotten_seq = self._recent[0][0]
        self._recent.append((change.seq, change.tenant, change.item_id))
        self._seq = change.seq


def is_available(item: Item, now_ms: int) -> bool:
    """Whether an item may be shown: not hidden, and inside [`available_from_ms`, `available_until_ms`)."""
    return (
        not item.hidden
        and (item.available_from_ms is None or item.available_from_ms <= now_ms)
        and (item.available_until_ms is None or now_ms < item.available_until_ms)
    )


def yielding(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The same entries; now and then other threads get their turn."""
    for place, entry in enumerate(entries):
        if place % YIELD_ITEMS == 0:
            time.sleep(0)
        yield entry


def _shared(item: Item) -> Item:
    """The same item, with strings that repeat across a catalogue kept once."""
    return replace(
        item,
        tenant=sys.intern(item.tenant),
        categories=tuple(map(sys.intern, item.categories)),
        tags=tuple(map(sys.intern, item.tags)),
        attributes={sys.intern(name): value for name, value in item.attributes.items()},
        vectors={sys.intern(name): vector for name, vector in item.vectors.items()},
    )

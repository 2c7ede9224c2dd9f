"""`Popularity`: the lists of a tenant that has no version yet: what most of its people met, then what is newest."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from cluster.catalogue import Catalogue
from cluster.messages import RankedItem, RankedList, RankQuery, Reason
from cluster.store import Store

NO_VERSION = "none"
_COUNTED_FOR_S = 5.0
_PAUSE = 20.0
"""Counting goes through all events: it pauses for at least so many times as long as it took."""
_FIRST_S = 0.2
"""How long a tenant's first list waits for the first count; beyond that it is of the newest items."""
_LENGTH = 2000
_MAX_TENANTS = 256


@dataclass(slots=True)
class _Counted:
    counts: dict[str, int] = field(default_factory=dict)
    next_s: float = -math.inf
    """When to count again (monotonic)."""
    counting: Future[None] | None = None
    version: int = -1
    order: list[str] = field(default_factory=list)


class Popularity:
    """Blocking; used from one thread at a time. Events are counted in another: lists are of what is known meanwhile."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._store = store
        self._catalogue = catalogue
        self._counter = ThreadPoolExecutor(1, thread_name_prefix="popularity")
        self._tenants: OrderedDict[str, _Counted] = OrderedDict()

    def rank(self, query: RankQuery) -> RankedList:
        """The list of one query, from its own tenant's events and catalogue."""
        tenant, catalogue = query.view.tenant, self._catalogue
        counted = self._counted(tenant)
        counts, order = counted.counts, counted.order
        if query.allowed is not None:
            ranked = frozenset(order)
            known = (item_id for item_id in query.allowed if catalogue.get(tenant, item_id) is not None)
            order = [item_id for item_id in order if item_id in query.allowed]
            order += sorted(item_id for item_id in known if item_id not in ranked)
        taken = catalogue.unavailable(tenant, round(time.time() * 1000)) | query.excluded
        if not query.include_seen:
            taken |= query.view.seen
        chosen = [item_id for item_id in order if item_id not in taken][: query.n]
        items = (_item(item_id, counts.get(item_id, 0), query.explain) for item_id in chosen)
        return RankedList(tuple(items), NO_VERSION)

    def _counted(self, tenant: str) -> _Counted:
        found = self._tenants.setdefault(tenant, _Counted())
        self._tenants.move_to_end(tenant)
        if len(self._tenants) > _MAX_TENANTS:
            self._tenants.popitem(last=False)
        if found.counting is None and time.monotonic() >= found.next_s:
            found.counting = self._counter.submit(self._count, tenant, found)
            if found.next_s == -math.inf:
                wait([found.counting], _FIRST_S)
        if found.counting is not None and found.counting.done():
            found.counting = None
        version = self._catalogue.version
        if found.version != version:
            counts = found.counts
            items = reversed(self._catalogue.items(tenant))
            newest = [item.item_id for item in items if item.item_id not in counts]
            found.order, found.version = [*counts, *newest[:_LENGTH]], version
        return found

    def _count(self, tenant: str, found: _Counted) -> None:
        began = time.monotonic()
        try:
            found.counts = dict(self._store.events.popular(tenant, _LENGTH))
            found.version = -1
        finally:
            ended = time.monotonic()
            found.next_s = ended + max(_COUNTED_FOR_S, _PAUSE * (ended - began))


def _item(item_id: str, count: int, explain: bool) -> RankedItem:
    reasons: Sequence[Reason] = (Reason("popular", float(count)),) if explain else ()
    return RankedItem(item_id, float(count), "popular", tuple(reasons))

"""`Recommender`: the ranking half of a process, either inside the ingress replica or as a Serve deployment of its own.

It holds the live version and the catalogue's mirror, and has one batch interface: n queries in, n lists out, in order.
 `RecommenderClient` is what the routes see: it gathers single queries into batches for either binding.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cluster import tracing
from cluster.catalogue import Catalogue
from cluster.coalescer import Coalescer
from cluster.config import Settings
from cluster.errors import NotFoundError
from cluster.messages import RankedItem, RankedList, RankQuery, Reason, SessionView
from cluster.store import Store
from cluster.telemetry import SwapMetrics, configure_logging
from deployments.live import LiveVersion
from deployments.overlay import Overlay

if TYPE_CHECKING:
    from graph.ranking import Ranker

BUNDLE = "graph"
NO_VERSION = "none"
_INLINE_ITEMS = 20_000
"""Up to this many items a batch is ranked on the event loop: it takes milliseconds, and a thread beside the loop would
have the two wait for each other's turn at the interpreter (5 ms each) many times over."""
_POPULAR_FOR_S = 5.0
_POPULAR_LENGTH = 2000


class Ranking(Protocol):
    """What both bindings offer."""

    async def rank(self, queries: list[RankQuery]) -> list[RankedList]:
        """The lists of n queries, in their order."""
        ...

    async def similar(self, tenant: str, item_id: str, n: int) -> RankedList:
        """Items like this one."""
        ...

    async def item_map(self, n: int) -> tuple[str, list[tuple[str, float, float]]]:
        """The version, and its n most popular items with their places in the plane; none before there is a version."""
        ...


class Recommender:
    """Ranks on the live version; before the first one was published, by popularity.

    Args:
        settings: the application's settings.
        catalogue: the process's mirror of the catalogue; None to keep one of its own (as a deployment does).
    """

    def __init__(self, settings: Settings, catalogue: Catalogue | None = None) -> None:
        configure_logging(settings.log_level)
        self._settings = settings
        self._own_catalogue = catalogue is None
        self._catalogue = catalogue
        self._store: Store | None = None
        self._live: LiveVersion[Ranker] | None = None
        self._overlay: Overlay | None = None
        self._starting: asyncio.Future[None] | None = None
        # One thread: ranking is numpy, and a second batch beside the first would only slow both.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rank")
        self._counts: dict[str, int] = {}
        self._counted_s = -_POPULAR_FOR_S
        self._popular: tuple[int, list[str]] = (-1, [])
        self._map: tuple[str, int, list[tuple[str, float, float]]] = (NO_VERSION, 0, [])

    async def start(self) -> None:
        """Open the store and load the live version. May be called often; it is done once."""
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._start())
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        settings = self._settings
        self._store = await asyncio.to_thread(Store.open, settings, readonly=True)
        if self._catalogue is None:
            self._catalogue = Catalogue(self._store, poll_s=settings.store.feed_poll_s)
            await self._catalogue.start()
        store = self._store
        self._live = LiveVersion(
            read_pointer=lambda: store.registry.live(settings.tenant, BUNDLE),
            load=_load_ranker,
            cache_dir=settings.state_dir.resolve() / "cache" / BUNDLE,
            poll_s=settings.recommender.registry_poll_s,
            metrics=SwapMetrics(),
        )
        await self._live.start()
        live = self._live
        self._overlay = Overlay(self._catalogue, settings.tenant, lambda: live.current)
        await self._overlay.start()

    async def stop(self) -> None:
        """End the polling and close the store."""
        if self._overlay is not None:
            await self._overlay.stop()
        if self._live is not None:
            await self._live.stop()
        if self._own_catalogue and self._catalogue is not None:
            await self._catalogue.stop()
        if self._store is not None:
            await asyncio.to_thread(self._store.close)
        self._thread.shutdown(wait=False)

    @property
    def version(self) -> str:
        """The live version's name, or `none`."""
        current = self._overlay.current if self._overlay else None
        return current[0] if current else NO_VERSION

    async def live_version(self) -> str:
        """The same through a Serve handle."""
        await self.start()
        return self.version

    async def rank(self, queries: list[RankQuery]) -> list[RankedList]:
        """n queries in, n lists out, in the same order, all from one version."""
        await self.start()
        assert self._overlay is not None
        current = self._overlay.current
        if current is not None and len(current[1].items) <= _INLINE_ITEMS:
            return current[1].rank(queries)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._rank, queries, current)

    async def similar(self, tenant: str, item_id: str, n: int) -> RankedList:
        """The n items most like this one.

        Raises:
            NotFoundError: neither the catalogue nor the live version knows the item.
        """
        await self.start()
        assert self._overlay is not None
        current = self._overlay.current
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._similar, tenant, item_id, n, current)

    async def item_map(self, n: int) -> tuple[str, list[tuple[str, float, float]]]:
        """See `Ranker.in_plane`; made once for a version."""
        await self.start()
        assert self._overlay is not None
        current = self._overlay.current
        if current is None:
            return NO_VERSION, []
        if self._map[:2] != (current[0], n):
            places = await asyncio.get_running_loop().run_in_executor(self._thread, current[1].in_plane, n)
            self._map = (current[0], n, places)
        return current[0], self._map[2]

    def _rank(self, queries: list[RankQuery], current: tuple[str, Ranker] | None) -> list[RankedList]:
        if current is None:
            return [self._by_popularity(query) for query in queries]
        return current[1].rank(queries)

    def _similar(self, tenant: str, item_id: str, n: int, current: tuple[str, Ranker] | None) -> RankedList:
        if current is not None:
            found = current[1].similar(item_id, n)
            if found is not None:
                return RankedList(found, current[0])
        assert self._catalogue is not None
        if self._catalogue.get(tenant, item_id) is None:
            raise NotFoundError(f"item {item_id[:100]!r} is not in the catalogue")
        query = RankQuery(SessionView(None, tenant=tenant), n, excluded=frozenset([item_id]))
        return self._rank([query], current)[0]

    def _by_popularity(self, query: RankQuery) -> RankedList:
        """What most people met, then what is newest, before there is a version."""
        assert self._store is not None and self._catalogue is not None
        tenant, catalogue = query.view.tenant, self._catalogue
        now = time.monotonic()
        if now - self._counted_s >= _POPULAR_FOR_S:
            self._counts, self._counted_s = dict(self._store.events.popular(tenant, _POPULAR_LENGTH)), now
            self._popular = (-1, [])
        if self._popular[0] != catalogue.version:
            version = catalogue.version
            newest = [item.item_id for item in reversed(catalogue.items(tenant)) if item.item_id not in self._counts]
            self._popular = (version, [*self._counts, *newest[:_POPULAR_LENGTH]])
        order = self._popular[1]
        if query.allowed is not None:
            ranked = frozenset(order)
            known = (item_id for item_id in query.allowed if catalogue.get(tenant, item_id) is not None)
            order = [item_id for item_id in order if item_id in query.allowed]
            order += sorted(item_id for item_id in known if item_id not in ranked)
        taken = catalogue.unavailable(tenant, round(time.time() * 1000)) | query.excluded
        if not query.include_seen:
            taken |= query.view.seen
        chosen = [item_id for item_id in order if item_id not in taken][: query.n]
        items = (_popular_item(item_id, self._counts.get(item_id, 0), query.explain) for item_id in chosen)
        return RankedList(tuple(items), NO_VERSION)


class RecommenderClient:
    """Single queries, gathered into batches, for a `Recommender` in this process or behind a Serve handle."""

    def __init__(self, ranking: Ranking, max_batch: int, max_queue: int) -> None:
        self._ranking = ranking
        self._batches: Coalescer[RankQuery, RankedList] = Coalescer(
            ranking.rank, max_batch=max_batch, max_queue=max_queue, in_flight=1
        )

    async def rank(self, query: RankQuery, timeout_s: float) -> RankedList:
        """The list of one query.

        Raises:
            OverloadError: too many queries wait.
            DeadlineError: it was not made in time.
        """
        with tracing.step("rank", n=query.n):
            return await self._batches.submit(query, timeout_s)

    async def similar(self, tenant: str, item_id: str, n: int) -> RankedList:
        """The n items most like this one."""
        return await self._ranking.similar(tenant, item_id, n)

    async def item_map(self, n: int) -> tuple[str, list[tuple[str, float, float]]]:
        """The version, and its n most popular items with their places in the plane."""
        return await self._ranking.item_map(n)


class HandleRanking:
    """`Ranking` through the handle of the Serve deployment `Recommender`."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    async def rank(self, queries: list[RankQuery]) -> list[RankedList]:
        """One handle call for the whole batch."""
        lists: list[RankedList] = await self._handle.rank.remote(queries)
        return lists

    async def similar(self, tenant: str, item_id: str, n: int) -> RankedList:
        """One handle call."""
        found: RankedList = await self._handle.similar.remote(tenant, item_id, n)
        return found

    async def item_map(self, n: int) -> tuple[str, list[tuple[str, float, float]]]:
        """One handle call."""
        found: tuple[str, list[tuple[str, float, float]]] = await self._handle.item_map.remote(n)
        return found


def _load_ranker(path: Path, version: str) -> Ranker:
    from graph.ranking import Ranker

    ranker = Ranker.load(path, version)
    ranker.smoke()
    return ranker


def _popular_item(item_id: str, count: int, explain: bool) -> RankedItem:
    reasons: Sequence[Reason] = (Reason("popular", float(count)),) if explain else ()
    return RankedItem(item_id, float(count), "popular", tuple(reasons))

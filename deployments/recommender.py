"""`Recommender`: the ranking half of a process, either inside the ingress replica or as a Serve deployment of its own.

It holds the live version and the catalogue's mirror, and has one batch interface: n queries in, n lists out, in order.
 `RecommenderClient` is what the routes see: it gathers single queries into batches for either binding.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cluster.catalogue import Catalogue
from cluster.coalescer import Coalescer
from cluster.config import Settings
from cluster.errors import NotFoundError
from cluster.messages import RankedItem, RankedList, RankQuery, Reason, SessionView
from cluster.store import Store
from cluster.telemetry import SwapMetrics, configure_logging
from deployments.live import LiveVersion

if TYPE_CHECKING:
    from graph.ranking import Ranker

BUNDLE = "graph"
NO_VERSION = "none"
_POPULAR_FOR_S = 5.0
_POPULAR_LENGTH = 2000
_AVAILABILITY_FOR_S = 0.25


class Ranking(Protocol):
    """What both bindings offer."""

    async def rank(self, queries: list[RankQuery]) -> list[RankedList]:
        """The lists of n queries, in their order."""
        ...

    async def similar(self, tenant: str, item_id: str, n: int) -> RankedList:
        """Items like this one."""
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
        self._starting: asyncio.Future[None] | None = None
        # One thread: ranking is numpy, and a second batch beside the first would only slow both.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rank")
        self._popular: tuple[float, list[tuple[str, int]]] = (-_POPULAR_FOR_S, [])
        self._unavailable: tuple[float, frozenset[str]] = (-_AVAILABILITY_FOR_S, frozenset())

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

    async def stop(self) -> None:
        """End the polling and close the store."""
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
        current = self._live.current if self._live else None
        return current[0] if current else NO_VERSION

    async def live_version(self) -> str:
        """The same through a Serve handle."""
        await self.start()
        return self.version

    async def rank(self, queries: list[RankQuery]) -> list[RankedList]:
        """n queries in, n lists out, in the same order, all from one version."""
        await self.start()
        assert self._live is not None
        current = self._live.current
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._rank, queries, current)

    async def similar(self, tenant: str, item_id: str, n: int) -> RankedList:
        """The n items most like this one.

        Raises:
            NotFoundError: neither the catalogue nor the live version knows the item.
        """
        await self.start()
        assert self._live is not None
        current = self._live.current
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._similar, tenant, item_id, n, current)

    def _rank(self, queries: list[RankQuery], current: tuple[str, Ranker] | None) -> list[RankedList]:
        hidden = self._hidden()
        if hidden:
            queries = [replace(query, excluded=query.excluded | hidden) for query in queries]
        if current is None:
            return [self._by_popularity(query) for query in queries]
        return current[1].rank(queries)

    def _similar(self, tenant: str, item_id: str, n: int, current: tuple[str, Ranker] | None) -> RankedList:
        hidden = self._hidden()
        if current is not None:
            found = current[1].similar(item_id, n + len(hidden))
            if found is not None:
                kept = tuple(entry for entry in found if entry.item_id not in hidden)[:n]
                return RankedList(kept, current[0])
        assert self._catalogue is not None
        if self._catalogue.get(tenant, item_id) is None:
            raise NotFoundError(f"item {item_id[:100]!r} is not in the catalogue")
        query = RankQuery(SessionView(None, tenant=tenant), n, excluded=frozenset([item_id]))
        return self._rank([query], current)[0]

    def _hidden(self) -> frozenset[str]:
        """Ids that may not be shown now: hidden, not yet or no longer available, or deleted."""
        assert self._catalogue is not None
        now = time.monotonic()
        if now - self._unavailable[0] >= _AVAILABILITY_FOR_S:
            self._unavailable = (now, self._catalogue.unavailable(self._settings.tenant, round(time.time() * 1000)))
        return self._unavailable[1]

    def _by_popularity(self, query: RankQuery) -> RankedList:
        assert self._store is not None and self._catalogue is not None
        now = time.monotonic()
        if now - self._popular[0] >= _POPULAR_FOR_S:
            counts = self._store.events.popular(query.view.tenant, _POPULAR_LENGTH)
            known = {item_id for item_id, _ in counts}
            rest = [item.item_id for item in self._catalogue.items(query.view.tenant) if item.item_id not in known]
            self._popular = (now, [*counts, *((item_id, 0) for item_id in rest[:_POPULAR_LENGTH])])
        taken = query.excluded if query.include_seen else query.excluded | query.view.seen
        chosen = [
            (item_id, count)
            for item_id, count in self._popular[1]
            if item_id not in taken and (query.allowed is None or item_id in query.allowed)
        ][: query.n]
        return RankedList(tuple(_popular_item(*pair, query.explain) for pair in chosen), NO_VERSION)


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
        return await self._batches.submit(query, timeout_s)

    async def similar(self, tenant: str, item_id: str, n: int) -> RankedList:
        """The n items most like this one."""
        return await self._ranking.similar(tenant, item_id, n)


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


def _load_ranker(path: Path, version: str) -> Ranker:
    from graph.ranking import Ranker

    ranker = Ranker.load(path, version)
    ranker.smoke()
    return ranker


def _popular_item(item_id: str, count: int, explain: bool) -> RankedItem:
    reasons: Sequence[Reason] = (Reason("popular", float(count)),) if explain else ()
    return RankedItem(item_id, float(count), "popular", tuple(reasons))

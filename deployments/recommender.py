"""`Recommender`: the ranking half of a process, either inside the ingress replica or as a Serve deployment of its own.

It holds the live versions and the catalogue's mirror, and has one batch interface: n queries in, n lists out, in order.
 `RecommenderClient` is what the routes see: it gathers single queries into batches for either binding.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cluster import tracing
from cluster.catalogue import Catalogue
from cluster.coalescer import Coalescer
from cluster.config import Settings
from cluster.errors import DeadlineError, NotFoundError
from cluster.messages import RankedList, RankQuery, SessionView
from cluster.remote_errors import own_errors
from cluster.store import Store
from cluster.telemetry import configure_logging
from deployments.finding import FinderClient
from deployments.overlay import Live
from deployments.popularity import NO_VERSION, Popularity
from deployments.rule_book import RuleBook
from deployments.tenant_versions import TenantVersions

if TYPE_CHECKING:
    from graph.ranking import Ranker

_MAX_MAPS = 16
_COMPANY_S = 0.002
"""A list ranked alone takes several times as long as one of twenty, so lists wait this long for others on their way."""
_RANK_S = 5.0
"""A batch takes a fraction of a second. What takes this long hangs, and lists go on with another replica."""
_INLINE_ITEMS = 20_000
"""Up to this many items a batch is ranked on the event loop: it takes milliseconds, and a thread beside the loop would
have the two wait for each other's turn at the interpreter (5 ms each) many times over."""


class Ranking(Protocol):
    """What both bindings offer."""

    async def rank(self, queries: list[RankQuery]) -> list[RankedList]:
        """The lists of n queries, in their order."""
        ...

    async def similar(self, tenant: str, item_id: str, n: int) -> RankedList:
        """Items like this one."""
        ...

    async def item_map(self, tenant: str, n: int) -> tuple[str, list[tuple[str, float, float]]]:
        """The version, and its n most popular items with their places in the plane; none before there is a version."""
        ...

    async def live_version(self, tenant: str) -> str:
        """The name of a tenant's live version, or `none`."""
        ...


class Recommender:
    """Ranks on the tenant's live version; before its first one was published, by popularity.

    Args:
        settings: the application's settings.
        catalogue: the process's mirror of the catalogue; None to keep one of its own (as a deployment does).
        finder: handle of the deployment `Finder`, or None.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue | None = None, finder: Any | None = None) -> None:
        configure_logging(settings.log_level)
        self._finder = FinderClient(finder, settings.finder.timeout_s)
        self._settings = settings
        self._own_catalogue = catalogue is None
        self._catalogue = catalogue
        self._store: Store | None = None
        self._rules: RuleBook | None = None
        self._versions: TenantVersions | None = None
        self._popularity: Popularity | None = None
        self._starting: asyncio.Future[None] | None = None
        # One thread: ranking is numpy, and a second batch beside the first would only slow both.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rank")
        self._maps: OrderedDict[str, tuple[str, int, list[tuple[str, float, float]]]] = OrderedDict()

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
        self._rules = RuleBook(self._store, settings.store.feed_poll_s)
        await self._rules.start()
        self._versions = TenantVersions(settings, self._catalogue, self._store, _load_ranker, self._rules, self._finder)
        await self._versions.start()
        self._popularity = Popularity(self._store, self._catalogue)

    async def stop(self) -> None:
        """End the polling and close the store."""
        if self._versions is not None:
            await self._versions.stop()
        if self._rules is not None:
            await self._rules.stop()
        if self._own_catalogue and self._catalogue is not None:
            await self._catalogue.stop()
        if self._store is not None:
            await asyncio.to_thread(self._store.close)
        self._thread.shutdown(wait=False)

    def version(self, tenant: str) -> str:
        """The name of a tenant's live version, or `none`."""
        current = self._versions.current(tenant) if self._versions else None
        return current[0] if current else NO_VERSION

    async def live_version(self, tenant: str) -> str:
        """The same, once there can be one."""
        await self.start()
        return self.version(tenant)

    async def rank(self, queries: list[RankQuery]) -> list[RankedList]:
        """n queries in, n lists out, in the same order; all of one tenant from one version."""
        await self.start()
        tenants = {query.view.tenant for query in queries}
        if len(tenants) == 1:
            return await self._rank_for(tenants.pop(), queries)
        lists: list[RankedList | None] = [None] * len(queries)
        for tenant in tenants:
            places = [place for place, query in enumerate(queries) if query.view.tenant == tenant]
            for place, made in zip(
                places, await self._rank_for(tenant, [queries[place] for place in places]), strict=True
            ):
                lists[place] = made
        return [made for made in lists if made is not None]

    async def similar(self, tenant: str, item_id: str, n: int) -> RankedList:
        """The n items most like this one.

        Raises:
            NotFoundError: neither the catalogue nor the live version knows the item.
        """
        await self.start()
        assert self._versions is not None
        current = self._versions.current(tenant)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._similar, tenant, item_id, n, current)

    async def item_map(self, tenant: str, n: int) -> tuple[str, list[tuple[str, float, float]]]:
        """See `Ranker.in_plane`; made once for a version."""
        await self.start()
        assert self._versions is not None
        current = self._versions.current(tenant)
        if current is None:
            return NO_VERSION, []
        made = self._maps.get(tenant)
        if made is None or made[:2] != (current[0], n):
            places = await asyncio.get_running_loop().run_in_executor(self._thread, current[1].in_plane, n)
            made = self._maps[tenant] = (current[0], n, places)
            if len(self._maps) > _MAX_MAPS:
                self._maps.popitem(last=False)
        return made[0], made[2]

    async def _rank_for(self, tenant: str, queries: list[RankQuery]) -> list[RankedList]:
        assert self._versions is not None
        current = self._versions.current(tenant)
        if current is not None and len(current[1].items) <= _INLINE_ITEMS:
            return current[1].rank(queries)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._rank, queries, current)

    def _rank(self, queries: list[RankQuery], current: Live | None) -> list[RankedList]:
        if current is not None:
            return current[1].rank(queries)
        assert self._popularity is not None
        return [self._popularity.rank(query) for query in queries]

    def _similar(self, tenant: str, item_id: str, n: int, current: Live | None) -> RankedList:
        if current is not None:
            found = current[1].similar(item_id, n)
            if found is not None:
                return RankedList(found, current[0])
        assert self._catalogue is not None
        if self._catalogue.get(tenant, item_id) is None:
            raise NotFoundError(f"item {item_id[:100]!r} is not in the catalogue")
        query = RankQuery(SessionView(None, tenant=tenant), n, excluded=frozenset([item_id]))
        return self._rank([query], current)[0]


class RecommenderClient:
    """Single queries, gathered into batches, for a `Recommender` in this process or behind a Serve handle."""

    def __init__(self, ranking: Ranking, max_batch: int, max_queue: int) -> None:
        self._ranking = ranking
        self._batches: Coalescer[RankQuery, RankedList] = Coalescer(
            ranking.rank, max_batch=max_batch, max_queue=max_queue, in_flight=1, company_s=_COMPANY_S
        )

    @property
    def waiting(self) -> int:
        """How many queries wait for a place in a batch."""
        return self._batches.waiting

    def expected(self) -> AbstractContextManager[None]:
        """Around what comes before `rank`: lists that wait are ranked together with this one."""
        return self._batches.expected()

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

    async def item_map(self, tenant: str, n: int) -> tuple[str, list[tuple[str, float, float]]]:
        """The version, and its n most popular items with their places in the plane."""
        return await self._ranking.item_map(tenant, n)

    async def live_version(self, tenant: str) -> str:
        """The name of a tenant's live version, or `none`."""
        return await self._ranking.live_version(tenant)


class HandleRanking:
    """`Ranking` through the handle of the Serve deployment `Recommender`. Each call ends in time, as an error of ours.

    Args:
        handle: the Serve handle.
        timeout_s: how long anything but a batch of lists may take.
    """

    def __init__(self, handle: Any, timeout_s: float) -> None:
        self._handle = handle
        self._timeout_s = timeout_s

    async def rank(self, queries: list[RankQuery]) -> list[RankedList]:
        """One handle call for the whole batch."""
        lists: list[RankedList] = await self._call(min(_RANK_S, self._timeout_s), "rank", queries)
        return lists

    async def similar(self, tenant: str, item_id: str, n: int) -> RankedList:
        """One handle call."""
        found: RankedList = await self._call(self._timeout_s, "similar", tenant, item_id, n)
        return found

    async def item_map(self, tenant: str, n: int) -> tuple[str, list[tuple[str, float, float]]]:
        """One handle call."""
        found: tuple[str, list[tuple[str, float, float]]] = await self._call(self._timeout_s, "item_map", tenant, n)
        return found

    async def live_version(self, tenant: str) -> str:
        """One handle call."""
        version: str = await self._call(self._timeout_s, "live_version", tenant)
        return version

    async def _call(self, timeout_s: float, method: str, *args: Any) -> Any:
        try:
            async with asyncio.timeout(timeout_s):
                with own_errors("a recommender"):
                    return await getattr(self._handle, method).remote(*args)
        except TimeoutError:
            raise DeadlineError(f"a recommender did not answer within {timeout_s:g} s") from None


def _load_ranker(path: Path, version: str) -> Ranker:
    from graph.ranking import Ranker

    ranker = Ranker.load(path, version)
    ranker.smoke()
    return ranker

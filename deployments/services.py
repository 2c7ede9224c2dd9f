"""What the routes of one ingress replica work with, made together, started and stopped together."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from fastapi import Request

from cluster.background import end
from cluster.catalogue import Catalogue
from cluster.config import Settings
from cluster.identity import Identity
from cluster.key_ring import KeyRing
from cluster.keys import copy_secrets
from cluster.memory import trim_for_ever
from cluster.oidc import TokenVerifier
from cluster.sessions import SessionPool
from cluster.store import Store
from cluster.telemetry import HttpMetrics, configure_logging
from cluster.tracing import configure_tracing
from deployments.access import Access
from deployments.chat.retrieval import ChatRetriever
from deployments.content_cache import CachedWriter
from deployments.finding import FinderClient
from deployments.housekeeping import Housekeeper
from deployments.limiter import Limiter
from deployments.meter import IngressMeter
from deployments.operations import Operations
from deployments.page_session import PageSessions
from deployments.prefetch import Prefetcher
from deployments.recommendation_log import RecommendationLog
from deployments.recommender import HandleRanking, Ranking, Recommender, RecommenderClient
from deployments.request_rules import RequestRules
from deployments.writing import WriterClient

log = logging.getLogger("tailorbird.ingress")

_MAX_RANK_BATCH = 64
_MAX_TENANTS = 256
_SETTLE_S = 0.1
"""What a shard needs to act on a change of the store, beside the time until it looks."""


class Services:
    """The parts of one ingress replica.

    Args:
        settings: the application's settings.
        writer: handle of the deployment `Writer`.
        recommender: handle of the deployment `Recommender`, or None to rank in this process.
        pool: the session pool; default: the one in Ray.
        caches: the shards of the content cache; default: those in Ray.
        finder: handle of the deployment `Finder`, or None where nothing is found by meaning.
    """

    def __init__(
        self,
        settings: Settings,
        writer: Any,
        recommender: Any | None,
        pool: SessionPool | None = None,
        caches: Sequence[Any] | None = None,
        finder: Any | None = None,
    ) -> None:
        configure_logging(settings.log_level)
        configure_tracing(settings.tracing, "ingress")
        self.settings = settings
        self.tenant = settings.tenant
        self.keys = KeyRing(settings)
        self.sessions = PageSessions(settings, self.keys)
        oidc = settings.oidc
        tokens = TokenVerifier(oidc, settings.tenant, settings.limits.per_key) if oidc.issuer else None
        self._mark_secret = copy_secrets(settings, "audit log")[0]
        self.limiter = Limiter(settings.limits)
        self.access = Access(self.keys, settings.tenant, self.sessions, tokens, self.limiter)
        self.identity = Identity.of(settings)
        self.metrics = HttpMetrics()
        self.meter = IngressMeter()
        self.pool = SessionPool(settings) if pool is None else pool
        self.writer = CachedWriter(WriterClient(writer), settings)
        self.prefetcher = Prefetcher(self.writer, self.writer.config.prefetch_items)
        self._caches = caches
        self.finder = FinderClient(finder, settings.finder.timeout_s)
        self._recommender_handle = recommender
        self._finder_handle = finder
        self._local: Recommender | None = None
        self.store: Store
        self.catalogue: Catalogue
        self.recommender: RecommenderClient
        self.request_rules: RequestRules
        self.retriever: ChatRetriever
        self.log: RecommendationLog
        self.operations: Operations
        self.housekeeper: Housekeeper
        self._beside: list[asyncio.Task[None]] = []
        self.ready = False
        self._of_tenants: OrderedDict[str, Services] = OrderedDict()

    def of(self, tenant: str) -> Services:
        """The same services as the routes of one tenant see them: `tenant` and `retriever` are that tenant's."""
        if tenant == self.tenant:
            return self
        seen = self._of_tenants.get(tenant)
        if seen is None:
            seen = copy.copy(self)
            seen.tenant = tenant
            seen.retriever = ChatRetriever(self.catalogue, tenant)
            self._of_tenants[tenant] = seen
            if len(self._of_tenants) > _MAX_TENANTS:
                self._of_tenants.popitem(last=False)
        return seen

    async def start(self) -> None:
        """Bring the parts up in the order in which they need each other."""
        settings = self.settings
        await self.pool.start()  # the shard makes or migrates an SQLite store: nothing can be read before
        self.store = await asyncio.to_thread(Store.open, settings, readonly=True)
        await self.keys.start(self.store)
        self.catalogue = Catalogue(self.store, poll_s=settings.store.feed_poll_s)
        await self.catalogue.start()
        await self.writer.start(self._caches)
        self.retriever = ChatRetriever(self.catalogue, settings.tenant)
        ranking: Ranking
        if self._recommender_handle is None:
            self._local = Recommender(settings, self.catalogue, self._finder_handle)
            await self._local.start()
            ranking = self._local
        else:
            ranking = HandleRanking(self._recommender_handle, settings.ingress.timeout_s)
        self.request_rules = RequestRules(self.catalogue)
        self.recommender = RecommenderClient(ranking, _MAX_RANK_BATCH, settings.sessions.max_queue)
        store = self.store
        self.log = RecommendationLog(
            write=lambda rows: self.pool.write("feedback", "log_rows", rows), find=store.feedback.recommendation
        )
        self.log.start()
        settle_s = 2 * settings.store.feed_poll_s + _SETTLE_S
        self.operations = Operations(store, self.pool.write, settle_s)
        await self.operations.start()
        self.housekeeper = Housekeeper(settings, self.pool.write)
        self.housekeeper.start()
        self.prefetcher.start()
        self._beside = [
            asyncio.create_task(trim_for_ever(), name="trim"),
            asyncio.create_task(self.meter.record_for_ever(self._figures), name="meter"),
        ]
        self.ready = True

    async def stop(self) -> None:
        """End what `start` began."""
        self.ready = False
        self.metrics.flush()
        await end(*self._beside)
        await self.prefetcher.stop()
        await self.housekeeper.stop()
        await self.operations.stop()
        await self.log.stop()
        if self._local is not None:
            await self._local.stop()
        await self.writer.stop()
        await self.catalogue.stop()
        await self.keys.stop()
        await self.limiter.stop()
        await self.pool.stop()
        await asyncio.to_thread(self.store.close)

    def person_mark(self, stored_id: str) -> str:
        """What stands for a person in the audit log: the same for the same person, and of no use without our secret."""
        digest = hashlib.blake2b(f"{self.tenant}\0{stored_id}".encode(), key=self._mark_secret, digest_size=12)
        return f"user:{digest.hexdigest()}"

    async def model_version(self) -> str:
        """The version that lists come from at this moment, or `none`."""
        return await self.recommender.live_version(self.tenant)

    def _figures(self) -> tuple[dict[str, float], dict[str, int]]:
        """What `IngressMeter.record` takes."""
        figures = {
            "in_work": self.metrics.in_work,
            "catalogue_items": self.catalogue.size,
            "catalogue_age_s": self.catalogue.age_s,
            "keys": self.keys.valid,
            "keys_age_s": self.keys.age_s,
        }
        return figures, self.pool.waiting | {"ranking": self.recommender.waiting}


async def services_of(request: Request) -> Services:
    """The services of the application, as the tenant of this request sees them; for FastAPI's `Depends`.

    Async although it awaits nothing: FastAPI sends a plain function through a thread, for each request.
    """
    services: Services = request.app.state.services
    principal = request.scope.get("principal")
    return services if principal is None else services.of(principal.tenant)

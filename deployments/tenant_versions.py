"""`TenantVersions`: the live version of each tenant that has one, with that tenant's catalogue laid over it.

One look at the registry, every `recommender.registry_poll_s`, finds the pointers of all tenants. A tenant whose first
version is published while we run is found as one that moves: within about a second.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.background import end
from cluster.catalogue import Catalogue
from cluster.config import Settings, parse_section
from cluster.messages import Version
from cluster.store import Store
from cluster.telemetry import SwapMetrics
from deployments.finding import FinderClient
from deployments.fresh_texts import FreshTexts
from deployments.live import LiveVersion
from deployments.overlay import Live, Overlay
from deployments.rule_book import RuleBook
from graph.config import GraphConfig

if TYPE_CHECKING:
    from graph.ranking import Ranker

log = logging.getLogger("tailorbird.live")

BUNDLE = "graph"


@dataclass(slots=True)
class _Tenant:
    live: LiveVersion[Ranker]
    overlay: Overlay
    is_started: bool = False


class TenantVersions:
    """Belongs to one event loop.

    Args:
        settings: the application's settings.
        catalogue: the process's mirror, of all tenants.
        store: open for reading.
        load: makes a ranker from a version's folder and name; blocking.
        rules: the rules of all tenants.
        finder: has text vectors of new items, if there is one.
    """

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        store: Store,
        load: Callable[[Path, str], Ranker],
        rules: RuleBook,
        finder: FinderClient | None = None,
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._store = store
        self._load = load
        self._rules = rules
        self._finder = finder
        self._encoder = parse_section(GraphConfig, settings.graph, "graph").content.encoder
        self._metrics = SwapMetrics()
        self._tenants: dict[str, _Tenant] = {}
        self._task: asyncio.Task[Any] | None = None

    def current(self, tenant: str) -> Live | None:
        """What serves a tenant; None before its first version."""
        found = self._tenants.get(tenant)
        return None if found is None else found.overlay.current

    async def start(self) -> None:
        """Load what is published, then keep up."""
        await self.refresh()
        self._task = asyncio.create_task(self._poll(), name="tenant-versions")

    async def stop(self) -> None:
        """Keep up no longer."""
        await end(self._task)
        await asyncio.gather(*(tenant.overlay.stop() for tenant in self._tenants.values()))

    async def refresh(self) -> None:
        """Take in what the registry says now."""
        try:
            pointers = await asyncio.to_thread(self._store.registry.live_of_all, BUNDLE)
        except Exception as error:  # the database is away: what serves goes on serving
            log.warning("the registry cannot be read: %s", error)
            return
        await asyncio.gather(*(self._take(tenant, pointer) for tenant, pointer in pointers.items()))

    async def _take(self, tenant: str, pointer: Version) -> None:
        found = self._tenants.get(tenant)
        if found is None:
            live = LiveVersion(
                load=self._load,
                cache_dir=self._settings.state_dir.resolve() / "cache" / BUNDLE / tenant,
                metrics=self._metrics,
            )
            finder, texts = self._finder, None
            if finder is not None and finder.is_there:
                texts = FreshTexts(finder, tenant, self._encoder)
            overlay = Overlay(self._catalogue, tenant, lambda: live.current, lambda: self._rules.of(tenant), texts)
            found = self._tenants[tenant] = _Tenant(live, overlay)
        await found.live.take(pointer)
        if found.live.current is not None and found.live.current[0] == pointer.version:
            self._metrics.age(tenant, time.time() - pointer.created_ms / 1000)
        if found.live.current is not None and not found.is_started:
            found.is_started = True
            await found.overlay.start()

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._settings.recommender.registry_poll_s * random.uniform(0.8, 1.2))
            await self.refresh()

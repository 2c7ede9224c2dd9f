"""`LiveVersion`: the published version that this process answers from, swapped whole while requests go on.

1. the registry's pointer is given again and again (`deployments.tenant_versions` polls it)
2. a version that is new here is brought into the node's cache, verified, memory-mapped and asked a smoke query, all in
   a thread
3. ONE reference is swapped; a request that began with the old version ends with it

A version that cannot be loaded changes nothing: the old one goes on serving, a metric and a log line say why, and the
same version is tried again later and later.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from cluster.artifacts import open_bundle
from cluster.messages import Version
from cluster.telemetry import SwapMetrics

log = logging.getLogger("tailorbird.live")

Loaded = TypeVar("Loaded")

_FIRST_RETRY_S = 2.0
_LAST_RETRY_S = 60.0


class LiveVersion(Generic[Loaded]):
    """Follows one registry pointer.

    Args:
        load: makes the thing that serves from a verified local folder and the name of the version, and checks it;
            blocking, called in a thread.
        cache_dir: where bundles of other places are kept on this node.
        metrics: where swaps and failures are counted.
    """

    def __init__(
        self,
        load: Callable[[Path, str], Loaded],
        cache_dir: Path,
        metrics: SwapMetrics,
    ) -> None:
        self._load = load
        self._cache_dir = cache_dir
        self._metrics = metrics
        self._current: tuple[str, Loaded] | None = None
        self._failed: dict[str, tuple[float, float]] = {}  # version -> (not before, wait)

    @property
    def current(self) -> tuple[str, Loaded] | None:
        """Version and what serves it, together; None before the first one."""
        return self._current

    async def take(self, pointer: Version) -> bool:
        """Go over to the version that the registry says is live; whether another serves afterwards."""
        if self._current is not None and self._current[0] == pointer.version:
            return False
        not_before, wait_s = self._failed.get(pointer.version, (0.0, _FIRST_RETRY_S))
        if time.monotonic() < not_before:
            return False
        began = time.monotonic()
        try:
            loaded = await asyncio.to_thread(self._bring, pointer)
        except Exception as error:
            self._failed[pointer.version] = (time.monotonic() + wait_s, min(wait_s * 2, _LAST_RETRY_S))
            self._metrics.failed()
            log.error(
                "version %s cannot be loaded, %s goes on serving: %s",
                pointer.version,
                self._current[0] if self._current else "no version",
                error,
            )
            return False
        self._current = (pointer.version, loaded)
        self._failed.clear()
        self._metrics.swapped(time.monotonic() - began)
        log.info("version %s serves", pointer.version)
        return True

    def _bring(self, pointer: Version) -> Loaded:
        return self._load(open_bundle(pointer.url, self._cache_dir), pointer.version)

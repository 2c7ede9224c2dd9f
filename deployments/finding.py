"""`FinderClient`: items by meaning through the Serve deployment `Finder`, or none: nobody has to have it.

A request that asks goes on without an answer where there is no Finder, where it is late and where it fails. After such
a failure it is not asked for a moment, so that a dead one costs one request its patience and not every one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cluster import tracing

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger("tailorbird.finding")

REST_S = 1.0
"""How long it is not asked after a failure."""


class FinderClient:
    """What the application sees of the Finder.

    Args:
        handle: the Serve handle of the deployment `Finder`, or None.
        timeout_s: how long an answer may take.
    """

    def __init__(self, handle: Any | None, timeout_s: float) -> None:
        self._handle = handle
        self._timeout_s = timeout_s
        self._rests_until_s = 0.0

    @property
    def is_there(self) -> bool:
        """Whether there is a Finder at all."""
        return self._handle is not None

    async def search(self, tenant: str, text: str, n: int) -> list[tuple[str, float]]:
        """The n items nearest in meaning to a text, best first, with their cosine; perhaps none, in any case soon."""
        with tracing.step("find", n=n):
            found: list[tuple[str, float]] | None = await self._ask("search", tenant, text, n)
        return found or []

    async def vectors(self, tenant: str, digests: Mapping[str, str]) -> dict[str, np.ndarray]:
        """The vectors of those items that are embedded with just that text (its digest, by item id)."""
        found: dict[str, np.ndarray] | None = await self._ask("vectors", tenant, dict(digests))
        return found or {}

    async def _ask(self, method: str, *args: Any) -> Any:
        if self._handle is None or time.monotonic() < self._rests_until_s:
            return None
        try:
            async with asyncio.timeout(self._timeout_s):
                return await getattr(self._handle, method).remote(*args)
        except Exception as error:  # lost, late, overloaded, or wrong: a list can do without
            self._rests_until_s = time.monotonic() + REST_S
            log.warning("the finder is left out: %s", str(error).partition("\n")[0] or type(error).__name__)
            return None

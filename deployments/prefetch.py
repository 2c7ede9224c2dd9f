"""Prefetch: a list's first pitches may be written ahead, so that they are in the cache when they are asked for.

The ingress notes lists, and one task works on them beside the requests, the newest list first. The writer decides
whether there is time (`deployments.ahead`); what finds none, or gets too old, is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from ray.util import metrics

from cluster.background import end
from cluster.errors import OverloadError, TailorbirdError
from cluster.messages import TextDone, TextPiece, WriteTask

log = logging.getLogger("tailorbird.writing")

MAX_WAITING = 64
MAX_AGE_S = 30.0
"""A list that was returned so long ago is no longer looked at."""
_PAUSE_S = 0.25

Make = Callable[[], WriteTask | None]
"""Makes the task of a text, or nothing where the item has gone."""


class Writing(Protocol):
    """`deployments.content_cache.CachedWriter`."""

    def write(self, task: WriteTask) -> AsyncIterator[TextPiece | TextDone]: ...


class Prefetcher:
    """Texts that wait to be written ahead. Belongs to one event loop.

    Args:
        writer: the content cache with the writers behind it.
        items: how many of a list's first items are written about; 0 turns it off.
    """

    def __init__(self, writer: Writing, items: int) -> None:
        self.items = items
        self._writer = writer
        self._waiting: deque[tuple[float, Make]] = deque(maxlen=MAX_WAITING)
        self._some = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._texts = metrics.Counter(
            "tailorbird_texts_ahead", "Texts that lists asked for ahead: written, cached, busy or old.", ("result",)
        )

    def start(self) -> None:
        """Begin to work."""
        if self.items:
            self._task = asyncio.create_task(self._work(), name="prefetch")

    async def stop(self) -> None:
        """End it; what waits is forgotten."""
        if self._task is not None:
            await end(self._task)

    def offer(self, make: Make) -> None:
        """Have a text written when there is time. Costs next to nothing: `make` is called later."""
        if self._task is not None:
            self._waiting.append((time.monotonic(), make))
            self._some.set()

    async def _work(self) -> None:
        while True:
            await self._some.wait()
            if not self._waiting:
                self._some.clear()
                continue
            offered_s, make = self._waiting.pop()
            if time.monotonic() - offered_s > MAX_AGE_S:
                self._texts.inc(1 + len(self._waiting), {"result": "old"})
                self._waiting.clear()
                continue
            try:
                task = make()
                if task is None:
                    continue
                frames = [frame async for frame in self._writer.write(task)]
                last = frames[-1] if frames else None
                cached = isinstance(last, TextDone) and last.source == "cached"
                self._texts.inc(1, {"result": "cached" if cached else "written"})
            except OverloadError:
                self._texts.inc(1, {"result": "busy"})
                self._waiting.appendleft((offered_s, make))
                await asyncio.sleep(_PAUSE_S)
            except TailorbirdError as error:
                log.debug("a text was not written ahead: %s", error)
            except Exception:
                log.exception("a text could not be written ahead")

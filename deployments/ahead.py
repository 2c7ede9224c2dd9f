"""Texts written ahead of being asked for, in a `Writer` replica: only while nobody waits, only within a budget.

A text ahead begins when no live text is in the engine and the budget has time left. A live text that arrives ends it at
once, which frees its place in the batch within one step of the engine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager

from cluster.errors import OverloadError
from cluster.messages import TextDone, TextPiece

_SAVED_S = 10.0
"""Budget that is saved up at most, in seconds of writing."""
_RETRY_AFTER_S = 0.5

Frames = AsyncGenerator[TextPiece | TextDone]


class Ahead:
    """The texts ahead of one replica. Belongs to one event loop.

    Args:
        share: of the time that passes, so much may be spent on texts ahead.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._left_s = _SAVED_S * share
        self._counted_s = time.monotonic()
        self._live = 0
        self._running: set[asyncio.Task[list[TextPiece | TextDone]]] = set()

    @contextmanager
    def live(self) -> Iterator[None]:
        """While a live text is written. Texts ahead end at once."""
        self._live += 1
        for task in self._running:
            task.cancel()
        try:
            yield
        finally:
            self._live -= 1

    async def write(self, frames: Frames) -> list[TextPiece | TextDone]:
        """All frames of a text ahead, when there is room for it.

        Raises:
            OverloadError: a live text is in work or has arrived, another one ahead is, or the budget is spent.
        """
        now_s = time.monotonic()
        self._left_s = min(_SAVED_S, self._left_s + self._share * (now_s - self._counted_s))
        self._counted_s = now_s
        if self._live or self._running or self._left_s <= 0:
            raise OverloadError("there is no time to write ahead", retry_after_s=_RETRY_AFTER_S)
        task = asyncio.create_task(_all(frames))
        self._running.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            if task.cancelled() and self._live:
                raise OverloadError("a live text goes first", retry_after_s=_RETRY_AFTER_S) from None
            task.cancel()
            raise
        finally:
            self._running.discard(task)
            self._left_s -= time.monotonic() - now_s


async def _all(frames: Frames) -> list[TextPiece | TextDone]:
    async with aclosing(frames):
        return [frame async for frame in frames]

"""Many deadlines, few timers: a timer of the event loop costs more than the little that a request does between them.

What waits is kept by the tick in which it ends; a tick has one timer, for all that end in it. So a deadline comes up to
`TICK_S` late, and to add one or to take it back is a step in a set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

TICK_S = 0.005


class Deadlines:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._ticks: dict[int, set[Callable[[], None]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._ticks.values()))

    def add(self, timeout_s: float, expire: Callable[[], None]) -> Callable[[], None]:
        """Call `expire` in so many seconds, unless what is returned is called before."""
        loop = asyncio.get_running_loop()
        number = int((loop.time() + timeout_s) / TICK_S) + 1
        tick = self._ticks.get(number)
        if tick is None:
            tick = self._ticks[number] = set()
            loop.call_at(number * TICK_S, self._end, number)
        tick.add(expire)
        return partial(tick.discard, expire)

    def _end(self, number: int) -> None:
        for expire in self._ticks.pop(number):
            expire()

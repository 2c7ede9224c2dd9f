"""How many threads a CPU engine computes with, found out while it runs.

On idle cores two threads beat one; when others keep the cores busy, every parallel region waits for a thread that the
system has put aside, and a step can take a hundred times longer. No fixed number is right for both, so steps are timed
with one thread and with all, and the faster is used.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

PROBE_EVERY = 48
PROBE_STEPS = 2
_MEMORY = 0.8


class ThreadGovernor:
    """Chooses between 1 and `most` threads. Used by the decode thread alone.

    Args:
        most: threads to compute with at most; 1 or less leaves everything as it is.
        use: sets the number of threads of the calling thread.
    """

    def __init__(self, most: int, use: Callable[[int], None]) -> None:
        self._choices = (1, most) if most > 1 else ()
        self._use = use
        self._seconds: dict[tuple[int, int], float] = {}
        self._steps = 0
        self._now = 0

    @contextmanager
    def step(self, texts: int) -> Any:
        """Run one decode step of so many texts with the number of threads that is best for it."""
        if not self._choices:
            yield
            return
        size = texts.bit_length()
        threads = self._choose(size)
        if threads != self._now:
            self._use(threads)
            self._now = threads
        began = time.perf_counter()
        yield
        took = time.perf_counter() - began
        before = self._seconds.get((size, threads), took)
        self._seconds[size, threads] = _MEMORY * before + (1 - _MEMORY) * took if before != took else took
        self._steps += 1

    def _choose(self, size: int) -> int:
        unknown = [n for n in self._choices if (size, n) not in self._seconds]
        if unknown:
            return unknown[0]
        best = min(self._choices, key=lambda n: self._seconds[size, n])
        probing = self._steps % PROBE_EVERY < PROBE_STEPS
        return next(n for n in self._choices if n != best) if probing else best

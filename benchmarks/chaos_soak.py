"""The long run: memory of each kind of process and the 99th percentile, minute by minute, and whether they are flat.

Slopes are Theil and Sen's (the median of the slopes between all pairs of samples), taken after a warm-up: caches fill,
allocators settle, and one bad second of the machine tells nothing. What is flat: memory that grows by less than
`FLAT_MIB_PER_MIN` or `FLAT_SHARE_PER_MIN` of its size a minute, whichever is more; a 99th percentile that grows by less
than `FLAT_MS_PER_MIN` or `FLAT_P99_SHARE_PER_MIN` of its median a minute.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import psutil

from benchmarks.chaos_copy import Copy
from benchmarks.chaos_load import Answer

Line = dict[str, Any]

SAMPLE_S = 5.0
WINDOW_S = 10.0
"""Of answers, for one 99th percentile."""
WARM_SHARE = 0.3
"""Of the run, which is left out of the slopes."""
FLAT_MIB_PER_MIN = 1.0
FLAT_SHARE_PER_MIN = 0.005
FLAT_MS_PER_MIN = 1.0
FLAT_P99_SHARE_PER_MIN = 0.02
CACHE_BYTES = 8 << 20
"""The budget of SQLite's pages in the soak, in place of 64 MiB: one that is full before the warm-up is over."""


class Watch:
    """Samples of memory, taken while the load runs."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, float, dict[str, float]]] = []
        self._began_s = self._ended_s = 0.0

    def sample(self, copy: Copy, seconds: float) -> Line:
        """Look every few seconds; what to say at once is nothing, see `verdict`."""
        self._began_s = time.monotonic()
        self._ended_s = self._began_s + seconds
        psutil.cpu_percent()
        while (left_s := self._ended_s - time.monotonic()) > 0:
            time.sleep(min(SAMPLE_S, left_s))
            self._samples.append((time.monotonic(), psutil.cpu_percent(), copy.rss_mib()))
        return {}

    def verdict(self, answers: list[Answer]) -> Line:
        """Slopes after the warm-up, minute by minute what they were taken from, and whether all of it is flat."""
        warm_s = self._began_s + WARM_SHARE * (self._ended_s - self._began_s)
        settled = [sample for sample in self._samples if sample[0] >= warm_s]
        times = [at / 60 for at, _, _ in settled]
        memory: dict[str, Line] = {}
        for kind in settled[-1][2]:
            mib = [sizes.get(kind, 0.0) for _, _, sizes in settled]
            per_min = slope(times, mib)
            memory[kind] = {
                "mib": self._by_minute([(at, sizes.get(kind, 0.0)) for at, _, sizes in self._samples]),
                "mib_per_min": round(per_min, 2),
                "flat": per_min <= max(FLAT_MIB_PER_MIN, FLAT_SHARE_PER_MIN * float(np.median(mib))),
            }
        latency = {
            kind: self._latency([answer for answer in answers if answer.code.startswith(kind)], warm_s)
            for kind in ("event", "list")
        }
        return {
            "minutes_of_slopes": round((self._ended_s - warm_s) / 60, 1),
            "memory": memory,
            "latency": latency,
            "machine_busy_pct": self._by_minute([(at, busy) for at, busy, _ in self._samples]),
            "flat": all(part["flat"] for part in (*memory.values(), *latency.values())),
        }

    def _latency(self, answers: list[Answer], warm_s: float) -> Line:
        windows: dict[int, list[float]] = {}
        for answer in answers:
            if self._began_s <= answer.due_s < self._ended_s:
                windows.setdefault(int((answer.due_s - self._began_s) // WINDOW_S), []).append(answer.took_s * 1000)
        points = [(self._began_s + n * WINDOW_S, float(np.percentile(ms, 99))) for n, ms in sorted(windows.items())]
        settled = [(at / 60, p99) for at, p99 in points if at >= warm_s]
        per_min = slope([at for at, _ in settled], [p99 for _, p99 in settled])
        median = float(np.median([p99 for _, p99 in settled]))
        return {
            "p99_ms": self._by_minute(points),
            "p99_ms_per_min": round(per_min, 2),
            "flat": per_min <= max(FLAT_MS_PER_MIN, FLAT_P99_SHARE_PER_MIN * median),
        }

    def _by_minute(self, points: list[tuple[float, float]]) -> list[float]:
        """The median of each minute."""
        minutes: dict[int, list[float]] = {}
        for at, value in points:
            minutes.setdefault(int((at - self._began_s) // 60), []).append(value)
        return [round(float(np.median(values)), 1) for _, values in sorted(minutes.items())]


def slope(x: list[float], y: list[float]) -> float:
    """Theil and Sen's slope: the median over all pairs of points; 0 for fewer than three."""
    if len(x) < 3:
        return 0.0
    xs, ys = np.asarray(x), np.asarray(y)
    first, second = np.triu_indices(len(xs), 1)
    return float(np.median((ys[second] - ys[first]) / (xs[second] - xs[first])))

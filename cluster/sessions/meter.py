"""The metrics of a session shard, taken from its figures now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

METER_S = 5.0


class ShardMeter:
    """Needs a connected Ray. Labels: the shard's number."""

    def __init__(self, index: int) -> None:
        from ray.util.metrics import Counter, Gauge

        self._labels = {"shard": str(index)}
        shard = ("shard",)
        age = "Seconds since the shard knew all that others had stored: how late another cluster's events are seen."
        self._gauges = {
            "sessions": Gauge("tailorbird_sessions", "Sessions in memory.", shard),
            "memory_bytes": Gauge("tailorbird_session_bytes", "Bytes of the sessions in memory.", shard),
            "waiting": Gauge("tailorbird_session_appends_waiting", "Appends that wait for a commit.", shard),
            "tail_age_s": Gauge("tailorbird_session_tail_age_seconds", age, shard),
        }
        self._counters = {
            "appended": Counter("tailorbird_session_events", "Events stored.", shard),
            "duplicates": Counter("tailorbird_session_duplicates", "Events that were stored before.", shard),
            "commits": Counter("tailorbird_session_commits", "Transactions of events.", shard),
            "loads": Counter("tailorbird_session_loads", "Sessions read from the store.", shard),
            "views": Counter("tailorbird_session_views", "Sessions asked for.", shard),
            "tailed": Counter("tailorbird_session_tailed_events", "Events found that others stored.", shard),
        }
        self._before: dict[str, float] = {}

    def record(self, stats: Mapping[str, int | float]) -> None:
        """Take over the figures of `Shard.stats`."""
        for key, gauge in self._gauges.items():
            gauge.set(stats[key], self._labels)
        for key, counter in self._counters.items():
            grown = stats[key] - self._before.get(key, 0)
            if grown > 0:
                counter.inc(grown, self._labels)
            self._before[key] = stats[key]

    async def record_for_ever(self, stats: Callable[[], Mapping[str, int | float]]) -> None:
        """`record` every few seconds."""
        while True:
            self.record(stats())
            await asyncio.sleep(METER_S)

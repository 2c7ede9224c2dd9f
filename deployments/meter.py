"""The metrics of an ingress replica beside its requests: queues, how far behind the store it is, keys, degraded lists.

What is followed by polling (catalogue, keys) is as old as its last look that succeeded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

METER_S = 5.0


class IngressMeter:
    """Needs a connected Ray; without one nothing is recorded."""

    def __init__(self) -> None:
        from ray.util.metrics import Counter, Gauge

        self._gauges = {
            "in_work": Gauge("tailorbird_requests_in_work", "Requests that an ingress replica works on."),
            "catalogue_items": Gauge("tailorbird_catalogue_items", "Items in the mirror of the catalogue."),
            "catalogue_age_s": Gauge(
                "tailorbird_catalogue_age_seconds", "Seconds since the mirror knew all of the catalogue."
            ),
            "keys": Gauge("tailorbird_keys", "API keys that open something, the bootstrap key not counted."),
            "keys_age_s": Gauge("tailorbird_keys_age_seconds", "Seconds since all keys were known: how late one ends."),
        }
        self._waiting = Gauge("tailorbird_requests_waiting", "Requests that wait for a place in a batch.", ("queue",))
        self._degraded = Counter("tailorbird_lists_degraded", "Lists that were made without the session.")
        self._acts = Counter("tailorbird_admin_acts", "What was done over the admin API.", ("action",))

    def degraded(self) -> None:
        """A list was made without the session of its person."""
        self._degraded.inc()

    def admin(self, action: str) -> None:
        """Something that stands in the audit log was done."""
        self._acts.inc(1, {"action": action})

    def record(self, figures: Mapping[str, float], waiting: Mapping[str, int]) -> None:
        """Take over how things stand: a figure for each gauge, and how many requests wait in each queue."""
        for name, gauge in self._gauges.items():
            gauge.set(figures[name])
        for queue, count in waiting.items():
            self._waiting.set(count, {"queue": queue})

    async def record_for_ever(self, read: Callable[[], tuple[Mapping[str, float], Mapping[str, int]]]) -> None:
        """`record` every few seconds."""
        while True:
            self.record(*read())
            await asyncio.sleep(METER_S)

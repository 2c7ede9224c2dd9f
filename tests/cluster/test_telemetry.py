from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from cluster import telemetry
from cluster.telemetry import HttpMetrics


class Told:
    """Stands where Ray's metric does, and remembers what it was told."""

    def __init__(self) -> None:
        self.calls = 0
        self.counts: Counter[tuple[tuple[str, str], ...]] = Counter()

    def inc(self, value: int, labels: dict[str, Any]) -> None:
        self.calls += 1
        self.counts[tuple(sorted(labels.items()))] += value


def test_requests_are_counted_here_and_told_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "FLUSH_S", 0.02)
    metrics, told = HttpMetrics(), Told()
    monkeypatch.setattr(metrics, "_requests", told)

    async def requests() -> None:
        for _ in range(2):
            for _ in range(500):
                metrics.record("/v1/events", "POST", 202, 0.001)
            metrics.record("/v1/events", "POST", 499, 0.001)
            await asyncio.sleep(0.05)

    asyncio.run(requests())
    assert told.counts == {
        (("code", "202"), ("method", "POST"), ("route", "/v1/events")): 1000,
        (("code", "499"), ("method", "POST"), ("route", "/v1/events")): 2,
    }
    assert told.calls == 4
    metrics.flush()
    assert told.calls == 4

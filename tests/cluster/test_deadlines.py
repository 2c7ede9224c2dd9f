"""Deadlines come, not early and not much late, unless they are taken back."""

from __future__ import annotations

import asyncio
import time

from cluster.deadlines import TICK_S, Deadlines


async def test_they_come_in_time() -> None:
    deadlines, came = Deadlines(), []
    began = time.monotonic()
    for timeout_s in (0.03, 0.1, 0.0):
        deadlines.add(timeout_s, lambda timeout_s=timeout_s: came.append((timeout_s, time.monotonic() - began)))  # type: ignore[misc]
    await asyncio.sleep(0.2)
    assert [timeout_s for timeout_s, _ in came] == [0.0, 0.03, 0.1]
    assert all(timeout_s <= took + 0.002 < timeout_s + TICK_S + 0.1 for timeout_s, took in came)
    assert len(deadlines) == 0


async def test_one_that_is_taken_back_does_not_come_and_is_not_kept() -> None:
    deadlines, came = Deadlines(), []
    back = [deadlines.add(0.02, lambda: came.append("no")) for _ in range(100)]
    deadlines.add(0.02, lambda: came.append("yes"))
    for take in back:
        take()
    assert len(deadlines) == 1
    await asyncio.sleep(0.06)
    back[0]()  # again, and late: nothing
    assert came == ["yes"]

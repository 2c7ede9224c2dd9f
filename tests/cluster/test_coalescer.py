"""Requests that travel together."""

from __future__ import annotations

import asyncio
import time

import pytest

from cluster.coalescer import Coalescer
from cluster.errors import DeadlineError, OverloadError


class Echo:
    """Answers each entry with itself; keeps the lists; can be held up."""

    def __init__(self) -> None:
        self.lists: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, batch: list[int]) -> list[int]:
        self.lists.append(batch)
        await self.gate.wait()
        return batch


async def test_entries_gather_while_calls_are_in_flight() -> None:
    echo = Echo()
    echo.gate.clear()
    lane: Coalescer[int, int] = Coalescer(echo, max_batch=4, max_queue=100, in_flight=1)
    first = asyncio.create_task(lane.submit(0, 5))
    await asyncio.sleep(0.01)
    rest = [asyncio.create_task(lane.submit(n, 5)) for n in range(1, 8)]
    await asyncio.sleep(0.01)
    assert echo.lists == [[0]] and lane.waiting == 7
    echo.gate.set()
    assert await asyncio.gather(first, *rest) == list(range(8))
    assert echo.lists == [[0], [1, 2, 3, 4], [5, 6, 7]]


async def test_fewer_wait_no_longer_than_patience_lasts() -> None:
    echo = Echo()
    echo.gate.clear()
    lane: Coalescer[int, int] = Coalescer(
        echo, max_batch=8, max_queue=100, in_flight=2, least=3, patience_s=lambda: 0.03
    )
    tasks = [asyncio.create_task(lane.submit(0, 5))]
    await asyncio.sleep(0.005)
    tasks.append(asyncio.create_task(lane.submit(1, 5)))
    await asyncio.sleep(0.005)
    assert echo.lists == [[0]] and lane.waiting == 1
    await asyncio.sleep(0.05)
    assert echo.lists == [[0], [1]]
    tasks.append(asyncio.create_task(lane.submit(2, 5)))  # there is no place for a third call, however long it waits
    await asyncio.sleep(0.05)
    assert lane.waiting == 1 and lane.stuck_s > 0.04
    echo.gate.set()
    assert await asyncio.gather(*tasks) == [0, 1, 2]


async def test_entries_wait_for_those_that_are_expected() -> None:
    echo = Echo()
    lane: Coalescer[int, int] = Coalescer(echo, max_batch=8, max_queue=100, in_flight=1, company_s=5.0)

    async def come(n: int, ready: asyncio.Event) -> int:
        with lane.expected():
            await ready.wait()
        return await lane.submit(n, 5)

    early, late = asyncio.Event(), asyncio.Event()
    tasks = [asyncio.create_task(come(n, early if n < 2 else late)) for n in range(4)]
    await asyncio.sleep(0.01)
    early.set()
    await asyncio.sleep(0.05)
    assert echo.lists == [] and lane.waiting == 2  # as many are on their way as wait
    tasks.append(asyncio.create_task(come(4, early)))
    await asyncio.sleep(0.05)
    assert echo.lists == [[0, 1, 4]]  # fewer are
    late.set()
    assert await asyncio.gather(*tasks) == [0, 1, 2, 3, 4]
    assert echo.lists == [[0, 1, 4], [2, 3]]


async def test_nobody_waits_longer_for_company_than_that_is_worth() -> None:
    lane: Coalescer[int, int] = Coalescer(Echo(), max_batch=8, max_queue=100, in_flight=1, company_s=0.3)
    began = time.monotonic()
    with lane.expected():
        assert await lane.submit(1, 5) == 1
    assert time.monotonic() - began > 0.29
    began = time.monotonic()
    assert await lane.submit(2, 5) == 2
    assert time.monotonic() - began < 0.25  # nobody is expected any more, though the one from before never came


async def test_a_look_that_another_batch_was_owed_makes_nobody_wait_longer() -> None:
    echo = Echo()
    lane: Coalescer[int, int] = Coalescer(echo, max_batch=8, max_queue=100, in_flight=1, company_s=1.0)
    with lane.expected():
        waits = asyncio.create_task(lane.submit(1, 5))
        await asyncio.sleep(0.1)
        assert lane.waiting == 1  # the look that it is owed comes 1 s after it
    assert await asyncio.gather(waits, lane.submit(2, 5)) == [1, 2]
    with lane.expected():
        await asyncio.sleep(0.3)
        began = time.monotonic()
        assert await lane.submit(3, 5) == 3
    assert 0.9 < time.monotonic() - began < 1.4  # not until the second look after that one


async def test_whoever_waited_for_a_call_does_not_wait_for_company_too() -> None:
    echo = Echo()
    echo.gate.clear()
    lane: Coalescer[int, int] = Coalescer(echo, max_batch=8, max_queue=100, in_flight=1, company_s=0.3)
    tasks = [asyncio.create_task(lane.submit(0, 5))]
    await asyncio.sleep(0.01)
    tasks.append(asyncio.create_task(lane.submit(1, 5)))
    await asyncio.sleep(0.4)
    with lane.expected():
        echo.gate.set()
        began = time.monotonic()
        assert await asyncio.gather(*tasks) == [0, 1]
        assert time.monotonic() - began < 0.25


async def test_a_further_call_leaves_for_enough_entries_only() -> None:
    echo = Echo()
    echo.gate.clear()
    lane: Coalescer[int, int] = Coalescer(echo, max_batch=8, max_queue=100, in_flight=2, least=3)
    tasks = [asyncio.create_task(lane.submit(0, 5))]
    await asyncio.sleep(0.01)
    tasks += [asyncio.create_task(lane.submit(n, 5)) for n in (1, 2)]
    await asyncio.sleep(0.05)
    assert echo.lists == [[0]] and lane.waiting == 2
    assert lane.stuck_s == 0  # the next one would make a call
    tasks.append(asyncio.create_task(lane.submit(3, 5)))
    await asyncio.sleep(0.01)
    assert echo.lists == [[0], [1, 2, 3]]
    tasks.append(asyncio.create_task(lane.submit(4, 5)))
    await asyncio.sleep(0.05)
    assert lane.stuck_s > 0.04
    echo.gate.set()
    assert await asyncio.gather(*tasks) == [0, 1, 2, 3, 4]
    assert echo.lists == [[0], [1, 2, 3], [4]] and lane.stuck_s == 0


async def test_heavy_entries_travel_alone() -> None:
    lists: list[list[list[int]]] = []

    async def send(batch: list[list[int]]) -> list[int]:
        lists.append(batch)
        return [len(entry) for entry in batch]

    lane: Coalescer[list[int], int] = Coalescer(send, max_batch=3, max_queue=9, in_flight=1, weigh=len)
    entries = [[1], [2, 2], [3], [4] * 9, [5], [6]]
    assert await asyncio.gather(*(lane.submit(entry, 5) for entry in entries)) == [1, 2, 1, 9, 1, 1]
    assert [[entry[0] for entry in batch] for batch in lists] == [[1, 2], [3], [4], [5, 6]]


async def test_full_queue_refuses() -> None:
    echo = Echo()
    echo.gate.clear()
    lane: Coalescer[int, int] = Coalescer(echo, max_batch=1, max_queue=2, in_flight=1)
    tasks = [asyncio.create_task(lane.submit(0, 5))]
    await asyncio.sleep(0.01)
    tasks += [asyncio.create_task(lane.submit(n, 5)) for n in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(OverloadError):
        await lane.submit(3, 5)
    echo.gate.set()
    assert await asyncio.gather(*tasks) == [0, 1, 2]


async def test_deadline_frees_the_queue_and_is_kept() -> None:
    echo = Echo()
    echo.gate.clear()
    lane: Coalescer[int, int] = Coalescer(echo, max_batch=9, max_queue=1, in_flight=1)
    began = time.monotonic()
    with pytest.raises(DeadlineError):
        await lane.submit(0, 0.05)
    with pytest.raises(DeadlineError):
        await lane.submit(1, 0.05)
    late = asyncio.create_task(lane.submit(2, 5))  # the place of 1 is free again
    await asyncio.sleep(0)
    assert time.monotonic() - began < 1
    echo.gate.set()
    assert await late == 2
    assert echo.lists == [[0], [2]]


async def test_an_error_reaches_those_who_travelled_together() -> None:
    async def fail(batch: list[int]) -> list[int]:
        if 1 in batch:
            raise ValueError("one")
        return batch

    lane: Coalescer[int, int] = Coalescer(fail, max_batch=2, max_queue=9, in_flight=1)
    answers = await asyncio.gather(*(lane.submit(n, 5) for n in range(4)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ValueError, ValueError, int, int]


async def test_wrong_number_of_answers_is_an_error() -> None:
    async def lose(batch: list[int]) -> list[int]:
        return batch[1:]

    lane: Coalescer[int, int] = Coalescer(lose, max_batch=2, max_queue=9)
    with pytest.raises(RuntimeError):
        await lane.submit(1, 5)


async def test_close_ends_everybody() -> None:
    echo = Echo()
    echo.gate.clear()
    lane: Coalescer[int, int] = Coalescer(echo, max_batch=1, max_queue=9, in_flight=1)
    tasks = [asyncio.create_task(lane.submit(n, 5)) for n in range(3)]
    await asyncio.sleep(0.01)
    await lane.close()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers)
    assert echo.lists == [[0]]

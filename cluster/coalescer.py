"""Many waiting requests, few calls: requests that wait for the same thing travel together.

Whoever calls often and pays per call (an actor call costs half a millisecond, however little it carries) submits single
entries here. While calls are in flight entries gather, and leave as one list as soon as a call comes back. Alone an
entry leaves at once; under load lists grow by themselves. Where a call is much cheaper in company, whoever is about to
submit an entry says so (`expected`), and those that are there wait a moment for it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Generic, TypeVar

from cluster.deadlines import Deadlines
from cluster.errors import DeadlineError, OverloadError

Given = TypeVar("Given")
Answer = TypeVar("Answer")

RETRY_AFTER_S = 1.0


class Coalescer(Generic[Given, Answer]):
    """Belongs to one event loop.

    Args:
        send: answers a list: n in, n out, same order. What it raises reaches everyone who travelled in that list.
        max_batch: longest list, or its greatest weight; an entry that is heavier travels alone.
        max_queue: entries that may wait for a place, those in flight not counted.
        in_flight: calls at a time.
        least: entries that are worth a further call while one is out; fewer wait for it.
        patience_s: says how long they wait for it; then they leave all the same. Default: however long it takes.
        company_s: how long entries wait at most while at least as many more are `expected`.
        weigh: what an entry counts in `max_batch`; default 1.
    """

    def __init__(
        self,
        send: Callable[[list[Given]], Awaitable[Sequence[Answer]]],
        *,
        max_batch: int,
        max_queue: int,
        in_flight: int = 2,
        least: int = 1,
        patience_s: Callable[[], float] = lambda: math.inf,
        company_s: float = 0.0,
        weigh: Callable[[Given], int] | None = None,
    ) -> None:
        self._send = send
        self._weigh = weigh
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._free = self._in_flight = in_flight
        self._least = least
        self._patience_s = patience_s
        self._company_s = company_s
        self._expected = 0
        self._gather_since = 0.0
        self._queue: deque[tuple[Given, asyncio.Future[Answer]]] = deque()
        self._calls: dict[asyncio.Task[None], float] = {}
        self._scheduled = False
        self._looks = False
        self._deadlines = Deadlines()

    @property
    def waiting(self) -> int:
        """Entries that wait for a place."""
        return len(self._queue)

    @property
    def stuck_s(self) -> float:
        """For how long no call has come back although none more may leave; 0 while one may."""
        if not self._calls or self._may_leave(len(self._queue) + 1):
            return 0.0
        return asyncio.get_running_loop().time() - max(self._calls.values())

    @contextmanager
    def expected(self) -> Iterator[None]:
        """What goes on in here leads to an entry, most likely and soon: those that wait may wait for it."""
        self._expected += 1
        try:
            yield
        finally:
            self._expected -= 1

    async def submit(self, given: Given, timeout_s: float) -> Answer:
        """The answer to one entry.

        Raises:
            OverloadError: `max_queue` entries wait already.
            DeadlineError: no answer in `timeout_s` seconds. An entry that waits is then never sent; one in flight may
                still have its effect.
        """
        if len(self._queue) >= self._max_queue:
            self._drop_abandoned()
            if len(self._queue) >= self._max_queue:
                raise OverloadError(f"{len(self._queue)} requests are waiting already", RETRY_AFTER_S)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        if not self._queue:
            self._gather_since = time.monotonic()
        self._queue.append((given, future))
        if self._free and not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._dispatch)  # not at once: whatever else this turn of the loop brings travels along
        in_time = self._deadlines.add(timeout_s, partial(_expire, future, timeout_s))
        try:
            return await future
        finally:
            in_time()

    async def close(self) -> None:
        """Cancel what is in flight and what waits."""
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        for _, future in self._queue:
            future.cancel()
        self._queue.clear()
        await asyncio.gather(*calls, return_exceptions=True)

    def _dispatch(self) -> None:
        self._scheduled = False
        while self._queue:
            if not self._may_leave(len(self._queue)):
                self._look_again(self._patience_s())
                return
            if (company_s := self._company_comes_for()) > 0:
                self._look_again(company_s)
                return
            batch = self._take()
            if not batch:
                return
            self._free -= 1
            call = asyncio.create_task(self._call(batch))
            self._calls[call] = asyncio.get_running_loop().time()
            call.add_done_callback(self._calls.pop)

    def _may_leave(self, waiting: int) -> bool:
        if self._free == 0:
            return False
        if self._free == self._in_flight or waiting >= self._least:
            return True
        return asyncio.get_running_loop().time() - max(self._calls.values()) >= self._patience_s()

    def _company_comes_for(self) -> float:
        """How much longer those that wait may wait for those that are expected, in seconds."""
        if self._expected < len(self._queue):
            return 0.0
        return self._gather_since + self._company_s - time.monotonic()

    def _look_again(self, after_s: float) -> None:
        """Look when those that wait have waited long enough, unless there is a reason to do so before."""
        if self._free and not self._looks and math.isfinite(after_s):
            self._looks = True
            asyncio.get_running_loop().call_later(after_s, self._look)

    def _look(self) -> None:
        self._looks = False
        self._dispatch()

    def _take(self) -> list[tuple[Given, asyncio.Future[Answer]]]:
        batch: list[tuple[Given, asyncio.Future[Answer]]] = []
        weight = 0
        while self._queue:
            given, future = self._queue[0]
            if not future.done():  # else its deadline passed, or its client left
                weight += 1 if self._weigh is None else self._weigh(given)
                if batch and weight > self._max_batch:
                    break
                batch.append((given, future))
            self._queue.popleft()
        return batch

    async def _call(self, batch: list[tuple[Given, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._send([given for given, _ in batch])
            if len(answers) != len(batch):
                raise RuntimeError(f"{len(batch)} entries were sent and {len(answers)} answers came back")
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        finally:
            self._free += 1
            self._dispatch()

    def _drop_abandoned(self) -> None:
        self._queue = deque(entry for entry in self._queue if not entry[1].done())


def _expire(future: asyncio.Future[Answer], timeout_s: float) -> None:
    if not future.done():
        future.set_exception(DeadlineError(f"no answer within {timeout_s * 1000:.0f} ms"))

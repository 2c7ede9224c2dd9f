"""Texts ahead: into the cache when there is time, and never in front of a live one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from cluster.config import Settings
from cluster.errors import OverloadError
from cluster.messages import EngineInfo, Item, TextDone, TextPiece, WriteTask
from cluster.sessions.shard import Shard
from deployments.ahead import Ahead
from deployments.prefetch import Prefetcher
from deployments.services import Services
from tests.deployments.conftest import running_app, until

TASK = WriteTask("pitch", (Item("2", title="Babe"),), ahead=True)


class Slow:
    """Frames that take a while; knows whether they were closed in the middle."""

    def __init__(self, pieces: int = 3, pause_s: float = 0.05) -> None:
        self.pieces, self.pause_s = pieces, pause_s
        self.given, self.closed = 0, False

    async def frames(self) -> AsyncIterator[TextPiece | TextDone]:
        try:
            for _ in range(self.pieces):
                await asyncio.sleep(self.pause_s)
                self.given += 1
                yield TextPiece("so ")
            yield TextDone("so " * self.pieces, "generated", "m", "p")
        finally:
            self.closed = self.given < self.pieces


async def test_a_text_ahead_is_written_while_nobody_waits() -> None:
    frames = await Ahead(0.5).write(Slow().frames())  # type: ignore[arg-type]
    assert isinstance(frames[-1], TextDone) and len(frames) == 4


async def test_a_live_text_ends_the_one_ahead_at_once() -> None:
    ahead, slow = Ahead(1.0), Slow(pieces=100)
    task = asyncio.create_task(ahead.write(slow.frames()))  # type: ignore[arg-type]
    await asyncio.sleep(0.12)
    began = time.perf_counter()
    with ahead.live():
        with pytest.raises(OverloadError):
            await task
        assert time.perf_counter() - began < 0.04 and slow.closed
        with pytest.raises(OverloadError):
            await ahead.write(Slow().frames())  # type: ignore[arg-type]
    assert await ahead.write(Slow(1, 0.0).frames())  # type: ignore[arg-type]


async def test_the_budget_ends_and_comes_back() -> None:
    ahead = Ahead(0.01)  # 0.1 s at first
    await ahead.write(Slow(3, 0.05).frames())  # type: ignore[arg-type]
    with pytest.raises(OverloadError):
        await ahead.write(Slow().frames())  # type: ignore[arg-type]
    ahead._left_s = 0.01
    assert await ahead.write(Slow(1, 0.0).frames())  # type: ignore[arg-type]


async def test_one_who_leaves_ends_the_text_ahead() -> None:
    slow = Slow(pieces=100)
    task = asyncio.create_task(Ahead(1.0).write(slow.frames()))  # type: ignore[arg-type]
    await asyncio.sleep(0.12)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.01)
    assert slow.closed


class Busy:
    """Writers that have no time for so many calls."""

    def __init__(self, refusals: int) -> None:
        self.refusals, self.written = refusals, [""]

    async def write(self, task: WriteTask) -> AsyncIterator[TextPiece | TextDone]:
        if self.refusals:
            self.refusals -= 1
            raise OverloadError("busy")
        self.written.append(task.items[0].item_id)
        yield TextDone("so", "generated", "m", "p")


async def test_what_finds_no_time_is_tried_again_and_a_broken_one_does_not_stop_the_rest() -> None:
    writer = Busy(2)
    prefetcher = Prefetcher(writer, 2)
    prefetcher.start()
    prefetcher.offer(lambda: TASK)
    prefetcher.offer(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    prefetcher.offer(lambda: None)

    async def written() -> bool:
        return writer.written == ["", "2"]

    await until(written, 3.0)
    await prefetcher.stop()


class Notes:
    """Stands for the Serve handle of the writers."""

    def __init__(self) -> None:
        self.tasks: list[WriteTask] = []
        self.write = self

    def options(self, **_: object) -> Notes:
        return self

    async def remote(self, task: WriteTask) -> AsyncIterator[TextPiece | TextDone]:
        self.tasks.append(task)
        text = f"{task.items[0].title} it is."
        yield TextPiece(text)
        yield TextDone(text, "generated", "m", "p")

    async def info(self) -> EngineInfo:
        return EngineInfo("e", "m", "nf4", 1, "cpu", 1)


async def test_the_first_texts_of_a_list_are_there_when_they_are_asked_for(settings: Settings, shard: Shard) -> None:
    notes = Notes()
    asked = settings.model_copy(update={"generation": {"prefetch_items": 2}})
    async with running_app(asked, shard, notes) as (client, _):
        session = [{"item_id": "loud/1", "type": "like"}]
        answer = await client.post("/v1/recommendations", json={"session": session, "n": 5})
        ids = [item["item_id"] for item in answer.json()["items"]]

        async def written() -> bool:
            return len(notes.tasks) == 2

        await until(written)
        assert [task.items[0].item_id for task in notes.tasks] == ids[:2] and all(task.ahead for task in notes.tasks)
        await asyncio.sleep(0.05)
        for item_id, source in ((ids[0], "cached"), (ids[1], "cached"), (ids[2], "generated")):
            text = await client.post("/v1/content", json={"kind": "pitch", "item_id": item_id, "session": session})
            assert text.json()["source"] == source, item_id


async def test_it_is_off_unless_it_is_set(client: httpx.AsyncClient, app: tuple[httpx.AsyncClient, Services]) -> None:
    answer = await client.post("/v1/recommendations", json={"user_id": "7", "n": 5})
    assert answer.status_code == 200 and app[1].prefetcher.items == 0 and not app[1].prefetcher._waiting

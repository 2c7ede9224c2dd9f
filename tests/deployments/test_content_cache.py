"""The cache in front of the writers: single flight, failures, a cache that is away. The shard runs in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from cluster.config import Settings
from cluster.errors import OverloadError, UnavailableError
from cluster.messages import EngineInfo, Item, TextDone, TextPiece, WriteTask
from deployments.content_cache import CachedWriter, CacheShard

JAWS = Item("1", title="Jaws (1975)")
TASK = WriteTask("pitch", (Item("2", title="Babe"),), (JAWS,), deadline_s=2.0)


class SlowWriter:
    """A writer that counts what it is asked for."""

    def __init__(self, pause_s: float = 0.05) -> None:
        self.pause_s = pause_s
        self.asked: list[WriteTask] = []
        self.error: Exception | None = None
        self.source = "generated"
        self.open = 0

    async def write(self, task: WriteTask) -> AsyncIterator[TextPiece | TextDone]:
        self.asked.append(task)
        self.open += 1
        try:
            await asyncio.sleep(self.pause_s)
            if self.error is not None:
                raise self.error
            yield TextPiece("After Jaws, ")
            await asyncio.sleep(self.pause_s)
            yield TextPiece("Babe.")
            yield TextDone("After Jaws, Babe.", self.source, "m", "p")
        finally:
            self.open -= 1

    async def info(self, timeout_s: float = 5.0) -> EngineInfo:
        return EngineInfo("e", "m", "nf4", 1, "cpu", 1)


async def cached(writer: SlowWriter, shard: object | None = None) -> CachedWriter:
    made = CachedWriter(writer, Settings())
    await made.start([CacheShard(1 << 20) if shard is None else shard])
    return made


async def read(client: CachedWriter, task: WriteTask = TASK) -> TextDone:
    frames = [frame async for frame in client.write(task)]
    assert isinstance(frames[-1], TextDone)
    assert "".join(frame.text for frame in frames[:-1]) == frames[-1].text
    return frames[-1]


async def test_the_second_reader_is_served_from_the_cache() -> None:
    writer = SlowWriter()
    client = await cached(writer)
    assert (await read(client)).source == "generated"
    again = await read(client, replace(TASK, request_id="another"))
    assert again.source == "cached" and again.completion_tokens == 0 and len(writer.asked) == 1
    await client.stop()


async def test_many_at_once_are_written_once() -> None:
    writer = SlowWriter()
    client = await cached(writer)
    ends = await asyncio.gather(*(read(client) for _ in range(20)))
    assert len(writer.asked) == 1 and sorted({end.source for end in ends}) == ["cached", "generated"]
    await client.stop()


async def test_a_changed_item_is_written_about_anew() -> None:
    writer = SlowWriter()
    client = await cached(writer)
    await read(client)
    changed = replace(TASK, items=(replace(TASK.items[0], description="A pig."),))
    assert (await read(client, changed)).source == "generated"
    await client.stop()


async def test_seed_and_temperature_pass_by() -> None:
    writer = SlowWriter()
    client = await cached(writer)
    await read(client)
    for own in ({"seed": 1}, {"temperature": 0.3}):
        assert (await read(client, replace(TASK, **own))).source == "generated"  # type: ignore[arg-type]
    await client.stop()


async def test_when_the_lead_fails_another_one_writes() -> None:
    writer = SlowWriter()
    client = await cached(writer)
    writer.error = OverloadError("full", 1.0)
    lead = asyncio.create_task(read(client))
    await asyncio.sleep(0.02)
    follower = asyncio.create_task(read(client))
    await asyncio.sleep(0.01)
    with pytest.raises(OverloadError):
        await lead
    writer.error = None
    assert (await follower).source == "generated" and len(writer.asked) == 2
    await client.stop()


async def test_when_the_lead_leaves_another_one_writes_at_once() -> None:
    writer = SlowWriter()
    client = await cached(writer)
    frames = client.write(TASK)
    await anext(frames)
    follower = asyncio.create_task(read(client))
    await asyncio.sleep(0.02)
    await frames.aclose()
    assert (await asyncio.wait_for(follower, 0.5)).source == "generated" and writer.open == 0
    await client.stop()


async def test_templates_are_not_kept() -> None:
    writer = SlowWriter()
    writer.source = "template"
    client = await cached(writer)
    assert [(await read(client)).source for _ in range(2)] == ["template", "template"]
    await client.stop()


async def test_a_cache_that_is_away_costs_a_text_nothing() -> None:
    class Away:
        async def look(self, batch: list[object]) -> list[object]:
            raise UnavailableError("gone")

    writer = SlowWriter()
    client = await cached(writer, Away())
    assert [(await read(client)).source for _ in range(2)] == ["generated", "generated"]
    await client.stop()


async def test_nobody_waits_past_the_deadline_for_what_another_one_writes() -> None:
    writer = SlowWriter(pause_s=30)
    client = await cached(writer)
    lead = asyncio.create_task(read(client))
    await asyncio.sleep(0.02)
    follower = asyncio.create_task(read(client, replace(TASK, deadline_s=0.4)))
    await asyncio.sleep(0.35)
    assert len(writer.asked) == 2 and 0 < writer.asked[1].deadline_s <= 0.21
    for task in (lead, follower):
        task.cancel()
    await asyncio.gather(lead, follower, return_exceptions=True)
    await client.stop()


async def test_a_budget_of_nothing_is_no_cache() -> None:
    writer = SlowWriter()
    client = CachedWriter(writer, Settings(generation={"cache_bytes": 0}))
    await client.start()
    assert [(await read(client)).source for _ in range(2)] == ["generated", "generated"]
    await client.stop()

"""The pool over shards in this process, on PostgreSQL, which allows several."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cluster.config import Settings
from cluster.errors import ConfigError, DeadlineError, InputError, OverloadError, UnavailableError
from cluster.sessions.names import owner
from cluster.sessions.pool import SessionPool, view_of_events
from cluster.sessions.shard import Shard
from tests.cluster.made import make_event


@pytest.fixture
def settings(postgres_settings: Settings) -> Settings:
    return postgres_settings


@asynccontextmanager
async def running(settings: Settings, shards: int) -> AsyncIterator[SessionPool]:
    class Local(Shard):
        async def ready(self) -> None:
            if self._store is None:
                await self.start()

    parts = [Local(settings) for _ in range(shards)]
    pool = SessionPool(settings, parts)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()
        await asyncio.gather(*(part.stop() for part in parts))


async def test_batch_of_many_people_keeps_its_order(settings: Settings) -> None:
    async with running(settings, 3) as pool:
        events = [make_event(n, user=f"u{n % 7}") for n in range(40)]
        assert await pool.append("default", [*events, events[3]]) == [True] * 40 + [False]
        for user in range(7):
            view = await pool.view("default", f"u{user}")
            assert view.items == tuple(f"i{n}" for n in range(40) if n % 7 == user)
            assert view == view_of_events("default", f"u{user}", [e for e in events if e.user_id == f"u{user}"])


async def test_sessions_move_with_the_number_of_shards(settings: Settings) -> None:
    async with running(settings, 4) as pool:
        await pool.append("default", [make_event(n, user=f"u{n % 20}") for n in range(60)])
    async with running(settings, 7) as pool:
        for user in range(20):
            assert len((await pool.view("default", f"u{user}")).items) == 3


async def test_events_that_wait_for_a_shard_leave_places_for_lists(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.sessions.pool.STUCK_S", 0.1)
    sessions = settings.sessions.model_copy(update={"max_queue": 10})
    async with running(settings.model_copy(update={"sessions": sessions}), 1) as pool:
        gate = asyncio.Event()
        (lane,) = pool._lanes
        send = lane.appends._send

        async def held_up(batches):  # type: ignore[no-untyped-def]
            await gate.wait()
            return await send(batches)

        lane.appends._send = held_up
        tasks = []
        for n in range(14):  # four are on their way, ten wait
            tasks.append(asyncio.create_task(pool.append("default", [make_event(n)])))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await asyncio.sleep(0.15)
        assert pool.parked == 10
        with pytest.raises(OverloadError):
            await pool.append("default", [make_event(14)])
        gate.set()
        assert await asyncio.gather(*tasks) == [[True]] * 14
        assert await pool.append("default", [make_event(14)]) == [True]
        assert pool.parked == 0


async def test_a_running_pool_is_resized_while_requests_go_on(settings: Settings) -> None:
    async with running(settings, 7) as pool:
        await pool.resize(4)
        users = [f"u{number}" for number in range(60)]
        expected: dict[str, list[str]] = {user: [] for user in users}
        ended = asyncio.Event()

        async def client(number: int) -> None:
            turn = 0
            while not ended.is_set():
                user, turn = users[(number + 7 * turn) % 60], turn + 1
                event = make_event(turn * 100 + number, user=user)
                assert await pool.append("default", [event]) == [True]
                expected[user].append(event.item_id)
                await pool.view("default", user)

        clients = [asyncio.create_task(client(number)) for number in range(6)]
        for size in (7, 4, 7):
            await asyncio.sleep(0.3)
            await pool.resize(size)
            assert len(pool._lanes) == size
        await asyncio.sleep(0.3)
        ended.set()
        await asyncio.gather(*clients)
        await asyncio.sleep(2 * settings.store.feed_poll_s)
        for user in users:
            assert sorted((await pool.view("default", user)).items) == sorted(expected[user])


async def test_sqlite_has_one_shard(sqlite_settings: Settings) -> None:
    with pytest.raises(ConfigError, match="7 session shards"):
        await SessionPool(sqlite_settings).resize(7)


async def test_seen_counts_all_but_impressions(settings: Settings) -> None:
    async with running(settings, 1) as pool:
        kinds = ["click", "impression", "dislike", "view", "my_own"]
        await pool.append("default", [make_event(n, type=kind) for n, kind in enumerate(kinds)])
        view = await pool.view("default", "u")
        assert view.seen == {"i0", "i2", "i3", "i4"} and view.types == tuple(kinds)


async def test_text_that_no_database_takes_is_refused_before_it_travels(settings: Settings) -> None:
    async with running(settings, 1) as pool:
        for user in ("a\0b", "\ud800"):
            with pytest.raises(InputError):
                await pool.append("default", [make_event(1, user=user)])
        with pytest.raises(InputError, match="tenant"):
            await pool.append("other", [make_event(1)])


async def test_a_failing_database_is_unavailable_and_comes_back(settings: Settings, postgres) -> None:  # type: ignore[no-untyped-def]
    async with running(settings, 1) as pool:
        await pool.append("default", [make_event(1)])
        postgres.stop()
        try:
            with pytest.raises(UnavailableError):
                await pool.append("default", [make_event(2)], timeout_s=30)
        finally:
            postgres.start()
        assert await pool.append("default", [make_event(2), make_event(1)], timeout_s=30) == [True, False]
        assert (await pool.view("default", "u")).items == ("i1", "i2")


async def test_a_commit_outlasts_a_restart_of_the_database(settings: Settings, postgres) -> None:  # type: ignore[no-untyped-def]
    async with running(settings, 1) as pool:
        await pool.append("default", [make_event(1)])
        postgres.stop()
        try:
            append = asyncio.create_task(pool.append("default", [make_event(2)]))
            await asyncio.sleep(0.5)
            assert not append.done()
        finally:
            postgres.start()
        assert await append == [True]
        assert (await pool.view("default", "u", timeout_s=5)).items == ("i1", "i2")


async def test_nobody_waits_for_a_shard_that_is_away(settings: Settings) -> None:
    async with running(settings, 1) as pool:
        (lane,) = pool._lanes
        gate = asyncio.Event()
        send = lane.views._send

        async def held_up(people):  # type: ignore[no-untyped-def]
            await gate.wait()
            return await send(people)

        lane.views._send = held_up
        loop = asyncio.get_running_loop()
        with pytest.raises(DeadlineError):
            await pool.view("default", "u", timeout_s=0.2)
        began = loop.time()
        with pytest.raises(UnavailableError):
            await pool.view("default", "u", timeout_s=0.1)
        assert loop.time() - began < 0.05
        gate.set()
        await asyncio.sleep(0.05)
        assert (await pool.view("default", "u", timeout_s=5)).items == ()


def test_owner_is_the_same_everywhere_and_even() -> None:
    assert [owner("default", f"u{n}", 7) for n in range(6)] == [owner("default", f"u{n}", 7) for n in range(6)]
    counts = [0] * 7
    for n in range(7_000):
        counts[owner("default", str(n), 7)] += 1
    assert min(counts) > 850
    assert owner("default", "42", 1 << 30) == 24_173_140  # a change here would move every session


async def test_what_a_larger_pool_left_is_ended_another_time_when_it_cannot_be_now(
    sqlite_settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[int] = []
    ended = asyncio.Event()

    def away(shards: int, _: float) -> list[str]:
        asked.append(shards)
        if len(asked) == 1:
            raise RuntimeError("the head is away")
        loop.call_soon_threadsafe(ended.set)
        return ["shard-1"]

    loop = asyncio.get_running_loop()
    monkeypatch.setattr("cluster.sessions.actor.end_surplus", away)
    monkeypatch.setattr("cluster.sessions.pool.RETIRE_AFTER_S", 0.01)
    with caplog.at_level("INFO", "tailorbird.sessions"):
        task = asyncio.create_task(SessionPool(sqlite_settings)._retire())
        await asyncio.wait_for(ended.wait(), 5)
        await asyncio.sleep(0.05)
        task.cancel()
    assert "the head is away" in caplog.text and "ended what a larger pool had left: shard-1" in caplog.text

"""A shard in this process: durability, read-your-writes, loading, tailing, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from cluster.coded import StoredView, Words
from cluster.config import Settings
from cluster.errors import ConfigError, DeadlineError, FullError, InputError, OverloadError, UnavailableError
from cluster.messages import Event, Item
from cluster.sessions.memory import HEAD_BYTES
from cluster.sessions.names import owner
from cluster.sessions.pool import SessionPool, view_of_events
from cluster.sessions.shard import Shard
from cluster.store import Store
from cluster.store.events import EventStore, to_row


def make_event(n: int, user: str = "u", kind: str = "click") -> Event:
    return Event(f"e{n}", user, f"i{n}", kind, 1_700_000_000_000 + n)


@pytest.fixture
def settings(store_settings: Settings) -> Settings:
    return store_settings


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Shard]:
    shard = Shard(settings)
    await shard.start()
    try:
        yield shard
    finally:
        await shard.stop()


async def views_of(shard: Shard, *users: str) -> list[StoredView]:
    news, records = await shard.views([("default", user) for user in users])
    words = Words(news[0])
    words.learn(news)
    return [StoredView(user, "default", words, record, HEAD_BYTES) for user, record in zip(users, records, strict=True)]


async def items_of(shard: Shard, user: str = "u") -> list[str]:
    (view,) = await views_of(shard, user)
    return list(view.items)


async def until(condition, seconds: float = 5) -> None:  # type: ignore[no-untyped-def]
    end = asyncio.get_running_loop().time() + seconds
    while not await condition():
        assert asyncio.get_running_loop().time() < end, "it did not happen in time"
        await asyncio.sleep(0.02)


async def test_an_append_is_on_disk_and_in_the_next_view(settings: Settings) -> None:
    async with running(settings) as shard:
        assert await items_of(shard) == []
        assert await shard.append([[to_row(make_event(1)), to_row(make_event(1))], []]) == [[True, False], []]
        assert await items_of(shard) == ["i1"]
        with Store.open(settings, readonly=True) as store:
            assert store.events.count("default") == 1
        assert await shard.append([[to_row(make_event(1)), to_row(make_event(2))]]) == [[False, True]]
        assert await items_of(shard) == ["i1", "i2"]


async def test_concurrent_appends_share_transactions(settings: Settings) -> None:
    async with running(settings) as shard:
        await shard.views([("default", "u")])
        answers = await asyncio.gather(*(shard.append([[to_row(make_event(n))]]) for n in range(200)))
        assert answers == [[[True]]] * 200
        assert shard.stats()["commits"] < 20
        assert await items_of(shard) == [f"i{n}" for n in range(200)]


async def test_a_new_shard_has_what_the_old_one_acknowledged(settings: Settings) -> None:
    async with running(settings) as shard:
        await shard.append([[to_row(make_event(n, user=f"u{n % 3}")) for n in range(9)]])
    async with running(settings) as shard:
        assert shard.stats()["sessions"] == 0
        views = await views_of(shard, "u1", "nobody", "u1", "u0")
        assert [view.items for view in views] == [("i1", "i4", "i7"), (), ("i1", "i4", "i7"), ("i0", "i3", "i6")]
        assert shard.stats()["loads"] == 3


async def test_events_committed_while_loading_are_neither_lost_nor_doubled(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loads are held up while events of the same people are appended; then all must be there once."""
    import time

    read = EventStore.session_rows

    def slowly(self: EventStore, users, limit):  # type: ignore[no-untyped-def]
        rows = read(self, users, limit)
        time.sleep(0.05)
        return rows

    monkeypatch.setattr(EventStore, "session_rows", slowly)
    async with running(settings) as shard:
        users = [f"u{n}" for n in range(5)]
        for turn in range(6):
            await asyncio.gather(
                *(shard.append([[to_row(make_event(turn * 100 + n, user=user))]]) for n, user in enumerate(users)),
                *(shard.views([("default", user)]) for user in users),
            )
        for n, user in enumerate(users):
            assert await items_of(shard, user) == [f"i{turn * 100 + n}" for turn in range(6)]


async def test_a_session_that_is_loaded_during_an_erasure_does_not_stay(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows were read before the erasure and arrive after it."""
    import threading

    read, go = EventStore.session_rows, threading.Event()

    def slowly(self: EventStore, users, limit):  # type: ignore[no-untyped-def]
        rows = read(self, users, limit)
        go.wait(5)
        return rows

    async with running(settings) as shard:
        await shard.append([[to_row(make_event(1))]])
        monkeypatch.setattr(EventStore, "session_rows", slowly)
        late = asyncio.create_task(items_of(shard))
        await asyncio.sleep(0.1)
        await shard.write("retention", "erase", ("default", "u"))
        go.set()
        assert await late == ["i1"]
        assert await items_of(shard) == []


async def test_writes_of_others_go_through_the_gateway(settings: Settings) -> None:
    async with running(settings) as shard:
        await items_of(shard)
        assert await shard.write("events", "append", ([make_event(1)],)) == [True]
        assert await items_of(shard) == ["i1"]
        await shard.write("items", "put", ([Item("a")],))
        await shard.write("retention", "erase", ("default", "u"))
        assert await items_of(shard) == []
        with Store.open(settings, readonly=True) as store:
            assert store.items.count("default") == 1 and store.events.count("default") == 0


async def test_one_bad_append_does_not_fail_its_neighbours(settings: Settings) -> None:
    async with running(settings) as shard:
        good, bad = to_row(make_event(1)), to_row(make_event(2))
        bad = (*bad[:6], 1 << 70, *bad[7:])  # no database takes this as a time
        answers = await asyncio.gather(shard.append([[good]]), shard.append([[bad]]), return_exceptions=True)
        assert answers[0] == [[True]] and isinstance(answers[1], Exception)
        assert await shard.append([[to_row(make_event(3))]]) == [[True]]


async def test_two_pools_on_one_database_agree(postgres_settings: Settings) -> None:
    """Events of one are seen in the other within the polling time; nobody's are lost or doubled."""
    async with running(postgres_settings) as one, running(postgres_settings) as other:
        assert await items_of(one) == await items_of(other) == []
        for n in range(0, 40, 2):
            await asyncio.gather(one.append([[to_row(make_event(n))]]), other.append([[to_row(make_event(n + 1))]]))
        loop = asyncio.get_running_loop()
        began = loop.time()
        everything = [f"i{n}" for n in range(40)]

        async def agree() -> bool:
            return await items_of(one) == await items_of(other) == everything

        await until(agree)
        assert loop.time() - began < 2  # 0.2 s of polling, on a machine that does other things
        await other.write("retention", "erase", ("default", "u"))

        async def gone() -> bool:
            return await items_of(one) == []

        await until(gone)


async def test_second_writer_of_sqlite_waits_for_the_first(sqlite_settings: Settings) -> None:
    async with running(sqlite_settings):
        with pytest.raises(UnavailableError, match="one writer"):
            Store.open(sqlite_settings)
    Store.open(sqlite_settings).close()


class TestPool:
    """The pool over shards in this process, on PostgreSQL, which allows several."""

    @pytest.fixture
    def settings(self, postgres_settings: Settings) -> Iterator[Settings]:
        yield postgres_settings

    @asynccontextmanager
    async def pool(self, settings: Settings, shards: int) -> AsyncIterator[SessionPool]:
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

    async def test_batch_of_many_people_keeps_its_order(self, settings: Settings) -> None:
        async with self.pool(settings, 3) as pool:
            events = [make_event(n, user=f"u{n % 7}") for n in range(40)]
            assert await pool.append("default", [*events, events[3]]) == [True] * 40 + [False]
            for user in range(7):
                view = await pool.view("default", f"u{user}")
                assert view.items == tuple(f"i{n}" for n in range(40) if n % 7 == user)
                assert view == view_of_events("default", f"u{user}", [e for e in events if e.user_id == f"u{user}"])

    async def test_sessions_move_with_the_number_of_shards(self, settings: Settings) -> None:
        async with self.pool(settings, 4) as pool:
            await pool.append("default", [make_event(n, user=f"u{n % 20}") for n in range(60)])
        async with self.pool(settings, 7) as pool:
            for user in range(20):
                assert len((await pool.view("default", f"u{user}")).items) == 3

    async def test_events_that_wait_for_a_shard_leave_places_for_lists(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("cluster.sessions.pool.STUCK_S", 0.1)
        ingress = settings.ingress.model_copy(update={"max_concurrent": 20})
        async with self.pool(settings.model_copy(update={"ingress": ingress}), 1) as pool:
            gate = asyncio.Event()
            (lane,) = pool._lanes
            send = lane.appends._send

            async def held_up(batches):  # type: ignore[no-untyped-def]
                await gate.wait()
                return await send(batches)

            lane.appends._send = held_up
            tasks = []
            for n in range(12):  # two are on their way, ten wait
                tasks.append(asyncio.create_task(pool.append("default", [make_event(n)])))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            await asyncio.sleep(0.15)
            with pytest.raises(OverloadError):
                await pool.append("default", [make_event(12)])
            gate.set()
            assert await asyncio.gather(*tasks) == [[True]] * 12
            assert await pool.append("default", [make_event(12)]) == [True]

    async def test_a_running_pool_is_resized_while_requests_go_on(self, settings: Settings) -> None:
        async with self.pool(settings, 7) as pool:
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

    async def test_sqlite_has_one_shard(self, sqlite_settings: Settings) -> None:
        with pytest.raises(ConfigError, match="7 session shards"):
            await SessionPool(sqlite_settings).resize(7)

    async def test_seen_counts_all_but_impressions(self, settings: Settings) -> None:
        async with self.pool(settings, 1) as pool:
            kinds = ["click", "impression", "dislike", "view", "my_own"]
            await pool.append("default", [make_event(n, kind=kind) for n, kind in enumerate(kinds)])
            view = await pool.view("default", "u")
            assert view.seen == {"i0", "i2", "i3", "i4"} and view.types == tuple(kinds)

    async def test_text_that_no_database_takes_is_refused_before_it_travels(self, settings: Settings) -> None:
        async with self.pool(settings, 1) as pool:
            for user in ("a\0b", "\ud800"):
                with pytest.raises(InputError):
                    await pool.append("default", [make_event(1, user=user)])
            with pytest.raises(InputError, match="tenant"):
                await pool.append("other", [make_event(1)])

    async def test_a_failing_database_is_unavailable_and_comes_back(self, settings: Settings, postgres) -> None:  # type: ignore[no-untyped-def]
        async with self.pool(settings, 1) as pool:
            await pool.append("default", [make_event(1)])
            postgres.stop()
            try:
                with pytest.raises(UnavailableError):
                    await pool.append("default", [make_event(2)], timeout_s=30)
            finally:
                postgres.start()
            assert await pool.append("default", [make_event(2), make_event(1)], timeout_s=30) == [True, False]
            assert (await pool.view("default", "u")).items == ("i1", "i2")

    async def test_a_commit_outlasts_a_restart_of_the_database(self, settings: Settings, postgres) -> None:  # type: ignore[no-untyped-def]
        async with self.pool(settings, 1) as pool:
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

    async def test_nobody_waits_for_a_shard_that_is_away(self, settings: Settings) -> None:
        async with self.pool(settings, 1) as pool:
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


def limit_pages(shard: Shard, pages: int | None) -> None:
    """SQLite's own limit fails as a full disk does; None is what there is now."""
    with shard._opened().database.writing() as connection:
        count = pages or connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={count}")


MANY = [to_row(make_event(n, user="u" * 200)) for n in range(2, 400)]


async def test_events_wait_for_room_on_a_disk_that_has_become_full(sqlite_settings: Settings) -> None:
    async with running(sqlite_settings) as shard:
        await shard.append([[to_row(make_event(1))]])
        limit_pages(shard, None)
        waiting = asyncio.create_task(shard.append([MANY]))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        limit_pages(shard, 1_000_000)
        assert await waiting == [[True] * len(MANY)]


async def test_a_disk_that_stays_full_refuses_at_once(sqlite_settings: Settings) -> None:
    sessions = sqlite_settings.sessions.model_copy(update={"full_retry_s": 0.5})
    async with running(sqlite_settings.model_copy(update={"sessions": sessions})) as shard:
        await shard.append([[to_row(make_event(1))]])
        limit_pages(shard, None)
        with pytest.raises(FullError):
            await shard.append([MANY])
        began = asyncio.get_running_loop().time()
        with pytest.raises(FullError):
            await shard.append([MANY])
        assert asyncio.get_running_loop().time() - began < 0.3
        limit_pages(shard, 1_000_000)
        assert await shard.append([MANY]) == [[True] * len(MANY)]
        limit_pages(shard, None)
        again = [to_row(make_event(n, user="u" * 200)) for n in range(400, 900)]
        waiting = asyncio.create_task(shard.append([again]))
        await asyncio.sleep(0.2)
        assert not waiting.done(), "full again is no longer full for long"
        limit_pages(shard, 1_000_000)
        assert await waiting == [[True] * len(again)]


def test_owner_is_the_same_everywhere_and_even() -> None:
    assert [owner("default", f"u{n}", 7) for n in range(6)] == [owner("default", f"u{n}", 7) for n in range(6)]
    counts = [0] * 7
    for n in range(7_000):
        counts[owner("default", str(n), 7)] += 1
    assert min(counts) > 850
    assert owner("default", "42", 1 << 30) == 24_173_140  # a change here would move every session

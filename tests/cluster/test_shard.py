"""A shard in this process: durability, read-your-writes, loading, tailing, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cluster.coded import StoredView, Words
from cluster.config import Settings
from cluster.errors import FullError, UnavailableError
from cluster.messages import Item
from cluster.sessions.memory import HEAD_BYTES
from cluster.sessions.shard import Shard
from cluster.store import Store
from cluster.store.events import EventStore, to_row
from tests.cluster.made import make_event


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

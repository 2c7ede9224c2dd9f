"""Calls over a shard's socket: answered in any order, errors as they were raised, and what happens when it breaks."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from cluster.config import Settings
from cluster.errors import FullError, InputError, UnavailableError
from cluster.sessions import wire
from cluster.sessions.pool import SessionPool
from cluster.sessions.shard import Shard
from tests.cluster.made import make_event


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> object:
    """A folder for sockets whose path is short enough."""
    with tempfile.TemporaryDirectory(prefix="tbw", dir="/tmp") as path:
        # Not in `tempfile` itself, where pytest would find it too.
        monkeypatch.setattr(wire, "tempfile", SimpleNamespace(gettempdir=lambda: path))
        yield Path(path)


@asynccontextmanager
async def connected(methods: dict[str, wire.Method]) -> AsyncIterator[wire.Wire]:
    served = await wire.serve("a", methods)
    assert served is not None

    async def find() -> str | None:
        return served.path

    line = wire.Wire(find)
    await asyncio.sleep(0.05)
    try:
        yield line
    finally:
        await line.close()
        served.close()


async def test_calls_are_answered_in_any_order() -> None:
    gates = [asyncio.Event() for _ in range(20)]

    async def wait(number: int, given: bytes) -> tuple[int, bytes]:
        await gates[number].wait()
        return number, given

    async with connected({"wait": wait}) as line:
        bodies = [os.urandom(100_000 * (number % 3)) for number in range(20)]
        calls = [asyncio.create_task(line.call("wait", number, body)) for number, body in enumerate(bodies)]
        for gate in reversed(gates):
            await asyncio.sleep(0)
            gate.set()
        assert await asyncio.gather(*calls) == list(enumerate(bodies))


async def test_errors_are_those_that_were_raised() -> None:
    async def fail(kind: str) -> None:
        if kind == "input":
            raise InputError("is wrong", "events.3")
        if kind == "full":
            raise FullError("no room")
        raise RuntimeError("a fault")

    async with connected({"fail": fail}) as line:
        with pytest.raises(InputError) as raised:
            await line.call("fail", "input")
        assert raised.value.place == "events.3"
        with pytest.raises(FullError, match="no room"):
            await line.call("fail", "full")
        with pytest.raises(UnavailableError, match="a fault"):
            await line.call("fail", "other")
        with pytest.raises(UnavailableError, match="nothing"):
            await line.call("nothing")


async def test_a_caller_who_leaves_costs_nobody_anything() -> None:
    gate = asyncio.Event()

    async def wait(given: int) -> int:
        await gate.wait()
        return given

    async with connected({"wait": wait}) as line:
        left, stays = (asyncio.create_task(line.call("wait", number)) for number in (1, 2))
        await asyncio.sleep(0.02)
        left.cancel()
        gate.set()
        assert await stays == 2
        assert await line.call("wait", 3) == 3


async def test_a_folder_that_others_may_enter_is_not_used(folder: Path) -> None:
    (folder / f"tailorbird-{os.getuid()}").mkdir(mode=0o755)
    assert await wire.serve("a", {}) is None


async def test_sockets_of_the_dead_are_deleted(folder: Path) -> None:
    alive = await wire.serve("alive", {})
    dead = folder / f"tailorbird-{os.getuid()}" / "dead"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(dead))
    again = await wire.serve("again", {})
    assert alive is not None and again is not None
    assert sorted(path.name for path in dead.parent.iterdir()) == ["again", "alive"]
    alive.close()
    again.close()


class Actor:
    """A shard with a socket, that can lose it as one that is killed does; other calls stand for Ray's."""

    def __init__(self, settings: Settings) -> None:
        self.shard = Shard(settings)
        self.by_ray: list[str] = []
        self.served: wire.Socket | None = None

    async def ready(self) -> None:
        await self.shard.start()
        self.served = await wire.serve("shard", {"append": self.shard.append, "views": self.shard.views})

    async def socket(self) -> str | None:
        self.by_ray.append("socket")
        assert self.served is not None
        return self.served.path

    async def append(self, *args):  # type: ignore[no-untyped-def]
        self.by_ray.append("append")
        return await self.shard.append(*args)

    async def views(self, *args):  # type: ignore[no-untyped-def]
        self.by_ray.append("views")
        return await self.shard.views(*args)


async def test_a_pool_goes_by_the_socket_and_by_ray_when_it_breaks(sqlite_settings: Settings) -> None:
    actor = Actor(sqlite_settings)
    pool = SessionPool(sqlite_settings, [actor])
    await pool.start()
    try:
        await asyncio.sleep(0.05)
        assert await pool.append("default", [make_event(n) for n in range(3)]) == [True] * 3
        assert (await pool.view("default", "u")).items == ("i0", "i1", "i2")
        assert actor.by_ray == ["socket"]

        (lane,) = pool._lanes
        assert lane.line._wire is not None and lane.line._wire._connection is not None
        held = asyncio.Event()
        commit = actor.shard._commit

        async def slow(rows):  # type: ignore[no-untyped-def]
            await held.wait()
            return await commit(rows)

        actor.shard._commit = slow  # type: ignore[method-assign]
        lost = asyncio.create_task(pool.append("default", [make_event(3)]))
        await asyncio.sleep(0.05)
        lane.line._wire._connection.transport.abort()  # type: ignore[union-attr]
        await asyncio.sleep(0.05)
        held.set()
        # It was repeated while the first try was still in work: stored once, and told to be a duplicate or not.
        assert len(await lost) == 1 and "append" in actor.by_ray
        assert (await pool.view("default", "u")).items == ("i0", "i1", "i2", "i3")
        await asyncio.sleep(0.05)
        by_ray = list(actor.by_ray)
        assert by_ray.count("socket") == 2, "it is found again at once"
        assert await pool.append("default", [make_event(4)]) == [True]
        assert actor.by_ray == by_ray
    finally:
        await pool.stop()
        actor.served.close()  # type: ignore[union-attr]
        await actor.shard.stop()

"""The session pool on a real Ray: real actors, a real kill, and jobs that write through the shard."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.util import list_named_actors

from cluster.config import Settings
from cluster.launch import ROOT, RayHead
from cluster.messages import Event
from cluster.ports import free_ports
from cluster.sessions import SessionPool
from cluster.sessions.names import NAMESPACE, shard_name
from cluster.store import Store, connect_store

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    """A Ray of its own, and this process connected to it.

    Without token authentication: Ray reads whether to use it when it is imported, and that was long ago here. The tests
    of the whole application run with it.
    """
    with tempfile.TemporaryDirectory(prefix="tbs") as folder, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("RAY_", "TAILORBIRD_"))]:
            patch.delenv(name)
        settings = Settings(state_dir=Path(folder), port=free_ports(1)[0])
        head = RayHead(settings, {"RAY_AUTH_MODE": "disabled"})
        run = head.start()
        try:
            ray.init(run.ray_address, namespace=run.namespace, log_to_driver=False, logging_level="WARNING")
            yield settings
        finally:
            ray.shutdown()
            head.stop()


def make_event(n: int, user: str = "u") -> Event:
    return Event(f"{user}-{n}", user, f"i{n}", "click", 1_700_000_000_000 + n)


async def test_events_are_stored_and_seen_at_once(settings: Settings) -> None:
    pool = SessionPool(settings)
    await pool.start()
    assert await pool.append("default", [make_event(n) for n in range(3)]) == [True] * 3
    assert await pool.append("default", [make_event(2), make_event(3)]) == [False, True]
    view = await pool.view("default", "u")
    assert view.items == ("i0", "i1", "i2", "i3") and view.seen == frozenset(view.items) and not view.degraded
    assert (await pool.view("default", "nobody")).items == ()
    (stats,) = await pool.stats()
    assert stats is not None and stats["appended"] == 4
    other = SessionPool(settings)  # a second ingress finds the same shard
    await other.start()
    assert await other.view("default", "u") == view
    await asyncio.gather(pool.stop(), other.stop())
    with Store.open(settings, readonly=True) as store:
        assert store.events.count("default") == 4


async def test_a_killed_shard_comes_back_and_nothing_acknowledged_is_lost(settings: Settings) -> None:
    """Under constant load: no call fails, all that was acknowledged is stored once, and answers come back quickly."""
    pool = SessionPool(settings)
    await pool.start()
    (stats,) = await pool.stats()
    assert stats is not None
    acknowledged: list[str] = []
    slowest_s = 0.0
    stop = asyncio.Event()

    async def client(user: str) -> None:
        nonlocal slowest_s
        n = 0
        while not stop.is_set():
            event = make_event(n, user)
            began = time.monotonic()
            await pool.append("default", [event], timeout_s=30)
            acknowledged.append(event.event_id)
            view = await pool.view("default", user, timeout_s=30)
            slowest_s = max(slowest_s, time.monotonic() - began)
            n += 1
            assert view.items == tuple(f"i{place}" for place in range(n))
            await asyncio.sleep(0.01)

    clients = [asyncio.create_task(client(f"kill-{n}")) for n in range(8)]
    await asyncio.sleep(1)
    os.kill(int(stats["pid"]), signal.SIGKILL)
    await asyncio.sleep(5)
    stop.set()
    await asyncio.gather(*clients)
    (after,) = await pool.stats()
    assert after is not None and after["pid"] != stats["pid"]
    assert slowest_s < 15  # about 2 s on an idle machine
    with Store.open(settings, readonly=True) as store:
        stored = [event.event_id for _, event in store.events.since(0, 1_000_000)]
    assert len(stored) == len(set(stored)) and set(acknowledged) <= set(stored)
    await pool.stop()


async def test_what_a_larger_pool_has_left_is_ended(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    @ray.remote(num_cpus=0)
    class Leftover:
        def __init__(self, idle_s: float) -> None:
            self._idle_s = idle_s

        def stats(self) -> dict[str, float]:
            return {"idle_s": self._idle_s}

    names = {shard_name(1): 100.0, shard_name(2): 0.0, "not-a-shard": 100.0}
    for name, idle_s in names.items():
        options = {"name": name, "namespace": NAMESPACE, "lifetime": "detached", "max_restarts": -1}
        ray.get(Leftover.options(**options).remote(idle_s).stats.remote(), timeout=60)  # type: ignore[attr-defined]
    monkeypatch.setattr("cluster.sessions.pool.RETIRE_AFTER_S", 0.2)
    pool = SessionPool(settings)
    await pool.start()
    end = time.monotonic() + 20
    while shard_name(1) in (there := [actor["name"] for actor in list_named_actors(all_namespaces=True)]):
        assert time.monotonic() < end, there
        await asyncio.sleep(0.1)
    assert {shard_name(0), shard_name(2), "not-a-shard"} <= set(there), "one that is still asked stays"
    assert await pool.append("default", [make_event(1, "after")]) == [True]
    await pool.stop()
    for name in (shard_name(2), "not-a-shard"):
        ray.kill(ray.get_actor(name, namespace=NAMESPACE))


async def test_a_job_writes_through_the_shard(settings: Settings) -> None:
    """Another process, as a job is one: the shard has the right to write, the job's events are in the sessions."""
    pool = SessionPool(settings)
    await pool.start()
    assert (await pool.view("default", "job")).items == ()
    program = (
        "from cluster.config import load_settings\n"
        "from cluster.messages import Event\n"
        "from cluster.store import connect_store\n"
        "with connect_store(load_settings()) as store:\n"
        "    events = [Event(f'job-{n}', 'job', f'i{n}', 'click', n) for n in range(700)]\n"
        "    assert store.events.append(events) == [True] * 700\n"
        "    assert store.events.append(events[:2]) == [False] * 2\n"
    )
    environment = os.environ | {"TAILORBIRD_STATE_DIR": str(settings.state_dir), "PYTHONPATH": str(ROOT)}
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert len((await pool.view("default", "job")).items) == 700
    await pool.stop()


def test_a_task_of_ray_writes_through_the_shard(settings: Settings) -> None:
    absolute = settings.model_copy(update={"state_dir": settings.state_dir.resolve()})

    @ray.remote(num_cpus=0.1)
    def write() -> list[bool]:
        with connect_store(absolute) as store:
            return store.events.append([Event("task-1", "task", "i", "click", 1)])

    assert ray.get(write.remote(), timeout=120) == [True]
    with pytest.raises(Exception, match=r"events.scan is not a write") as caught, connect_store(settings) as store:
        store.database.gateway("events", "scan", ("default",))  # type: ignore[misc]
    assert type(caught.value).__name__ == "InputError"

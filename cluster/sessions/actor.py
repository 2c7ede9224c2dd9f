"""The Ray actor around a `Shard`, and how the pool's actors are made and found."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from typing import Any

from cluster.coded import Known, News
from cluster.config import Settings
from cluster.memory import trim_for_ever
from cluster.sessions import wire
from cluster.sessions.meter import ShardMeter
from cluster.sessions.names import NAMESPACE, is_shard, shard_name
from cluster.sessions.shard import Shard
from cluster.store.events import EventRow
from cluster.telemetry import configure_logging
from cluster.tracing import Carried, configure_tracing, remote_steps

STATS_TIMEOUT_S = 5.0


class SessionShard:
    """A `Shard` as an actor. Every call can be repeated: Ray does, when the actor died under it."""

    def __init__(self, index: int, settings: Settings) -> None:
        self._index = index
        configure_logging(settings.log_level)
        configure_tracing(settings.tracing, "session-shard")
        self._shard = Shard(settings)
        self._started: asyncio.Task[None] | None = None
        self._socket: wire.Socket | None = None
        self._beside: list[asyncio.Task[None]] = []

    async def ready(self) -> int:
        """Wait until the store is open; the index of this shard."""
        await self._start()
        return self._index

    async def socket(self) -> str | None:
        """The path of the socket that answers `append`, `views` and `write` as well (see `wire`), if there is one."""
        await self._start()
        return None if self._socket is None else self._socket.path

    async def append(self, batches: list[list[EventRow]], traces: Sequence[Carried] = ()) -> list[list[bool]]:
        """See `Shard.append`. `traces` are of the requests among these that are traced."""
        await self._start()
        with remote_steps("session.append", traces, requests=len(batches)):
            return await self._shard.append(batches)

    async def views(
        self, people: list[tuple[str, str]], known: Known, traces: Sequence[Carried] = ()
    ) -> tuple[News, list[bytes]]:
        """See `Shard.views`. `traces` are of the requests among these that are traced."""
        await self._start()
        with remote_steps("session.views", traces, people=len(people)):
            return await self._shard.views(people, known)

    async def write(self, part: str, method: str, args: tuple[Any, ...]) -> Any:
        """See `Shard.write`."""
        await self._start()
        return await self._shard.write(part, method, args)

    async def stats(self) -> dict[str, int | float]:
        """See `Shard.stats`."""
        return self._shard.stats() | {"index": self._index, "pid": os.getpid()}

    async def _start(self) -> None:
        # In the first call and not in the constructor, which has no event loop; a failed start is tried again.
        if self._started is None or (self._started.done() and self._started.exception() is not None):
            self._started = asyncio.create_task(self._open())
        if not self._beside:
            meter = ShardMeter(self._index)
            self._beside = [
                asyncio.create_task(trim_for_ever(), name="trim"),
                asyncio.create_task(meter.record_for_ever(self._shard.stats), name="meter"),
            ]
        await asyncio.shield(self._started)

    async def _open(self) -> None:
        await self._shard.start()
        import ray

        methods: dict[str, wire.Method] = {"append": self.append, "views": self.views, "write": self.write}
        if self._socket is None:
            self._socket = await wire.serve(str(ray.get_runtime_context().get_actor_id()), methods)


def end_surplus(shards: int, idle_s: float) -> list[str]:
    """End the shards beyond so many that nobody has asked for `idle_s` seconds, left by a larger pool. Their names."""
    import ray
    from ray.util import list_named_actors

    wanted = {shard_name(index) for index in range(shards)}
    there = {entry["name"] for entry in list_named_actors(all_namespaces=True) if entry["namespace"] == NAMESPACE}
    ended: list[str] = []
    for name in sorted(name for name in there - wanted if is_shard(name)):
        with contextlib.suppress(ValueError, ray.exceptions.RayError):  # another process was faster, or it is away
            actor = ray.get_actor(name, namespace=NAMESPACE)
            stats: dict[str, Any] = ray.get(actor.stats.remote(), timeout=STATS_TIMEOUT_S)  # type: ignore[assignment]
            if stats["idle_s"] >= idle_s:
                ray.kill(actor, no_restart=True)
                ended.append(name)
    return ended


def shard_actors(settings: Settings, shards: int) -> list[Any]:
    """Handles of so many shards; those that do not run yet are started.

    They outlive whoever starts them, come back when they die, and calls that were in work then are repeated.
    """
    import ray

    sessions = settings.sessions
    portable = settings.model_copy(
        update={"state_dir": settings.state_dir.resolve(), "database_url": settings.resolved_database_url}
    )  # an actor has another working directory
    actor = ray.remote(SessionShard)
    return [
        actor.options(
            name=shard_name(index),
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=sessions.num_cpus,
            max_restarts=-1,
            max_task_retries=-1,
            max_concurrency=1000,
            enable_task_events=False,  # at hundreds of calls a second they would fill the control store, for nobody
            scheduling_strategy="SPREAD",
        ).remote(index, portable)
        for index in range(shards)
    ]

"""The content cache for everybody: Ray actors `content-cache-<i>`, sharded by item, in front of the writers.

A hit costs one coalesced actor call and no writer; a cache that does not answer is as good as none.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import asdict, replace
from typing import Any, Protocol

from ray.exceptions import RayError
from ray.util import metrics

from cluster.coalescer import Coalescer
from cluster.config import Settings, parse_section
from cluster.errors import OverloadError, TailorbirdError
from cluster.messages import EngineInfo, TextDone, TextPiece, WriteTask
from cluster.sessions.names import NAMESPACE
from generation.cache import (
    CachedText,
    ContentCache,
    Look,
    Query,
    cacheable,
    in_segment,
    query_of,
    shard_names,
    shard_of,
    text_of,
    writer_mark,
)
from generation.config import GenerationConfig

log = logging.getLogger("tailorbird.writing")

_LOOK_TIMEOUT_S = 0.5
_LEASE_GRACE_S = 10.0
_MAX_BATCH = 256
_MAX_QUEUE = 4096


class Writing(Protocol):
    """What writes when nothing is cached: `deployments.writing.WriterClient`."""

    def write(self, task: WriteTask) -> AsyncIterator[TextPiece | TextDone]: ...

    async def info(self, timeout_s: float = 5.0) -> EngineInfo: ...


class CacheShard:
    """One actor: a `ContentCache`, and those who wait for a text that is being written."""

    def __init__(self, max_bytes: int) -> None:
        self._cache = ContentCache(max_bytes)
        self._flights: dict[tuple[str, tuple[str, ...]], asyncio.Event] = {}

    async def look(self, queries: list[tuple[Query, float]]) -> list[Look]:
        """Answers to queries with the seconds that a lead has for writing; n in, n out."""
        now = time.monotonic()
        self._cache.expire(now)
        return [self._cache.look(query, now, lease_s) for query, lease_s in queries]

    async def wait(self, query: Query, timeout_s: float) -> None:
        """Return when whoever writes this text has ended, well or not, or when the time is over."""
        if not self._cache.is_led(query):
            return
        event = self._flights.setdefault((query.key, query.segment), asyncio.Event())
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            return

    async def settle(self, query: Query, text: CachedText | None) -> None:
        """A lead has ended: with a text, or without."""
        if text is None:
            self._cache.release(query)
        else:
            self._cache.put(query, text)
        if (event := self._flights.pop((query.key, query.segment), None)) is not None:
            event.set()

    async def holds(self, queries: list[Query]) -> list[bool]:
        """Whether the texts of queries are there; n in, n out."""
        return [self._cache.holds(query) for query in queries]

    async def stats(self) -> dict[str, int]:
        """The counts of the cache."""
        return asdict(self._cache.counts)


def cache_actors(config: GenerationConfig) -> list[Any]:
    """Handles of all shards; those that do not run yet are started. No shards where the budget is 0."""
    import ray

    actor = ray.remote(CacheShard)
    return [
        actor.options(
            name=name,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            max_concurrency=2000,  # one that waits for a text holds a place
            enable_task_events=False,
        ).remote(config.cache_bytes // config.cache_shards)
        for name in shard_names(config)
    ]


class CachedWriter:
    """The writers with the cache in front of them. Belongs to one event loop.

    Args:
        writer: writes what is not there.
        settings: what a text depends on beside its task: `engine`, `model`, `generation`.
    """

    def __init__(self, writer: Writing, settings: Settings) -> None:
        self._writer = writer
        self.config = parse_section(GenerationConfig, settings.generation, "generation")
        self._made_by = writer_mark(settings.engine, settings.model, self.config)
        self._shards: Sequence[Any] = ()
        self._looks: list[Coalescer[tuple[Query, float], Look]] = []
        self._settling: set[asyncio.Task[None]] = set()
        self._looked = metrics.Counter(
            "tailorbird_content_cache_looks", "Look-ups in the content cache: hit, lead or none.", ("result",)
        )

    async def start(self, shards: Sequence[Any] | None = None) -> None:
        """Start or find the shards. `shards`: instead of Ray actors, anything with their methods."""
        self._shards = await asyncio.to_thread(cache_actors, self.config) if shards is None else shards
        for shard in self._shards:
            self._looks.append(Coalescer(_looker(shard), max_batch=_MAX_BATCH, max_queue=_MAX_QUEUE))

    async def stop(self) -> None:
        """Let go of what is in flight. The shards go on."""
        await asyncio.gather(*(lane.close() for lane in self._looks), *self._settling, return_exceptions=True)

    async def info(self, timeout_s: float = 5.0) -> EngineInfo:
        """What the writers run on."""
        return await self._writer.info(timeout_s)

    async def write(self, task: WriteTask) -> AsyncGenerator[TextPiece | TextDone]:
        """Checked clauses, then exactly one `TextDone`; `source` is `cached` where the text is one from before.

        Raises:
            InputError, OverloadError, UnavailableError: as the writers do.
        """
        if not self._shards or not cacheable(task):
            async with aclosing(self._writer.write(task)) as frames:  # type: ignore[type-var]
                async for frame in frames:
                    yield frame
            return
        query = query_of(task, self._made_by)
        shard = shard_of(task, len(self._shards))
        begun = time.monotonic()
        found = await self._find(shard, query, task.deadline_s, wait=not task.ahead)
        if not task.ahead:
            self._looked.inc(1, {"result": "hit" if found.text is not None else "lead" if found.lead else "none"})
        if found.text is not None:
            yield TextPiece(found.text.text)
            yield found.text.done(task)
            return
        if task.ahead and not found.lead:
            raise OverloadError("this text is being written, or the cache is away")
        left_s = task.deadline_s - (time.monotonic() - begun)
        narrow = replace(in_segment(task), deadline_s=left_s)
        try:
            async with aclosing(self._writer.write(narrow)) as frames:  # type: ignore[type-var]
                async for frame in frames:
                    if isinstance(frame, TextDone):
                        self._settle(found, shard, query, text_of(narrow, frame))
                        found = Look()
                    yield frame
        finally:
            self._settle(found, shard, query, None)

    async def _find(self, shard: int, query: Query, deadline_s: float, *, wait: bool) -> Look:
        """A text, the lead, or neither when the cache is away or others take too long with the text."""
        end = time.monotonic() + deadline_s / 2
        while True:
            try:
                found = await self._looks[shard].submit((query, deadline_s + _LEASE_GRACE_S), _LOOK_TIMEOUT_S)
                left_s = end - time.monotonic()
                if found.text is not None or found.lead or left_s <= 0 or not wait:
                    return found
                waiting = self._shards[shard].wait
                async with asyncio.timeout(left_s + _LOOK_TIMEOUT_S):
                    await (waiting.remote(query, left_s) if hasattr(waiting, "remote") else waiting(query, left_s))
            except (TailorbirdError, TimeoutError, RayError) as error:
                log.warning("the content cache does not answer: %s", error)
                return Look()

    def _settle(self, found: Look, shard: int, query: Query, text: CachedText | None) -> None:
        """Tell the shard that a lead has ended. Not awaited: it also happens while a generator is being closed."""
        if found.lead:
            task = asyncio.create_task(self._tell(self._shards[shard].settle, query, text))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)

    @staticmethod
    async def _tell(settle: Any, query: Query, text: CachedText | None) -> None:
        try:
            await (settle.remote(query, text) if hasattr(settle, "remote") else settle(query, text))
        except RayError as error:
            log.warning("a text was not kept: %s", error)

    async def stats(self) -> list[dict[str, int]]:
        """The counts of each shard."""
        return [
            await (shard.stats.remote() if hasattr(shard.stats, "remote") else shard.stats()) for shard in self._shards
        ]


def _looker(shard: Any) -> Any:
    async def look(batch: list[tuple[Query, float]]) -> Sequence[Look]:
        answers: Sequence[Look] = await (
            shard.look.remote(batch) if hasattr(shard.look, "remote") else shard.look(batch)
        )
        return answers

    return look

"""The log of the lists that were given: kept in memory for a moment, written in batches behind the requests' backs.

`record` costs a request microseconds. Every `FLUSH_S` what has gathered goes to the one writer, `BATCH` lists a call.

What may be lost, and when:

- an ingress replica that is killed takes with it the lists of the last `FLUSH_S`, plus what was on its way; a replica
  that stops in order writes everything first;
- while the writer is away lists wait, up to `MAX_ITEMS` items; what comes beyond is not logged, and is counted by the
  metric `tailorbird_recommendation_log_lost`;
- nothing else. Lists that arrive twice are kept once, and those of a person who was erased meanwhile are dropped.

Nothing of a list's use depends on the log but its next page.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from cluster.background import end
from cluster.errors import NotFoundError, TailorbirdError
from cluster.messages import RankedList
from cluster.store import Recommendation
from cluster.store.feedback import LogRow

log = logging.getLogger("tailorbird.recommendation_log")

FLUSH_S = 0.5
BATCH = 200
RETRY_S = 1.0
STOP_S = 5.0
MAX_ITEMS = 50_000
"""Items of waiting lists, all together: some 30 MB with their reasons."""
SHOWN_WAIT_S = 1.5
"""How long to look for a list that another replica may not have written yet."""
_LOOK_S = 0.1

Write = Callable[[list[LogRow]], Awaitable[Any]]
Find = Callable[[str, str], Recommendation | None]
Entry = tuple[str, int, RankedList, str | None, tuple[str, ...]]
"""Tenant, time in ms, the list, the stored id of the person, what earlier pages showed."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a list and the pages before it showed, and to whom."""

    user_id: str | None
    items: tuple[str, ...]


class RecommendationLog:
    """Belongs to one event loop.

    Args:
        write: brings rows to the writer, and returns when they are on disk.
        find: looks a written list up by tenant and id; blocking, called in a thread.
    """

    def __init__(self, write: Write, find: Find) -> None:
        from ray.util.metrics import Counter

        self._write = write
        self._find = find
        self._waiting: dict[str, Entry] = {}
        self._sending: dict[str, Entry] = {}
        self._items = 0
        self._lost = 0
        self._lost_counter = Counter("tailorbird_recommendation_log_lost", "Lists that could not be logged.")
        self._task: asyncio.Task[None] | None = None

    @property
    def lost(self) -> int:
        """Lists that were not logged because too many waited."""
        return self._lost

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._flush_for_ever(), name="recommendation-log")

    async def stop(self) -> None:
        """Write what waits, if the writer lets us, and end."""
        if self._task is None:
            return
        await end(self._task)
        self._task = None
        try:
            async with asyncio.timeout(STOP_S):
                await self._flush(everything=True)
        except (TimeoutError, TailorbirdError) as error:
            log.warning("%d lists could not be logged: %s", len(self._sending) + len(self._waiting), error)

    def record(self, tenant: str, found: RankedList, user_id: str | None = None, before: tuple[str, ...] = ()) -> str:
        """Note a list; returns its `recommendation_id`.

        Args:
            tenant: whose list.
            found: the list.
            user_id: the stored id of the person, None for nobody in particular.
            before: items of the earlier pages, when this is a next page.
        """
        recommendation_id = uuid.uuid4().hex
        size = len(found.items) + len(before)
        if self._items + size > MAX_ITEMS:
            self._lost += 1
        else:
            self._items += size
            self._waiting[recommendation_id] = (tenant, time.time_ns() // 1_000_000, found, user_id, before)
        return recommendation_id

    async def shown(self, tenant: str, recommendation_id: str) -> Shown:
        """What a list of a tenant and the pages before it showed.

        Raises:
            NotFoundError: no such list was logged, or it is not kept any more.
        """
        give_up = time.monotonic() + SHOWN_WAIT_S
        while True:
            entry = self._waiting.get(recommendation_id) or self._sending.get(recommendation_id)
            if entry is not None and entry[0] == tenant:
                _, _, found, user_id, before = entry
                return Shown(user_id, before + tuple(item.item_id for item in found.items))
            row = await asyncio.to_thread(self._find, tenant, recommendation_id)
            if row is not None:
                return Shown(row.user_id, row.before + tuple(item[0] for item in row.items))
            if time.monotonic() >= give_up:
                raise NotFoundError(f"the list {recommendation_id[:64]!r} is not known, or not kept any more")
            await asyncio.sleep(_LOOK_S)

    async def _flush_for_ever(self) -> None:
        told = 0
        while True:
            await asyncio.sleep(FLUSH_S)
            if self._lost > told:
                log.warning("%d lists were not logged: the writer cannot keep up", self._lost - told)
                self._lost_counter.inc(self._lost - told)
                told = self._lost
            try:
                await self._flush()
            except TailorbirdError as error:  # what could not be sent waits for the next time
                log.warning("lists cannot be logged now: %s", error)
                await asyncio.sleep(RETRY_S)

    async def _flush(self, everything: bool = False) -> None:
        """Write what waits, in batches; what arrives meanwhile only if `everything`, or if it fills a batch."""
        while self._sending or self._waiting:
            if not self._sending:
                self._sending, self._waiting = self._waiting, {}
            while self._sending:
                batch = dict(islice(self._sending.items(), BATCH))
                try:
                    await self._write([self._row(*entry) for entry in batch.items()])
                except TailorbirdError:
                    raise
                except Exception:  # a list that cannot be written must not keep all others from it
                    log.exception("%d lists cannot be logged", len(batch))
                    self._lost += len(batch)
                for recommendation_id, (_, _, found, _, before) in batch.items():
                    del self._sending[recommendation_id]
                    self._items -= len(found.items) + len(before)
            if not everything and len(self._waiting) < BATCH:
                return

    def _row(self, recommendation_id: str, entry: Entry) -> LogRow:
        tenant, created_ms, found, user_id, before = entry
        return Recommendation(
            recommendation_id,
            created_ms,
            found.model_version,
            tuple((item.item_id, item.score, item.propensity, item.source) for item in found.items),
            user_id,
            before=before,
            tenant=tenant,
        ).row()

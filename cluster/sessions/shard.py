"""One shard of the session pool: the sessions of the people that it owns, and the way their events take to disk.

No Ray here (see `actor`), so that all of it can be tested in one process. The life of an append:

1. It waits for the writer. While one transaction is on its way to disk, appends gather (group commit).
2. All that wait are written in one transaction, by the writer thread.
3. The sessions that are in memory get the new events, each with its number.
4. Then, and only then, everybody who waited has an answer.

Events that others accepted (another pool on the same database, an import) are found by tailing the store by number.
A session that is not in memory is loaded when somebody asks for it, so a shard that was killed answers at once.

Order: own events are applied when committed, whatever the tail still has to read. So an event can be met twice, by its
own commit and by the tail, or by a load and the tail: `_own` holds the numbers of own events that the tail has not
passed, and each record the number up to which it was loaded.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from cluster.background import end
from cluster.coded import Known, News, Words
from cluster.config import Settings
from cluster.errors import FullError, UnavailableError
from cluster.sessions.memory import SessionMemory
from cluster.store import Store
from cluster.store.events import EventRow, SessionRow
from cluster.store.retention import user_digest

log = logging.getLogger("tailorbird.sessions")

Append = tuple[list[EventRow], asyncio.Future[list[int]]]
Coded = tuple[Words, bytes]
"""A record, and the words of its codes."""

TAIL_ROWS = 5_000
MAX_COMMIT_ROWS = 4_096
RETRY_PAUSE_S = 0.2
LOCK_WAIT_S = 120.0
"""How long a shard that starts waits for the right to write: a job may hold it for the rest of its work."""


class Shard:
    """See the module. Lives on one event loop; the store is only touched in threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        sessions = settings.sessions
        self._memory = SessionMemory(sessions.memory_bytes_per_shard, sessions.max_events_per_user)
        self._store: Store | None = None
        # One thread writes: SQLite has one writer, and on PostgreSQL writers of events take turns anyway.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="session-writer")
        self._reader = ThreadPoolExecutor(2, thread_name_prefix="session-reader")
        self._waiting: list[Append] = []
        self._committing: asyncio.Task[None] | None = None
        self._tailing: asyncio.Task[None] | None = None
        self._loading: dict[bytes, tuple[asyncio.Future[Coded], list[SessionRow]]] = {}
        self._own: set[int] = set()
        self._tail_seq = 0
        self._tailed_s = time.monotonic()
        self._erasure_seq = 0
        self._full_since = math.inf
        self._counts = {"appended": 0, "duplicates": 0, "commits": 0, "loads": 0, "views": 0, "tailed": 0}
        self._started_s = self._asked_s = time.time()

    async def start(self) -> None:
        """Open the store (waiting for the right to write), migrate it, and begin to tail it."""
        loop = asyncio.get_running_loop()
        if self._store is None:
            self._store = await loop.run_in_executor(self._writer, self._open)
        # Nobody is in memory, so whatever is stored by now will be loaded and need not be tailed.
        self._tail_seq = await loop.run_in_executor(self._reader, self._store.events.latest_seq)
        self._erasure_seq = await loop.run_in_executor(self._reader, self._store.retention.latest_erasure)
        self._tailing = asyncio.create_task(self._tail_for_ever(), name="tail")

    async def stop(self) -> None:
        """Finish the commit in work and give the store back."""
        await end(self._tailing)
        if self._committing is not None:
            await self._committing
        self._writer.shutdown()
        self._reader.shutdown()
        if self._store is not None:
            self._store.close()

    async def append(self, batches: list[list[EventRow]]) -> list[list[bool]]:
        """Store batches of events; when this returns they are on disk and in the sessions.

        Returns:
            For each event of each batch, in order, whether it was new.
        """
        self._asked_s = time.time()
        rows = [row for batch in batches for row in batch]
        seqs = iter(await self._commit(rows) if rows else [])
        return [[next(seqs) > 0 for _ in batch] for batch in batches]

    async def views(self, people: list[tuple[str, str]], known: Known = (0, 0, 0)) -> tuple[News, list[bytes]]:
        """What is known of each (tenant, user id), in the order asked: records, as `SessionMemory` keeps them.

        With them comes what the words of their codes have become since the caller knew that much of them.
        """
        self._asked_s = time.time()
        self._counts["views"] += len(people)
        found: list[Coded | None] = []
        missing: dict[bytes, tuple[str, str]] = {}
        digests = [user_digest(*person) for person in people]
        for digest, person in zip(digests, people, strict=True):
            record = self._memory.record(digest)
            found.append(None if record is None else (self._memory.words, record))
            if record is None and digest not in self._loading:
                missing[digest] = person
        waits = {digest: self._loading[digest][0] for digest in digests if digest in self._loading}
        if missing:
            waits |= await self._load(missing)
        if waits:
            await asyncio.wait(set(waits.values()))
        coded = [waits[d].result() if view is None else view for d, view in zip(digests, found, strict=True)]
        records = [self._memory.recoded(*one) for one in coded]
        return self._memory.words.news(known), records

    async def write(self, part: str, method: str, args: tuple[Any, ...]) -> Any:
        """A write of the store on behalf of a process that may not write itself."""
        result = await asyncio.get_running_loop().run_in_executor(
            self._writer, self._opened().apply, part, method, args
        )
        await self._tail()  # a job that writes events or erases a person finds it done in the sessions too
        return result

    def stats(self) -> dict[str, int | float]:
        """Figures for metrics and `tailorbird status`."""
        return self._counts | {
            "sessions": len(self._memory),
            "memory_bytes": self._memory.used_bytes,
            "waiting": len(self._waiting),
            "tail_seq": self._tail_seq,
            "tail_age_s": time.monotonic() - self._tailed_s,
            "up_s": time.time() - self._started_s,
            "idle_s": time.time() - self._asked_s,
        }

    def _open(self) -> Store:
        store = Store.open(self._settings, wait_s=LOCK_WAIT_S)
        store.migrate()
        return store

    def _opened(self) -> Store:
        if self._store is None:
            raise UnavailableError("the session shard is starting")
        return self._store

    # Writing

    async def _commit(self, rows: list[EventRow]) -> list[int]:
        future: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self._waiting.append((rows, future))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_all(), name="commit")
        return await future

    async def _commit_all(self) -> None:
        """Commit until nobody waits."""
        try:
            while self._waiting:
                group = self._take()
                try:
                    await self._commit_group(group)
                except UnavailableError as error:
                    _fail(group, error)
                except Exception as fault:
                    if len(group) == 1:
                        _fail(group, fault)
                    else:  # one of them is at fault: the others shall not suffer for it
                        for alone in group:
                            try:
                                await self._commit_group([alone])
                            except Exception as error:
                                _fail([alone], error)
        finally:
            self._committing = None

    async def _commit_group(self, group: list[Append]) -> None:
        rows = [row for waiting, _ in group for row in waiting]
        seqs = await self._append(rows)
        self._apply(rows, seqs)
        start = 0
        for waiting, future in group:
            if not future.done():
                future.set_result(seqs[start : start + len(waiting)])
            start += len(waiting)

    async def _append(self, rows: list[EventRow]) -> list[int]:
        """One transaction, tried again while the database is away: every event has an id, so none is stored twice.

        One that was stored by a try whose answer got lost comes back as a duplicate; the tail brings it to the session.
        A disk that has been full for long is no reason to wait again: the first that fits ends that.
        """
        loop, limits = asyncio.get_running_loop(), self._settings.sessions
        give_up = loop.time() + limits.commit_retry_s
        while True:
            try:
                seqs = await loop.run_in_executor(self._writer, self._opened().events.append_rows, rows)
            except UnavailableError as error:
                if isinstance(error, FullError):
                    self._full_since = min(self._full_since, loop.time())
                    give_up = self._full_since + limits.full_retry_s
                if loop.time() + RETRY_PAUSE_S >= give_up:
                    raise
                log.warning("a commit is tried again: %s", error)
            else:
                self._full_since = math.inf
                return seqs
            await asyncio.sleep(RETRY_PAUSE_S)

    def _take(self) -> list[Append]:
        count = size = 0
        for rows, _ in self._waiting:
            size += len(rows)
            if count and size > MAX_COMMIT_ROWS:
                break
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group

    def _apply(self, rows: Sequence[EventRow], seqs: Sequence[int]) -> None:
        new = 0
        for row, seq in zip(rows, seqs, strict=True):
            if seq:
                new += 1
                if seq == self._tail_seq + 1:
                    self._tail_seq = seq  # nobody else wrote in between: nothing for the tail to read
                elif seq > self._tail_seq:
                    self._own.add(seq)
                else:
                    continue  # the tail was faster
                self._add(row[0], row[2], (seq, row[3], row[4], row[5], row[6]))
        self._counts["appended"] += new
        self._counts["duplicates"] += len(rows) - new
        self._counts["commits"] += 1

    def _add(self, tenant: str, user_id: str, row: SessionRow) -> None:
        digest = user_digest(tenant, user_id)
        loading = self._loading.get(digest)
        if loading is not None:
            loading[1].append(row)
        else:
            self._memory.add(digest, row)

    # Loading

    async def _load(self, missing: dict[bytes, tuple[str, str]]) -> dict[bytes, asyncio.Future[Coded]]:
        """Bring people into memory, in one read. Events that are committed meanwhile are kept and added after it."""
        loop = asyncio.get_running_loop()
        futures: dict[bytes, asyncio.Future[Coded]] = {digest: loop.create_future() for digest in missing}
        for digest, future in futures.items():
            self._loading[digest] = (future, [])
        try:
            limit = self._settings.sessions.max_events_per_user
            people = list(missing.values())
            found = await loop.run_in_executor(self._reader, self._opened().events.session_rows, people, limit)
        except BaseException as error:
            for digest, future in futures.items():
                del self._loading[digest]
                future.set_exception(error if isinstance(error, Exception) else UnavailableError("stopped"))
                future.exception()  # marked as seen: perhaps nobody else waits for it
            raise
        self._counts["loads"] += len(missing)
        for (digest, future), rows in zip(futures.items(), found, strict=True):
            _, later = self._loading.pop(digest)
            self._memory.load(digest, rows, rows[-1][0] if rows else 0)
            for row in later:
                self._memory.add(digest, row)
            record = self._memory.record(digest)
            assert record is not None
            future.set_result((self._memory.words, record))
        return futures

    # Tailing

    async def _tail_for_ever(self) -> None:
        while True:
            try:
                await self._tail()
            except Exception as error:  # the database is away: appends say so to clients, the tail catches up later
                log.warning("the event store cannot be read: %s", error)
            await asyncio.sleep(self._settings.store.feed_poll_s)

    async def _tail(self) -> None:
        """Read on from where the tail stands to the end."""
        loop = asyncio.get_running_loop()
        store = self._opened()
        while True:
            asked, asked_s = self._tail_seq, time.monotonic()
            rows = await loop.run_in_executor(self._reader, store.events.tail_rows, asked, TAIL_ROWS)
            for seq, tenant, user_id, item_id, kind, value, ms in rows:
                if seq <= self._tail_seq:
                    continue  # an own commit went ahead meanwhile
                self._tail_seq = seq
                if seq in self._own:
                    self._own.discard(seq)
                    continue
                self._counts["tailed"] += 1
                self._add(tenant, user_id, (seq, item_id, kind, value, ms))
            if len(rows) < TAIL_ROWS:
                self._tailed_s = asked_s
                break
        erased = await loop.run_in_executor(self._reader, store.retention.erasures, self._erasure_seq)
        for seq, digest in erased:
            self._erasure_seq = max(self._erasure_seq, seq)
            self._memory.drop(digest)
            if digest in self._loading:  # from before the erasure: what is loaded now must not stay
                self._loading[digest][0].add_done_callback(partial(self._drop, digest))

    def _drop(self, digest: bytes, _: asyncio.Future[Coded]) -> None:
        self._memory.drop(digest)


def _fail(group: list[Append], error: Exception) -> None:
    for _, future in group:
        if not future.done():
            future.set_exception(error)

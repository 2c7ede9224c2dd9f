"""The session pool as one process sees it: which shard to ask, few calls for many requests, deadlines, bounds.

Appends and views travel apart, so that a view never waits behind a commit. The number of shards may change while
requests go on: the new ones load sessions from the store when asked for them.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from cluster import tracing
from cluster.coalescer import Coalescer
from cluster.coded import StoredView, Words, seen_of
from cluster.config import Settings
from cluster.errors import ConfigError, DeadlineError, InputError, TailorbirdError, UnavailableError
from cluster.messages import Event, SessionView
from cluster.remote_errors import own_errors
from cluster.sessions.memory import HEAD_BYTES
from cluster.sessions.names import owner
from cluster.sessions.wire import Wire
from cluster.store.events import EventRow, to_row

log = logging.getLogger("tailorbird.sessions")

CALLS_IN_FLIGHT = 4
"""Per shard and direction: what comes while a commit is in work is with the shard when the next one begins."""
WORTH_A_CALL = 8
"""Sessions for which a further call leaves while one is in work: fewer come sooner by waiting for it, since a call
costs more than they do..."""
PATIENCE_S = 0.001
"""...and by the socket, where a call comes back sooner than that unless sessions are read from disk, fewer wait no
longer than this."""
START_TIMEOUT_S = 180.0
RETIRE_AFTER_S = 60.0
"""A pool ends the shards of a larger one before it when nobody has asked them for this time."""
RESIZE_RETRY_S = 1.0
STUCK_S = 1.0
"""A shard that has not answered an append for so long is away: killed, its database locked, its disk full."""
PLAIN_WRITES = frozenset({("feedback", "log_rows")})
"""Frequent writes of nothing but text and numbers, which may take the short way."""
Trace = tracing.Carried | None
"""Of a request that is traced."""


class _Line:
    """Calls to one shard: over its socket, where that can be reached (see `wire`). By way of Ray otherwise, and when
    the socket breaks: Ray repeats them until the shard is back."""

    def __init__(self, shard: Any) -> None:
        self.shard = shard
        self._wire = Wire(partial(_answer, shard.socket)) if hasattr(shard, "socket") else None

    @property
    def is_short(self) -> bool:
        """Whether the socket is reached."""
        return self._wire is not None and self._wire.is_open

    async def call(self, name: str, *args: Any) -> Any:
        if self._wire is not None:
            with suppress(ConnectionError):
                return await self._wire.call(name, *args)
        return await _answer(getattr(self.shard, name), *args)

    async def close(self) -> None:
        if self._wire is not None:
            await self._wire.close()


@dataclass(slots=True)
class _Lane:
    """The way to one shard."""

    line: _Line
    appends: Coalescer[tuple[list[EventRow], Trace], list[bool]]
    views: Coalescer[tuple[tuple[str, str], Trace], tuple[Words, bytes]]


class SessionPool:
    """Belongs to one event loop. `start` first; Ray must be connected.

    Args:
        settings: `sessions`, `store` and the database.
        shards: instead of Ray actors, anything with their methods.
    """

    def __init__(self, settings: Settings, shards: Sequence[Any] | None = None) -> None:
        self._settings = settings
        self._given = shards
        self._wanted = settings.sessions.shards if shards is None else len(shards)
        self._lanes: tuple[_Lane, ...] = ()
        self._resizing = asyncio.Lock()
        self._retiring: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start or find the shards, and wait until they have opened (and migrated) the store.

        Raises:
            UnavailableError: one did not answer in time.
        """
        self._lanes = await self._open(self._wanted)
        if self._given is None:
            self._retiring = asyncio.create_task(self._retire(), name="retire-shards")

    async def resize(self, count: int) -> None:
        """Go over to another number of shards, while requests go on; before `start`: begin with it.

        Returns when all shards of the new size answer and are asked. Until then, and while they cannot be had, the old
        ones go on. Another process that goes over later agrees within `store.feed_poll_s`, as always.

        Raises:
            ConfigError: the database is SQLite, which has exactly one writer.
        """
        if count < 1 or (self._settings.uses_sqlite and count != 1):
            kind = "SQLite" if self._settings.uses_sqlite else "PostgreSQL"
            raise ConfigError(f"{count} session shards are not possible with {kind}")
        self._wanted = count
        async with self._resizing:
            while self._lanes and self._wanted == count != len(self._lanes):
                try:
                    before, self._lanes = self._lanes, await self._open(count)
                except UnavailableError as error:
                    log.error("%d session shards cannot be had yet, %d go on: %s", count, len(self._lanes), error)
                    await asyncio.sleep(RESIZE_RETRY_S)
                else:
                    log.info("there are %d session shards now", count)
                    await asyncio.gather(*(lane.line.close() for lane in before if lane not in self._lanes))

    async def _open(self, count: int) -> tuple[_Lane, ...]:
        """Ways to so many shards; those that are there already stay, with what waits in them."""
        if self._given is None:
            from cluster.sessions.actor import shard_actors

            shards = await asyncio.to_thread(shard_actors, self._settings, count)
        else:
            shards = list(self._given[:count])
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await asyncio.gather(*(_answer(shard.ready) for shard in shards))
        except TimeoutError:
            raise UnavailableError(f"a session shard did not start within {START_TIMEOUT_S:g} s") from None
        kept = self._lanes[:count]
        return (*kept, *(self._lane(shard) for shard in shards[len(kept) :]))

    def _lane(self, shard: Any) -> _Lane:
        limits = self._settings.sessions
        size, queue = limits.max_batch, limits.max_queue
        line = _Line(shard)
        return _Lane(
            line,
            Coalescer(
                partial(_append, line), max_batch=size, max_queue=queue, in_flight=CALLS_IN_FLIGHT, weigh=_rows_of
            ),
            Coalescer(
                _Views(line),
                max_batch=size,
                max_queue=queue,
                in_flight=CALLS_IN_FLIGHT,
                least=WORTH_A_CALL,
                patience_s=lambda: PATIENCE_S if line.is_short else math.inf,
            ),
        )

    async def stop(self) -> None:
        """Let go of what is in flight. The shards go on."""
        if self._retiring is not None:
            self._retiring.cancel()
        await asyncio.gather(*(way.close() for lane in self._lanes for way in (lane.appends, lane.views, lane.line)))

    @property
    def parked(self) -> int:
        """Requests whose events wait for a shard that is away; they leave their places to others."""
        return sum(lane.appends.waiting for lane in self._lanes if lane.appends.stuck_s > STUCK_S)

    @property
    def waiting(self) -> dict[str, int]:
        """How many requests wait for a place in a call to a shard, by what they want."""
        return {
            "events": sum(lane.appends.waiting for lane in self._lanes),
            "sessions": sum(lane.views.waiting for lane in self._lanes),
        }

    async def append(self, tenant: str, events: list[Event], timeout_s: float | None = None) -> list[bool]:
        """Store events of any people; when this returns they are on disk, and the next view shows them.

        Returns:
            For each event, in order, whether it is new. True may be missing after a failure of a shard in the middle
            of the call: its repetition finds the event stored.

        Raises:
            InputError: an event is of another tenant, or holds text that no database takes.
            OverloadError, DeadlineError, UnavailableError: part of the events may be stored; sending all again is safe.
        """
        timeout_s = self._settings.sessions.timeout_s if timeout_s is None else timeout_s
        lanes = self._lanes
        parts: dict[int, tuple[list[int], list[EventRow]]] = {}
        for place, event in enumerate(events):
            if event.tenant != tenant:
                raise InputError(f"is of tenant {event.tenant!r}, not {tenant!r}", f"events.{place}.tenant")
            row = to_row(event)
            _check_text(row, place)
            places, rows = parts.setdefault(owner(tenant, event.user_id, len(lanes)), ([], []))
            places.append(place)
            rows.append(row)
        if len(parts) == 1:
            ((shard, (_, rows)),) = parts.items()
            return await lanes[shard].appends.submit((rows, tracing.carried()), timeout_s)
        trace = tracing.carried()
        answers = await asyncio.gather(
            *(lanes[shard].appends.submit((rows, trace), timeout_s) for shard, (_, rows) in parts.items()),
            return_exceptions=True,
        )
        new = [False] * len(events)
        for (places, _), answer in zip(parts.values(), answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            for place, is_new in zip(places, answer, strict=True):
                new[place] = is_new
        return new

    async def view(self, tenant: str, user_id: str, timeout_s: float | None = None) -> SessionView:
        """What is known of a person now; empty for a stranger.

        Raises:
            OverloadError, DeadlineError, UnavailableError: not in time; the caller can go on with an empty view that
                is marked `degraded`.
        """
        timeout_s = self._settings.sessions.timeout_s if timeout_s is None else timeout_s
        lanes = self._lanes
        lane = lanes[owner(tenant, user_id, len(lanes))].views
        if lane.stuck_s > timeout_s:
            # The shard is away. Waiting would tell nothing new, and fill the server with requests that wait.
            raise UnavailableError(f"a session shard has not answered for {lane.stuck_s:.1f} s")
        words, record = await lane.submit(((tenant, user_id), tracing.carried()), timeout_s)
        return StoredView(user_id, tenant, words, record, HEAD_BYTES)

    async def stats(self, timeout_s: float = 2.0) -> list[dict[str, int | float] | None]:
        """`Shard.stats` of each shard; None for one that does not answer."""

        async def ask(shard: Any) -> dict[str, int | float] | None:
            try:
                async with asyncio.timeout(timeout_s):
                    stats: dict[str, int | float] = await _answer(shard.stats)
                    return stats
            except (TimeoutError, TailorbirdError):
                return None

        return await asyncio.gather(*(ask(lane.line.shard) for lane in self._lanes))

    async def write(self, part: str, method: str, *args: Any, timeout_s: float = 30.0) -> Any:
        """A write of the store (`("items", "put", [item])`) by the process that may: see `Store.apply`.

        Raises:
            DeadlineError, UnavailableError: it may have been done; every write can be repeated.
        """
        try:
            async with asyncio.timeout(timeout_s):
                line = self._lanes[0].line
                if (part, method) in PLAIN_WRITES:
                    return await line.call("write", part, method, args)
                return await _answer(line.shard.write, part, method, args)
        except TimeoutError:
            raise DeadlineError(f"{part}.{method} was not done within {timeout_s:g} s") from None

    async def _retire(self) -> None:
        """End what a larger pool has left, as often as there may be such shards."""
        from cluster.sessions.actor import end_surplus

        while True:
            await asyncio.sleep(RETIRE_AFTER_S)
            try:
                ended = await asyncio.to_thread(end_surplus, self._wanted, RETIRE_AFTER_S)
            except Exception as error:  # the head is away: another time
                log.warning("what a larger pool has left cannot be ended yet: %s", error)
                continue
            if ended:
                log.info("ended what a larger pool had left: %s", ", ".join(ended))


class _Views:
    """The call that asks a shard for records. Keeps the words of their codes; each answer says what is new in them."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._words = Words(0)

    async def __call__(self, batch: list[tuple[tuple[str, str], Trace]]) -> list[tuple[Words, bytes]]:
        words = self._words
        people, traces = _apart(batch)
        news, records = await self._line.call("views", people, words.known, *traces)
        if news[0] != words.name:  # the shard began anew, or forgot everybody
            if news[0] != self._words.name:
                self._words = Words(news[0])
            words = self._words
        words.learn(news)
        return [(words, record) for record in records]


def view_of_events(
    tenant: str, user_id: str | None, events: Sequence[Event], max_events: int | None = None
) -> SessionView:
    """The same view from events in the order in which they came: for jobs, so that they see what serving sees."""
    ordered = sorted(events, key=lambda event: event.timestamp_ms)[-(max_events or len(events)) :]
    items, types = tuple(event.item_id for event in ordered), tuple(event.type for event in ordered)
    return SessionView(
        user_id,
        items,
        types,
        tuple(event.value for event in ordered),
        tuple(event.timestamp_ms for event in ordered),
        seen_of(items, types),
        tenant,
    )


def _rows_of(given: tuple[list[EventRow], Trace]) -> int:
    return len(given[0])


async def _append(line: _Line, batch: list[tuple[list[EventRow], Trace]]) -> Sequence[list[bool]]:
    rows, traces = _apart(batch)
    return [list(new) for new in await line.call("append", rows, *traces)]


def _apart(batch: list[tuple[Any, Trace]]) -> tuple[list[Any], list[list[tracing.Carried]]]:
    """What is asked for; and the last argument of the call, which is there when any request is traced."""
    traces = [trace for _, trace in batch if trace is not None]
    return [given for given, _ in batch], [traces] if traces else []


async def _answer(method: Any, *args: Any) -> Any:
    """Call an actor's method, its errors as they were raised; what Ray itself says becomes `UnavailableError`."""
    with own_errors("a session shard"):
        return await (method.remote(*args) if hasattr(method, "remote") else method(*args))


def _check_text(row: EventRow, place: int) -> None:
    """Refuse here, for one request alone, what would make the database refuse a whole group's transaction."""
    for text in row:
        if isinstance(text, str) and not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise InputError("holds half of a surrogate pair", f"events.{place}") from None
        if isinstance(text, str) and "\0" in text:
            raise InputError("holds the character NUL", f"events.{place}")

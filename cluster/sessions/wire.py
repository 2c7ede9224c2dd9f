"""Calls to a shard of the same node past Ray: frames over a Unix socket.

A call of an actor costs the ingress and the shard half a millisecond each, whatever it carries; a frame costs some
twenty microseconds. So where ingress and shard share a node the calls that are made thousands of times a second go this
way. Everything else about a shard stays Ray's: where it runs, that it comes back, and the calls of other nodes.

A frame is its length in four bytes and a MessagePack array: (number, method, arguments) to the shard, and back (number,
None, result) or (number, name of an error of `cluster.errors`, its arguments). Calls may be answered in any order.

The socket lies in a folder that only this user may enter, so whoever can connect could read the database as well.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import socket
import stat
import struct
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgpack

from cluster import errors
from cluster.background import end
from cluster.errors import TailorbirdError, UnavailableError

log = logging.getLogger("tailorbird.sessions")

Method = Callable[..., Awaitable[Any]]
_LENGTH = struct.Struct("<I")
PAUSE_S = 0.02
"""Between a connection that was lost and the next."""
RETRY_S = 5.0
"""How long after a socket could not be reached it is tried again: the shard is on another node, or without one."""


class _Frames(asyncio.Protocol):
    """One end of a connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are not of the class

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        start, length = 0, len(buffer)
        while length - start >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(buffer, start)
            if length - start < _LENGTH.size + size:
                break
            start += _LENGTH.size
            self._take(*msgpack.unpackb(buffer[start : start + size], use_list=False))
            start += size
        del buffer[:start]

    def _write(self, frame: bytes) -> None:
        if self.transport is not None:
            self.transport.write(_LENGTH.pack(len(frame)) + frame)

    def _take(self, number: int, what: str | None, given: Any) -> None:
        raise NotImplementedError


class _Served(_Frames):
    """A connection as the shard sees it."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        super().__init__()
        self._methods = methods
        self._working: set[asyncio.Task[None]] = set()

    def _take(self, number: int, what: str | None, given: Any) -> None:
        task = asyncio.create_task(self._answer(number, str(what), given))
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _answer(self, number: int, name: str, args: tuple[Any, ...]) -> None:
        answer: tuple[int, str | None, Any]
        try:
            answer = (number, None, await self._methods[name](*args))
        except TailorbirdError as error:
            answer = (number, type(error).__name__, error.args)
        except Exception as error:
            log.exception("%s failed", name)
            answer = (number, UnavailableError.__name__, (f"a session shard failed: {error!r}",))
        self._write(msgpack.packb(answer))


class _Asking(_Frames):
    """A connection as the ingress sees it."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self.closed = asyncio.get_running_loop().create_future()

    async def call(self, name: str, args: tuple[Any, ...]) -> Any:
        if self.transport is None:
            raise ConnectionError("the shard's socket is closed")
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._write(msgpack.packb((number, name, args)))
            return await future
        finally:
            del self._waiting[number]

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionError("the shard's socket was closed"))
        if not self.closed.done():
            self.closed.set_result(None)

    def _take(self, number: int, what: str | None, given: Any) -> None:
        future = self._waiting.get(number)
        if future is None or future.done():
            return  # whoever asked has gone
        if what is None:
            future.set_result(given)
        else:
            future.set_exception(getattr(errors, what)(*given))


class Wire:
    """The way to one shard's socket, as long as it can be reached; kept open beside the requests.

    Args:
        find: asks the shard, by way of Ray, for the path of its socket; None when it has none.
    """

    def __init__(self, find: Callable[[], Awaitable[str | None]]) -> None:
        self._find = find
        self._connection: _Asking | None = None
        self._keeping = asyncio.create_task(self._keep(), name="wire")

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    async def call(self, name: str, *args: Any) -> Any:
        """The answer of the shard.

        Raises:
            ConnectionError: there is no connection, or it was lost; then the call may have been done.
            TailorbirdError: what the shard raised.
        """
        if self._connection is None:
            raise ConnectionError("the shard's socket is not reached")
        return await self._connection.call(name, args)

    async def close(self) -> None:
        """Let go of the connection."""
        await end(self._keeping)

    async def _keep(self) -> None:
        while True:
            try:
                path = await self._find()
                if path is not None:
                    await self._use(path)
                    await asyncio.sleep(PAUSE_S)
                    continue  # it was lost: the shard tells its new one as soon as it is back
            except (OSError, TailorbirdError):
                pass
            except Exception:
                log.exception("the shard's socket cannot be kept open, calls go by way of Ray")
            await asyncio.sleep(RETRY_S)

    async def _use(self, path: str) -> None:
        """Connect, and wait until the connection is lost."""
        transport, connection = await asyncio.get_running_loop().create_unix_connection(_Asking, path)
        self._connection = connection
        try:
            await connection.closed
        finally:
            self._connection = None
            transport.abort()


@dataclass(frozen=True, slots=True)
class Socket:
    """A socket that is answered, as long as the process lives or until it is closed."""

    path: str
    server: asyncio.Server

    def close(self) -> None:
        """Answer nobody new."""
        self.server.close()


async def serve(name: str, methods: Mapping[str, Method]) -> Socket | None:
    """Answer calls of these methods on a socket.

    Args:
        name: of the socket; one that a process before has left under it is replaced.

    Returns:
        None when there can be no socket: then all calls go by way of Ray.
    """
    try:
        folder = _private_folder()
        _forget_dead(folder)
        path = folder / name
        path.unlink(missing_ok=True)
        server = await asyncio.get_running_loop().create_unix_server(lambda: _Served(methods), str(path))
    except OSError as error:
        log.warning("the shard has no socket, calls go by way of Ray: %s", error)
        return None
    return Socket(str(path), server)


def _private_folder() -> Path:
    """A folder of this user, that nobody else may enter."""
    folder = Path(tempfile.gettempdir()) / f"tailorbird-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise OSError(f"{folder} is not a folder of this user alone")
    return folder


def _forget_dead(folder: Path) -> None:
    """Delete the sockets of processes that are gone."""
    for path in folder.iterdir():
        with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
            probe.settimeout(0.1)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)

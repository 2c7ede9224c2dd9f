"""A small HTTP/1.1 load generator on raw asyncio protocols: enough to drive a server on the same two cores.

Closed loop (each connection sends its next request when the last was answered) or open loop (requests are due at fixed
times, and latency counts from when they were due). Every answer's status is counted, and a body check may look at it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

import numpy as np


@dataclass
class Result:
    """What a run saw. Latencies in seconds."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    bytes_last: int = 0

    @property
    def per_second(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def summary(self) -> dict[str, float | dict[str, int]]:
        """Requests per second, median and 99th percentile in milliseconds, answers by code."""
        points = np.asarray(self.latencies or [0.0]) * 1000
        return {
            "per_s": round(self.per_second, 1),
            "p50_ms": round(float(np.percentile(points, 50)), 3),
            "p99_ms": round(float(np.percentile(points, 99)), 3),
            "codes": dict(self.codes),
        }


def request_bytes(method: str, path: str, body: bytes, key: str) -> bytes:
    """One request, ready for the wire."""
    head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time. An answer may also end with the connection, as proxies send."""

    def __init__(self) -> None:
        self._buffer = b""
        self._waiter: asyncio.Future[tuple[int, bytes]] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are not of the class

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length:")
        length = 0 if at < 0 else int(head[at + 15 :].split(b"\r\n", 1)[0])
        if at < 0 or len(self._buffer) < end + 4 + length:
            return
        self._answer(self._buffer[end + 4 : end + 4 + length])
        if b"connection: close" in head:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self._waiter is None or self._waiter.done():
            return
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if end and b"content-length:" not in head.lower():
            self._answer(body)
        else:
            self._waiter.set_exception(exc or ConnectionError("closed by the server"))

    async def send(self, request: bytes) -> tuple[int, bytes]:
        assert self.transport is not None
        self._buffer = b""
        self._waiter = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._waiter

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()
            self.transport = None

    def _answer(self, body: bytes) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result((int(self._buffer[9:12]), body))


async def closed_loop(
    port: int,
    requests: Iterator[bytes],
    connections: int,
    seconds: float,
    check: Callable[[int, bytes], bool],
    warm_s: float = 1.0,
    began: Callable[[], object] = lambda: None,
) -> Result:
    """Drive the server as fast as `connections` clients can, after a warm-up that is not counted; `began` ends it."""
    result = Result()
    loop = asyncio.get_running_loop()
    start = loop.time() + warm_s
    end = start + seconds
    loop.call_at(start, began)

    async def client() -> None:
        connection = Connection()
        while (now := loop.time()) < end:
            try:
                if connection.transport is None:
                    _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
                status, body = await connection.send(next(requests))
                code = str(status) if check(status, body) else f"{status} wrong body"
                result.bytes_last = len(body)
            except OSError as error:
                code = type(error).__name__
            if now >= start:
                result.codes[code] += 1
                result.latencies.append(loop.time() - now)

    await asyncio.gather(*(client() for _ in range(connections)))
    result.seconds = seconds
    return result


async def open_loop(
    port: int,
    requests: Iterator[bytes],
    per_second: float,
    seconds: float,
    check: Callable[[int, bytes], bool],
    connections: int = 64,
) -> Result:
    """Send at a fixed rate whatever the server does; a request that finds no free connection waits, and that counts."""
    result = Result()
    loop = asyncio.get_running_loop()
    free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
    for _ in range(connections):
        free.put_nowait(Connection())
    start = loop.time()

    async def one(due: float) -> None:
        connection = await free.get()
        try:
            if connection.transport is None:
                _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
            status, body = await connection.send(next(requests))
            result.codes[str(status) if check(status, body) else f"{status} wrong body"] += 1
        except OSError as error:
            result.codes[type(error).__name__] += 1
        finally:
            result.latencies.append(loop.time() - due)
            free.put_nowait(connection)

    tasks = []
    for number in range(int(per_second * seconds)):
        due = start + number / per_second
        if (wait := due - loop.time()) > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(one(due)))
    await asyncio.gather(*tasks)
    result.seconds = loop.time() - start
    return result

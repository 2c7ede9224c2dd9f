"""Slow clients, huge ones and such that talk nonsense, against a whole copy: others are served meanwhile."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.integration.conftest import Copy

pytestmark = pytest.mark.integration

SLOW = 300
HUGE_BYTES = 100_000_000
GROWN_BYTES = 150 << 20
"""What a replica may grow by in a test, on top of what it had. A hundredth of what the clients try to make it hold."""


def connected(server: Copy, timeout_s: float = 20.0) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=timeout_s)


def head(server: Copy, request: str, *more: str, encoding: str = "utf-8") -> bytes:
    lines = [f"{request} HTTP/1.1", "Host: test", f"Authorization: Bearer {server.key}", *more]
    return "".join(f"{line}\r\n" for line in lines).encode(encoding)


def received(connection: socket.socket) -> bytes:
    """All that comes until the connection is closed, or is silent for its timeout."""
    said = b""
    with contextlib.suppress(OSError):
        while part := connection.recv(65536):
            said += part
    return said


def replica_of(server: Copy) -> psutil.Process:
    (process,) = server.processes("ServeReplica:tailorbird:Ingress")
    return process


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"it did not happen within {seconds} s"
        time.sleep(0.02)


@contextmanager
def others_are_served(server: Copy, slowest_s: float = 3.0) -> Iterator[None]:
    """While the block runs somebody else asks for lists: each comes, none late; afterwards the replica is the same."""
    replica = replica_of(server)
    before = replica.memory_info().rss
    stop, faults, took = threading.Event(), list[str](), list[float]()

    def ask() -> None:
        with server.client(timeout_s=15) as client:
            while not stop.is_set():
                began = time.monotonic()
                try:
                    answer = client.post("/v1/recommendations", json={"user_id": "somebody-else"})
                    if answer.status_code != 200:
                        faults.append(f"{answer.status_code} {answer.text[:200]}")
                except httpx.HTTPError as error:
                    faults.append(repr(error))
                took.append(time.monotonic() - began)
                time.sleep(0.02)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        wait_until(lambda: len(took) > 0)
        yield
        enough = len(took) + 3
        wait_until(lambda: len(took) >= enough)
    finally:
        stop.set()
        thread.join(60)
    assert faults == [] and len(took) > 3
    assert max(took) < slowest_s, f"median {statistics.median(took):.3f} s, slowest {max(took):.3f} s"
    assert replica.is_running() and replica_of(server).pid == replica.pid
    grown = replica.memory_info().rss - before
    assert grown < GROWN_BYTES, f"the replica grew by {grown >> 20} MiB"


def test_hundreds_of_slow_clients_hold_nobody_up(server: Copy) -> None:
    with contextlib.ExitStack() as stack, others_are_served(server):
        slow = [stack.enter_context(connected(server)) for _ in range(2 * SLOW)]
        for connection in slow[:SLOW]:
            connection.sendall(head(server, "GET /v1/popular"))  # never ends
        for connection in slow[SLOW:]:
            connection.sendall(head(server, "POST /v1/events", "Content-Length: 1000") + b'\r\n{"user_id')
        for _ in range(10):
            time.sleep(0.3)
            for connection in slow[:SLOW]:
                with contextlib.suppress(OSError):
                    connection.sendall(b"X-More: 1\r\n")
        heads = [received(connection) for connection in slow[:3]]
    assert all(said.startswith(b"HTTP/1.1 408") for said in heads), heads


def test_huge_bodies_are_refused_before_they_are_held(server: Copy) -> None:
    def send(answers: list[bytes], chunked: bool) -> None:
        with connected(server) as connection:
            length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {HUGE_BYTES}"
            connection.sendall(
                head(server, "POST /v1/items:import", length, "Content-Type: application/json") + b"\r\n"
            )
            block = b" " * 100_000
            frame = b"%x\r\n%s\r\n" % (len(block), block) if chunked else block
            with contextlib.suppress(OSError):  # refused in the middle
                for _ in range(HUGE_BYTES // len(block)):
                    connection.sendall(frame)
            answers.append(connection.recv(4096))

    answers: list[bytes] = []
    with others_are_served(server):
        senders = [threading.Thread(target=send, args=(answers, chunked)) for chunked in (True, False, True, False)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(60)
    assert len(answers) == 4 and all(said.startswith(b"HTTP/1.1 413 ") for said in answers), answers


def test_readers_that_do_not_read_hold_no_place(server: Copy, api: httpx.Client) -> None:
    body = json.dumps(
        {"kind": "pitch", "item_id": "50", "user_id": "deaf", "stream": True, "temperature": 0.9}
    ).encode()
    with contextlib.ExitStack() as stack, others_are_served(server, slowest_s=8.0):
        for _ in range(20):
            deaf = stack.enter_context(connected(server))
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            deaf.sendall(head(server, "POST /v1/content", f"Content-Length: {len(body)}") + b"\r\n" + body)
        text = api.post("/v1/content", json={"kind": "pitch", "item_id": "172"}, timeout=60).json()
    assert text["text"] and text["source"] in {"generated", "cached", "template"}


def test_many_idle_connections_are_let_in_and_others_too(server: Copy) -> None:
    with contextlib.ExitStack() as stack, others_are_served(server):
        for _ in range(1000):
            stack.enter_context(connected(server))
        time.sleep(1)


@pytest.mark.parametrize("path", ["/v1/events", "/v1/recommendations", "/v1/content", "/v1/chat/completions"])
@pytest.mark.parametrize("body", [b"[" * 50_000, b'{"a":' * 50_000 + b"1" + b"}" * 50_000], ids=["lists", "objects"])
def test_deep_json_is_refused(api: httpx.Client, path: str, body: bytes) -> None:
    answer = api.post(path, content=body)
    assert answer.status_code in {400, 422}, answer.text[:300]


SEEDS = [
    (b"POST /v1/events", b'{"user_id": "f", "item_id": "1", "type": "view", "context": {"a": [1, {"b": null}]}}'),
    (b"POST /v1/recommendations", b'{"user_id": "f", "n": 5, "filter": "genre == \\"Drama\\"", "timeout_ms": 500}'),
    (b"PUT /v1/items/fuzzed", b'{"title": "F", "categories": ["a"], "available_from": "2026-01-01T00:00:00Z"}'),
    (b"GET /v1/items?limit=2&filter=year%20%3E%201990&cursor=abc", b""),
    (b"GET /v1/users/f%2Fg?x=%F0%9F", b""),
    (b"PATCH /v1/users/f", b'{"attributes": {"a": 1}}'),
]
SNIPPETS = [b"\r\n", b"\x00", b"\r\n\r\n", b"\xf0\x9f", b"%00", b"\t", b": ", b"{" * 99, b'"', b"1e999", b"\\ud800"]


def changed(random_: random.Random, given: bytes) -> bytes:
    """The same bytes, some of them changed, cut, doubled or replaced."""
    sent = bytearray(given)
    for _ in range(random_.randint(1, 4)):
        place, end = sorted(random_.randint(0, len(sent)) for _ in range(2))
        act = random_.randrange(4)
        if act == 0 and place < len(sent):
            sent[place] = random_.randrange(256)
        elif act == 1:
            del sent[place : min(end, place + 10)]
        elif act == 2:
            sent[place:place] = sent[place:end]
        else:
            sent[place:place] = random_.choice([*SNIPPETS, random_.randbytes(random_.randint(1, 30))])
    return bytes(sent)


def fuzzed(random_: random.Random, server: Copy) -> bytes:
    """A request that was good: its body changed, or its address, or anything in it."""
    line, body = random_.choice(SEEDS)
    kind = random_.randrange(3)
    if kind == 0 and body:
        body = changed(random_, body)
    elif kind == 1:
        method, _, path = line.partition(b" ")
        line = method + b" /v1/" + changed(random_, path[4:]).replace(b" ", b"+").replace(b"\r\n", b"%0d%0a")
    more = ("Content-Type: application/json", f"Content-Length: {len(body)}")
    whole = head(server, line.decode("latin-1"), *more, encoding="latin-1") + b"\r\n" + body
    return changed(random_, whole) if kind == 2 else whole


@pytest.mark.slow
def test_random_bytes_on_the_port_are_never_a_5xx(server: Copy, api: httpx.Client) -> None:
    random_ = random.Random(20261124)
    codes: dict[str, int] = {}
    with others_are_served(server):
        for _ in range(400):
            sent = fuzzed(random_, server)
            with connected(server, timeout_s=0.4) as connection:
                with contextlib.suppress(OSError):
                    connection.sendall(sent)
                code = received(connection)[9:12].decode("latin-1") or "none"
            codes[code] = codes.get(code, 0) + 1
            assert not code.startswith("5"), (code, sent)
    understood = sum(count for code, count in codes.items() if code[0] == "2" or code in {"404", "422"})
    assert codes.get("400", 0) > 20 and understood > 20, codes
    assert api.get("/healthz/ready").status_code == 200

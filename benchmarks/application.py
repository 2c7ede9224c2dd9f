"""`python -m benchmarks.application`: CPU of a request in the application alone. One JSON line.

The ASGI application, the session shard and the ranker of one copy in this process, without HTTP, Ray and other
processes: what is left is our own, and steady enough to compare two versions of it on a machine that is not quiet. 32
requests at a time. `shell` has a trivial ranker, `recommend` the real one with reasons, `events` are durable, one a
request. The figures are microseconds of CPU a request, all threads together, the least of three rounds.

    --state DIR     a state directory with a trained version (it is copied); default: ./.tailorbird
    --requests N    in a round; default: 3000
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvloop
from pydantic import SecretStr

from benchmarks.serving_apps import ShellServices
from benchmarks.serving_data import SEED, clone, fill, person
from cluster.config import Settings
from cluster.sessions.pool import SessionPool
from cluster.sessions.shard import Shard
from deployments.content_cache import CacheShard
from deployments.http_app import create_app
from deployments.services import Services

KEY = "k" * 24
PEOPLE = 1000
AT_ONCE = 32
ROUNDS = 3
ITEMS = 1682
PARTS = {"shell": ShellServices, "recommend": Services, "events": Services}


class LocalShard(Shard):
    """A shard that is called and not asked by way of Ray."""

    async def ready(self) -> None:
        """Open the store."""
        await self.start()


def requests(part: str) -> Iterator[tuple[str, bytes]]:
    """Path and body, one person after the other."""
    source = random.Random(SEED)
    for number in cycle(range(PEOPLE)):
        if part == "events":
            event = {"event_id": uuid.uuid4().hex, "user_id": person(number), "type": "view"}
            yield "/v1/events", json.dumps(event | {"item_id": str(source.randrange(1, ITEMS))}).encode()
        else:
            yield "/v1/recommendations", json.dumps({"user_id": person(number), "n": 10}).encode()


async def ask(app: Any, path: str, body: bytes) -> None:
    """One request as an HTTP server would hand it over; anything but success is an error."""
    headers = [
        (b"host", b"benchmark"),
        (b"authorization", f"Bearer {KEY}".encode()),
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b"", "root_path": ""}
    bodies = [body]
    status = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": bodies.pop(), "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    await app(scope | {"client": ("127.0.0.1", 1), "scheme": "http"}, receive, send)
    if status not in (200, 202):
        raise RuntimeError(f"{path} was answered {status}")


async def measure(settings: Settings, part: str, count: int) -> float:
    """Microseconds of CPU a request."""
    shard = LocalShard(settings)
    handle = SimpleNamespace(options=lambda **_: None)
    pool = SessionPool(settings, [shard])
    services = PARTS[part](settings, handle, None, pool, [CacheShard(1 << 20)])
    await services.start()
    app, asked = create_app(services), requests(part)

    async def client(mine: Iterator[tuple[str, bytes]]) -> None:
        for path, body in mine:
            await ask(app, path, body)

    best = float("inf")
    for _ in range(1 + ROUNDS):  # the first brings sessions into memory, and is never the best
        ready = iter(list(islice(asked, count)))
        began = time.process_time()
        await asyncio.gather(*(client(ready) for _ in range(AT_ONCE)))
        best = min(best, (time.process_time() - began) / count * 1e6)
    await services.stop()
    await shard.stop()
    return best


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, default=Path(".tailorbird"))
    parser.add_argument("--requests", type=int, default=3000)
    arguments = parser.parse_args()
    if not (arguments.state / "artifacts").exists():
        parser.error(f"--state: {arguments.state} has no trained version; `make serve` makes one")
    with tempfile.TemporaryDirectory(prefix="tbb", dir="/tmp") as folder:
        settings = Settings(state_dir=Path(folder) / "s", api_key=SecretStr(KEY))
        clone(arguments.state, settings.state_dir)
        fill(settings, 1, PEOPLE)
        found = {}
        for part in PARTS:
            found[part] = round(uvloop.run(measure(settings, part, arguments.requests)), 1)
            print(f"{part}: {found[part]} us", file=sys.stderr, flush=True)
    print(json.dumps({"benchmark": "application", "people": PEOPLE, "requests": arguments.requests, "cpu_us": found}))


if __name__ == "__main__":
    main()

"""`python -m benchmarks.store`: how fast events get to disk, and what a million sessions take. Prints one JSON line.

    --database-url URL   measure appends on this PostgreSQL instead of SQLite in a temporary folder (on a real disk)
    --seconds 2          per batch size
    --rows-before N      rows in the store before the appends are timed
    --users 1000000      sessions of 20 events that are all live in memory, each from a process of its own

Appends are new events with ids like UUIDs, for users and items drawn at random with a fixed seed. `core` is the same
through SQLAlchemy's own insert, to show why the store's append path speaks to the driver.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from cluster.config import Settings
from cluster.store import Store
from cluster.store.events import COLUMNS, EventRow

BATCHES = (1, 16, 64, 512)
EVENTS_PER_USER = 20
ITEMS = 200_000


def make_rows(n: int, source: random.Random) -> list[EventRow]:
    """n new events of random people."""
    return [
        (
            "default",
            str(uuid.UUID(int=source.getrandbits(128), version=4)),
            f"user-{source.randrange(1_000_000)}",
            f"item-{source.randrange(ITEMS)}",
            "click",
            None,
            1_700_000_000_000 + source.randrange(10**9),
            None,
            None,
            None,
        )
        for _ in range(n)
    ]


def measure_append(store: Store, size: int, seconds: float, source: random.Random) -> dict[str, float]:
    """Rows and commits a second, and the 99th percentile of a commit, for one batch size."""
    taken = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        rows = make_rows(size, source)
        began = time.perf_counter()
        store.events.append_rows(rows)
        taken.append(time.perf_counter() - began)
    busy = sum(taken)
    return {
        "rows_per_s": round(size * len(taken) / busy),
        "commits_per_s": round(len(taken) / busy),
        "p99_ms": round(sorted(taken)[int(len(taken) * 0.99)] * 1000, 2),
    }


def measure_core(store: Store, size: int, seconds: float, source: random.Random) -> dict[str, float]:
    """The same rows through SQLAlchemy's insert with RETURNING."""
    from cluster.store.tables import events

    statement = store.events.insert_into(events).on_conflict_do_nothing().returning(events.c.seq, events.c.event_id)
    taken = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in make_rows(size, source)]
        began = time.perf_counter()
        with store.database.writing() as connection:
            connection.execute(statement, rows).fetchall()
        taken.append(time.perf_counter() - began)
    return {"rows_per_s": round(size * len(taken) / sum(taken))}


async def measure_group_commit(settings: Settings, clients: int, seconds: float) -> dict[str, float]:
    """Concurrent clients, each with one event at a time, through a shard in this process."""
    from cluster.sessions.shard import Shard

    shard = Shard(settings)
    await shard.start()
    source = random.Random(5)
    rows = iter(make_rows(int(seconds * 30_000), source))
    taken: list[float] = []
    end = time.perf_counter() + seconds

    async def client() -> None:
        while time.perf_counter() < end:
            row = next(rows, None)
            if row is None:
                return
            began = time.perf_counter()
            await shard.append([[row]])
            taken.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    wall = time.perf_counter() - began
    commits = shard.stats()["commits"]
    await shard.stop()
    return {
        "clients": clients,
        "events_per_s": round(len(taken) / wall),
        "events_per_commit": round(len(taken) / commits, 1),
        "p99_ms": round(sorted(taken)[int(len(taken) * 0.99)] * 1000, 2),
    }


def measure_memory(users: int) -> dict[str, float]:
    """Resident memory that live sessions add to a fresh process; runs in a process of its own."""
    from cluster.sessions.memory import SessionMemory
    from cluster.store.retention import user_digest

    source = random.Random(7)
    before = _resident_bytes()
    memory = SessionMemory(1 << 30, 1000)
    began = time.perf_counter()
    for user in range(users):
        rows = [
            (n, f"item-{source.randrange(ITEMS)}", "click", None, 1_700_000_000_000 + user + n)
            for n in range(EVENTS_PER_USER)
        ]
        memory.load(user_digest("default", f"user-{user}"), rows, EVENTS_PER_USER)
    took = time.perf_counter() - began
    added = _resident_bytes() - before
    views = min(users, 20_000)
    began = time.perf_counter()
    for user in range(views):
        memory.record(user_digest("default", f"user-{users - 1 - user}"))
    return {
        "users": users,
        "live": len(memory),
        "gib": round(added / 2**30, 3),
        "bytes_per_user": round(added / users),
        "estimated_gib": round(memory.used_bytes / 2**30, 3),
        "load_us_per_user": round(took / users * 1e6, 1),
        "view_us": round((time.perf_counter() - began) / views * 1e6, 1),
        "peak_process_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3),
    }


def _resident_bytes() -> int:
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Run it all and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database-url")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rows-before", type=int, default=0)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--memory-only", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_only:
        print(json.dumps(measure_memory(options.users)))
        return
    result: dict[str, Any] = {"benchmark": "store", "python": platform.python_version(), "cpus": os.cpu_count()}
    source = random.Random(3)
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".tailorbird-bench-") as folder:
        settings = Settings(state_dir=Path(folder), database_url=options.database_url)
        with Store.open(settings) as store:
            store.migrate()
            for start in range(0, options.rows_before, 50_000):
                store.events.append_rows(make_rows(min(50_000, options.rows_before - start), source))
            result["database"] = store.database.dialect
            result["rows_before"] = options.rows_before
            result["append"] = {size: measure_append(store, size, options.seconds, source) for size in BATCHES}
            result["core"] = {size: measure_core(store, size, options.seconds, source) for size in (1, 64)}
        result["group_commit"] = asyncio.run(measure_group_commit(settings, 32, options.seconds))
    command = [sys.executable, "-m", "benchmarks.store", "--memory-only", "--users", str(options.users)]
    result["sessions"] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

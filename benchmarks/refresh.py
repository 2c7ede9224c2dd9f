"""`python -m benchmarks.refresh`: from events in the store to a version that serves; one JSON line for each size.

    --events 1000000     synthetic events; may be repeated, and growth is told between sizes. 0: only MovieLens
    --users 1000000      people of the synthetic data
    --items 200000       its items
    --seed 0
    --no-incremental     leave out the second, incremental refresh after 1 % more events
    --keep FOLDER        keep the state there and use it again

MovieLens-100K is refreshed end to end, texts embedded, and again with the texts kept. The synthetic data are drawn from
power laws: few people do much, few items are met by many, and everybody has three of 200 topics. Its texts are not
embedded (200,000 texts take an encoder on two cores the better part of an hour; they are embedded once).

Each line has seconds per stage, events per second, seconds of CPUs (on a busy machine those of the clock say little),
the greatest sum of the proportional memory (PSS) of all of the job's processes with the largest of them, and the
figures of the version.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from cluster.config import Settings
from cluster.launch import ROOT
from cluster.messages import Event, Item
from cluster.store import Store
from cluster.store.events import COLUMNS, to_row

TOPICS = 200
CHUNK = 100_000
TYPES = ("view", "click", "like")
LOADED = "loaded"
"""A file that says that all events are in the store."""
DAY_MS = 86_400_000
MARKS = ", ".join("?" * len(COLUMNS))
PLAIN = {"TAILORBIRD_GRAPH": '{"content": {"encoder": "none"}}'}


def synthetic(
    events: int, users: int, items: int, seed: int, first: int = 0, day: int = 0
) -> Iterator[list[tuple[Any, ...]]]:
    """Rows of events, in chunks. `first` is the number of the first event, `day` when they happen."""
    tastes = np.random.default_rng(seed).integers(TOPICS, size=(users, 3), dtype=np.int16)
    rng = np.random.default_rng((seed, first))
    per_topic = items // TOPICS
    for start in range(0, events, CHUNK):
        size = min(CHUNK, events - start)
        user = np.floor(users * rng.random(size) ** 1.8).astype(np.int64)
        own = tastes[user, rng.integers(3, size=size)]
        topic = np.where(rng.random(size) < 0.8, own, rng.integers(TOPICS, size=size))
        item = np.floor(per_topic * rng.random(size) ** 3.0).astype(np.int64) * TOPICS + topic
        moment = 1_760_000_000_000 + day * DAY_MS + (np.arange(start, start + size) * DAY_MS // max(events, 1))
        kind = rng.integers(len(TYPES), size=size)
        yield [
            to_row(Event(f"e{first + start + n}", f"u{u}", f"i{i}", TYPES[k], t))
            for n, (u, i, k, t) in enumerate(
                zip(user.tolist(), item.tolist(), kind.tolist(), moment.tolist(), strict=True)
            )
        ]


def fill(settings: Settings, chunks: Iterator[list[tuple[Any, ...]]], items: range) -> float:
    """Put items and events into the store; the seconds that it took."""
    began = time.monotonic()
    with Store.open(settings) as store:
        store.migrate()
        for start in range(items.start, items.stop, 5_000):
            some = range(start, min(start + 5_000, items.stop))
            store.items.put([Item(f"i{n}", title=f"Thing {n}", categories=(f"topic {n % TOPICS}",)) for n in some])
    with contextlib.closing(sqlite3.connect(settings.state_dir / "tailorbird.db")) as connection:
        load(connection, chunks)
    return time.monotonic() - began


def load(connection: sqlite3.Connection, chunks: Iterator[list[tuple[Any, ...]]]) -> None:
    """Write events in bulk, not as the store does: its indexes are made afterwards, and nothing waits for the disk."""
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -500000")
    empty = connection.execute("SELECT count(*) FROM (SELECT 1 FROM events LIMIT 1)").fetchone()[0] == 0
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'events' AND sql IS NOT NULL"
    ).fetchall()
    for name, _ in indexes if empty else ():
        connection.execute(f"DROP INDEX {name}")
    for chunk in chunks:
        with connection:
            connection.executemany(f"INSERT INTO events ({', '.join(COLUMNS)}) VALUES ({MARKS})", chunk)
    for _, statement in indexes if empty else ():
        connection.execute(statement)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class Usage:
    """What a family of processes takes: the greatest sum of its proportional memory, and of which kinds; CPU time."""

    def __init__(self, pid: int) -> None:
        self.peak_bytes = 0
        self.at_peak: dict[str, int] = {}
        self._pid = pid
        self._cpu_s: dict[int, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Usage:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def cpu_s(self) -> float:
        """Seconds of CPUs, of what was there for a second at least."""
        return sum(self._cpu_s.values())

    def _watch(self) -> None:
        while not self._stop.wait(1.0):
            kinds: dict[str, int] = {}
            with contextlib.suppress(psutil.Error):
                parent = psutil.Process(self._pid)
                for process in [parent, *parent.children(recursive=True)]:
                    with contextlib.suppress(psutil.Error):
                        name = process.cmdline()[0] if process.cmdline() else process.name()
                        kind = name if name.startswith("ray::") else Path(name).name
                        kinds[kind] = kinds.get(kind, 0) + process.memory_full_info().pss
                        times = process.cpu_times()
                        self._cpu_s[process.pid] = times.user + times.system
            if sum(kinds.values()) > self.peak_bytes:
                self.peak_bytes, self.at_peak = sum(kinds.values()), kinds


def refresh(state_dir: Path, *arguments: str, **more: str) -> dict[str, Any]:
    """Run `jobs.refresh` as the process that it is."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TAILORBIRD_", "RAY_"))}
    environment |= {"TAILORBIRD_STATE_DIR": str(state_dir), **more}
    command = [sys.executable, "-m", "jobs.refresh", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as job:
        with Usage(job.pid) as usage:
            assert job.stdout is not None
            lines = job.stdout.read().splitlines()
        job.wait()
    result = json.loads(lines[-1])
    if not result["ok"]:
        raise SystemExit(f"jobs.refresh failed: {result['error']}")
    largest = sorted(usage.at_peak.items(), key=lambda entry: -entry[1])[:5]
    return {
        "events": result["events"],
        "users": result["users"],
        "items": result["items"],
        "incremental": result["incremental"],
        "seconds": result["seconds"],
        "cpu_s": round(usage.cpu_s),
        "events_per_s": round(result["events"] / result["seconds"]),
        "stages_s": result["stages_s"],
        "training_s": result["training_s"],
        "peak_gib": round(usage.peak_bytes / 2**30, 2),
        "at_peak_gib": {name: round(size / 2**30, 2) for name, size in largest},
        "metrics": result["metrics"],
    }


def say(**line: Any) -> None:
    """A JSON line."""
    print(json.dumps({"benchmark": "refresh"} | line), flush=True)


def movielens(folder: Path) -> None:
    """The demo's data, end to end; then again, when the texts are known and something has been learnt."""
    settings = {"TAILORBIRD_STATE_DIR": str(folder)}
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "jobs.demo", "--no-model"], cwd=ROOT, env=os.environ | settings, check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    say(data="movielens-100k", loading_s=round(time.monotonic() - began, 2), **refresh(folder))
    say(data="movielens-100k, again", **refresh(folder, "--force"))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, action="append")
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-incremental", action="store_true")
    parser.add_argument("--no-movielens", action="store_true")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    say(
        cores=psutil.cpu_count(),
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        python=platform.python_version(),
    )
    with contextlib.ExitStack() as stack:
        base = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tailorbird-refresh-")))
        if not options.no_movielens:
            movielens(base / "movielens")
        before: dict[str, Any] | None = None
        for events in sorted(options.events or [1_000_000]):
            if events == 0:
                continue
            folder = base / f"{events}"
            loading_s = 0.0
            if not (folder / LOADED).exists():
                shutil.rmtree(folder, ignore_errors=True)
                rows = synthetic(events, options.users, options.items, options.seed)
                loading_s = fill(Settings(state_dir=folder), rows, range(options.items))
                (folder / LOADED).touch()
            line = refresh(folder, "--force", **PLAIN)
            say(data="synthetic", loading_s=round(loading_s, 1), **line)
            if before is not None:
                grown = math.log(line["events"] / before["events"])
                say(
                    data="growth",
                    sizes=[before["events"], line["events"]],
                    seconds_exponent=round(math.log(line["seconds"] / before["seconds"]) / grown, 2),
                    cpu_exponent=round(math.log(line["cpu_s"] / before["cpu_s"]) / grown, 2),
                    memory_exponent=round(math.log(line["peak_gib"] / before["peak_gib"]) / grown, 2),
                )
            before = line
            if not options.no_incremental:
                more = events // 100
                rows = synthetic(more, options.users, options.items, options.seed, first=events, day=2)
                fill(Settings(state_dir=folder), rows, range(options.items, options.items))
                say(data="synthetic, 1 % more", **refresh(folder, "--incremental", "--force", **PLAIN))


if __name__ == "__main__":
    main()

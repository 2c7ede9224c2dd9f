"""What `benchmarks.serving` serves from: a copy of a state directory, with as many events as asked for. SQLite only."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from cluster.config import Settings
from cluster.store import Store

SEED = 7
LONGEST = 106
"""Events of an invented person at most: MovieLens-100K's mean."""
CHUNK = 50_000

Row = tuple[str, str, str, str, str, float | None, int]
_INSERT = (
    "INSERT INTO events (tenant, event_id, user_id, item_id, type, value, timestamp_ms) VALUES ('default',?,?,?,?,?,?)"
)


def person(number: int) -> str:
    """The id of an invented person."""
    return f"b{number:07d}"


def clone(source: Path, target: Path) -> None:
    """A state directory with the same store, versions and models."""
    target.mkdir(parents=True)
    with sqlite3.connect(source / "tailorbird.db") as live, sqlite3.connect(target / "tailorbird.db") as copy:
        live.backup(copy)
    models = (source / "models").resolve()
    models.mkdir(exist_ok=True)  # the first copy unpacks the model there, for all
    (target / "models").symlink_to(models)


def prepare(state: Path) -> None:
    """Load the demo and train on it, for a machine where `make serve` never ran."""
    environment = os.environ | {"TAILORBIRD_STATE_DIR": str(state)}
    for job in ("demo", "refresh"):
        print(f"python -m jobs.{job} ...", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", f"jobs.{job}"], env=environment, check=True, stdout=subprocess.DEVNULL)


def fill(settings: Settings, rows: int, people: int) -> int:
    """Give `people` invented people the sessions of real ones, in turn, then go on with others until there are `rows`.

    Written past the store's own way, which takes ten times as long: ids are random but inserted in their order, and
    nothing is flushed until the end. Returns the events in the store.
    """
    with Store.open(settings) as store:
        store.migrate()
        found = store.events.of_users("default", [str(number) for number in range(1, 944)], LONGEST)
        count = store.events.count("default")
        path = settings.state_dir / "tailorbird.db"
    sessions = [[(e.item_id, e.type, e.value, e.timestamp_ms) for e in events] for events in found.values() if events]
    random.Random(SEED).shuffle(sessions)
    wanted = max(rows - count, 0)
    total, length = 0, 0
    for length, session in enumerate(cycle(sessions), 1):
        total += len(session)
        if length >= people and total >= wanted:
            break
    ids = np.sort(np.random.default_rng(SEED).integers(0, 2**63, total, dtype=np.uint64)).tolist()

    def made() -> Iterator[tuple[str, str, str, str, float | None, int]]:
        place = iter(ids)
        for number, session in enumerate(islice(cycle(sessions), length)):
            name = person(number)
            for item, kind, value, stamp in session:
                yield f"{next(place):016x}{number:016x}", name, item, kind, value, stamp

    with sqlite3.connect(path) as database:
        database.execute("PRAGMA synchronous=OFF")
        database.execute("PRAGMA cache_size=-1000000")
        database.execute("DROP INDEX ix_events_item")
        database.executemany(_INSERT, made())
        database.execute("CREATE INDEX ix_events_item ON events (tenant, item_id)")
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.sync()
    return count + total

"""What `benchmarks.serving` serves from: a copy of a state directory with as many events as asked for, or an invented
catalogue with its people. SQLite only.
"""

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
import scipy.sparse as sp

from benchmarks._catalogue import synthetic_model
from cluster.artifacts import BundleWriter
from cluster.config import Settings
from cluster.messages import Item, Version
from cluster.store import Store
from graph.bundle import save_model
from graph.model import Model

SEED = 7
LONGEST = 106
"""Events of an invented person at most: MovieLens-100K's mean."""
EVENTS = 20
"""Events of each person of an invented catalogue."""
STARTS = 4
"""Items that such a person begins at; the others are neighbours of these."""
CHUNK = 5_000
DAY_MS = 86_400_000
FIRST_MS = 1_760_000_000_000
TYPES = ("view", "click", "like")
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

    _load(path, made())
    return count + total


def invent(settings: Settings, items: int, people: int) -> int:
    """A catalogue of `items` with a version that ranks it, made without training, and `people` who met some of it.

    Each person has `EVENTS` events, which lie as far apart in the table as they would have come. Returns the events.
    """
    model = synthetic_model(items, SEED)
    version = str(model.meta["version"])
    with Store.open(settings) as store:
        store.migrate()
        for start in range(0, items, CHUNK):
            some = range(start, min(start + CHUNK, items))
            store.items.put([Item(model.item_ids[n], title=f"Thing {n}") for n in some])
        with BundleWriter("graph", {"version": version, "config_hash": model.config.config_hash}) as writer:
            save_model(model, writer.folder)
            url = writer.publish(str(settings.state_dir / "artifacts" / "graph" / version))
        store.registry.publish(Version("graph", version, url, FIRST_MS))
        store.registry.move("default", "graph", version, None)
    met = _met(model, people)
    ids = np.sort(np.random.default_rng(SEED).integers(0, 2**63, met.size, dtype=np.uint64)).tolist()

    def made() -> Iterator[tuple[str, str, str, str, float | None, int]]:
        place = iter(ids)
        step = DAY_MS // EVENTS
        for turn in range(EVENTS):
            for number, item in enumerate(met[:, turn].tolist()):
                event_id = f"{next(place):016x}{number:016x}"
                yield event_id, person(number), model.item_ids[item], TYPES[turn % 3], None, FIRST_MS + turn * step

    _load(settings.state_dir / "tailorbird.db", made())
    return met.size


def _met(model: Model, people: int) -> np.ndarray:
    """(people, EVENTS) items: near a few of each person's own, as the neighbour lists have it."""
    rng = np.random.default_rng(SEED)
    table = sp.csr_matrix(next(kernel.matrix for kernel in model.kernels if kernel.name == "item_item"))
    starts = rng.integers(table.shape[0], size=(people, STARTS))
    met = starts[:, np.arange(EVENTS) % STARTS]
    low, size = table.indptr[met], np.diff(table.indptr)[met]
    near = low + np.floor(rng.random(met.shape) * size).astype(np.int64)
    near[:, :STARTS] = -1
    return np.where((near >= 0) & (size > 0), table.indices[np.minimum(near, len(table.indices) - 1)], met)


def _load(path: Path, rows: Iterator[tuple[str, str, str, str, float | None, int]]) -> None:
    """Events into the store in bulk; one of its indexes is made afterwards, and nothing waits for the disk."""
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA synchronous=OFF")
        database.execute("PRAGMA cache_size=-1000000")
        database.execute("DROP INDEX ix_events_item")
        database.executemany(_INSERT, rows)
        database.execute("CREATE INDEX ix_events_item ON events (tenant, item_id)")
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.sync()

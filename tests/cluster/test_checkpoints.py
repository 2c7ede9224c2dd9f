"""The write-ahead log is brought into the file beside the writer, and stays short however long it writes."""

from __future__ import annotations

import logging
import sqlite3
import time
from pathlib import Path

import pytest

from cluster.config import Settings
from cluster.messages import Event
from cluster.store import Store
from cluster.store.checkpoints import LONGEST, ROWS, Checkpoints, catch_up

PAGE = 4096


def in_file(path: Path) -> int:
    """Events in the file alone, without its log."""
    with sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM events").fetchone()[0])
        except sqlite3.DatabaseError:  # half of a page is there
            return 0


def batch(start: int, count: int) -> list[Event]:
    return [Event(f"e{n:07d}", f"u{n % 997}", "i", "view", 1) for n in range(start, start + count)]


def test_what_was_committed_comes_into_the_file_while_the_store_is_open(tmp_path: Path) -> None:
    with Store.open(Settings(state_dir=tmp_path)) as store:
        store.migrate()
        for start in range(0, 4 * ROWS, 50):
            store.events.append(batch(start, 50))
        end = time.monotonic() + 10
        while in_file(tmp_path / "tailorbird.db") < 3 * ROWS:
            assert time.monotonic() < end
            time.sleep(0.02)


def test_the_log_stays_short_under_a_writer_that_never_rests(tmp_path: Path) -> None:
    with Store.open(Settings(state_dir=tmp_path)) as store:
        store.migrate()
        for start in range(0, 40_000, 100):
            store.events.append(batch(start * 7919 % 10_000_019, 100))
        log = tmp_path / "tailorbird.db-wal"
        assert log.stat().st_size < 2 * LONGEST * PAGE
    assert not log.exists()  # the last connection tidies up, so none is left open


def test_a_checkpoint_that_fails_is_told_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = 0

    def failing(connection: sqlite3.Connection) -> None:
        nonlocal tried
        tried += 1
        if tried < 4:
            raise sqlite3.OperationalError("database or disk is full")
        catch_up(connection)

    monkeypatch.setattr("cluster.store.checkpoints.catch_up", failing)
    with caplog.at_level(logging.WARNING, "tailorbird.store"):
        checkpoints = Checkpoints(lambda: sqlite3.connect(tmp_path / "some.db", check_same_thread=False))
        rows = 0
        end = time.monotonic() + 10
        while tried < 4:
            rows += ROWS
            checkpoints.written(rows)
            assert time.monotonic() < end
            time.sleep(0.01)
        checkpoints.close()
    assert [record.message for record in caplog.records] == ["no checkpoint: database or disk is full"]


def test_few_rows_are_left_to_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr("cluster.store.checkpoints.catch_up", lambda connection: made.append(1))
    checkpoints = Checkpoints(lambda: sqlite3.connect(tmp_path / "some.db", check_same_thread=False))
    for rows in range(ROWS):
        checkpoints.written(rows)
    time.sleep(0.1)
    assert not made
    checkpoints.close()

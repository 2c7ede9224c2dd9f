"""Bringing SQLite's write-ahead log into the database file beside the writer, not in its way.

By itself SQLite does it in the commit that makes the log longer than a number of pages: where the store is large these
lie all over it, and every fifteenth commit takes ten times as long as the others. A thread with a connection of its own
does the same while commits go on (a passive checkpoint waits for nobody, and nobody for it). What it cannot do is catch
up with a writer that never rests, so passes follow each other, each shorter than the one before; what is left of a log
of `LONGEST` pages the next commit does, as before.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable

LONGEST = 4_000
"""Pages of the log at which a commit does what is left to do."""
ROWS = 250
"""Rows that are worth a checkpoint: some 600 pages of a large store."""
PAUSE_S = 0.05
PASSES = 6

log = logging.getLogger("tailorbird.store")


class Checkpoints:
    """Makes checkpoints in a thread of its own until it is closed.

    Args:
        connect: opens the connection for it.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._rows = 0
        self._due = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
        self._thread.start()

    def written(self, rows: int) -> None:
        """Tell how many rows the writing connection has written in all; never waits."""
        if not 0 <= rows - self._rows < ROWS:
            self._rows = rows
            self._due.set()

    def close(self) -> None:
        """End the thread and its connection."""
        self._closed.set()
        self._due.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            connection = self._connect()
        except sqlite3.Error as error:
            log.warning("checkpoints are made by commits: %s", error)
            return
        told = False
        try:
            while self._due.wait() and not self._closed.is_set():
                self._due.clear()
                try:
                    catch_up(connection)
                    told = False
                except sqlite3.Error as error:  # a full disk, say: commits tell their callers
                    if not told:
                        log.warning("no checkpoint: %s", error)
                    told = True
                self._closed.wait(PAUSE_S)
        finally:
            connection.close()


def catch_up(connection: sqlite3.Connection) -> None:
    """Make checkpoints until there is nothing new in the log, `PASSES` at most."""
    before: tuple[int, ...] = ()
    for _ in range(PASSES):
        (found,) = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        if found == before:
            return
        before = found

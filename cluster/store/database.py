"""Connections: how each of the two databases is opened, read and written.

`Database.reading()` and `Database.writing()` are the only ways in. On SQLite one connection in one process writes rows
(see `lock`), beside one that makes checkpoints (see `checkpoints`), and reading connections are opened read-only, so
that no reader can ever write. On PostgreSQL both come from one pool.

Sequence numbers and commits: whoever tails a table by sequence number must not pass a row whose transaction commits
later than that of a higher number. SQLite's writers take turns anyway. On PostgreSQL `ordered` takes an advisory lock
that lives until the commit is visible, so numbers become visible in their order.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, TimeoutError
from sqlalchemy.pool import QueuePool

from cluster.cipher import FieldCipher
from cluster.config import Settings
from cluster.errors import ConfigError, FullError, UnavailableError
from cluster.store.checkpoints import LONGEST, Checkpoints
from cluster.store.lock import WriterLock

log = logging.getLogger("tailorbird.store")

Gateway = Callable[[str, str, tuple[Any, ...]], Any]
"""Carries a write (part, method, arguments) to the process that may do it, and brings the result back."""

# Advisory locks are numbers that a database's users agree on; these are "tailorbi" and "tailorbj" in ASCII.
EVENT_ORDER_LOCK = 0x7461696C6F726269
MIGRATION_LOCK = 0x7461696C6F72626A
DISK_FULL = "53100"
"""What PostgreSQL calls it."""
AWAY = "the database does not answer"
"""What clients are told; what the driver says, which names hosts, users and files, goes to the log."""
TELL_AGAIN_S = 10.0
CONNECTION = {
    "connect_timeout": 10,
    "application_name": "tailorbird",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""To PostgreSQL. A server that vanishes without a word (its machine, the network) is given up after 25 s; by the
kernel's own rules a statement would wait for a quarter of an hour, and an idle connection for two hours."""
SESSION = {
    "statement_timeout": 600_000,
    "tcp_keepalives_idle": 10,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""What the server is told: to end a statement that goes on for longer than any should (migrations excepted), and to
give us up as soon, so that the locks of a process whose machine is gone are free. Milliseconds and seconds."""


class Database:
    """One database as one process sees it. Safe to share between threads.

    Args:
        settings: where it is and how long to wait for it.
        readonly: open nothing that could write; needs the database to exist when it is SQLite.
        gateway: send writes there instead; reads stay here. Implies `readonly`.
        wait_s: how long to wait for the right to write (SQLite).
    """

    def __init__(
        self, settings: Settings, *, readonly: bool = False, gateway: Gateway | None = None, wait_s: float = 0.0
    ) -> None:
        self.gateway = gateway
        self.readonly = readonly or gateway is not None
        self.cipher = FieldCipher(settings)
        self._lock: WriterLock | None = None
        self._one_writer = threading.Lock()
        self._writer: Engine | None = None
        self._checkpoints: Checkpoints | None = None
        if settings.uses_sqlite:
            self.dialect = "sqlite"
            path = _sqlite_path(settings)
            self._one_at_a_time = True
            if not self.readonly:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._lock = WriterLock(path, wait_s)
                self._writer = _sqlite_engine(path, settings, readonly=False)
                with self.writing():  # creates the file and its WAL, which read-only connections need
                    pass
                self._checkpoints = Checkpoints(partial(_sqlite_connection, path, settings, readonly=False))
            self._reader = _sqlite_engine(path, settings, readonly=True)
        else:
            self.dialect = "postgresql"
            self._one_at_a_time = False
            self._reader = _postgres_engine(settings)
            self._writer = None if self.readonly else self._reader

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for reading; each statement sees what was committed when it began."""
        with _translated(), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction, committed when the block ends without an error. What was committed is on disk."""
        if self._writer is None:
            raise UnavailableError("the store was opened for reading only")
        if self._one_at_a_time:
            with self._one_writer, _translated(), self._writer.begin() as connection:
                yield connection
                driver: Any = connection.connection.driver_connection
            if self._checkpoints is not None:
                self._checkpoints.written(driver.total_changes)
        else:
            with _translated(), self._writer.begin() as connection:
                yield connection

    def ordered(self, connection: Connection) -> None:
        """Make the event numbers given out in this transaction visible in their order (see the module)."""
        if self.dialect == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (EVENT_ORDER_LOCK,))

    def checkpoint(self) -> bool:
        """Bring what was deleted out of SQLite's write-ahead log, where the old pages would stay readable.

        Returns:
            Whether the log is empty now; a reader that holds on to old pages for long prevents it.
        """
        if self.dialect != "sqlite" or self._writer is None:
            return True
        with self._one_writer, _translated():
            connection = self._writer.raw_connection()
            try:
                ((busy, *_),) = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                return not busy
            finally:
                connection.close()

    def close(self) -> None:
        """Close all connections and give the right to write back."""
        if self._checkpoints is not None:
            self._checkpoints.close()
        self._reader.dispose()
        if self._writer is not None:
            self._writer.dispose()
        if self._lock is not None:
            self._lock.release()


def _sqlite_path(settings: Settings) -> Path:
    name = make_url(settings.resolved_database_url).database
    if not name or name == ":memory:":
        raise ConfigError("database_url names no file: SQLite in memory cannot be shared between processes")
    return Path(name).resolve()


def _sqlite_connection(path: Path, settings: Settings, *, readonly: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={'ro' if readonly else 'rwc'}",
        uri=True,
        timeout=settings.store.busy_timeout_s,
        isolation_level=None,  # we say BEGIN ourselves: the driver's own rules differ between Python versions
        check_same_thread=False,
    )
    cache_bytes = settings.store.sqlite_cache_bytes
    connection.execute(f"PRAGMA cache_size=-{(cache_bytes // 4 if readonly else cache_bytes) // 1024}")
    if not readonly:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # NORMAL loses acknowledged rows when the power fails
        connection.execute("PRAGMA secure_delete=ON")  # an erased person leaves no bytes behind
        connection.execute(f"PRAGMA wal_autocheckpoint={LONGEST}")
    return connection


def _sqlite_engine(path: Path, settings: Settings, *, readonly: bool) -> Engine:
    if readonly and not path.exists():
        raise UnavailableError(f"the database {str(path)!r} does not exist yet")
    size = settings.store.pool_size if readonly else 1
    engine = create_engine(
        "sqlite://",
        hide_parameters=True,  # errors are logged, and parameters are people's data
        creator=partial(_sqlite_connection, path, settings, readonly=readonly),
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=0,
        pool_timeout=settings.store.busy_timeout_s,
        pool_use_lifo=True,  # so that few connections, and few caches, do most of the reading
    )
    if not readonly:
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _postgres_engine(settings: Settings) -> Engine:
    url = make_url(settings.resolved_database_url)
    if url.drivername in {"postgres", "postgresql"}:
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername != "postgresql+psycopg":
        raise ConfigError(f"database_url is of kind {url.drivername!r}: only sqlite and postgresql are known")
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=settings.store.pool_size,
        max_overflow=0,
        pool_timeout=settings.store.busy_timeout_s,
        pool_pre_ping=True,
        connect_args={name: value for name, value in CONNECTION.items() if name not in url.query},
    )
    event.listen(engine, "connect", _begin_session)
    return engine


def _begin_session(connection: Any, _: object) -> None:
    """Not as options of the connection, which poolers in front of PostgreSQL refuse."""
    connection.autocommit = True
    connection.execute("; ".join(f"SET {name} = {value}" for name, value in SESSION.items()))
    connection.autocommit = False


@contextmanager
def _translated() -> Iterator[None]:
    """A database that cannot be reached, is locked or full becomes an `UnavailableError`; our own faults stay."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise _away(error.orig) from error
    except TimeoutError as error:
        raise UnavailableError("all connections to the database are in use") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise _away(error.orig) from error
        raise
    except sqlite3.OperationalError as error:  # from the driver itself, on the append path
        raise _away(error) from error


_told: dict[str, float] = {}
"""What the driver said lately, and when it was logged."""


def _away(error: BaseException | None) -> UnavailableError:
    """The error for whoever asked; the driver's own words are logged, the same ones every `TELL_AGAIN_S`."""
    said = " ".join(str(error).split())[:500]
    now_s = time.monotonic()
    if now_s - _told.get(said, -TELL_AGAIN_S) >= TELL_AGAIN_S:
        _told.clear()
        _told[said] = now_s
        log.warning("%s: %s", AWAY, said)
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or getattr(error, "sqlstate", None) == DISK_FULL:
        return FullError("the database's disk is full")
    return UnavailableError(AWAY)

"""The store: one SQL database with its parts, as one process sees it.

All methods block and are thread-safe; asynchronous callers put them into threads. Errors of the database itself reach
the caller as `UnavailableError`.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from cluster.config import Settings
from cluster.errors import InputError
from cluster.store.api_keys import KeyStore
from cluster.store.audit import AuditLog
from cluster.store.database import MIGRATION_LOCK, Database, Gateway
from cluster.store.entities import ItemStore, UserStore
from cluster.store.events import EventStore
from cluster.store.feedback import FeedbackStore
from cluster.store.operations import OperationStore
from cluster.store.outcomes import Outcomes
from cluster.store.part import Part
from cluster.store.person import Person
from cluster.store.registry import Registry
from cluster.store.rekey import Rekey
from cluster.store.retention import Retention
from cluster.store.rules import RuleStore


class Store:
    """Parts: `events`, `items`, `users`, `registry`, `feedback`, `retention`, `operations`, `outcomes`, `api_keys`,
    `audit`, `person`, `rekey`, `rules`.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.events = EventStore(database)
        self.items = ItemStore(database)
        self.users = UserStore(database)
        self.registry = Registry(database)
        self.feedback = FeedbackStore(database)
        self.retention = Retention(database)
        self.operations = OperationStore(database)
        self.outcomes = Outcomes(database)
        self.api_keys = KeyStore(database)
        self.audit = AuditLog(database)
        self.person = Person(database)
        self.rekey = Rekey(database)
        self.rules = RuleStore(database)
        parts: tuple[Part, ...] = (
            self.events,
            self.items,
            self.users,
            self.registry,
            self.feedback,
            self.retention,
            self.operations,
            self.outcomes,
            self.api_keys,
            self.audit,
            self.person,
            self.rekey,
            self.rules,
        )
        self._parts = {part.name: part for part in parts}

    @classmethod
    def open(
        cls, settings: Settings, readonly: bool = False, *, gateway: Gateway | None = None, wait_s: float = 0.0
    ) -> Store:
        """Open the database of the settings. A new one is empty until `migrate`.

        Args:
            settings: where the database is.
            readonly: only read. SQLite: needs no right to write, but an existing file.
            gateway: read here, write there (see `connect`).
            wait_s: SQLite: how long to wait for the right to write.

        Raises:
            UnavailableError: SQLite: another process is the writer, or there is no file to read.
        """
        return cls(Database(settings, readonly=readonly, gateway=gateway, wait_s=wait_s))

    def migrate(self) -> None:
        """Bring the tables to what this code expects. Two processes may call it at once."""
        from cluster.store.migrations.run import upgrade

        with self.database.writing() as connection:
            if self.database.dialect == "postgresql":
                connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
            upgrade(connection)

    def apply(self, part: str, method: str, args: tuple[Any, ...]) -> Any:
        """A write that came through the gateway.

        Raises:
            InputError: no such write exists.
        """
        target = self._parts.get(part)
        if target is None or method not in target.writes:
            raise InputError(f"{part}.{method} is not a write of the store")
        return getattr(target, method)(*args)

    def close(self) -> None:
        """Close all connections; SQLite: give the right to write back."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

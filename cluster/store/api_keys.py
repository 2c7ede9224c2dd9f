"""API keys as they are stored: never the key, only its digest (see `cluster.api_keys`).

Each change moves a counter, so that a replica sees with one small read whether it has to read the keys again. A change
and its entry in the audit log are one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from cluster.errors import ConflictError, NotFoundError
from cluster.store.audit import AuditEntry, note
from cluster.store.part import Part, dump, load, write
from cluster.store.tables import api_keys, counters


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One key. `limits` are rates such as `100/minute`, `replaces` is the id of the key that it was rotated from."""

    key_id: str
    tenant: str
    name: str
    scopes: tuple[str, ...]
    digest: bytes
    created_ms: int
    limits: tuple[str, ...] = ()
    expires_ms: int | None = None
    revoked_ms: int | None = None
    replaces: str | None = None

    def is_valid(self, now_ms: int) -> bool:
        """Whether the key opens anything at a time."""
        return self.revoked_ms is None and (self.expires_ms is None or now_ms < self.expires_ms)


class KeyStore(Part):
    """See the module."""

    name = "api_keys"

    @write
    def add(self, key: StoredKey, entry: AuditEntry) -> None:
        """Store a new key. Repeated with the same key it changes nothing."""
        with self.database.writing() as connection:
            if self._insert(connection, key):
                note(connection, entry)

    @write
    def rotate(self, old_id: str, key: StoredKey, old_expires_ms: int, entry: AuditEntry) -> None:
        """Store the key that takes the place of another, which ends at a time (or before, if it ended before).

        Raises:
            NotFoundError: there is no such key of the new key's tenant.
            ConflictError: it is revoked or over.
        """
        with self.database.writing() as connection:
            old = self._one(connection, key.tenant, old_id)
            if not self._insert(connection, key):
                return  # repeated after a lost answer
            if not old.is_valid(time.time_ns() // 1_000_000):
                raise ConflictError(f"key {old_id!r} is revoked or over: create a new one")
            ends_ms = min(old_expires_ms, old.expires_ms or old_expires_ms)
            connection.execute(update(api_keys).where(api_keys.c.key_id == old_id).values(expires_ms=ends_ms))
            note(connection, entry)

    @write
    def revoke(self, tenant: str | None, key_id: str, entry: AuditEntry) -> bool:
        """End a key now; whether it was not revoked before.

        Raises:
            NotFoundError: there is none with this id in the tenant (None: in any).
        """
        now_ms = time.time_ns() // 1_000_000
        with self.database.writing() as connection:
            if self._one(connection, tenant, key_id).revoked_ms is not None:
                return False
            connection.execute(update(api_keys).where(api_keys.c.key_id == key_id).values(revoked_ms=now_ms))
            self._advance(connection)
            note(connection, entry)
        return True

    def get(self, tenant: str | None, key_id: str) -> StoredKey:
        """One key.

        Raises:
            NotFoundError: there is none with this id in the tenant (None: in any).
        """
        with self.database.reading() as connection:
            return self._one(connection, tenant, key_id)

    def all(self, tenant: str | None = None) -> list[StoredKey]:
        """All keys of a tenant, or of all, the oldest first, those that are over too."""
        statement = select(api_keys).order_by(api_keys.c.created_ms, api_keys.c.key_id)
        if tenant is not None:
            statement = statement.where(api_keys.c.tenant == tenant)
        with self.database.reading() as connection:
            return [_key(row) for row in connection.execute(statement).mappings()]

    def version(self) -> int:
        """A number that another change has moved: equal numbers mean equal keys."""
        with self.database.reading() as connection:
            return connection.execute(select(counters.c.value).where(counters.c.name == self.name)).scalar_one()

    def _one(self, connection: Connection, tenant: str | None, key_id: str) -> StoredKey:
        row = connection.execute(select(api_keys).where(api_keys.c.key_id == key_id)).mappings().first()
        if row is None or tenant not in {None, row["tenant"]}:
            raise NotFoundError(f"there is no key {key_id[:64]!r}")
        return _key(row)

    def _insert(self, connection: Connection, key: StoredKey) -> bool:
        if connection.execute(select(api_keys.c.key_id).where(api_keys.c.key_id == key.key_id)).first() is not None:
            return False
        row: dict[str, Any] = {column.name: getattr(key, column.name) for column in api_keys.columns}
        row |= {"scopes": dump(key.scopes), "limits": dump(key.limits) if key.limits else None}
        connection.execute(insert(api_keys), row)
        self._advance(connection)
        return True

    def _advance(self, connection: Connection) -> None:
        here = counters.c.name == self.name
        connection.execute(update(counters).where(here).values(value=counters.c.value + 1))


def _key(row: Any) -> StoredKey:
    lists: dict[str, Sequence[str]] = {
        "scopes": tuple(load(row["scopes"])),
        "limits": tuple(load(row["limits"])) if row["limits"] else (),
    }
    return StoredKey(**(dict(row) | lists | {"digest": bytes(row["digest"])}))

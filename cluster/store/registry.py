"""The registry: which versions were published, which one is live, and how that came about.

The live pointer is a row that is moved by compare-and-swap. A bundle is complete before it is published here, and
published before the pointer moves, so whatever the pointer names can be loaded.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from cluster.errors import ConflictError, NotFoundError
from cluster.messages import Version
from cluster.store.part import Part, dump, load, write
from cluster.store.tables import moves, pointers, versions


@dataclass(frozen=True, slots=True)
class Move:
    """One move of a pointer. `from_version` is None for the first."""

    from_version: str | None
    to_version: str
    moved_ms: int


class Registry(Part):
    """See the module. The bundle that ranks is named `graph`."""

    name = "registry"

    @write
    def publish(self, version: Version) -> None:
        """Record a version whose bundle is complete at its URL.

        Raises:
            ConflictError: this version is there already; versions are immutable.
        """
        row = {
            "tenant": version.tenant,
            "name": version.name,
            "version": version.version,
            "url": version.url,
            "created_ms": version.created_ms,
            "metrics": dump(dict(version.metrics)),
        }
        try:
            with self.database.writing() as connection:
                connection.execute(insert(versions), row)
        except IntegrityError:
            raise ConflictError(f"{version.name} version {version.version!r} was published before") from None

    def live(self, tenant: str, name: str) -> Version | None:
        """The version that the pointer names; None when nothing was made live yet."""
        with self.database.reading() as connection:
            row = connection.execute(_live(name).where(versions.c.tenant == tenant)).first()
        return None if row is None else _version(row)

    def live_of_all(self, name: str) -> dict[str, Version]:
        """The live version of each tenant that has one."""
        with self.database.reading() as connection:
            found = connection.execute(_live(name)).fetchall()
        return {row.tenant: _version(row) for row in found}

    @write
    def move(self, tenant: str, name: str, to: str, expected: str | None) -> None:
        """Make a version live, if the live one is still the expected (None: if none is).

        Raises:
            NotFoundError: `to` was never published.
            ConflictError: the pointer is elsewhere by now.
        """
        now_ms = time.time_ns() // 1_000_000
        key = {"tenant": tenant, "name": name}
        with self.database.writing() as connection:
            if not self._exists(connection, tenant, name, to):
                raise NotFoundError(f"{name} has no version {to!r}")
            if expected is None:
                moved = self._first(connection, key | {"version": to, "moved_ms": now_ms})
            else:
                statement = (
                    update(pointers)
                    .where(pointers.c.tenant == tenant, pointers.c.name == name, pointers.c.version == expected)
                    .values(version=to, moved_ms=now_ms)
                )
                moved = connection.execute(statement).rowcount == 1
            if not moved:
                raise ConflictError(f"the live {name} version is no longer {expected!r}")
            connection.execute(insert(moves), key | {"from_version": expected, "to_version": to, "moved_ms": now_ms})

    def history(self, tenant: str, name: str, limit: int = 100) -> list[Move]:
        """How the pointer moved, newest first."""
        statement = (
            select(moves.c.from_version, moves.c.to_version, moves.c.moved_ms)
            .where(moves.c.tenant == tenant, moves.c.name == name)
            .order_by(moves.c.seq.desc())
            .limit(limit)
        )
        with self.database.reading() as connection:
            return [Move(*row) for row in connection.execute(statement)]

    def versions(self, tenant: str, name: str) -> list[Version]:
        """What was published and not removed, newest first."""
        statement = (
            select(versions)
            .where(versions.c.tenant == tenant, versions.c.name == name)
            .order_by(versions.c.created_ms.desc(), versions.c.version.desc())
        )
        with self.database.reading() as connection:
            return [_version(row) for row in connection.execute(statement)]

    @write
    def remove(self, tenant: str, name: str, version: str) -> None:
        """Forget a version, before its bundle is deleted.

        Raises:
            ConflictError: it is live.
        """
        with self.database.writing() as connection:
            live = select(pointers.c.version).where(pointers.c.tenant == tenant, pointers.c.name == name)
            if connection.execute(live.with_for_update()).scalar() == version:
                raise ConflictError(f"{name} version {version!r} is live")
            connection.execute(
                delete(versions).where(
                    versions.c.tenant == tenant, versions.c.name == name, versions.c.version == version
                )
            )

    def _exists(self, connection: Connection, tenant: str, name: str, version: str) -> bool:
        # Shared lock on PostgreSQL: a removal that runs at the same time waits for the pointer, or the pointer for it.
        statement = select(versions.c.version).where(
            versions.c.tenant == tenant, versions.c.name == name, versions.c.version == version
        )
        return connection.execute(statement.with_for_update(read=True)).first() is not None

    def _first(self, connection: Connection, row: dict[str, Any]) -> bool:
        statement = self.insert_into(pointers).values(row).on_conflict_do_nothing().returning(pointers.c.version)
        return connection.execute(statement).first() is not None


def _live(name: str) -> Select[Any]:
    """The versions of a name that are live, of all tenants."""
    same = [versions.c[key] == pointers.c[key] for key in ("tenant", "name", "version")]
    return select(versions).join(pointers, and_(*same)).where(versions.c.name == name)


def _version(row: Any) -> Version:
    return Version(
        name=row.name,
        version=row.version,
        url=row.url,
        created_ms=row.created_ms,
        metrics=load(row.metrics),
        tenant=row.tenant,
    )

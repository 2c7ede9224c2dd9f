"""Items and users: documents by (tenant, id) with a change feed.

Each change takes the next number of a counter. The counter's row stays locked until the commit, so that numbers become
visible in their order on PostgreSQL too, and a reader that polls `changes` misses nothing. A deleted item leaves a
tombstone, which tells the readers; a deleted user leaves nothing at all, and `retention` tells the shards.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Table, delete, func, select, update

from cluster.messages import Item, User
from cluster.store.part import Part, dump, load, write
from cluster.store.tables import counters, items, users
from cluster.vectors import written_vectors

Entity = TypeVar("Entity", Item, User)

IN_LIMIT = 500
"""Ids in one IN list: SQLite allows 32,766 variables, and short statements are planned once."""


@dataclass(frozen=True, slots=True)
class Change(Generic[Entity]):
    """One entry of the change feed. `item` is None when it was deleted. Only the last change of each id is kept."""

    seq: int
    tenant: str
    item_id: str
    item: Entity | None


class EntityStore(Part, Generic[Entity]):
    """Documents of one kind; see the module. Subclasses say which."""

    table: Table
    id_column: str
    kind: Callable[..., Entity]
    tombstones: bool

    @write
    def put(self, batch: list[Entity]) -> None:
        """Store these, in one transaction, in place of what has their ids. `updated_ms` 0 becomes the present."""
        if not batch:
            return
        now_ms = _now_ms()
        # Of two with one id the last wins; sorted, so that two writers of PostgreSQL lock rows in one order.
        chosen = {(entity.tenant, self._id(entity)): entity for entity in batch}
        with self.database.writing() as connection:
            last = self._advance(connection, len(chosen))
            rows = [
                {
                    "tenant": tenant,
                    self.id_column: entity_id,
                    "seq": last - len(chosen) + place,
                    "updated_ms": entity.updated_ms or now_ms,
                    "document": self._dump(entity),
                }
                for place, ((tenant, entity_id), entity) in enumerate(sorted(chosen.items(), key=lambda e: e[0]), 1)
            ]
            self._upsert(connection, rows)

    @write
    def replace(self, entity: Entity, before: Entity) -> bool:
        """Store this if what is stored under its id is still `before`; whether it was."""
        with self.database.writing() as connection:
            # The counter's row is the lock of all writers of this kind: nobody comes between the look and the change.
            seq = self._advance(connection, 1)
            if self._get(connection, entity.tenant, [self._id(entity)]).get(self._id(entity)) != before:
                return False
            row = {"tenant": entity.tenant, self.id_column: self._id(entity), "document": self._dump(entity)}
            self._upsert(connection, [row | {"seq": seq, "updated_ms": entity.updated_ms or _now_ms()}])
        return True

    @write
    def delete(self, tenant: str, ids: list[str]) -> list[bool]:
        """Delete these, and say of each, in order, whether it was there."""
        with self.database.writing() as connection:
            found = self._get(connection, tenant, ids)
            present = sorted(found)
            if self.tombstones and present:
                last = self._advance(connection, len(present))
                self._upsert(
                    connection,
                    [
                        {
                            "tenant": tenant,
                            self.id_column: entity_id,
                            "seq": last - len(present) + place,
                            "updated_ms": _now_ms(),
                            "document": None,
                        }
                        for place, entity_id in enumerate(present, 1)
                    ],
                )
            else:
                for chunk in _chunks(present):
                    connection.execute(
                        delete(self.table).where(self.table.c.tenant == tenant, self.table.c[self.id_column].in_(chunk))
                    )
        return [entity_id in found for entity_id in ids]

    def get(self, tenant: str, ids: Sequence[str]) -> dict[str, Entity]:
        """Those of the ids that exist."""
        with self.database.reading() as connection:
            return self._get(connection, tenant, ids)

    def count(self, tenant: str) -> int:
        """How many exist."""
        statement = (
            select(func.count())
            .select_from(self.table)
            .where(self.table.c.tenant == tenant, self.table.c.document.is_not(None))
        )
        with self.database.reading() as connection:
            return connection.execute(statement).scalar_one()

    def changes(self, since_seq: int, limit: int) -> list[Change[Entity]]:
        """What changed after a number, of all tenants, in order, at most `limit`."""
        statement = select(self.table).where(self.table.c.seq > since_seq).order_by(self.table.c.seq).limit(limit)
        with self.database.reading() as connection:
            return [
                Change(row.seq, row.tenant, getattr(row, self.id_column), self._load(row) if row.document else None)
                for row in connection.execute(statement)
            ]

    def scan(self, tenant: str, after_id: str = "", limit: int = 10_000) -> list[Entity]:
        """A page in the order of ids (the database's order of text); the last id is where the next page starts."""
        statement = (
            select(self.table)
            .where(
                self.table.c.tenant == tenant,
                self.table.c[self.id_column] > after_id,
                self.table.c.document.is_not(None),
            )
            .order_by(self.table.c[self.id_column])
            .limit(limit)
        )
        with self.database.reading() as connection:
            return [self._load(row) for row in connection.execute(statement)]

    def _get(self, connection: Connection, tenant: str, ids: Sequence[str]) -> dict[str, Entity]:
        found = {}
        for chunk in _chunks(ids):
            statement = select(self.table).where(
                self.table.c.tenant == tenant,
                self.table.c[self.id_column].in_(chunk),
                self.table.c.document.is_not(None),
            )
            for row in connection.execute(statement):
                found[getattr(row, self.id_column)] = self._load(row)
        return found

    def _advance(self, connection: Connection, n: int) -> int:
        """Take n numbers of the counter; returns the last of them."""
        statement = (
            update(counters)
            .where(counters.c.name == self.name)
            .values(value=counters.c.value + n)
            .returning(counters.c.value)
        )
        return connection.execute(statement).scalar_one()

    def _upsert(self, connection: Connection, rows: list[dict[str, Any]]) -> None:
        statement = self.insert_into(self.table)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["tenant", self.id_column],
                set_={name: statement.excluded[name] for name in ("seq", "updated_ms", "document")},
            ),
            rows,
        )

    def _seal(self, document: str) -> str:
        """A document's text as it is stored; see `cluster.cipher`. What is no person's stays as it is."""
        return document

    def _open(self, stored: str) -> str:
        return stored

    def _written(self, document: dict[str, Any]) -> dict[str, Any]:
        """A document as JSON has it. Most kinds hold nothing else."""
        return document

    def _read(self, document: dict[str, Any]) -> dict[str, Any]:
        return document

    def _id(self, entity: Entity) -> str:
        return getattr(entity, self.id_column)

    def _dump(self, entity: Entity) -> str:
        """All fields but the key and the time, those at their default left out."""
        document = {}
        for spec in fields(entity):
            value = getattr(entity, spec.name)
            if spec.name not in {"tenant", self.id_column, "updated_ms"} and value != spec.default and value != {}:
                document[spec.name] = dict(value) if isinstance(value, Mapping) else value
        return self._seal(dump(self._written(document)))

    def _load(self, row: Any) -> Entity:
        stored = self._read(load(self._open(row.document)))
        document = {name: tuple(v) if isinstance(v, list) else v for name, v in stored.items()}
        key = {"tenant": row.tenant, self.id_column: getattr(row, self.id_column), "updated_ms": row.updated_ms}
        return self.kind(**(key | document))


class ItemStore(EntityStore[Item]):
    """The catalogue."""

    name = "items"
    table = items
    id_column = "item_id"
    kind = Item
    tombstones = True

    def _written(self, document: dict[str, Any]) -> dict[str, Any]:
        return document | {"vectors": written_vectors(document["vectors"])} if "vectors" in document else document

    def _read(self, document: dict[str, Any]) -> dict[str, Any]:
        vectors = {name: array("f", numbers) for name, numbers in document.get("vectors", {}).items()}
        return document | {"vectors": vectors} if vectors else document


class UserStore(EntityStore[User]):
    """People's attributes. Erasing a person with all that belongs to them is `Retention.erase`."""

    name = "users"
    table = users
    id_column = "user_id"
    kind = User
    tombstones = False

    def _seal(self, document: str) -> str:
        return self.database.cipher.seal(document)

    def _open(self, stored: str) -> str:
        return self.database.cipher.open(stored)


def _chunks(ids: Iterable[str]) -> Iterable[list[str]]:
    unique = list(dict.fromkeys(ids))
    return (unique[start : start + IN_LIMIT] for start in range(0, len(unique), IN_LIMIT))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

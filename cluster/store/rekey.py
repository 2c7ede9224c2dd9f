"""Bringing what is stored under new keys: pseudonyms of people, and texts that are encrypted at rest.

Both go in small steps beside live requests, can be stopped anywhere, and find by themselves what is left to do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Table, delete, insert, select, union, update

from cluster.store.part import Part, write
from cluster.store.retention import user_digest
from cluster.store.tables import erasures, events, feedback, operations, recommendations, users

PAGE_ROWS = 2_000
PERSONAL = (events, users, feedback, recommendations)
SEALED: dict[str, Column[str]] = {
    "events": events.c.context,
    "feedback": feedback.c.comment,
    "users": users.c.document,
}


class Rekey(Part):
    """See the module."""

    name = "rekey"

    def people(self) -> Iterator[tuple[str, str]]:
        """Tenant and stored id of everybody of whom anything is stored, once each, in order."""
        after = ("", "")
        named = union(*(select(t.c.tenant, t.c.user_id).where(t.c.user_id.is_not(None)) for t in PERSONAL)).subquery()
        while True:
            later = (named.c.tenant > after[0]) | ((named.c.tenant == after[0]) & (named.c.user_id > after[1]))
            page = select(named).where(later).order_by(named.c.tenant, named.c.user_id).limit(PAGE_ROWS)
            with self.database.reading() as connection:
                rows = connection.execute(page).fetchall()
            yield from ((row[0], row[1]) for row in rows)
            if len(rows) < PAGE_ROWS:
                return
            after = (rows[-1][0], rows[-1][1])

    @write
    def rename(self, tenant: str, people: list[tuple[str, str]]) -> list[int]:
        """Give each person (old id, new id) the new id everywhere, in one transaction; how many rows of each changed.

        What came under the new id meanwhile is joined, and of two records of a user the newer id's stays. The shards
        learn of it as of an erasure, and load both sessions again.
        """
        counts = []
        with self.database.writing() as connection:
            self.database.ordered(connection)
            for old, new in people:
                kept = connection.execute(select(users.c.seq).where(users.c.tenant == tenant, users.c.user_id == new))
                if kept.first() is not None:
                    connection.execute(delete(users).where(users.c.tenant == tenant, users.c.user_id == old))
                changed = 0
                for table in PERSONAL:
                    mine = (table.c.tenant == tenant, table.c.user_id == old)
                    changed += connection.execute(update(table).where(*mine).values(user_id=new)).rowcount
                begun = (operations.c.tenant == tenant, operations.c.subject == old)
                connection.execute(update(operations).where(*begun).values(subject=new))
                now_ms = time.time_ns() // 1_000_000
                for user_id in (old, new):
                    connection.execute(insert(erasures), {"digest": user_digest(tenant, user_id), "erased_ms": now_ms})
                counts.append(changed)
        return counts

    def texts(self, table: str) -> Iterator[list[tuple[Any, ...]]]:
        """Keys of the rows whose text is not stored as it would be now, a page at a time."""
        column = SEALED[table]
        key = _key(column.table)
        after: tuple[Any, ...] | None = None
        while True:
            page = select(*key, column).where(column.is_not(None)).order_by(*key).limit(PAGE_ROWS)
            if after is not None:
                page = page.where(_after(key, after))
            with self.database.reading() as connection:
                rows = connection.execute(page).fetchall()
            stale = [tuple(row[:-1]) for row in rows if not self.database.cipher.is_current(row[-1])]
            if stale:
                yield stale
            if len(rows) < PAGE_ROWS:
                return
            after = tuple(rows[-1][:-1])

    @write
    def reseal(self, table: str, keys: list[tuple[Any, ...]]) -> list[int]:
        """Store the texts of these rows as they would be stored now; 1 for each that was there."""
        column = SEALED[table]
        done = []
        with self.database.writing() as connection:
            for key in keys:
                here = [part == value for part, value in zip(_key(column.table), key, strict=True)]
                text = connection.execute(select(column).where(*here)).scalar()
                if text is not None:
                    cipher = self.database.cipher
                    sealed = {column.name: cipher.seal(cipher.open(text))}
                    connection.execute(update(column.table).where(*here).values(sealed))
                done.append(int(text is not None))
        return done

    @write
    def checkpoint(self) -> bool:
        """Bring what was replaced out of SQLite's write-ahead log; see `Database.checkpoint`."""
        return self.database.checkpoint()


def _key(table: Any) -> tuple[Column[Any], ...]:
    assert isinstance(table, Table)
    return tuple(table.primary_key.columns)


def _after(key: tuple[Column[Any], ...], after: tuple[Any, ...]) -> Any:
    """Rows behind a key, in the order of keys of one or two columns."""
    if len(key) == 1:
        return key[0] > after[0]
    return (key[0] > after[0]) | ((key[0] == after[0]) & (key[1] > after[1]))

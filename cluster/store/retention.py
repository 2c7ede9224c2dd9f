"""Forgetting: one person everywhere at once, and everything beyond an age.

An erased person leaves one row: a digest of the id, from which the shards of every pool learn to drop the session. It
goes too when the next `prune` runs.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence

from sqlalchemy import Column, ColumnElement, delete, func, insert, select

from cluster.store.part import Part, write
from cluster.store.tables import erasures, events, feedback, recommendations, users

PRUNE_CHUNK_ROWS = 2_000
"""Numbers covered by one transaction of `prune`. Live requests wait behind it: 20,000 took a third of a second."""
AGES: Mapping[str, Column[int]] = {
    "events": events.c.timestamp_ms,
    "feedback": feedback.c.created_ms,
    "recommendations": recommendations.c.created_ms,
}
"""What `prune` deletes from, and what tells the age of a row."""
ERASURE_KEEP_MS = 24 * 3_600 * 1_000
"""How long the shards have to notice an erasure; they poll many times a second."""


def user_digest(tenant: str, user_id: str) -> bytes:
    """16 bytes that stand for a person in memory and in `erasures`; the same in every process."""
    return hashlib.blake2b(f"{tenant}\0{user_id}".encode(), digest_size=16).digest()


class Retention(Part):
    """See the module."""

    name = "retention"

    @write
    def erase(self, tenant: str, user_id: str) -> dict[str, int]:
        """Delete all rows of a person, in one transaction.

        Returns:
            How many rows of each table went.
        """
        erased = {}
        with self.database.writing() as connection:
            self.database.ordered(connection)  # first: who appends takes this lock before it meets the rows below
            for table in (events, users, feedback, recommendations):
                statement = delete(table).where(table.c.tenant == tenant, table.c.user_id == user_id)
                erased[table.name] = connection.execute(statement).rowcount
            row = {"digest": user_digest(tenant, user_id), "erased_ms": _now_ms()}
            connection.execute(insert(erasures), row)
        self.database.checkpoint()
        return erased

    def prune(self, tenant: str | None, before_ms: int, tables: Sequence[str] = tuple(AGES)) -> dict[str, int]:
        """Delete a tenant's (None: everybody's) rows from before a time, and old notices of erasure.

        Runs in many short transactions, each a call of its own where writes go through a gateway, so that live requests
        come in between; stopped half-way, it goes on when called again.
        """
        pruned = {}
        for name in tables:
            moment = AGES[name]
            seq, owner = moment.table.c.seq, _owned(moment, tenant)
            pruned[name] = start = 0
            while True:
                # Looked for by whoever prunes, so that the writer has nothing to do but delete.
                oldest = select(func.min(seq)).where(seq >= start, *owner, moment < before_ms)
                with self.database.reading() as connection:
                    found = connection.execute(oldest).scalar()
                if found is None:
                    break
                pruned[name] += self.prune_chunk(name, tenant, found, before_ms)
                start = found + PRUNE_CHUNK_ROWS
        self.prune_notices()
        return pruned

    @write
    def prune_chunk(self, name: str, tenant: str | None, start: int, before_ms: int) -> int:
        """One step of `prune`: the rows numbered from `start` on; how many went."""
        moment = AGES[name]
        seq = moment.table.c.seq
        chunk = (seq >= start, seq < start + PRUNE_CHUNK_ROWS, *_owned(moment, tenant), moment < before_ms)
        with self.database.writing() as connection:
            return connection.execute(delete(moment.table).where(*chunk)).rowcount

    @write
    def prune_notices(self) -> None:
        """The last step of `prune`: notices of erasure that everybody has seen, and SQLite's write-ahead log."""
        with self.database.writing() as connection:
            connection.execute(delete(erasures).where(erasures.c.erased_ms < _now_ms() - ERASURE_KEEP_MS))
        self.database.checkpoint()

    def erasures(self, since_seq: int, limit: int = 1000) -> list[tuple[int, bytes]]:
        """The digests of people erased after a number, in order."""
        statement = (
            select(erasures.c.seq, erasures.c.digest)
            .where(erasures.c.seq > since_seq)
            .order_by(erasures.c.seq)
            .limit(limit)
        )
        with self.database.reading() as connection:
            return [(row[0], bytes(row[1])) for row in connection.execute(statement)]

    def latest_erasure(self) -> int:
        """The highest number of an erasure, 0 when there is none."""
        with self.database.reading() as connection:
            return connection.execute(select(func.max(erasures.c.seq))).scalar() or 0


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _owned(column: Column[int], tenant: str | None) -> tuple[ColumnElement[bool], ...]:
    return () if tenant is None else (column.table.c.tenant == tenant,)

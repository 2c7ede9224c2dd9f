"""The audit log: who administered what, and when. Rows are added and never changed; `jobs.prune` deletes old ones."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from cluster.messages import DEFAULT_TENANT
from cluster.store.part import Part, dump, load, write
from cluster.store.tables import audit


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act. `actor` is who did it (`key:ID`, `cli:USER`), `target` what it was done to, never a secret.

    `tenant` is the one whose data it concerns. `seq` is given by the database.
    """

    actor: str
    action: str
    target: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    request_id: str | None = None
    tenant: str = DEFAULT_TENANT
    at_ms: int = 0
    seq: int = 0


class AuditLog(Part):
    """See the module."""

    name = "audit"

    @write
    def add(self, entry: AuditEntry) -> None:
        """Note an act. Repeated after a lost answer, it may stand there twice."""
        with self.database.writing() as connection:
            note(connection, entry)

    def page(
        self, tenant: str | None, before_seq: int | None, limit: int, target: str | None = None
    ) -> list[AuditEntry]:
        """The newest acts first, of one tenant or (None) of all, from before a number on, on one target or any."""
        statement = select(audit).order_by(audit.c.seq.desc()).limit(limit)
        if tenant is not None:
            statement = statement.where(audit.c.tenant == tenant)
        if target is not None:
            statement = statement.where(audit.c.target == target)
        if before_seq is not None:
            statement = statement.where(audit.c.seq < before_seq)
        with self.database.reading() as connection:
            rows = connection.execute(statement).mappings().fetchall()
        return [AuditEntry(**(dict(row) | {"detail": load(row["detail"]) if row["detail"] else {}})) for row in rows]

    @write
    def prune(self, before_ms: int) -> int:
        """Delete acts from before a time, of all tenants; how many."""
        with self.database.writing() as connection:
            return connection.execute(delete(audit).where(audit.c.at_ms < before_ms)).rowcount


def note(connection: Connection, entry: AuditEntry) -> None:
    """Add an act in somebody else's transaction, so that neither is there without the other."""
    row = {
        "tenant": entry.tenant,
        "at_ms": entry.at_ms or time.time_ns() // 1_000_000,
        "actor": entry.actor,
        "action": entry.action,
        "target": entry.target,
        "detail": dump(dict(entry.detail)) if entry.detail else None,
        "request_id": entry.request_id,
    }
    connection.execute(insert(audit), row)

"""Operations: work that goes on after its request was answered, with a status that any replica can show.

An operation is on disk before it is promised. Replicas find those that a killed process left (`running`) and do them
again, perhaps two of them at once, so each kind must bear repetition. `subject` says whom it is about only as long as
that is needed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, select, update

from cluster.messages import DEFAULT_TENANT
from cluster.store.part import Part, dump, load, write
from cluster.store.retention import Retention
from cluster.store.tables import operations

ERASE_USER = "erase_user"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `status` is running or done; `result` says what was done."""

    operation_id: str
    kind: str
    status: str
    created_ms: int
    subject: str | None = None
    finished_ms: int | None = None
    result: Mapping[str, Any] = field(default_factory=dict)
    tenant: str = DEFAULT_TENANT


class OperationStore(Part):
    """See the module."""

    name = "operations"

    @write
    def begin(self, operation: Operation) -> None:
        """Put an operation on disk. One that is there already is left as it is."""
        row = {column.name: getattr(operation, column.name) for column in operations.columns}
        row["result"] = None
        with self.database.writing() as connection:
            connection.execute(self.insert_into(operations).on_conflict_do_nothing(), row)

    @write
    def erase_user(self, tenant: str, operation_id: str) -> bool:
        """The work of kind `erase_user`: everything that belongs to its subject goes, the subject's id last.

        Returns:
            Whether nothing is left on disk. False: a reader held on to old pages; call again.
        """
        operation = self.get(tenant, operation_id)
        if operation is None:
            return True
        if operation.subject is not None:
            erased = Retention(self.database).erase(tenant, operation.subject)
            result = {str(table): rows for table, rows in erased.items()}
            here = (operations.c.tenant == tenant, operations.c.operation_id == operation_id)
            first = operations.c.subject.is_not(None)  # of two who erase at once the first has counted
            with self.database.writing() as connection:
                connection.execute(update(operations).where(*here, first).values(subject=None, result=dump(result)))
        return self.database.checkpoint()  # the id, too, has to leave the write-ahead log

    @write
    def finish(self, tenant: str, operation_id: str) -> None:
        """Call an operation done."""
        done = {"status": "done", "finished_ms": time.time_ns() // 1_000_000}
        here = (operations.c.tenant == tenant, operations.c.operation_id == operation_id)
        with self.database.writing() as connection:
            connection.execute(update(operations).where(*here).values(**done))

    @write
    def prune(self, tenant: str | None, before_ms: int) -> int:
        """Delete the notes of a tenant's (None: everybody's) operations that were done before a time; how many."""
        old = [operations.c.status == "done", operations.c.finished_ms < before_ms]
        if tenant is not None:
            old.append(operations.c.tenant == tenant)
        with self.database.writing() as connection:
            return connection.execute(delete(operations).where(*old)).rowcount

    def get(self, tenant: str, operation_id: str) -> Operation | None:
        """One operation."""
        found = self._select(operations.c.tenant == tenant, operations.c.operation_id == operation_id)
        return found[0] if found else None

    def running(self) -> list[Operation]:
        """Those of all tenants that are not done, oldest first."""
        return self._select(operations.c.status == "running")

    def _select(self, *conditions: Any) -> list[Operation]:
        statement = select(operations).where(*conditions).order_by(operations.c.created_ms, operations.c.operation_id)
        with self.database.reading() as connection:
            rows = connection.execute(statement).mappings().fetchall()
        return [Operation(**(dict(row) | {"result": load(row["result"]) if row["result"] else {}})) for row in rows]

"""Operations in the background: begun by a request, done by the one writer, seen by everybody through the store.

An operation is on disk before the request is answered. A replica takes up what others left undone, when it starts and
while it lives, so an operation survives the process that began it. Two may come to do the same one: each step can be
repeated, and what the first of them counted stays.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from cluster.background import end, follow
from cluster.errors import NotFoundError, TailorbirdError
from cluster.ids import new_id
from cluster.store import Operation, Store
from cluster.store.operations import ERASE_USER

log = logging.getLogger("tailorbird.operations")

RETRY_S = 1.0
LOOK_S = 30.0
"""What was undone at one look of a living replica and still is at the next, nobody does."""
Write = Callable[..., Awaitable[Any]]


class Operations:
    """Belongs to one event loop.

    Args:
        store: open for reading.
        write: `SessionPool.write`.
        settle_s: how long other processes may take to notice what an operation did.
    """

    def __init__(self, store: Store, write: Write, settle_s: float) -> None:
        self._store = store
        self._write = write
        self._settle_s = settle_s
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._undone: set[str] = set()
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take up what was left undone, and go on looking for it."""
        running = await asyncio.to_thread(self._store.operations.running)
        self._undone = {operation.operation_id for operation in running}
        self._take_up(running)
        self._looking = asyncio.create_task(
            follow(self._look, LOOK_S, log, "operations"), name="operations left undone"
        )

    async def stop(self) -> None:
        """Leave what is running to other replicas."""
        await end(self._looking, *self._tasks.values())

    async def erase_user(self, tenant: str, user_id: str) -> Operation:
        """Begin to erase a person of a tenant, given by the stored id.

        Raises:
            DeadlineError, UnavailableError: the writer does not answer; it may have been begun.
        """
        now_ms = time.time_ns() // 1_000_000
        operation = Operation(new_id(), ERASE_USER, "running", now_ms, subject=user_id, tenant=tenant)
        await self._write("operations", "begin", operation)
        self._run(operation)
        return operation

    async def get(self, tenant: str, operation_id: str) -> Operation:
        """How an operation stands.

        Raises:
            NotFoundError: there is none, or it was done long ago.
        """
        operation = await asyncio.to_thread(self._store.operations.get, tenant, operation_id)
        if operation is None:
            raise NotFoundError(f"operation {operation_id[:64]!r} does not exist, or is not kept any more")
        return operation

    async def _look(self) -> None:
        running = await asyncio.to_thread(self._store.operations.running)
        before, self._undone = self._undone, {operation.operation_id for operation in running}
        self._take_up([operation for operation in running if operation.operation_id in before])

    def _take_up(self, undone: list[Operation]) -> None:
        for operation in undone:
            if operation.operation_id not in self._tasks:
                log.info("operation %s was left undone and is taken up", operation.operation_id)
                self._run(operation)

    def _run(self, operation: Operation) -> None:
        erasing = self._erase(operation.tenant, operation.operation_id)
        task = asyncio.create_task(erasing, name=f"operation {operation.operation_id}")
        self._tasks[operation.operation_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(operation.operation_id, None))

    async def _erase(self, tenant: str, operation_id: str) -> None:
        while True:
            try:
                if await self._write("operations", "erase_user", tenant, operation_id):
                    await asyncio.sleep(self._settle_s)  # done means that every session of theirs is gone, too
                    await self._write("operations", "finish", tenant, operation_id)
                    return
                log.warning("operation %s waits for a reader of old pages", operation_id)
            except TailorbirdError as error:
                log.warning("operation %s is tried again: %s", operation_id, error)
            await asyncio.sleep(RETRY_S)

"""Operations in the background: begun by a request, done by the one writer, seen by everybody through the store.

An operation is on disk before the request is answered. A replica that starts takes up what others left undone, so an
operation survives the process that began it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from cluster.errors import NotFoundError, TailorbirdError
from cluster.ids import new_id
from cluster.store import Operation, Store
from cluster.store.operations import ERASE_USER

log = logging.getLogger("tailorbird.operations")

RETRY_S = 1.0
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
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Take up what was left undone."""
        for operation in await asyncio.to_thread(self._store.operations.running):
            log.info("operation %s was left undone and is taken up", operation.operation_id)
            self._run(operation)

    async def stop(self) -> None:
        """Leave what is running to whoever starts next."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

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

    def _run(self, operation: Operation) -> None:
        erasing = self._erase(operation.tenant, operation.operation_id)
        task = asyncio.create_task(erasing, name=f"operation {operation.operation_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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

"""`Housekeeper`: deletes rows beyond their age while the server runs, in steps short enough to go between requests."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ray.util.metrics import Counter

from cluster.background import end
from cluster.config import Settings
from cluster.errors import TailorbirdError
from cluster.housekeeping import prune_rows
from cluster.store import Store

log = logging.getLogger("tailorbird.housekeeping")

FIRST_S = (60.0, 600.0)
"""The first time comes at random in here: not in the busy moments of a start, and replicas not in step."""
STEP_PAUSE_S = 0.05
STEP_TIMEOUT_S = 60.0


class Housekeeper:
    """Belongs to one event loop. Several replicas may each have one: what one deleted the others do not find.

    Args:
        settings: `retention`, the database, the tenant.
        write: `SessionPool.write`.
    """

    def __init__(self, settings: Settings, write: Callable[..., Awaitable[Any]]) -> None:
        self._settings = settings
        self._write = write
        self._deleted = Counter("tailorbird_rows_deleted", "Rows beyond their age that were deleted.", ("table",))
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, unless the settings leave it to the job."""
        if self._settings.retention.every_h is not None:
            self._task = asyncio.create_task(self._keep(self._settings.retention.every_h * 3600), name="housekeeping")

    async def stop(self) -> None:
        """End; a step in work is finished by the writer."""
        await end(self._task)

    async def prune(self) -> dict[str, int]:
        """Delete what is beyond its age now; how many rows of each table went."""
        loop = asyncio.get_running_loop()

        def gateway(part: str, method: str, args: tuple[Any, ...]) -> Any:
            time.sleep(STEP_PAUSE_S)  # in our thread: live requests come first
            step = asyncio.run_coroutine_threadsafe(_awaited(self._write(part, method, *args)), loop)
            return step.result(STEP_TIMEOUT_S)

        def work() -> dict[str, int]:
            with Store.open(self._settings, gateway=gateway) as store:
                return prune_rows(store, self._settings)

        return await asyncio.to_thread(work)

    async def _keep(self, every_s: float) -> None:
        await asyncio.sleep(random.uniform(*FIRST_S))
        while True:
            try:
                gone = {table: rows for table, rows in (await self.prune()).items() if rows}
                for table, rows in gone.items():
                    self._deleted.inc(rows, {"table": table})
                if gone:
                    log.info("rows beyond their age are deleted: %s", gone)
            except (TailorbirdError, TimeoutError) as error:
                log.warning("rows beyond their age could not be deleted: %s", error)
            except Exception:  # not foreseen; the next time may go well
                log.exception("rows beyond their age could not be deleted")
            await asyncio.sleep(every_s)


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer

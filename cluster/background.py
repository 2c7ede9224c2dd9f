"""Tasks that go on beside requests until whoever began them is stopped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any


async def end(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel tasks and wait until they have ended, however they do. None is no task."""
    running = [task for task in tasks if task is not None]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def follow(
    refresh: Callable[[], Awaitable[object]],
    every_s: float,
    log: logging.Logger,
    what: str,
    retry_s: float | None = None,
) -> None:
    """Refresh every so many seconds, for ever. While that fails, which is tried again after `retry_s` (`every_s` by
    default), what is known stays, and the log says that `what` cannot be read."""
    pause_s = every_s
    while True:
        await asyncio.sleep(pause_s)
        try:
            await refresh()
            pause_s = every_s
        except Exception as error:  # the database is away
            log.warning("%s cannot be read: %s", what, error)
            pause_s = every_s if retry_s is None else retry_s

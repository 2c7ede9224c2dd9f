"""`KeyRing`: the keys that open something, as one replica knows them, never more than a moment behind the store."""

from __future__ import annotations

import asyncio
import logging
import time

from cluster.api_keys import KeyTable
from cluster.background import end, follow
from cluster.config import Settings
from cluster.store import Store

log = logging.getLogger("tailorbird.access")

POLL_S = 0.25


class KeyRing(KeyTable):
    """A `KeyTable` that follows the store. Before `start` it knows the bootstrap key alone.

    Belongs to one event loop.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._store: Store | None = None
        self._version = -1
        self._known_s = time.monotonic()
        self._task: asyncio.Task[None] | None = None

    async def start(self, store: Store) -> None:
        """Read the keys, then keep up."""
        self._store = store
        await self.refresh()
        self._task = asyncio.create_task(follow(self.refresh, POLL_S, log, "the API keys"), name="key-ring")

    async def stop(self) -> None:
        """Keep up no longer."""
        await end(self._task)
        self._task = None

    async def refresh(self) -> None:
        """Take in what is committed now."""
        assert self._store is not None
        asked_s = time.monotonic()
        version = await asyncio.to_thread(self._store.api_keys.version)
        if version != self._version:
            self.load(await asyncio.to_thread(self._store.api_keys.all))
            self._version = version
        self._known_s = asked_s

    @property
    def age_s(self) -> float:
        """Seconds since all keys were known: one that was revoked later may still open something here."""
        return time.monotonic() - self._known_s

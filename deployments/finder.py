"""`Finder`: the Serve deployment that knows the catalogue by meaning, with a sentence encoder in a process of its own.

A thin shell round `deployments.meanings.Meanings`. It answers at once from its start on: nothing is found until the
encoder is loaded and the tenant's items are embedded, which goes on beside.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ray.util import metrics

from cluster.background import end, follow
from cluster.catalogue import Catalogue
from cluster.config import Settings, parse_section
from cluster.errors import TailorbirdError
from cluster.memory import trim_for_ever
from cluster.store import Store
from cluster.telemetry import configure_logging
from cluster.text_vectors import VectorFiles
from deployments.meanings import Meanings, patient_thread
from graph.config import GraphConfig
from graph.text import TextEncoder, encoder_name, find_encoder

log = logging.getLogger("tailorbird.finder")

LOOK_S = 0.1
RETRY_S = 1.0
METER_S = 5.0


class Finder:
    """One replica: one encoder.

    Args:
        settings: the application's settings; `graph.content.encoder` names the encoder.
    """

    async def __init__(self, settings: Settings) -> None:  # type: ignore[misc]  # Serve awaits it
        configure_logging(settings.log_level)
        self._settings = settings
        self._patient = patient_thread()
        self._store: Store | None = None
        self._catalogue: Catalogue
        self._meanings: Meanings | None = None
        self._tasks = [
            asyncio.create_task(self._run(), name="finder"),
            asyncio.create_task(trim_for_ever(), name="trim"),
        ]

    async def search(self, tenant: str, text: str, n: int) -> list[tuple[str, float]]:
        """The n (1,000 at most) items nearest in meaning to a text, best first, with their cosine.

        Hidden ones are among them. The first search of a tenant finds nothing: only then its items are embedded.
        """
        return [] if self._meanings is None else await self._meanings.search(tenant, text, n)

    async def vectors(self, tenant: str, digests: Mapping[str, str]) -> dict[str, np.ndarray]:
        """The vectors (d,) float32 of those items that are embedded with just that text.

        Args:
            digests: of the items' texts (`graph.text.describe`, `cluster.text_vectors.digest_of`), by item id.
        """
        return {} if self._meanings is None else await self._meanings.vectors(tenant, digests)

    async def check_health(self) -> None:
        """Serve replaces the replica when this raises or hangs, as it does when searches hang."""
        if self._tasks[0].done():
            raise TailorbirdError("the finder does not keep up any more")
        if self._meanings is not None:
            await self._meanings.respond()

    async def stop(self) -> None:
        """End what the constructor began; a replica just ends."""
        await end(*self._tasks)
        await asyncio.to_thread(self._patient.shutdown, cancel_futures=True)
        if self._meanings is not None:
            await asyncio.to_thread(self._meanings.stop)
        if self._store is not None:
            await self._catalogue.stop()
            await asyncio.to_thread(self._store.close)

    async def _run(self) -> None:
        while self._meanings is None:
            try:
                self._meanings = await self._load()
            except Exception as error:  # such as: there is no store yet, or it has no tables
                log.warning("nothing can be found by meaning yet: %s", str(error).partition("\n")[0])
                await asyncio.sleep(RETRY_S)
        meanings = self._meanings
        meanings.ask(self._settings.tenant)
        what = "the catalogue's texts"
        await asyncio.gather(
            follow(meanings.look, LOOK_S, log, what, RETRY_S),
            follow(meanings.embed_waiting, 0.0, log, what, RETRY_S),
            _meter(meanings),
        )

    async def _load(self) -> Meanings:
        settings, loop = self._settings, asyncio.get_running_loop()
        if self._store is None:
            store = await asyncio.to_thread(Store.open, settings, readonly=True)
            try:
                self._catalogue = Catalogue(store, poll_s=settings.store.feed_poll_s)
                await self._catalogue.start()
            except BaseException:
                store.close()
                raise
            self._store = store
        folder = find_encoder(parse_section(GraphConfig, settings.graph, "graph").content.encoder)
        if folder is None:
            raise TailorbirdError("this node has no sentence encoder")
        url = settings.resolved_artifacts_url
        name = await loop.run_in_executor(self._patient, encoder_name, folder)
        kept = await loop.run_in_executor(self._patient, VectorFiles, url, name)
        began = time.monotonic()
        encoder = await loop.run_in_executor(self._patient, _load_encoder, folder)
        log.info("the sentence encoder was loaded in %.1f s", time.monotonic() - began)
        return Meanings(self._catalogue, encoder, kept, self._patient)


def _load_encoder(folder: Path) -> TextEncoder:
    encoder = TextEncoder(folder, threads=1)
    encoder.encode(["So that the first search is not the slow one."])
    return encoder


async def _meter(meanings: Meanings) -> None:
    items = metrics.Gauge("tailorbird_finder_items", "Items that can be found by meaning.")
    waiting = metrics.Gauge("tailorbird_finder_waiting", "Items that wait to be embedded.")
    while True:
        items.set(len(meanings))
        waiting.set(meanings.waiting)
        await asyncio.sleep(METER_S)

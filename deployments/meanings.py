"""`Meanings`: the catalogue's items by the text vectors of a sentence encoder, an index for each tenant asked about.

What a refresh has embedded is read; the rest is embedded here: a few changes at once, beside searches, many in a thread
of low priority. Nothing waits for any of it: an item is found from when it is embedded on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from cluster.catalogue import Catalogue, yielding
from cluster.text_vectors import VectorFiles, digest_of
from graph.text import TextEncoder, describe
from graph.text_index import TextIndex

log = logging.getLogger("tailorbird.finder")

Answer = TypeVar("Answer")
Embedded = tuple[list[str], list[str], np.ndarray]
"""Ids (n), digests of their texts (n), vectors (n, d)."""

FEW = 32
"""Up to this many changed items are embedded at once, ahead of what waits..."""
AT_ONCE = 4
"""... so many between two searches."""
BATCH = 64
"""Of many, so many are embedded in one go."""
BATCH_TEXTS = 16
NICE = 15
"""Priority (0 to 19) of the thread that may take long: it takes what others leave of the machine."""
STORED_S = 2.0
"""While items wait, this often it is looked whether a refresh has embedded them meanwhile."""
MAX_TENANTS = 256
MAX_FOUND = 1_000
MAX_CHARS = 2_000
"""Of what is searched for; the encoder reads about its first 100 words."""


@dataclass(slots=True, eq=False)
class _Tenant:
    index: TextIndex = field(default_factory=TextIndex)
    seq: int = -1
    """The catalogue's change that is in here, or waits."""
    waiting: dict[str, None] = field(default_factory=dict)
    """Ids of items that are to be embedded, of many."""
    read: set[str] = field(default_factory=set)
    """Files of stored vectors that were looked through."""
    look_s: float = 0.0
    """When to look for files again."""


class Meanings:
    """Belongs to one event loop.

    Args:
        catalogue: the process's mirror.
        encoder: what makes vectors of texts.
        kept: where a refresh stores the vectors of that encoder.
        patient: a thread of low priority, for what may take long.
    """

    def __init__(
        self, catalogue: Catalogue, encoder: TextEncoder, kept: VectorFiles, patient: ThreadPoolExecutor
    ) -> None:
        self._catalogue = catalogue
        self._encoder = encoder
        self._kept = kept
        self._patient = patient
        # All that touches an index goes through this one, one after the other.
        self._quick = ThreadPoolExecutor(1, thread_name_prefix="find")
        self._tenants: OrderedDict[str, _Tenant] = OrderedDict()
        self._awake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many items wait to be embedded."""
        return sum(len(tenant.waiting) for tenant in self._tenants.values())

    def __len__(self) -> int:
        """How many items can be found."""
        return sum(len(tenant.index) for tenant in self._tenants.values())

    def ask(self, name: str) -> TextIndex:
        """The index of a tenant, which from now on is kept up to date."""
        tenant = self._tenants.setdefault(name, _Tenant())
        self._tenants.move_to_end(name)
        if len(self._tenants) > MAX_TENANTS:
            self._tenants.popitem(last=False)
        return tenant.index

    async def search(self, name: str, text: str, n: int) -> list[tuple[str, float]]:
        """See `Finder.search`."""
        index = self.ask(name)
        if not len(index) or n < 1 or not text.strip():
            return []
        return await self._in(self._quick, self._search, index, text[:MAX_CHARS], min(n, MAX_FOUND))

    async def vectors(self, name: str, digests: Mapping[str, str]) -> dict[str, np.ndarray]:
        """See `Finder.vectors`."""
        return await self._in(self._quick, self.ask(name).vectors, digests)

    async def respond(self) -> None:
        """Comes back when the thread of the searches has its turn."""
        await self._in(self._quick, time.monotonic)

    def stop(self) -> None:
        """End the thread, once what it is at is done."""
        self._quick.shutdown(cancel_futures=True)

    async def look(self) -> None:
        """Take in what changed in the catalogue since the last look."""
        for name, tenant in list(self._tenants.items()):
            version = self._catalogue.version
            if version == tenant.seq:
                continue
            changed = None if tenant.seq < 0 else self._catalogue.changed_since(name, tenant.seq)
            if changed is not None and not changed:
                tenant.seq = version
                continue
            stale, gone = await asyncio.to_thread(self._compare, name, tenant.index, changed)
            if gone:
                await self._in(self._quick, tenant.index.drop, gone)
            if len(stale) <= FEW:
                for start in range(0, len(stale), AT_ONCE):
                    await self._in(self._quick, self._embed_now, name, tenant.index, stale[start : start + AT_ONCE])
            else:
                tenant.waiting |= dict.fromkeys(stale)
                self._awake.set()
            tenant.seq = version

    async def embed_waiting(self) -> None:
        """One batch of each tenant that has some waiting."""
        waiting = [(name, tenant) for name, tenant in self._tenants.items() if tenant.waiting]
        if not waiting:
            self._awake.clear()
            await self._awake.wait()
        for name, tenant in waiting:
            if time.monotonic() >= tenant.look_s:
                try:
                    await self._read_stored(name, tenant)
                except Exception as error:  # they are only a short cut
                    log.warning("stored text vectors cannot be read: %s", error)
                tenant.look_s = time.monotonic() + STORED_S
            # Taken out first: what changes while it is embedded comes in again, and stays.
            batch = [tenant.waiting.popitem()[0] for _ in range(min(BATCH, len(tenant.waiting)))]
            try:
                found = await self._in(self._patient, self._embed, name, tenant.index, batch)
                await self._in(self._quick, self._put, name, tenant.index, found)
            except BaseException:
                tenant.waiting |= dict.fromkeys(batch)
                raise

    async def _read_stored(self, name: str, tenant: _Tenant) -> None:
        """Give waiting items the vectors that a refresh has stored."""
        paths = await self._in(self._patient, self._kept.paths)
        new = [path for path in paths if path not in tenant.read]
        if not new:
            return
        wanted = await self._in(self._patient, self._wanted, name, list(tenant.waiting))
        for path in new:
            parts = self._kept.read(path)
            while (part := await self._in(self._patient, next, parts, None)) is not None:
                found = await self._in(self._patient, self._matching, wanted, *part)
                for item_id in found[0]:
                    tenant.waiting.pop(item_id, None)
                await self._in(self._quick, self._put, name, tenant.index, found)
            tenant.read.add(path)

    def _compare(self, name: str, index: TextIndex, changed: set[str] | None) -> tuple[list[str], list[str]]:
        """Ids of the items whose text is another than the index has, and of those that have none any more."""
        if changed is None:
            changed = {item.item_id for item in self._catalogue.items(name)} | set(index.ids())
        stale, gone = [], []
        for item_id in yielding(changed):
            text, known = self._text(name, item_id), index.digest(item_id)
            if not text:
                if known is not None:
                    gone.append(item_id)
            elif digest_of(text) != known:
                stale.append(item_id)
        return stale, gone

    def _text(self, name: str, item_id: str) -> str:
        item = self._catalogue.get(name, item_id)
        return "" if item is None else describe(item)

    def _wanted(self, name: str, item_ids: Sequence[str]) -> dict[str, list[str]]:
        """Item ids by the digest of their text."""
        wanted: dict[str, list[str]] = {}
        for item_id in yielding(item_ids):
            if text := self._text(name, item_id):
                wanted.setdefault(digest_of(text), []).append(item_id)
        return wanted

    def _matching(self, wanted: Mapping[str, list[str]], digests: Sequence[str], vectors: np.ndarray) -> Embedded:
        if vectors.shape[1] != self._encoder.dim:
            return [], [], vectors[:0]
        pairs = [(item_id, row) for row, digest in enumerate(digests) if digest in wanted for item_id in wanted[digest]]
        rows = [row for _, row in pairs]
        return [item_id for item_id, _ in pairs], [digests[row] for row in rows], vectors[rows]

    def _embed(self, name: str, index: TextIndex, item_ids: Sequence[str]) -> Embedded:
        texts = {item_id: text for item_id in item_ids if (text := self._text(name, item_id))}
        digests = {item_id: digest_of(text) for item_id, text in texts.items()}
        new = [item_id for item_id, digest in digests.items() if digest != index.digest(item_id)]
        vectors = self._encoder.encode([texts[item_id] for item_id in new], BATCH_TEXTS)
        return new, [digests[item_id] for item_id in new], vectors

    def _embed_now(self, name: str, index: TextIndex, item_ids: Sequence[str]) -> None:
        self._put(name, index, self._embed(name, index, item_ids))

    def _put(self, name: str, index: TextIndex, found: Embedded) -> None:
        """Into the index, unless an item has another text by now: the next look, or the one before, cares for that."""
        item_ids, digests, vectors = found
        texts = (self._text(name, item_id) for item_id in item_ids)
        rows = [row for row, text in enumerate(texts) if text and digest_of(text) == digests[row]]
        index.put([item_ids[row] for row in rows], [digests[row] for row in rows], vectors[rows])

    def _search(self, index: TextIndex, text: str, n: int) -> list[tuple[str, float]]:
        return index.search(self._encoder.encode([text])[0], n)

    async def _in(self, thread: ThreadPoolExecutor, work: Callable[..., Answer], *args: Any) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(thread, work, *args)


def patient_thread() -> ThreadPoolExecutor:
    """A thread of low priority, where the system knows one for each thread (Linux)."""
    return ThreadPoolExecutor(1, thread_name_prefix="patient", initializer=_step_back)


def _step_back() -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)

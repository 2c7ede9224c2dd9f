"""`FreshTexts`: text vectors of the items that a live version does not know, as soon as the Finder has them.

A new item ranks at once by its words and attributes; here its vector is asked for beside, and when it has come the item
is placed anew, once. Without a Finder, or for a version that was trained without texts or with another encoder, nothing
is asked for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from cluster.messages import Item
from cluster.text_vectors import digest_of
from deployments.finding import FinderClient
from graph.text import describe

if TYPE_CHECKING:
    from graph.ranking import Ranker

log = logging.getLogger("tailorbird.overlay")

LOOK_S = 0.1
FIRST_S = 0.2
"""A new item is asked for after so long, and again after twice as long each time, but never longer than..."""
MAX_WAIT_S = 10.0
AT_ONCE = 500


class FreshTexts:
    """Of one tenant. `vectors` from one thread at a time, `follow` on the event loop.

    Args:
        finder: what is asked.
        tenant: whose items.
        encoder: the setting `graph.content.encoder` that the Finder runs with.
    """

    def __init__(self, finder: FinderClient, tenant: str, encoder: str) -> None:
        self._finder = finder
        self._tenant = tenant
        self._encoder = encoder
        self._wanted: dict[str, str] = {}
        self._known: dict[str, tuple[str, np.ndarray]] = {}
        self.arrivals = 0
        """How often vectors came that were wanted."""

    def vectors(self, base: Ranker, items: Sequence[Item]) -> dict[str, np.ndarray]:
        """What is known now of these items' texts; from now on the others are asked for."""
        content = base.model.content
        wanted: dict[str, str] = {}
        dim = 0
        if content is not None and content.text_dim and base.model.config.content.encoder == self._encoder:
            dim = content.text_dim
            wanted = {item.item_id: digest_of(text) for item in items if (text := describe(item))}
        if wanted != self._wanted:
            self._wanted = wanted
        known = self._known
        found = {item_id: known[item_id][1] for item_id in wanted if _is_known(known, item_id, wanted[item_id])}
        return {item_id: vector for item_id, vector in found.items() if len(vector) == dim}

    async def follow(self) -> None:
        """Ask for what is wanted and not known, for ever."""
        loop = asyncio.get_running_loop()
        asked_for: dict[str, str] = {}
        wait_s, next_s = FIRST_S, 0.0
        while True:
            await asyncio.sleep(LOOK_S)
            wanted = self._wanted
            if wanted is not asked_for:
                asked_for, wait_s, next_s = wanted, FIRST_S, loop.time() + FIRST_S - LOOK_S
            if not wanted or loop.time() < next_s:
                continue
            missing = (
                (item_id, digest) for item_id, digest in wanted.items() if not _is_known(self._known, item_id, digest)
            )
            asked = dict(islice(missing, AT_ONCE))
            found = await self._finder.vectors(self._tenant, asked) if asked else {}
            if found:
                known = self._known | {item_id: (asked[item_id], vector) for item_id, vector in found.items()}
                self._known = {item_id: entry for item_id, entry in known.items() if item_id in wanted}
                self.arrivals += 1
                log.info("%d items that the version does not know have their text vectors", len(self._known))
            wait_s = min(2 * wait_s, MAX_WAIT_S)
            next_s = loop.time() + (wait_s if asked else MAX_WAIT_S)


def _is_known(known: dict[str, tuple[str, np.ndarray]], item_id: str, digest: str) -> bool:
    return item_id in known and known[item_id][0] == digest

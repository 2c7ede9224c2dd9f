"""The list behind an answer of the chat: what the dialogue asks for, found by meaning and ranked for the person.

The wish of the dialogue makes a ranking query. Where it holds words that are neither titles nor categories, the items
nearest to them in meaning are looked for too, and ranked for the person; both orders count, by reciprocal rank fusion
(Cormack, Clarke and Büttcher, 2009). Places that are left go to the list that the ranker alone makes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from cluster.messages import RankedItem, RankedList, RankQuery, SessionView
from deployments.chat.retrieval import ChatRetriever, honest
from deployments.chat.wishes import Turns, Wish
from deployments.context import view_of
from deployments.services import Services

SEARCHED = 200
NEAREST = 30
"""Of so many that are nearest in meaning, so many of what is asked for otherwise are ranked."""
LIKENESS = 0.4
"""What the encoder must find alike at least (cosine): below it, MiniLM's neighbours have little to do with a query."""
BEHIND = 0.15
"""How far behind the nearest an item may be."""
FUSION = 10
"""The constant of rank fusion, small for short lists: the first places matter."""


async def chat_list(
    services: Services, messages: Turns, user: str | None, end_s: float
) -> tuple[Wish, SessionView, RankedList]:
    """What a dialogue asks for, what is known of the person, and the items for the answer, best first.

    Args:
        end_s: when the answer must be there, on the monotonic clock.
    """
    view = await view_of(services, user, None, services.settings.sessions.timeout_s)
    wish, query = await asyncio.to_thread(_asked, services.retriever, messages, view)
    if wish.text and wish.about is None:
        ranked = await _by_meaning(services, wish, query, end_s)
    else:
        ranked = await services.recommender.rank(query, end_s - time.monotonic())
    return wish, view, RankedList(honest(ranked.items, wish, view), ranked.model_version)


def _asked(retriever: ChatRetriever, messages: Turns, view: SessionView) -> tuple[Wish, RankQuery]:
    """Both may walk over the catalogue."""
    wish = retriever.wish(messages, view.seen)
    return wish, retriever.query(wish, view)


async def _by_meaning(services: Services, wish: Wish, query: RankQuery, end_s: float) -> RankedList:
    hits = near(await services.finder.search(services.tenant, wish.text, SEARCHED))
    if query.allowed is not None:
        hits = [item_id for item_id in hits if item_id in query.allowed]
    hits = hits[:NEAREST]
    left_s = end_s - time.monotonic()
    plain = services.recommender.rank(query, left_s)
    if not hits:
        return await plain
    found = services.recommender.rank(replace(query, n=NEAREST, allowed=frozenset(hits)), left_s)
    alone, among = await asyncio.gather(plain, found)
    return RankedList(fused(hits, among.items, alone.items)[: wish.count], alone.model_version)


def near(found: Sequence[tuple[str, float]]) -> list[str]:
    """The ids of those that are near enough to count, of (id, likeness) from the nearest on."""
    least = max(LIKENESS, found[0][1] - BEHIND) if found else 0.0
    return [item_id for item_id, likeness in found if likeness >= least]


def fused(hits: Sequence[str], among: Sequence[RankedItem], alone: Sequence[RankedItem]) -> tuple[RankedItem, ...]:
    """Hits in the order that both sides agree on best, then the rest.

    Args:
        hits: ids by meaning, nearest first. among: those of them that may be shown, as ranked for the person.
        alone: the list without them.
    """
    meant = {item_id: place for place, item_id in enumerate(hits)}
    scores = {
        entry.item_id: 1 / (FUSION + meant[entry.item_id]) + 1 / (FUSION + place) for place, entry in enumerate(among)
    }
    first = sorted(among, key=lambda entry: -scores[entry.item_id])
    return (*first, *(entry for entry in alone if entry.item_id not in scores))

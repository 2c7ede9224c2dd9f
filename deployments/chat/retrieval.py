"""What a chat is about: the wish of a dialogue becomes a ranking query for that person.

Titles that are named steer this one list as likes would, without becoming likes of the person; categories, years and
prices narrow it or are left out of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from cluster.catalogue import Catalogue, yielding
from cluster.messages import Item, RankedItem, RankQuery, SessionView
from deployments.chat.limits import Years
from deployments.chat.moods import lexicon_of
from deployments.chat.titles import TitleIndex
from deployments.chat.wishes import Reader, Turns, Wish


class ChatRetriever:
    """Understands dialogues by what is in the catalogue. Its index follows the catalogue's version."""

    def __init__(self, catalogue: Catalogue, tenant: str) -> None:
        self._catalogue = catalogue
        self._tenant = tenant
        self._version = -1
        self._reader = Reader(TitleIndex(()), {})
        self._numbers: frozenset[str] = frozenset()
        """Attributes of which some item's is a number."""

    def wish(self, messages: Turns, seen: frozenset[str] = frozenset()) -> Wish:
        """What a dialogue asks for. After a change of the catalogue this walks over all of it: call it in a thread.

        Args:
            messages: (role, text), oldest first.
            seen: what the person has met, and so was not recommended where an answer names it.
        """
        version = self._catalogue.version
        if version != self._version:
            items: list[Item] = self._catalogue.items(self._tenant)
            names = {category for item in yielding(items) for category in item.categories}
            self._reader = Reader(TitleIndex(yielding(items)), lexicon_of(names))
            self._numbers = frozenset(
                name
                for item in yielding(items)
                for name, value in item.attributes.items()
                if isinstance(value, int | float)
            )
            self._version = version
        return self._reader.wish(messages, seen)

    def query(self, wish: Wish, view: SessionView) -> RankQuery:
        """The ranking query for a wish of this person. It may walk over the catalogue: call it in a thread."""
        if (count := len(wish.titles)) and wish.kind != "pitch":
            # Alone: a long history would outvote what was just said. What the person has seen stays out all the same.
            now_ms = round(time.time() * 1000)
            view = replace(
                view.plain(),
                items=wish.titles,
                types=("like",) * count,
                values=(None,) * count,
                timestamps_ms=tuple(now_ms + place for place in range(count)),
            )
        if wish.about is not None:
            return RankQuery(view, 1, allowed=frozenset({wish.about}), include_seen=True)
        refused = self._catalogue.in_categories(self._tenant, wish.refused) if wish.refused else frozenset()
        excluded = refused.union(wish.titles, wish.unwanted, wish.without, *map(self._between, wish.years_out))
        return RankQuery(view, wish.count, allowed=self._allowed(wish, excluded), excluded=excluded)

    def _allowed(self, wish: Wish, excluded: frozenset[str]) -> frozenset[str] | None:
        """Items of these years and this price, in all wanted categories, or in any of them where those are few."""
        within = self._matching(wish.years, wish.price)
        if not wish.wanted:
            return within
        each = [self._catalogue.in_categories(self._tenant, (category,)) for category in wish.wanted]
        if within is not None:
            each = [items & within for items in each]
        every = frozenset.intersection(*each)
        return every if len(every - excluded) >= wish.count else frozenset[str]().union(*each)

    def _between(self, years: Years) -> frozenset[str]:
        """Items of these years."""
        return self._matching(years, None) or frozenset()

    def _matching(self, years: Years, price: float | None) -> frozenset[str] | None:
        """Items of these years that cost no more; None where nothing is asked for that items have."""
        asked = (("year", ">=", years[0]), ("year", "<=", years[1]), ("price", "<=", price))
        limits = [f"{name} {sign} {n:.12g}" for name, sign, n in asked if n is not None and name in self._numbers]
        return self._catalogue.matching(self._tenant, " and ".join(limits)) if limits else None


def newest_message(messages: Iterable[tuple[str, str]]) -> str:
    """The text of the last message that the person wrote."""
    return next((text for role, text in reversed(list(messages)) if role == "user"), "")


def honest(entries: Iterable[RankedItem], wish: Wish, view: SessionView) -> tuple[RankedItem, ...]:
    """The same list, in whose reasons a title that was only named is not called one that the person liked."""
    named = frozenset(wish.titles) - frozenset(view.items)
    return tuple(
        replace(
            entry,
            reasons=tuple(
                replace(reason, kind="because_named") if reason.item_id in named else reason for reason in entry.reasons
            ),
        )
        for entry in entries
    )

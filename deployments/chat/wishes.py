"""What a dialogue asks for: each message of the person changes the `Wish` that the ones before have made.

Titles that are named, categories and moods, refusals, years, prices and lengths are understood by rules, in English and
Chinese; words that no rule takes are left in `Wish.text`, to be looked for by meaning. What was asked for holds until a
later message says otherwise. "The second one" is an item of the answer before, which is found in the dialogue's text.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from deployments.chat import limits, phrases
from deployments.chat.moods import LONGEST, Lexicon
from deployments.chat.refusals import refused_places
from deployments.chat.titles import MARKS, TitleIndex, words_of
from generation.templates import NOTHING_FITS

DEFAULT_ITEMS = 3
_ASKS = re.compile(r"\W*(?:is|was|are|does|did)\b", re.IGNORECASE)
"""A question about what stands next: "Is Fargo scary?"."""
Turns = Sequence[tuple[str, str]]
"""(role, text), oldest first."""


@dataclass(frozen=True)
class Wish:
    """What a dialogue asks for."""

    titles: tuple[str, ...] = ()
    """Ids of items that the list is to be like."""
    wanted: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    count: int = DEFAULT_ITEMS
    unwanted: tuple[str, ...] = ()
    """Ids of items that were refused by title or place."""
    without: tuple[str, ...] = ()
    """Ids of items that are not wanted again in this answer."""
    about: str | None = None
    """The id of the one item that is asked about."""
    kind: str = "chat"
    """What to write: chat, or for `about` reason (why this one) or pitch (what is it)."""
    years: limits.Years = (None, None)
    years_out: tuple[limits.Years, ...] = ()
    """Years that are refused."""
    price: float | None = None
    """At most."""
    text: str = ""
    """Words that say what the items are to be about, and that are neither titles nor categories."""


@dataclass(frozen=True)
class Reader:
    """Reads dialogues by the titles and categories of one catalogue."""

    titles: TitleIndex
    categories: Lexicon

    def wish(self, messages: Turns, seen: frozenset[str]) -> Wish:
        """See the module. `seen`: what the person has met, and so was not recommended where an answer names it."""
        wish, before, shown, ever = Wish(), Wish(), list[str](), list[str]()
        for role, text in messages:
            if role == "assistant":
                if text.strip() in NOTHING_FITS:
                    wish = _relaxed(wish, before)
                found = self.titles.find(text, written=True)
                named = dict.fromkeys(item_id for item_id, _ in found if item_id not in seen)
                # An answer about one item of a list leaves the list what "the second one" points into.
                shown = list(named) if not set(named) <= set(shown) else shown
                ever += shown
            elif role == "user":
                before, wish = wish, self._next(wish, text, shown, ever)
        return wish

    def _next(self, wish: Wish, text: str, shown: list[str], ever: list[str]) -> Wish:
        """The wish after one more message of the person."""
        wish = Wish() if phrases.ANEW.search(text) else replace(wish, about=None, kind="chat", without=())
        words = words_of(text)
        said = self.titles.find(text)
        lengths = {named_at.start: len(named_at) for _, named_at in said}
        refused_at = refused_places(words, lambda place: lengths.get(place) or self._category_at(words, place))
        titled = {place for _, named_at in said for place in named_at}
        is_met = phrases.MET.search(text) and not (phrases.PRAISE.search(text) or phrases.SIMILAR.search(text))
        kept = [entry for entry in said if phrases.WHY.search(text) or not (is_met or entry[1].start in refused_at)]
        refusals = [entry[0] for entry in said if entry not in kept]
        named = list(kept)
        count = phrases.count_of(text, len(shown), wish.count, self._counted(words, titled))
        pointed, before = phrases.places_of(text, len(shown))
        if phrases.NOT.search(before):
            refusals += [shown[place] for place in pointed]
        elif phrases.LIKE.search(before):
            named += [(shown[place], range(0)) for place in pointed]
        elif pointed:
            return replace(wish, about=shown[pointed[0]], kind=_kind(text))
        if named and _is_about(text, words, named, shown):
            return replace(wish, about=named[0][0], kind=_kind(text))
        wanted, refused, taken = self._categories(words, titled, refused_at)
        if phrases.TOLERATED.search(text):
            wish = replace(wish, refused=tuple(category for category in wish.refused if category not in wanted))
            wanted = ()
        if phrases.ANY_KIND.search(text):
            wish = replace(wish, wanted=(), text="")
        wish = _in_years(wish, text)
        price = limits.price_of(text)
        telling = list(_telling(words, taken | refused_at))
        meant = " ".join(telling) if set(telling) - phrases.WEAK else ""
        titles = tuple(dict.fromkeys(item_id for item_id, _ in named)) or wish.titles
        return replace(
            wish,
            titles=tuple(item_id for item_id in titles if item_id not in refusals),
            wanted=wanted or tuple(category for category in wish.wanted if category not in refused),
            refused=tuple(c for c in dict.fromkeys(wish.refused + refused) if c not in wanted),
            count=count,
            unwanted=tuple(i for i in dict.fromkeys([*wish.unwanted, *refusals]) if i not in dict(named)),
            without=tuple(dict.fromkeys(ever)) if phrases.OTHERS.search(text) else (),
            price=wish.price if price is None else price,
            text=meant or ("" if named or wanted else wish.text),
        )

    def _counted(self, words: list[str], titled: set[int]) -> int | None:
        """The number before a category, outside of titles: "two comedies", "one good horror film"."""
        for place, word in enumerate(words):
            if (number := phrases.number_of(word)) is None or place in titled:
                continue
            first = end = place + (2 if phrases.BESIDE.intersection(words[place + 1 : place + 2]) else 1)
            while length := self._category_at(words, end):
                end += length
            behind = words[end : end + 1]
            if end > first and (not behind or behind[0] in MARKS or behind[0] in phrases.COUNTED):
                return number
        return None

    def _category_at(self, words: list[str], place: int) -> int:
        """How many words from a place on are a category's; 0 where there is none."""
        return next((n for n in range(LONGEST, 0, -1) if tuple(words[place : place + n]) in self.categories), 0)

    def _categories(
        self, words: list[str], titled: set[int], refused_at: set[int]
    ) -> tuple[tuple[str, ...], tuple[str, ...], set[int]]:
        """Categories that are wanted and refused, outside of titles; and the places of all words that are taken."""
        taken = set(titled)
        wanted: dict[str, None] = {}
        refused: dict[str, None] = {}
        for position in range(len(words)):
            length = self._category_at(words, position)
            places = range(position, position + length)
            if not length or taken.intersection(places):
                continue
            taken.update(places)
            category = self.categories[tuple(words[position : position + length])]
            (refused if position in refused_at else wanted)[category] = None
        return tuple(category for category in wanted if category not in refused), tuple(refused), taken


def _in_years(wish: Wish, text: str) -> Wish:
    """The wish with the years that a message asks for, refuses, or takes back."""
    if limits.ANY_YEAR.search(text):
        return replace(wish, years=(None, None), years_out=())
    found = limits.years_of(text, time.gmtime().tm_year)
    if found is None:
        return wish
    years, is_refused = found
    return replace(wish, years_out=(*wish.years_out, years)) if is_refused else replace(wish, years=years)


def _relaxed(wish: Wish, before: Wish) -> Wish:
    """What still holds of a wish that nothing fitted: not the years and the price that it added, else nothing of it."""
    easier = replace(wish, years=before.years, years_out=before.years_out, price=before.price)
    return easier if easier != wish else before


def _kind(text: str) -> str:
    return "reason" if phrases.WHY.search(text) else "pitch"


def _is_about(text: str, words: list[str], named: list[tuple[str, range]], shown: list[str]) -> bool:
    """Whether a message asks about, or for, the first title that it names, and not for something like it."""
    item_id, places = named[0]
    if phrases.SIMILAR.search(text):
        return False
    if (
        phrases.ABOUT.search(text)
        or (_ASKS.match(text) and places.start <= 2)
        or (phrases.WHY.search(text) and item_id in shown)
    ):
        return True
    before = words[: places.start]
    return len(named) == 1 and any(tuple(before[-len(ask) :]) == ask for ask in phrases.BY_NAME)


def _telling(words: list[str], taken: set[int]) -> Iterable[str]:
    """Words that say what something is about: no titles, categories, numbers, marks, common or refused words.

    Chinese is left out: without a dictionary there is no telling its words apart.
    """
    for place, word in enumerate(words):
        known = place in taken or word in phrases.COMMON
        if not known and len(word) > 2 and word.isascii() and not word[0].isdigit():
            yield word

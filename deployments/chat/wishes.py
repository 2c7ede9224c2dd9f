"""What a dialogue asks for: each message of the person changes the `Wish` that the ones before have made.

Titles that are named, categories and moods, refusals, years, prices and lengths are understood by rules, in English and
Chinese; words that no rule takes are left in `Wish.text`, to be looked for by meaning. What was asked for holds until a
later message says otherwise. "The second one" is an item of the answer before, which is found in the dialogue's text.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from deployments.chat import phrases
from deployments.chat.moods import LONGEST, Lexicon
from deployments.chat.titles import HAN, MARKS, TitleIndex, words_of
from generation.templates import NOTHING_FITS

DEFAULT_ITEMS = 3
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
    years: phrases.Years = (None, None)
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
        wish = replace(wish, about=None, kind="chat", without=())
        words = words_of(text)
        said = self.titles.find(text)
        places = {place for _, named_at in said for place in named_at}
        named = [entry for entry in said if not _is_refused(words, entry[1].start) or phrases.WHY.search(text)]
        refusals = tuple(entry[0] for entry in said if entry not in named)
        count = phrases.count_of(text, len(shown), wish.count, self._counted(words, places))
        if (pointed := phrases.place_of(text, len(shown))) is not None:
            item_id, before = shown[pointed[0]], pointed[1]
            if phrases.LIKE.search(before):
                named.append((item_id, range(0)))
            elif phrases.NOT.search(before):
                return replace(wish, unwanted=(*wish.unwanted, item_id), count=count)
            else:
                return replace(wish, about=item_id, kind=_kind(text))
        if named and _is_about(text, words, named, shown):
            return replace(wish, about=named[0][0], kind=_kind(text))
        wanted, refused, taken = self._categories(words, places)
        years = phrases.years_of(text, time.gmtime().tm_year)
        price = phrases.price_of(text)
        telling = list(_telling(words, taken))
        meant = " ".join(telling) if set(telling) - phrases.WEAK else ""
        titles = tuple(dict.fromkeys(item_id for item_id, _ in named)) or wish.titles
        return Wish(
            titles=tuple(item_id for item_id in titles if item_id not in refusals),
            wanted=wanted or tuple(category for category in wish.wanted if category not in refused),
            refused=tuple(c for c in dict.fromkeys(wish.refused + refused) if c not in wanted),
            count=count,
            unwanted=tuple(i for i in dict.fromkeys(wish.unwanted + refusals) if i not in dict(named)),
            without=tuple(dict.fromkeys(ever)) if phrases.OTHERS.search(text) else (),
            years=years or ((None, None) if phrases.ANY_YEAR.search(text) else wish.years),
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

    def _categories(self, words: list[str], titled: set[int]) -> tuple[tuple[str, ...], tuple[str, ...], set[int]]:
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
            (refused if _is_refused(words, position) else wanted)[category] = None
        return tuple(category for category in wanted if category not in refused), tuple(refused), taken


def _relaxed(wish: Wish, before: Wish) -> Wish:
    """What still holds of a wish that nothing fitted: not the years and the price that it added, else nothing of it."""
    easier = replace(wish, years=before.years, price=before.price)
    return easier if easier != wish else before


def _kind(text: str) -> str:
    return "reason" if phrases.WHY.search(text) else "pitch"


def _is_about(text: str, words: list[str], named: list[tuple[str, range]], shown: list[str]) -> bool:
    """Whether a message asks about, or for, the first title that it names, and not for something like it."""
    item_id, places = named[0]
    if phrases.SIMILAR.search(text):
        return False
    if phrases.ABOUT.search(text) or (phrases.WHY.search(text) and item_id in shown):
        return True
    before = words[: places.start]
    return len(named) == 1 and any(tuple(before[-len(ask) :]) == ask for ask in phrases.BY_NAME)


def _is_refused(words: list[str], position: int) -> bool:
    """Whether a refusal stands before a word in the same clause, and not too far from it."""
    clause: list[str] = []
    left = float(phrases.REACH)
    for place in range(position - 1, -1, -1):
        word = words[place]
        left -= 0.5 if HAN.match(word) else 1.0
        if word == "but" and place and words[place - 1] in phrases.ALL_BUT:
            return True
        if word in phrases.BREAKS or left < 0:
            break
        clause.insert(0, word)
    return any(
        tuple(clause[start : start + len(refusal)]) == refusal
        for refusal in phrases.REFUSALS
        for start in range(len(clause) - len(refusal) + 1)
    )


def _telling(words: list[str], taken: set[int]) -> Iterable[str]:
    """Words that say what something is about: no titles, categories, numbers, marks, common or refused words.

    Chinese is left out: without a dictionary there is no telling its words apart.
    """
    for place, word in enumerate(words):
        known = place in taken or word in phrases.COMMON or word in phrases.BREAKS or (word,) in phrases.REFUSALS
        if not known and len(word) > 2 and word.isascii() and not word[0].isdigit() and not _is_refused(words, place):
            yield word

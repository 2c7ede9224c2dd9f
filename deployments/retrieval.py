"""What a chat is about: the dialogue becomes a wish, the wish a ranking query for that person.

Titles that are named steer this one list as likes would, without becoming likes of the person; categories and moods
narrow it or are left out of it; counts make it shorter; "the second one" is an item of the answer before. What earlier
messages asked for holds until a later one says otherwise.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from cluster.catalogue import Catalogue, yielding
from cluster.messages import Item, RankedItem, RankQuery, SessionView
from deployments.moods import moods_of
from deployments.titles import MARKS, TitleIndex, words_of

DEFAULT_ITEMS = 3
MAX_ITEMS = 5
_REFUSALS = frozenset(
    {"no", "not", "without", "except", "hate", "dislike", "never", "don't", "nothing", "avoid", "isn't", "less", "nor"}
)
_BREAKS = MARKS | {"but", "just", "instead", "rather"}
"""Behind these a refusal holds no longer."""
_REACH = 4
"""How many words before a category a word of refusal may stand."""
_NUMBERS = {word: n for n, word in enumerate(("one", "two", "three", "four", "five"), 1)}
_COUNT = re.compile(
    r"\b(?:just|only|top|at most|give me|show me|recommend(?: me)?|suggest)\s+(?:the\s+)?"
    r"(?P<n>one|two|three|four|five|[1-5])\b|\ba (?P<single>single)\b"
    r"|\b(?P<m>one|two|three|four|five|[1-5]) (?:titles?|films?|movies?|books?|songs?|things?|items?|picks?|ideas?)\b",
    re.IGNORECASE,
)
_SHORTER = re.compile(r"\b(?:shorter(?: list)?|fewer|less of them|too many)\b", re.IGNORECASE)
_LONGER = re.compile(r"\b(?:longer list|more (?:options|ideas|titles|suggestions|picks|films|movies))\b", re.IGNORECASE)
_OTHERS = re.compile(r"\b(?:another|something else|anything else|what else|others?|different ones?)\b", re.IGNORECASE)
_PLACES = {"first": 0, "1st": 0, "second": 1, "2nd": 1, "third": 2, "3rd": 2, "fourth": 3, "fifth": 4, "last": -1}
_PLACE = re.compile(
    r"\bthe (?P<place>first|second|third|fourth|fifth|last|1st|2nd|3rd)\b"
    r"(?=\s+(?:one|title|film|movie|book|song|thing|item|pick|choice|idea|suggestion|recommendation)\b|\s*(?:[.?!,]|$))"
    r"|\b(?:number|no\.|#)\s*(?P<number>[1-5])\b",
    re.IGNORECASE,
)
_THAT = re.compile(r"\bwhy (?:did you (?:pick|choose|suggest|recommend) )?(?:that|this|it)\b", re.IGNORECASE)
_WHY = re.compile(r"\b(?:why|how come|what makes)\b", re.IGNORECASE)
_ABOUT = re.compile(r"\b(?:tell me|more about|what is|what's|what about|describe)\b", re.IGNORECASE)
_LIKE = re.compile(r"\b(?:like|similar to)\s+$", re.IGNORECASE)
_NOT = re.compile(r"\b(?:not|without|except|no)\s+$", re.IGNORECASE)
_SIMILAR = re.compile(r"\b(?:like|similar)\b", re.IGNORECASE)
Turns = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Wish:
    """What a dialogue asks for."""

    titles: tuple[str, ...] = ()
    """Ids of items that the list is to be like."""
    wanted: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    count: int = DEFAULT_ITEMS
    without: tuple[str, ...] = ()
    """Ids of items that are not wanted again."""
    about: str | None = None
    """The id of the one item that is asked about."""
    kind: str = "chat"
    """What to write: chat, or for `about` reason (why this one) or pitch (what is it)."""


@dataclass(frozen=True)
class _Index:
    titles: TitleIndex = field(default_factory=lambda: TitleIndex(()))
    categories: dict[str, str] = field(default_factory=dict)
    moods: dict[str, str] = field(default_factory=dict)


class ChatRetriever:
    """Understands dialogues by the catalogue's titles and categories. Its index follows the catalogue's version."""

    def __init__(self, catalogue: Catalogue, tenant: str) -> None:
        self._catalogue = catalogue
        self._tenant = tenant
        self._version = -1
        self._index = _Index()

    def wish(self, messages: Turns, seen: frozenset[str] = frozenset()) -> Wish:
        """What a dialogue asks for. After a change of the catalogue this walks over all of it: call it in a thread.

        Args:
            messages: (role, text), oldest first.
            seen: what the person has met, and so was not recommended where an answer names it.
        """
        self._refresh()
        wish, shown, ever = Wish(), list[str](), list[str]()
        for role, text in messages:
            if role == "assistant":
                found = self._index.titles.find(text, written=True)
                named = dict.fromkeys(item_id for item_id, _ in found if item_id not in seen)
                # An answer about one item of a list leaves the list what "the second one" points into.
                shown = list(named) if not set(named) <= set(shown) else shown
                ever += shown
            elif role == "user":
                wish = self._next(wish, text, shown, ever)
        return wish

    def query(self, wish: Wish, view: SessionView) -> RankQuery:
        """The ranking query for a wish of this person."""
        if wish.about is not None:
            return RankQuery(view, 1, allowed=frozenset({wish.about}), include_seen=True)
        if count := len(wish.titles):
            # Alone: a long history would outvote what was just said. What the person has seen stays out all the same.
            now_ms = round(time.time() * 1000)
            view = replace(
                view.plain(),
                items=wish.titles,
                types=("like",) * count,
                values=(None,) * count,
                timestamps_ms=tuple(now_ms + place for place in range(count)),
            )
        refused = self._catalogue.in_categories(self._tenant, wish.refused) if wish.refused else frozenset()
        excluded = refused.union(wish.titles, wish.without)
        return RankQuery(view, wish.count, allowed=self._allowed(wish, excluded), excluded=excluded)

    def _allowed(self, wish: Wish, excluded: frozenset[str]) -> frozenset[str] | None:
        """Items of all wanted categories, or of any where that leaves too few."""
        if not wish.wanted:
            return None
        each = [self._catalogue.in_categories(self._tenant, (category,)) for category in wish.wanted]
        every = frozenset.intersection(*each)
        return every if len(every - excluded) >= wish.count else frozenset[str]().union(*each)

    def _next(self, wish: Wish, text: str, shown: list[str], ever: list[str]) -> Wish:
        """The wish after one more message of the person."""
        wish = replace(wish, about=None, kind="chat", without=())
        named = self._index.titles.find(text)
        pointed = _pointed(text, shown)
        if pointed is not None:
            item_id, before = pointed
            if _LIKE.search(before):
                named.append((item_id, range(0)))
            elif _NOT.search(before):
                return replace(wish, without=(item_id,), count=_count(text, wish, shown))
            else:
                return replace(wish, about=item_id, kind="reason" if _WHY.search(text) else "pitch")
        if (
            named
            and not _SIMILAR.search(text)
            and (_ABOUT.search(text) or (_WHY.search(text) and named[0][0] in shown))
        ):
            return replace(wish, about=named[0][0], kind="reason" if _WHY.search(text) else "pitch")
        wanted, refused = self._categories(words_of(text), named)
        return replace(
            wish,
            titles=tuple(dict.fromkeys(item_id for item_id, _ in named)) or wish.titles,
            wanted=wanted or tuple(category for category in wish.wanted if category not in refused),
            refused=tuple(c for c in dict.fromkeys(wish.refused + refused) if c not in wanted),
            count=_count(text, wish, shown),
            without=tuple(ever) if _OTHERS.search(text) else (),
        )

    def _categories(self, words: list[str], named: list[tuple[str, range]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Categories that are wanted and refused, outside of titles."""
        taken = {place for _, places in named for place in places}
        wanted: dict[str, None] = {}
        refused: dict[str, None] = {}
        for position, word in enumerate(words):
            known = self._index.categories
            category = (
                known.get(" ".join(words[position : position + 2])) or known.get(word) or self._index.moods.get(word)
            )
            if category is None or position in taken:
                continue
            before = words[max(0, position - _REACH) : position]
            breaks = [place for place, one in enumerate(before) if one in _BREAKS]
            clause = before[breaks[-1] + 1 :] if breaks else before
            (refused if _REFUSALS.intersection(clause) else wanted)[category] = None
        return tuple(category for category in wanted if category not in refused), tuple(refused)

    def _refresh(self) -> None:
        version = self._catalogue.version
        if version == self._version:
            return
        items: list[Item] = self._catalogue.items(self._tenant)
        names = {category for item in yielding(items) for category in item.categories}
        categories = {form: category for category in sorted(names) for form in _forms(category)}
        moods = moods_of({category.lower(): category for category in names})
        self._index = _Index(TitleIndex(yielding(items)), categories, moods)
        self._version = version


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


def _pointed(text: str, shown: list[str]) -> tuple[str, str] | None:
    """The item of the answer before that a message points at, and the text before the pointer."""
    if (match := _PLACE.search(text)) is not None:
        number = match["number"]
        place = int(number) - 1 if number else _PLACES[match["place"].lower()]
        if place < len(shown) and shown:
            return shown[place], text[: match.start()]
    if shown and _THAT.search(text):
        return shown[0], ""
    return None


def _count(text: str, wish: Wish, shown: list[str]) -> int:
    """How many items are asked for now."""
    if (match := _COUNT.search(text)) is not None:
        word = (match["n"] or match["m"] or match["single"]).lower()
        return 1 if word == "single" else _NUMBERS.get(word) or int(word)
    before = len(shown) or wish.count
    if _SHORTER.search(text):
        return max(1, min(before, MAX_ITEMS) - 1)
    if _LONGER.search(text):
        return min(MAX_ITEMS, before + 2)
    return wish.count


def _forms(category: str) -> set[str]:
    word = category.lower()
    plural = word[:-1] + "ies" if word.endswith("y") else word + "s"
    return {word, plural, word.replace("-", ""), word.replace("-", " "), word.replace("'s", "")}

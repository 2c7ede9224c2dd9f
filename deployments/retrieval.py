"""What a chat is about: titles and categories named in the newest message steer the ranking of that person's list.

A title of the catalogue in the message counts as a like for this one list; a category narrows the list, or is left out
of it when a word of refusal stands before it. The session does the rest.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from cluster.catalogue import Catalogue
from cluster.messages import Item, RankQuery, SessionView

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_REFUSALS = frozenset({"no", "not", "without", "except", "hate", "dislike", "never", "don't", "nothing", "avoid"})
_REACH = 3
"""How many words before a category a word of refusal may stand."""
_LONGEST_TITLE_WORDS = 10
_MIN_TITLE_CHARS = 4
_TRAILING_YEAR = re.compile(r"\s*\(\d{4}\)\s*$")


@dataclass(frozen=True)
class Wish:
    """What a message asks for."""

    titles: tuple[str, ...] = ()
    """Ids of the items that are named."""
    wanted: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


class ChatRetriever:
    """Finds titles and categories of the catalogue in messages. Its index follows the catalogue's version."""

    def __init__(self, catalogue: Catalogue, tenant: str) -> None:
        self._catalogue = catalogue
        self._tenant = tenant
        self._version = -1
        self._titles: dict[str, str] = {}
        self._categories: dict[str, str] = {}

    def wish(self, message: str) -> Wish:
        """What a message names: longest titles first, then categories outside of them."""
        self._refresh()
        words = [word.lower().replace("’", "'") for word in _WORD.findall(message)]
        free = [True] * len(words)
        titles: list[str] = []
        for length in range(min(_LONGEST_TITLE_WORDS, len(words)), 0, -1):
            for start in range(len(words) - length + 1):
                place = slice(start, start + length)
                item_id = self._titles.get(" ".join(words[place])) if all(free[place]) else None
                # A one-word title that opens no capitalised word is more likely just a word ("speed", "heat").
                if item_id is not None and (length > 1 or _is_named(message, words[start])):
                    titles.append(item_id)
                    free[place] = [False] * length
        wanted: list[str] = []
        refused: list[str] = []
        for position, word in enumerate(words):
            category = self._categories.get(word) if free[position] else None
            if category is not None:
                before = words[max(0, position - _REACH) : position]
                (refused if _REFUSALS.intersection(before) else wanted).append(category)
        return Wish(tuple(titles), tuple(dict.fromkeys(wanted)), tuple(dict.fromkeys(refused)))

    def query(self, message: str, view: SessionView, n: int) -> RankQuery:
        """The ranking query for a message of this person."""
        wish = self.wish(message)
        now_ms = round(time.time() * 1000)
        count = len(wish.titles)
        view = replace(
            view,
            items=view.items + wish.titles,
            types=view.types + ("like",) * count,
            values=view.values + (None,) * count,
            timestamps_ms=view.timestamps_ms + tuple(now_ms + place for place in range(count)),
        )
        allowed = self._catalogue.in_categories(self._tenant, wish.wanted) if wish.wanted else None
        excluded = self._catalogue.in_categories(self._tenant, wish.refused) if wish.refused else frozenset()
        return RankQuery(view, n, allowed=allowed, excluded=excluded | frozenset(wish.titles))

    def _refresh(self) -> None:
        version = self._catalogue.version
        if version == self._version:
            return
        items: Sequence[Item] = list(self._catalogue.items(self._tenant))
        self._titles = dict(_title_keys(items))
        self._categories = {
            form: category for item in items for category in item.categories for form in _forms(category)
        }
        self._version = version


def newest_message(messages: Iterable[tuple[str, str]]) -> str:
    """The text of the last message that the person wrote."""
    return next((text for role, text in reversed(list(messages)) if role == "user"), "")


def _title_keys(items: Sequence[Item]) -> Iterable[tuple[str, str]]:
    for item in items:
        title = _TRAILING_YEAR.sub("", item.title)
        if len(title) >= _MIN_TITLE_CHARS:
            yield " ".join(word.lower().replace("’", "'") for word in _WORD.findall(title)), item.item_id


def _forms(category: str) -> set[str]:
    word = category.lower()
    plural = word[:-1] + "ies" if word.endswith("y") else word + "s"
    return {word, plural, word.replace("-", ""), word.split("-")[0]}


def _is_named(message: str, word: str) -> bool:
    """Whether a word stands in the message with a capital, other than as the first word of it."""
    return any(
        found.start() > 0 and found.group()[0].isupper() for found in re.finditer(re.escape(word), message, re.I)
    )

"""What an item gives to talk about: the profile that phrases in every language are chosen by."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from cluster.messages import Item
from generation.facts import PEOPLE_KEYS, clean, facts_of
from generation.words import Theme, phrases, themes

DRAWN = 4
"""So many phrases of a list stand in one place of one text: a small model would always take the same of all."""
WAYS = 3
"""So many patterns a text may choose from."""
MAX_NAME_CHARS = 40
_CAST = frozenset(("people", "actors", "cast"))
_NAME = re.compile(r"[^\W\d_][\w&'’. -]*")
_ADDED = re.compile(r"\b(?:of|with|made|from|for|in|by)\b")
_FIRST_ADDED = frozenset(("of", "with", "made", "from", "for"))
_SENTENCE = re.compile(r"[^.!?]+(?:\.\d[^.!?]*)*")


@dataclass(frozen=True, slots=True)
class Profile:
    """What an item gives to talk about. `described` is the beginning of its description where that is a noun with what
    belongs to it; `countable` says that it has its article."""

    themes: tuple[Theme, ...]
    labels: tuple[str, ...]
    made_by: tuple[str, ...]
    cast: tuple[str, ...]
    year: int | None
    described: str
    countable: bool

    @property
    def story(self) -> bool:
        """Whether it is something that tells a story, such as a film or a novel."""
        return any(theme.sure and theme.nouns for theme in self.themes)


def profile_of(item: Item) -> Profile:
    """The profile of an item."""
    facts = facts_of(item)
    labels = [*facts.get("categories", ()), *facts.get("tags", ())]
    known = [themes()[label.lower()] for label in labels if label.lower() in themes()]
    people: dict[bool, list[str]] = {True: [], False: []}
    for key in PEOPLE_KEYS:
        value = item.attributes.get(key, ())
        for name in (value,) if isinstance(value, str) else value if isinstance(value, list | tuple) else ():
            if isinstance(name, str) and _is_name(cleaned := clean(name)):
                people[key in _CAST].append(cleaned)
    described, countable = _described(str(facts.get("description", "")), str(facts.get("title", "")), labels)
    return Profile(
        themes=tuple(dict.fromkeys(theme for theme in known if theme.nouns)),
        labels=tuple(label for label in facts.get("categories", ()) if _is_name(label)),
        made_by=tuple(people[False]),
        cast=tuple(people[True]),
        year=facts.get("year"),
        described=described,
        countable=countable,
    )


@cache
def _not_nouns() -> frozenset[str]:
    return frozenset(phrases()["not_nouns"])


def _is_name(text: str) -> bool:
    return len(text) <= MAX_NAME_CHARS and _NAME.fullmatch(text) is not None


def _described(description: str, title: str, labels: Iterable[str]) -> tuple[str, bool]:
    """The first sentence of a description where it is a noun with additions ("A lamp of brushed steel"), as it stands
    inside a sentence, and whether it has its article.

    It is that when the word before its first preposition is a noun: after an article, or one that the title or a
    category has too. No parser: what does not look like one is left out.
    """
    match = _SENTENCE.match(description.strip())
    sentence = match[0].strip() if match else ""
    words = sentence.split()
    added = _ADDED.search(sentence)
    if not (3 <= len(words) <= 24) or added is None or len(sentence) > 140 or re.search(r"[:;()\"“”]", sentence):
        return "", False
    head = sentence[: added.start()].split()
    lower = [word.strip(",").lower() for word in head]
    if (
        not 1 <= len(head) <= 6
        or _not_nouns().intersection(word.lower() for word in words)
        or "," in sentence[: added.start()]
    ):
        return "", False
    if lower[0] in ("a", "an"):
        if (
            len(head) < 2
            or {"a", "an", "the"} & set(lower[1:])
            or re.search(r"[^s]s$", lower[-1])
            or added[0] not in _FIRST_ADDED
        ):
            return "", False
        return sentence[0].lower() + sentence[1:], True
    known = {word.lower() for text in (title, *labels) for word in text.split()}
    if lower[-1] in known and lower[0] not in ("the", "this", "my"):
        return (sentence[0].lower() + sentence[1:] if sentence[1:2].islower() else sentence), False
    return "", False

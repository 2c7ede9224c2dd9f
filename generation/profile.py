"""What an item gives to talk about: the profile that phrases in every language are chosen by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from cluster.messages import Item
from generation.facts import PEOPLE_KEYS, WITHIN_KEYS, clean, facts_of
from generation.words import Theme, phrases, themes

MAX_NAME_CHARS = 40
_CAST = frozenset(("people", "actors", "cast"))
_NAME = re.compile(r"[^\W\d_][\w&'’. -]*")
_ADDED = re.compile(r"\b(?:of|with|made|from|for|in|by)\b")
_FIRST_ADDED = frozenset(("of", "with", "made", "from", "for"))
_HEAD_END = re.compile(r"[:,;(–—|]| (?:for|with|of|in|and|by|from|to) ")
_SENTENCE = re.compile(r"[^.!?]+(?:\.\d[^.!?]*)*")


@dataclass(frozen=True, slots=True)
class Profile:
    """What an item gives to talk about. `described` is the beginning of its description where that is a noun with what
    belongs to it; `countable` says that it has its article. `noun` is what it is, where title and category agree (a
    kettle), `report` whether it tells the news. `within` are colour, material and place, which stand after "in"."""

    themes: tuple[Theme, ...]
    labels: tuple[str, ...]
    made_by: tuple[str, ...]
    brand: str
    cast: tuple[str, ...]
    within: tuple[str, ...]
    year: int | None
    described: str
    countable: bool
    noun: str
    report: bool

    @property
    def story(self) -> bool:
        """Whether it is something that tells a story, such as a film or a novel."""
        return any(theme.sure and theme.nouns for theme in self.themes)


def profile_of(item: Item) -> Profile:
    """The profile of an item."""
    facts = facts_of(item)
    labels = [*facts.get("categories", ()), *facts.get("tags", ())]
    known = [themes()[label.lower()] for label in labels if label.lower() in themes()]
    title = str(facts.get("title", ""))
    people: dict[str, list[str]] = {"cast": [], "made_by": [], "brand": []}
    for key in PEOPLE_KEYS:
        value = item.attributes.get(key, ())
        for name in (value,) if isinstance(value, str) else value if isinstance(value, list | tuple) else ():
            if isinstance(name, str) and _is_name(cleaned := clean(name)):
                people["cast" if key in _CAST else "brand" if key == "brand" else "made_by"].append(cleaned)
    described, countable = _described(str(facts.get("description", "")), title, labels)
    return Profile(
        themes=tuple(dict.fromkeys(theme for theme in known if theme.nouns)),
        labels=tuple(label for label in facts.get("categories", ()) if _is_name(label)),
        made_by=tuple(people["made_by"]),
        brand=next((brand for brand in people["brand"] if brand.lower() not in title.lower()), ""),
        cast=tuple(people["cast"]),
        within=tuple(
            str(facts[key]) for key in WITHIN_KEYS if _is_name(str(facts.get(key, ""))) and str(facts[key]) not in title
        ),
        year=facts.get("year"),
        described=described,
        countable=countable,
        noun=_noun(title, labels),
        report=_is_report(facts, labels),
    )


@cache
def _words(name: str) -> frozenset[str]:
    return frozenset(phrases()[name])


def _is_name(text: str) -> bool:
    return len(text) <= MAX_NAME_CHARS and _NAME.fullmatch(text) is not None


def _noun(title: str, categories: Iterable[str]) -> str:
    """What an item is, where the last word of its title is that of a category in the plural: a kettle among Kettles.

    What follows a colon, a comma, a bracket or a preposition is not looked at, nor are numbers and units at the end.
    """
    head = [word for word in _HEAD_END.split(title)[0].split() if len(word) > 2 and word.isalpha()]
    word = head[-1].lower() if head else ""
    plurals = {f"{word}s", f"{word}es", f"{word[:-1]}ies" if word.endswith("y") else ""}
    last = {category.split()[-1].lower() for category in categories if _is_name(category)}
    return word if plurals & (last - _words("no_kinds")) else ""


def _is_report(facts: Mapping[str, Any], categories: Iterable[str]) -> bool:
    """Whether an item tells the news: its title is a sentence, its category one of news, and it has no price."""
    words = re.findall(r"[^\W\d_]+", str(facts.get("title", "")))
    small = sum(word.islower() and len(word) > 1 for word in words)
    known = {word.lower() for category in categories for word in category.split()} & _words("news")
    return bool(known) and len(words) > 3 and 2 * small >= len(words) and "price" not in facts


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
        or _words("not_nouns").intersection(word.lower() for word in words)
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

"""What an item gives to talk about: the profile that phrases in every language are chosen by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from cluster.messages import Item
from generation.details import Details, details_of
from generation.facts import PEOPLE_KEYS, WITHIN_KEYS, clean, facts_of
from generation.lexicon import last_word, words_of
from generation.words import Kind, Theme, attributes, grave, kinds, phrases, themes

MAX_NAME_CHARS = 40
_CAST = frozenset(("people", "actors", "cast"))
_NAME = re.compile(r"[^\W\d_][\w&'’. -]*")
_HEAD_END = re.compile(r"[:,;(–—|]| (?:for|with|of|in|and|by|from|to) ")


@dataclass(frozen=True, slots=True)
class Profile:
    """What an item gives to talk about. `details` are what its description says. `noun` is what it is, where title and
    category agree (a kettle) or the description begins with it, `kind` what kind of thing it is, `report` whether it
    tells the news. `within` are colour, material and place, which stand after "in"; `placed` is what other attributes
    say after a noun. `grave` is what nothing cheerful is said of."""

    themes: tuple[Theme, ...]
    labels: tuple[str, ...]
    made_by: tuple[str, ...]
    brand: str
    cast: tuple[str, ...]
    within: tuple[str, ...]
    year: int | None
    placed: tuple[str, ...]
    details: Details
    kind: Kind | None
    noun: str
    report: bool
    grave: bool

    @property
    def story(self) -> bool:
        """Whether it is something that tells a story, such as a film or a novel."""
        return any(theme.sure and theme.nouns for theme in self.themes)

    def told(self) -> tuple[Theme, ...]:
        """The themes whose own words may be said of it: of what is grave no light ones."""
        return tuple(theme for theme in self.themes if not (self.grave and theme in _light()))


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
    known_as = attributes()
    said = [
        way.format(value)
        for key, way in known_as["said"].items()
        if isinstance(value := item.attributes.get(key), int) and not isinstance(value, bool) and value > 1
    ]
    details = details_of(str(facts.get("description", "")), title, labels, said)
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
        placed=tuple(
            way.format(facts[key]) for key, way in known_as["made"].items() if _is_name(str(facts.get(key, "")))
        ),
        details=details,
        kind=_kind(item, labels),
        noun=_noun_of(details.head, title) or _noun(title, labels),
        report=_is_report(facts, labels),
        grave=_is_grave(title, labels, story=any(theme.sure and theme.nouns for theme in known)),
    )


def _is_grave(title: str, labels: Iterable[str], *, story: bool) -> bool:
    """Whether an item is of death, illness, danger or war: a story by its categories, a thing by its words, too."""
    lower = [label.lower() for label in labels]
    if story:
        return not set(lower).isdisjoint(grave()["stories"])
    text = " ".join((title.lower(), *lower))
    return not set(words_of(text)).isdisjoint(grave()["words"]) or any(word in text for word in grave()["zh"])


def is_cheerful(text: str, *, chinese: bool) -> bool:
    """Whether a sentence, or a way to begin it, is too cheerful for what is grave."""
    if chinese:
        return any(word in text for word in grave()["cheer_zh"])
    return _cheer().search(text) is not None


@cache
def _cheer() -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, grave()['cheer']))})(?!\w)", re.IGNORECASE)


@cache
def _light() -> frozenset[Theme]:
    return frozenset(themes()[name] for name in grave()["light"] if name in themes())


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


def says_title(phrase: str, title: str) -> bool:
    """Whether a noun with its article says no more than a title does: "a table lamp" of Quay Table Lamp."""
    return set(phrase.lower().split()[1:]) <= set(title.lower().split())


def _noun_of(head: str, title: str) -> str:
    """What an item is by the noun that its description begins with: all of that where the title says it too."""
    return head.split(" ", 1)[1].lower() if head and says_title(head, title) else last_word(head)


def _kind(item: Item, labels: Iterable[str]) -> Kind | None:
    """The kind of thing that attributes or categories show, the first of `words.kinds`."""
    ends = {words[-1].lower() for label in labels if (words := label.split())}
    return next((kind for kind in kinds() if kind.keys & set(item.attributes) or kind.labels & ends), None)


def _is_report(facts: Mapping[str, Any], categories: Iterable[str]) -> bool:
    """Whether an item tells the news: its title is a sentence, its category one of news, and it has no price."""
    words = re.findall(r"[^\W\d_]+", str(facts.get("title", "")))
    small = sum(word.islower() and len(word) > 1 for word in words)
    known = {word.lower() for category in categories for word in category.split()} & _words("news")
    return bool(known) and len(words) > 3 and 2 * small >= len(words) and "price" not in facts

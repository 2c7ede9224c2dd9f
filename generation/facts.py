"""What is known of an item, flat, and how its title is read aloud. A text may say this and no more."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from typing import Any

from cluster.messages import Item, WriteTask
from generation.words import theme_words, vocabulary

PEOPLE_KEYS = ("people", "director", "directors", "actors", "cast", "author", "authors", "artist", "artists", "brand")
WITHIN_KEYS = ("color", "colour", "material", "city", "neighbourhood", "neighborhood", "district")
"""Attributes that are told after "in": in olive, in oak, in Old Town."""
YEAR_KEYS = ("year", "release_year", "published_year")
MAX_VALUE_CHARS = 400
_SMALL_CHARS = 3
_PRONOUNS = frozenset(("nothing", "none", "nobody", "nowhere", "no"))
_ARTICLES = "The|A|An|Il|La|Le|Les|El|Los|Las|Das|Der|Die|L'"
_TRAILING_ARTICLE = re.compile(rf"^(?P<rest>.+), (?P<article>{_ARTICLES})(?P<tail>\s*\(.*\))?$")
_ENTITY = re.compile(r"&#?\w{1,24};")
_TAG = re.compile(r"</?[A-Za-z][^<>|]{0,200}>")
_LEVELS = re.compile(r"\s*[>»]\s*|\s*/\s*(?=[^\W\d_]{3})(?<=[^\W\d_]{3}/)|\s+/\s+")
_TITLE_YEAR = re.compile(r"\s*\((?P<year>1[89]\d\d|20\d\d)\)\s*$")


def clean(text: str) -> str:
    """A value from outside on one line, without control characters and without anything that could act as markup.

    HTML becomes the text that it shows. Angle brackets, pipes, braces, backticks and their like become spaces, so that
    no value can carry a model's control tokens or end the list of facts that it stands in.
    """
    printable = "".join(char if char.isprintable() else " " for char in _TAG.sub(" ", _unescaped(text)))
    return " ".join(re.sub(r"[<>|{}\[\]`*#\\^~_=]", " ", printable).split())[:MAX_VALUE_CHARS]


def _unescaped(text: str) -> str:
    while (shown := _ENTITY.sub(lambda match: html.unescape(match[0]), text)) != text:
        text = shown  # some catalogues escape twice
    return text


def spoken_title(title: str) -> str:
    """A title as it is spoken: `Godfather, The (1972)` is `The Godfather`."""
    bare = _TITLE_YEAR.sub("", clean(title))
    match = _TRAILING_ARTICLE.match(bare)
    if match is None:
        return bare
    article = match["article"]
    return f"{article}{'' if article.endswith(chr(39)) else ' '}{match['rest']}{match['tail'] or ''}"


def quoted(title: str) -> str:
    """A spoken title as it stands in a sentence: in quotation marks where it would be taken for other words.

    That is a title that begins in lower case, a single common word, a sentence, or one with marks inside.
    """
    words = re.findall(r"[^\W\d_]+", title)
    small = sum(word.islower() and len(word) > _SMALL_CHARS for word in words)
    common = len(words) <= 1 and (
        not words or words[0].lower() in vocabulary().words | theme_words() | _PRONOUNS or len(words[0]) <= _SMALL_CHARS
    )
    plain = title[:1].isupper() and not small and not common and not re.search(r"[.!?:;,]", title)
    if plain or re.search(r"[\u3000-\u9fff]", title):
        return title
    return f"‘{title}’" if "“" in title or "”" in title else f"“{title}”"


def facts_of(item: Item) -> dict[str, Any]:
    """The facts of one item as a flat mapping: title, year, categories, tags, people, description, other attributes.

    What is empty is left out. Values are cleaned strings, integers, floats, or lists of strings.
    """
    facts: dict[str, Any] = {}
    if item.title:
        facts["title"] = spoken_title(item.title)
    year = _year(item)
    if year is not None:
        facts["year"] = year
    levels = [level for category in item.categories for level in _LEVELS.split(_unescaped(category))]
    for key, values in (("categories", levels), ("tags", item.tags)):
        if cleaned := _strings(values):
            facts[key] = cleaned
    people = [person for key in PEOPLE_KEYS if key in item.attributes for person in _strings(item.attributes[key])]
    if people:
        facts["people"] = list(dict.fromkeys(people))
    if description := clean(item.description):
        facts["description"] = description
    for key, value in item.attributes.items():
        if key in PEOPLE_KEYS or key in YEAR_KEYS or key in facts:
            continue
        if isinstance(value, bool | int | float):
            facts[clean(key)] = value
        elif cleaned := _strings(value):
            facts[clean(key)] = cleaned[0] if isinstance(value, str) else cleaned
    return facts


def facts_of_task(task: WriteTask) -> dict[str, Any]:
    """All that a text rests on: the facts of its item or items, and the titles of what the person liked."""
    facts: dict[str, Any]
    facts = facts_of(task.items[0]) if len(task.items) == 1 else {"items": [facts_of(item) for item in task.items]}
    if liked := titles(task.liked):
        facts["liked"] = liked
    if reasons := list(dict.fromkeys(reason.kind for reason in task.reasons)):
        facts["reasons"] = reasons
    return facts


def titles(items: Iterable[Item]) -> list[str]:
    """The spoken titles of items, without those that have none."""
    return [title for item in items if (title := spoken_title(item.title))]


def _year(item: Item) -> int | None:
    for key in YEAR_KEYS:
        if (match := re.match(r"\d{4}", str(item.attributes.get(key, "")))) is not None:
            return int(match[0])
    match = _TITLE_YEAR.search(item.title)
    return int(match["year"]) if match else None


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        value = (value,)
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        return []
    return [cleaned for part in value if isinstance(part, str | int | float) and (cleaned := clean(str(part)))]

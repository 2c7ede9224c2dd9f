"""Word lists as package data, and the lexicon of one text made from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from generation.lexicon import Lexicon, Vocabulary, words_of

WORDS_OF_DESCRIPTIONS = 60
"""So many words of a description may be used one by one; a longer one would open the vocabulary too wide."""


@cache
def digest() -> str:
    """What changes when any list does."""
    lists = sorted((entry for entry in files(__package__).iterdir() if entry.is_file()), key=lambda entry: entry.name)
    return hashlib.sha256(b"".join(entry.read_bytes() for entry in lists if entry.name[-3:] != ".py")).hexdigest()[:8]


@cache
def vocabulary() -> Vocabulary:
    """The English words that claim nothing about an item."""
    return Vocabulary(
        words=frozenset(_listed("en.txt")),
        starters=frozenset(_listed("starters.txt")),
        weak=frozenset(_listed("weak.txt")),
        modifiers=frozenset(_listed("modifiers.txt")),
    )


@dataclass(frozen=True, slots=True)
class Theme:
    """What a known category implies. `genre` are its own names, `words` what it brings with it.

    `nouns` say what an item of it is, `topic` what it is about, `adjectives`, `gifts` (it has ...) and `that` (it is
    something that ...) what may be said of it; empty for a category that makes no stories. `sure` is false where a
    category may as well stand for something else (music, war). `zh` is its name in Chinese.
    """

    genre: frozenset[str]
    words: frozenset[str]
    zh: str
    topic: str = ""
    nouns: tuple[str, ...] = ()
    adjectives: tuple[str, ...] = ()
    gifts: tuple[str, ...] = ()
    that: tuple[str, ...] = ()
    sure: bool = True


@cache
def themes() -> dict[str, Theme]:
    """The known categories by their names in lower case."""
    data = _mapping("themes.yaml")
    lists = {"genre": frozenset, "words": frozenset, "nouns": tuple, "adjectives": tuple, "gifts": tuple, "that": tuple}
    return {
        name: Theme(**{key: lists.get(key, lambda same: same)(value) for key, value in entry.items()})
        for name, entry in data.items()
    }


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing: the attributes and last words of categories that show it, what it is called and is for."""

    keys: frozenset[str]
    labels: frozenset[str]
    noun: tuple[str, ...]
    use: tuple[str, ...]


@cache
def kinds() -> tuple[Kind, ...]:
    """Kinds of things that tell no story, the first that fits counts."""
    return tuple(
        Kind(frozenset(one["keys"]), frozenset(one["labels"]), tuple(one["noun"]), tuple(one["use"]))
        for one in _mapping("kinds.yaml").values()
    )


@cache
def attributes() -> dict[str, dict[str, str]]:
    """What known attributes say, see the file."""
    return _mapping("attributes.yaml")


@cache
def grave() -> dict[str, tuple[str, ...]]:
    """What no text makes light of, see the file."""
    return {name: tuple(words) for name, words in _mapping("grave.yaml").items()}


@cache
def phrases() -> dict[str, Any]:
    """Phrases for any item, see the file."""
    return _completed(_mapping("phrases.yaml"))


@cache
def phrases_zh() -> dict[str, Any]:
    """The same in Chinese."""
    return _completed(_mapping("phrases_zh.yaml"))


def _completed(lists: dict[str, Any]) -> dict[str, Any]:
    return lists | {"sober": lists["story"] | lists["sober"], "plain": lists["thing"] | lists["plain"]}


@cache
def theme_words() -> frozenset[str]:
    """Every word that belongs to some category, without those that belong to all texts."""
    both = (words for theme in themes().values() for words in (theme.genre, theme.words))
    return frozenset().union(*both) - vocabulary().words


def words_of_facts(facts: Mapping[str, Any]) -> frozenset[str]:
    """Lower-case words that the facts of an item entitle a text to use."""
    found: set[str] = set()
    for category in (*facts.get("categories", ()), *facts.get("tags", ())):
        lower = category.lower()
        found.update(word.lower() for word in words_of(category))
        found.add(lower) if " " not in lower and lower.replace("-", "").isalpha() else None
        if (theme := themes().get(lower)) is not None:
            found |= theme.genre | theme.words
    plain = [word for word in words_of(facts.get("description", "")) if word.islower() and len(word) > 2]
    found.update(plain[:WORDS_OF_DESCRIPTIONS])
    return frozenset(found)


def lexicon(item_facts: Iterable[Mapping[str, Any]], liked: Iterable[str], begun: str) -> Lexicon:
    """The closed language of one sentence: the shared words, those true of all its items, and the names in the facts.

    When `begun` names an item already, no further title is offered: a small model would only muddle them.
    """
    facts = list(item_facts)
    words = [words_of_facts(one) for one in facts]
    own = [one["title"] for one in facts if "title" in one]
    people = [person for one in facts for person in one.get("people", ())]
    names = people if any(title in begun for title in own) else [*own, *people, *liked]
    return Lexicon(vocabulary(), frozenset.intersection(*words) if words else frozenset(), tuple(dict.fromkeys(names)))


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _mapping(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(_text(name))
    return found


def _listed(name: str) -> Iterable[str]:
    return [word for line in _text(name).splitlines() if not line.startswith("#") for word in line.split()]

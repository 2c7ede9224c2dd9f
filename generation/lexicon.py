"""Which words a text may be made of.

A `Lexicon` describes a closed language: ordinary words, words that may open a sentence, and names that appear only
letter by letter as given; or `Phrases`, ways to end a begun sentence. Neither knows tokens; an engine turns them into
tries over its own (`engines.constrain`, `engines.phrases`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

ARTICLES = frozenset(("a", "an", "the", "its", "his", "her", "their", "your", "our", "every", "another"))
SENTENCE_END = ".!?"
PAUSE = ",;"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The part of a lexicon that all texts of a language share.

    `words` are lower-case, `starters` capitalised; `weak` words (articles, prepositions) end no clause, nor do
    `modifiers` that follow an article.
    """

    words: frozenset[str]
    starters: frozenset[str]
    weak: frozenset[str] = frozenset()
    modifiers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Lexicon:
    """A shared vocabulary, and what this one text may say beyond it.

    `words` are further lower-case words; `names` are titles, people, years: allowed anywhere, only whole, only
    exactly so.
    """

    vocabulary: Vocabulary
    words: frozenset[str] = frozenset()
    names: tuple[str, ...] = field(default=())


Pattern = tuple[tuple[str, ...], ...]
"""One way to go on: for each place the phrases that may stand there, in their spelling. A phrase that begins with a
mark is joined to what comes before, any other stands after a space."""


class Preference(Protocol):
    """Which of the phrases that may stand in a place are preferred there (`recent.Recent`)."""

    def freshest(self, before: str, phrases: Sequence[str]) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Phrases:
    """A closed language of whole phrases: what comes after the beginning follows one of the patterns to its end.

    `preference` may leave out phrases of a place, never all.
    """

    patterns: tuple[Pattern, ...]
    preference: Preference | None = None


def joined(phrase: str) -> str:
    """A phrase as it follows a text: with the space before it, where it has one. Chinese has none."""
    return phrase if phrase[:1] in SENTENCE_END + PAUSE + ":" or is_wide(phrase[:1]) else f" {phrase}"


def last_word(text: str) -> str:
    """The last word of a text, with the marks that belong to it; nothing of an empty one."""
    return text.rsplit(None, 1)[-1] if text.strip() else ""


def is_wide(char: str) -> bool:
    """Whether a character is of a script that puts no spaces between words, or one of its marks."""
    return "\u3000" <= char <= "\u9fff" or "\uff00" <= char <= "\uffef"


def at_sentence_start(text: str) -> bool:
    """Whether what follows `text` opens a sentence."""
    stripped = text.rstrip()
    return not stripped or stripped[-1] in SENTENCE_END


def words_of(text: str) -> list[str]:
    """The words of a text, in their case: runs of letters, with apostrophes and hyphens inside."""
    return re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", text)

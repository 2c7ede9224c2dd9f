"""Which words a text may be made of.

A `Lexicon` describes a closed language: ordinary words, words that may open a sentence, and names that appear only
letter by letter as given. It knows no tokens; an engine turns it into a trie over its own (`engines.constrain`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

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


def at_sentence_start(text: str) -> bool:
    """Whether what follows `text` opens a sentence."""
    stripped = text.rstrip()
    return not stripped or stripped[-1] in SENTENCE_END


def words_of(text: str) -> list[str]:
    """The words of a text, in their case: runs of letters, with apostrophes and hyphens inside."""
    return re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", text)

"""Phrases as tries over tokens: which tokens may come next on the way through a pattern.

A text follows several patterns at a time until they part. Among the phrases of a place those are left out that would
repeat a word of the text, as long as others are left; then those that `Phrases.preference` does not prefer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import numpy as np

from generation.lexicon import Pattern, Phrases, Preference, joined, last_word, words_of

KEPT_PHRASES = 16_384
"""So many phrases' tokens are kept: those of the lists, and those of the items that were written about last."""
CONTENT_CHARS = 4
"""Shorter words may be repeated."""
OFTEN = frozenset(("that", "with", "your", "from", "have", "this", "what", "when", "them"))
"""Longer words that may be, too."""


class Encode(Protocol):
    """What is needed of a tokenizer."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...


@dataclass(slots=True)
class _Node:
    """A place inside the phrases of one place of a pattern; `phrases` are those that end here."""

    next: dict[int, _Node] = field(default_factory=dict)
    phrases: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _State:
    """Where a text may be: in a pattern, at a place, at a node; the words that it holds, and the last one."""

    pattern: Pattern
    place: int
    node: _Node
    used: frozenset[str]
    last: str


class PhraseTokens:
    """The tokens of phrases for one tokenizer, kept."""

    def __init__(self, tokenizer: Encode, end_tokens: frozenset[int]) -> None:
        self.end_tokens = end_tokens
        self._tokenizer = tokenizer
        self._tokens = lru_cache(maxsize=KEPT_PHRASES)(self._encode)

    def _encode(self, phrase: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(joined(phrase), add_special_tokens=False))

    def trie(self, phrases: Iterable[str]) -> _Node:
        """The trie of the phrases of a place."""
        root = _Node()
        for phrase in phrases:
            node = root
            for token in self._tokens(phrase):
                node = node.next.setdefault(token, _Node())
            node.phrases.append(phrase)
        return root

    def walk(self, phrases: Phrases, begun: str) -> PhraseWalk:
        """Follow a text that begins with `begun`."""
        return PhraseWalk(self, phrases.patterns, begun, phrases.preference)


class PhraseWalk:
    """One text on its way through its patterns. Not thread-safe; owned by the decode loop."""

    def __init__(
        self, tokens: PhraseTokens, patterns: Sequence[Pattern], begun: str, preference: Preference | None = None
    ) -> None:
        self._tokens, self._preference = tokens, preference
        used, last = _content(begun), last_word(begun)
        self._states = [self._enter(pattern, 0, used, last) for pattern in patterns]

    def allowed(self) -> np.ndarray:
        """Tokens that may come next, each once, never empty."""
        found = {token for state in self._states for token in state.node.next}
        if not found or any(state.place == len(state.pattern) for state in self._states):
            found |= self._tokens.end_tokens
        return np.fromiter(sorted(found), np.int64, len(found))

    def closing(self) -> list[int]:
        """None: a pattern ends where it ends."""
        return []

    def advance(self, token: int) -> None:
        """Take the token that was chosen."""
        states = []
        for state in self._states:
            if (node := state.node.next.get(token)) is None:
                continue
            states.append(_State(state.pattern, state.place, node, state.used, state.last))
            states += [
                self._enter(
                    state.pattern,
                    state.place + 1,
                    state.used | _content(phrase),
                    last_word(state.last + joined(phrase)),
                )
                for phrase in node.phrases
            ]
        self._states = states

    def _enter(self, pattern: Pattern, place: int, used: frozenset[str], last: str) -> _State:
        if place == len(pattern):
            return _State(pattern, place, _Node(), used, last)
        phrases = [phrase for phrase in pattern[place] if not _content(phrase) & used] or list(pattern[place])
        if self._preference is not None and len(phrases) > 1:
            phrases = self._preference.freshest(last, phrases)
        return _State(pattern, place, self._tokens.trie(phrases), used, last)


def _content(text: str) -> frozenset[str]:
    """The words of a text that are not to be repeated, an adverb as its adjective; of a compound its parts."""
    words = (word for compound in words_of(text.lower()) for word in compound.split("-"))
    return frozenset(word.removesuffix("ly") for word in words if len(word) >= CONTENT_CHARS and word not in OFTEN)

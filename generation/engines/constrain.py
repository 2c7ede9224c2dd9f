"""A lexicon as a trie over tokens: which tokens may come next.

Every word is entered as its canonical tokens with the space before it, so that a constrained text is tokenised as the
model saw text in training. A `Walk` follows one text: it holds the trie nodes that the text's last word may be at.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Protocol

from generation.lexicon import PAUSE, SENTENCE_END, Lexicon, Vocabulary, at_sentence_start


class Tokenizer(Protocol):
    """What is needed of a transformers tokenizer."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...


class Node:
    """One place in the trie: the tokens that may follow, and whether a word may end here."""

    __slots__ = ("ends", "next")

    def __init__(self) -> None:
        self.next: dict[int, Node] = {}
        self.ends = False

    def add(self, tokens: list[int]) -> None:
        """Enter one word."""
        node = self
        for token in tokens:
            node = node.next.setdefault(token, Node())
        node.ends = True


class Trie:
    """The words that may stand in three places: first in the text, first in a later sentence, inside a sentence."""

    __slots__ = ("first", "inside", "opening")

    def __init__(
        self, tokenizer: Tokenizer, starters: Iterable[str], words: Iterable[str], names: Iterable[str]
    ) -> None:
        self.first, self.opening, self.inside = Node(), Node(), Node()
        names = tuple(names)
        for word in (*starters, *names):
            self.first.add(tokenizer.encode(word, add_special_tokens=False))
            self.opening.add(tokenizer.encode(" " + word, add_special_tokens=False))
        for word in (*words, *names):
            self.inside.add(tokenizer.encode(" " + word, add_special_tokens=False))


class Constrainer:
    """Makes walks for one tokenizer; keeps the tries of shared vocabularies."""

    def __init__(self, tokenizer: Tokenizer, end_tokens: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self.end_tokens = end_tokens
        self.marks = {mark: tokenizer.encode(mark, add_special_tokens=False)[-1] for mark in PAUSE + SENTENCE_END}
        self._shared = lru_cache(maxsize=8)(self._make_shared)

    def _make_shared(self, vocabulary: Vocabulary) -> Trie:
        return Trie(self._tokenizer, vocabulary.starters, vocabulary.words, ())

    def walk(self, lexicon: Lexicon, begun: str) -> Walk:
        """Follow a text that begins with `begun`."""
        own = Trie(self._tokenizer, (), lexicon.words, lexicon.names)
        return Walk(self, (self._shared(lexicon.vocabulary), own), begun)


class Walk:
    """One text on its way through the tries. Not thread-safe; owned by the decode loop."""

    def __init__(self, constrainer: Constrainer, tries: tuple[Trie, ...], begun: str) -> None:
        self._constrainer = constrainer
        self._tries = tries
        last = begun.rstrip()[-1:]
        self._after_word = bool(last) and last not in SENTENCE_END + PAUSE
        self._may_end = bool(last) and last in SENTENCE_END
        if not begun.strip():
            self._at = [trie.first for trie in tries]
        elif at_sentence_start(begun):
            self._at = [trie.opening for trie in tries]
        else:
            self._at = [trie.inside for trie in tries]
        self._inside_word = False

    def allowed(self) -> list[int]:
        """Tokens that may come next, never empty."""
        tokens: list[int] = []
        for node in self._at:
            tokens.extend(node.next)
        if self._ends_word():
            if self._inside_word:
                for trie in self._tries:
                    tokens.extend(trie.inside.next)
            tokens.extend(self._constrainer.marks.values())
        if self._may_end:
            tokens.extend(self._constrainer.end_tokens)
        return tokens or list(self._constrainer.end_tokens)

    def advance(self, token: int) -> None:
        """Take the token that was chosen."""
        constrainer = self._constrainer
        if token in constrainer.end_tokens:
            return
        for mark, mark_token in constrainer.marks.items():
            if token == mark_token and self._ends_word():
                opens = mark in SENTENCE_END
                self._at = [trie.opening if opens else trie.inside for trie in self._tries]
                self._inside_word = self._after_word = False
                self._may_end = opens
                return
        following = [node.next[token] for node in self._at if token in node.next]
        if self._inside_word and any(node.ends for node in self._at):
            following += [trie.inside.next[token] for trie in self._tries if token in trie.inside.next]
        self._at = following
        self._inside_word = True
        self._may_end = False

    def _ends_word(self) -> bool:
        if self._inside_word:
            return any(node.ends for node in self._at)
        return self._after_word

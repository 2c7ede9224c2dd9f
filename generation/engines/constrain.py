"""A lexicon as a trie over tokens: which tokens may come next.

Every word is entered as its canonical tokens with the space before it, so that a constrained text is tokenised as the
model saw text in training. A `Walk` follows one text: it holds the trie nodes that the text's last word may be at.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Protocol

import numpy as np

from generation.engines.phrases import PhraseTokens, PhraseWalk
from generation.lexicon import ARTICLES, PAUSE, SENTENCE_END, Lexicon, Phrases, Vocabulary, at_sentence_start, words_of

CONTENT_CHARS = 3
"""A word from this length on is written once per text, unless it is weak: small models love to repeat themselves."""
OFTEN = frozenset(("you", "that", "who", "one", "all", "for", "are", "has"))
"""Words that may be repeated although they are neither short nor weak."""
JOINS = frozenset(("and", "or"))


class Tokenizer(Protocol):
    """What is needed of a transformers tokenizer."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...


class Node:
    """One place in the trie: the tokens that may follow, and what kind of word ends here, if one does."""

    __slots__ = ("_tokens", "content", "ends", "joins", "modifies", "next", "opens", "weak")

    def __init__(self) -> None:
        self.next: dict[int, Node] = {}
        self._tokens: np.ndarray | None = None
        self.ends = False
        self.weak = False
        self.opens = self.joins = False
        self.modifies = False
        self.content = False

    def add(self, tokens: list[int], word: str, vocabulary: Vocabulary | None, *, name: bool = False) -> None:
        """Enter one word."""
        node = self
        for token in tokens:
            node._tokens = None
            node = node.next.setdefault(token, Node())
        node.ends = True
        lower = word.lower()
        node.opens, node.joins = lower in ARTICLES, lower in JOINS
        node.content = not name and len(word) >= CONTENT_CHARS and lower not in OFTEN
        if vocabulary is not None:
            node.weak, node.modifies = lower in vocabulary.weak, lower in vocabulary.modifiers
            node.content = node.content and not node.weak

    @property
    def tokens(self) -> np.ndarray:
        """The tokens that may follow, as an array that is kept."""
        if self._tokens is None:
            self._tokens = np.fromiter(self.next, np.int64, len(self.next))
        return self._tokens


class Trie:
    """The words that may stand in three places: first in the text, first in a later sentence, inside a sentence."""

    __slots__ = ("first", "inside", "opening")

    def __init__(
        self,
        tokenizer: Tokenizer,
        starters: Iterable[str],
        words: Iterable[str],
        vocabulary: Vocabulary | None = None,
        *,
        names: bool = False,
    ) -> None:
        self.first, self.opening, self.inside = Node(), Node(), Node()
        for word in starters:
            self.first.add(tokenizer.encode(word, add_special_tokens=False), word, vocabulary, name=True)
            self.opening.add(tokenizer.encode(" " + word, add_special_tokens=False), word, vocabulary, name=True)
        for word in words:
            self.inside.add(tokenizer.encode(" " + word, add_special_tokens=False), word, vocabulary, name=names)


class Constrainer:
    """Makes walks for one tokenizer; keeps the tries of shared vocabularies."""

    def __init__(self, tokenizer: Tokenizer, end_tokens: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self.end_tokens = end_tokens
        self.pauses = frozenset(self._last(mark) for mark in PAUSE)
        self.stops = frozenset(self._last(mark) for mark in SENTENCE_END)
        self._shared = lru_cache(maxsize=8)(self._make_shared)
        self._phrases = PhraseTokens(tokenizer, end_tokens)

    def _last(self, mark: str) -> int:
        return self._tokenizer.encode("so" + mark, add_special_tokens=False)[-1]

    def _make_shared(self, vocabulary: Vocabulary) -> Trie:
        return Trie(self._tokenizer, vocabulary.starters, vocabulary.words, vocabulary)

    def follow(self, lexicon: Lexicon | Phrases, begun: str) -> Walk | PhraseWalk:
        """Follow a text that begins with `begun`, by words or by phrases."""
        if isinstance(lexicon, Phrases):
            return self._phrases.walk(lexicon, begun)
        return self.walk(lexicon, begun)

    def walk(self, lexicon: Lexicon, begun: str) -> Walk:
        """Follow a text of single words that begins with `begun`."""
        words = Trie(self._tokenizer, (), lexicon.words, lexicon.vocabulary)
        names = Trie(self._tokenizer, lexicon.names, lexicon.names, names=True)
        walk = Walk(self, (self._shared(lexicon.vocabulary), words, names), begun)
        for word in words_of(begun.lower()):
            modifies = word in lexicon.vocabulary.modifiers
            walk.open_article = word in ARTICLES or (walk.open_article and (modifies or word in JOINS))
            walk.weak = word in lexicon.vocabulary.weak or (walk.open_article and modifies)
            if len(word) >= CONTENT_CHARS and word not in OFTEN | lexicon.vocabulary.weak:
                walk.use(tuple(self._tokenizer.encode(" " + word, add_special_tokens=False)))
        return walk


class Walk:
    """One text on its way through the tries. Not thread-safe; owned by the decode loop."""

    def __init__(self, constrainer: Constrainer, tries: tuple[Trie, ...], begun: str) -> None:
        self._constrainer = constrainer
        self._tries = tries
        last = begun.rstrip()[-1:]
        self._word: tuple[int, ...] = ()
        self._after_word = bool(last) and last not in SENTENCE_END + PAUSE
        self.weak = False
        self.open_article = False
        self._used: set[tuple[int, ...]] = set()
        self._stale: dict[tuple[int, ...], set[int]] = {}
        self.may_end = bool(last) and last in SENTENCE_END
        if not begun.strip():
            self._at = [trie.first for trie in tries]
        elif at_sentence_start(begun):
            self._at = [trie.opening for trie in tries]
        else:
            self._at = [trie.inside for trie in tries]

    def allowed(self) -> np.ndarray:
        """Tokens that may come next, each once, never empty."""
        parts = [self._next(node, self._word) for node in self._at]
        if self._word and self._ends_word():
            parts += [self._next(trie.inside, ()) for trie in self._tries]
        marks = self.closing()
        if self._ends_word() and not self._is_weak():
            marks += self._constrainer.pauses
        found = _once([*parts, np.array(marks, np.int64)])
        if not len(found):  # inside a word that was written before, and there is no other way on
            found = _once([node.tokens for node in self._at])
        return found if len(found) else np.array(list(self._constrainer.end_tokens))

    def closing(self) -> list[int]:
        """Tokens that end the sentence here, or the text after a sentence; none inside a clause."""
        if self.may_end:
            return list(self._constrainer.end_tokens)
        return list(self._constrainer.stops) if self._ends_word() and not self._is_weak() else []

    def advance(self, token: int) -> None:
        """Take the token that was chosen."""
        constrainer = self._constrainer
        if token in constrainer.end_tokens:
            return
        stops = token in constrainer.stops
        if (stops or token in constrainer.pauses) and self._ends_word():
            self._leave_word()
            self.open_article = False
            self._at = [trie.opening if stops else trie.inside for trie in self._tries]
            self._word, self._after_word, self.may_end = (), False, stops
            return
        following = [node.next[token] for node in self._at if token in node.next]
        if not following:
            self._leave_word()
            self._word = ()
            following = [trie.inside.next[token] for trie in self._tries if token in trie.inside.next]
        self._at = following
        self._word = (*self._word, token)
        self._after_word = self.may_end = False

    def _leave_word(self) -> None:
        ended = [node for node in self._at if node.ends] if self._word else []
        if ended:
            modifies = any(node.modifies or node.joins for node in ended)
            self.open_article = any(node.opens for node in ended) or (self.open_article and modifies)
        if any(node.content for node in self._at):
            self.use(self._word)

    def use(self, word: tuple[int, ...]) -> None:
        """Write down that a content word is in the text."""
        self._used.add(word)
        for end, token in enumerate(word):
            self._stale.setdefault(word[:end], set()).add(token)

    def _next(self, node: Node, path: tuple[int, ...]) -> np.ndarray:
        """Tokens after a node that lead to some word that was not used yet."""
        stale = self._stale.get(path, set()) & node.next.keys()
        used = [token for token in stale if not self._fresh(node.next[token], (*path, token))]
        return node.tokens[~np.isin(node.tokens, used)] if used else node.tokens

    def _fresh(self, node: Node, path: tuple[int, ...]) -> bool:
        unused = node.ends and not (node.content and path in self._used)
        return unused or len(self._next(node, path)) > 0

    def _ends_word(self) -> bool:
        return any(node.ends for node in self._at) if self._word else self._after_word

    def _is_weak(self) -> bool:
        """Whether a clause must not end after the word that the text is at."""
        ended = [node for node in self._at if node.ends] if self._word else []
        if not ended:
            return self.weak
        modifies = any(node.modifies for node in ended)
        return all(node.weak for node in ended) or (self.open_article and modifies)


def _once(parts: list[np.ndarray]) -> np.ndarray:
    parts = [part for part in parts if len(part)]
    return parts[0] if len(parts) == 1 else np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int64)

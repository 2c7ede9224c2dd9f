"""A constrained walk can spell the lexicon, and nothing else."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generation.engines.constrain import Constrainer, Walk
from generation.lexicon import Lexicon, Vocabulary, words_of

END = 0
EXAMPLE_MS = 1000
"""One takes 2 ms, 7 at most; a busy machine may put a process aside for longer than the 200 that hypothesis allows."""
VOCABULARY = Vocabulary(
    words=frozenset(("a", "the", "film", "filmed", "lovely", "and", "is", "calm")),
    starters=frozenset(("A", "Try", "It")),
    weak=frozenset(("a", "the", "and", "is", "try")),
    modifiers=frozenset(("lovely", "calm")),
)
LEXICON = Lexicon(VOCABULARY, frozenset(("comedy",)), ("Babe", "Die Hard 2"))


class Letters:
    """A tokenizer whose tokens are pairs of characters, and single ones."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        pairs = [text[place : place + 2] for place in range(0, len(text), 2)]
        return [1 + ord(pair[0]) + (ord(pair[1]) << 21 if len(pair) > 1 else 0) for pair in pairs]

    @staticmethod
    def decode(token: int) -> str:
        token -= 1
        first, second = token & ((1 << 21) - 1), token >> 21
        return chr(first) + (chr(second) if second else "")


class Marks(Letters):
    """Marks are tokens of their own, as in every real vocabulary."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        if text[-1:] in ",;.!?":
            return [*super().encode(text[:-1], add_special_tokens=False), 1 + ord(text[-1])]
        return super().encode(text, add_special_tokens=add_special_tokens)


def write(walk: Walk, choose: random.Random, limit: int = 60) -> str:
    text = ""
    for _ in range(limit):
        token = choose.choice(sorted(walk.allowed()))
        if token == END:
            return text
        walk.advance(token)
        text += Marks.decode(token)
    return text


@settings(max_examples=200, deadline=EXAMPLE_MS)
@given(st.integers(), st.sampled_from(["", "Babe is a", "Try Die Hard 2,", "It is calm."]))
def test_only_words_of_the_lexicon_are_spelled(seed: int, begun: str) -> None:
    walk = Constrainer(Marks(), frozenset((END,))).walk(LEXICON, begun)
    text = write(walk, random.Random(seed))
    whole = text.rsplit(" ", 1)[0] if text and text[-1].isalnum() else text  # the limit may cut the last word
    rest = re.sub(r"Die Hard 2|Babe|Die( Hard)?$", "", whole.rstrip())
    allowed = VOCABULARY.words | VOCABULARY.starters | {"comedy"}
    assert set(words_of(rest)) <= allowed
    assert not any(char.isdigit() for char in rest)


@pytest.mark.parametrize("begun", ["Babe is a", "Babe is a lovely", "Babe is", "Babe is calm and"])
def test_no_clause_ends_before_its_noun(begun: str) -> None:
    walk = Constrainer(Marks(), frozenset((END,))).walk(LEXICON, begun)
    assert walk.closing() == []
    assert not {1 + ord(mark) for mark in ",;.!?"} & set(walk.allowed())


def test_a_text_ends_only_after_a_sentence() -> None:
    walk = Constrainer(Marks(), frozenset((END,))).walk(LEXICON, "Babe is a film")
    assert END not in walk.allowed() and 1 + ord(".") in walk.allowed()
    walk.advance(1 + ord("."))
    assert END in walk.allowed()


def test_a_content_word_is_written_once() -> None:
    walk = Constrainer(Marks(), frozenset((END,))).walk(LEXICON, "Babe is a comedy")
    choose = random.Random(0)
    for _ in range(30):
        assert "comedy" not in write(Constrainer(Marks(), frozenset((END,))).walk(LEXICON, "Babe is a comedy,"), choose)
    assert len(walk.allowed())

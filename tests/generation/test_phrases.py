"""A walk through phrases spells one of its patterns to the end, and nothing else."""

from __future__ import annotations

import random

import pytest

from generation.engines.constrain import Constrainer
from generation.engines.grammar import grammar_of
from generation.lexicon import Phrases

END = 0
WAYS = Phrases(
    (
        (("a warm", "a warm and funny", "a dark"), ("comedy", "drama"), (".",)),
        (("a warm",), ("comedy",), (", by Ann Lee", "from 1995"), (".",)),
    )
)


class Letters:
    """One token per letter."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return [1 + ord(letter) for letter in text]


def write(begun: str, seed: int) -> str:
    walk, choose, text = Constrainer(Letters(), frozenset((END,))).follow(WAYS, begun), random.Random(seed), ""
    for _ in range(100):
        token = choose.choice(walk.allowed().tolist())
        walk.advance(token)
        if token == END:
            return text
        text += chr(token - 1)
    raise AssertionError(f"no end: {text}")


def test_every_way_is_found_and_no_other() -> None:
    found = {write("Babe is", seed) for seed in range(400)}
    assert found == {
        " a warm comedy.", " a warm drama.", " a warm and funny comedy.", " a warm and funny drama.", " a dark comedy.",
        " a dark drama.", " a warm comedy, by Ann Lee.", " a warm comedy from 1995.",
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_a_word_of_the_text_is_not_repeated_while_there_are_others(seed: int) -> None:
    assert "comedy" not in write("A comedy: Babe is", seed).replace("warm comedy, by", "").replace("comedy from", "")


def test_the_grammar_holds_the_same_ways() -> None:
    lines = grammar_of(WAYS, "Babe is").splitlines()
    assert lines[0] == "root ::= p0 | p1"
    assert lines[2] == 'p1 ::= (" a warm") (" comedy") (", by Ann Lee" | " from 1995") (".")'

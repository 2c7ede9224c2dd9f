"""What was written last is not written again while there is something else to say."""

from __future__ import annotations

import pytest

from generation import prompts
from generation.engines.constrain import Constrainer
from generation.lexicon import Phrases
from generation.recent import Recent
from tests.generation.catalogue import ALIEN, BABE, task
from tests.generation.test_phrases import END, Letters


def test_a_text_is_remembered_until_so_many_more_were_written() -> None:
    recent = Recent(texts=2, enough=1.0)
    recent.add("Babe is a warm comedy.")
    assert recent.repeats("a warm comedy.") == 1 and recent.repeats("a cold drama.") == 0
    recent.add("Babe is a warm film.")
    assert recent.repeats("A warm") == 2
    recent.add("Something else altogether.")
    assert recent.repeats("a warm") == 1 and recent.repeats("a warm comedy.") == 0.5
    recent.add("And more.")
    assert recent.repeats("a warm") == 0


def test_chinese_is_compared_by_its_characters() -> None:
    recent = Recent(enough=1.0)
    recent.add("一部温暖的喜剧。")
    assert recent.repeats("温暖。") == 0.5 and recent.repeats("温暖的") == 1


def test_phrases_that_repeat_nothing_come_first_and_some_are_always_left() -> None:
    recent = Recent(enough=1.0)
    assert recent.freshest("is", ["a warm", "a cold"]) == ["a warm", "a cold"]
    recent.add("Babe is a warm film.")
    assert recent.freshest("is", ["a warm", "good", "bad"]) == ["good", "bad"]
    recent.add("Babe is good. Babe is bad. This is a cold one. It is a warm one.")
    left = recent.freshest("is", ["a warm", "good", "bad", "a cold"])
    assert len(left) == 2 and "a warm" not in left


@pytest.mark.parametrize(
    ("written", "left"), [("", "wc"), ("So it is warm, I said.", "c"), ("It is warm. It is cold.", "wc")]
)
def test_a_walk_leaves_out_what_repeats(written: str, left: str) -> None:
    recent = Recent(enough=1.0)
    recent.add(written)
    ways = Phrases(((("warm", "cold"), (".",)),), recent)
    walk = Constrainer(Letters(), frozenset((END,))).follow(ways, "Babe is")
    walk.advance(1 + ord(" "))
    assert {chr(token - 1) for token in walk.allowed().tolist()} == set(left)


def test_the_same_task_is_begun_otherwise_after_it_was_written() -> None:
    recent, begun = Recent(enough=1.0), set[str]()
    for _ in range(10):
        (segment,) = prompts.build(task("pitch", BABE, liked=(ALIEN,)), recent=recent).segments
        begun.add(segment.begun)
        recent.add(segment.begun)
    assert len(begun) >= 8
    assert len({prompts.build(task("pitch", BABE, liked=(ALIEN,))).segments[0].begun for _ in range(3)}) == 1


def test_nothing_is_avoided_while_texts_differ_enough() -> None:
    recent = Recent()
    recent.add("Babe is a warm film.")
    assert recent.repeats("a warm") == 0 and recent.freshest("is", ["a warm", "good"]) == ["a warm", "good"]
    recent.add("Babe is a warm film.")
    assert recent.repeats("a warm") == 2 and recent.freshest("is", ["a warm", "good"]) == ["good"]
    for text in ("Alien goes its own way.", "The Godfather, told by a patient hand.", "Lumen lights any room."):
        recent.add(text)
    assert recent.repeats("a warm") == 0

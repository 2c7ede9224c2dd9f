"""Clauses joined are the text, whatever the pieces in which it came."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from generation.clauses import ClauseSplitter, is_sentence_end

WORDS = st.lists(st.sampled_from(["a", "film", "E.T.", "good, ", "end. ", "What? ", "；", "好。", " ", "\n", "..."]))


def split(text: str, cuts: list[int], names: tuple[str, ...] = ()) -> list[str]:
    splitter, clauses, start = ClauseSplitter(names), [], 0
    for cut in sorted(cut % (len(text) + 1) for cut in cuts):
        clauses += splitter.feed(text[start:cut])
        start = cut
    return [*clauses, *splitter.feed(text[start:]), splitter.rest()]


@given(WORDS.map("".join), st.lists(st.integers(min_value=0, max_value=500), max_size=6))
def test_nothing_is_lost_and_pieces_do_not_matter(text: str, cuts: list[int]) -> None:
    assert "".join(split(text, cuts)) == text
    assert split(text, cuts) == split(text, [])


def test_sentences_and_long_pauses_end_clauses() -> None:
    text = "Short, yes. This one goes on for quite a while, and then it ends. Rest"
    assert split(text, []) == [
        "Short, yes.",
        " This one goes on for quite a while,",
        " and then it ends.",
        " Rest",
    ]


def test_marks_inside_names_end_nothing() -> None:
    names = ("E.T. the Extra-Terrestrial", "Dr. Strangelove or: How I Learned, Slowly")
    text = "Watch E.T. the Extra-Terrestrial and Dr. Strangelove or: How I Learned, Slowly. Good."
    assert split(text, [3, 8, 9, 40], names)[0] == text[: text.index(" Good.")]


def test_numbers_with_points_stay_whole() -> None:
    assert split("It costs 49.9 today. Yes.", []) == ["It costs 49.9 today.", " Yes."]


def test_chinese_is_cut_too() -> None:
    assert split("我们推荐这部电影。它很好。", []) == ["我们推荐这部电影。", "它很好。"]


def test_sentence_ends() -> None:
    assert is_sentence_end("Yes.") and is_sentence_end('"Yes!"') and is_sentence_end("好。")
    assert not is_sentence_end("Yes,") and not is_sentence_end("")

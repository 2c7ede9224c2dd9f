"""Templates: a text for every task, in both languages, the same each time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.messages import Item, Reason
from generation.prompts import KINDS
from generation.templates import LANGUAGES, render
from tests.generation.catalogue import ALIEN, ALL, BABE, FATHER, task


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_task_has_a_text(kind: str, language: str) -> None:
    for item in ALL:
        for liked in ((), (ALIEN,), (ALIEN, FATHER)):
            made = task(kind, item, liked=liked, language=language)
            text = render(made)
            assert text and "{" not in text
            assert text == render(made)
            assert kind != "push" or len(text) <= 90


def test_texts_name_the_item_and_the_taste() -> None:
    text = render(task())
    assert "Babe" in text and "Alien" in text


def test_different_tastes_get_different_texts() -> None:
    liked = [Item(str(n), title=f"Film {chr(65 + n)}") for n in range(20)]
    assert len({render(task("pitch", BABE, liked=(one,))) for one in liked}) == 20


def test_popular_is_said_only_when_it_is_the_reason() -> None:
    popular = render(task("reason", liked=(), reasons=(Reason("popular", 1.0),)))
    assert "popular" in popular or "Many people" in popular
    assert "popular" not in render(task("reason", liked=(), reasons=()))


def test_chinese_is_chinese() -> None:
    assert "《Babe》" in render(task(language="zh"))


@given(st.text(max_size=300), st.sampled_from(KINDS), st.sampled_from(LANGUAGES))
def test_any_title_can_be_written_about(title: str, kind: str, language: str) -> None:
    assert render(task(kind, Item("x", title=title, categories=(title,)), language=language))

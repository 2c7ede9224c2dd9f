"""A text of kind `reason` says why the ranker chose the item, and nothing else."""

from __future__ import annotations

import re

import pytest

from cluster.messages import Reason, TextDone
from generation import prompts
from generation.cache import in_segment, query_of
from generation.engines import Engine
from generation.guard import check, ground_of
from generation.templates import render
from generation.writer import TextWriter
from tests.generation.catalogue import ALIEN, BABE, FATHER, LAMP, task
from tests.generation.conftest import CONFIG
from tests.generation.test_phrasing import ends

LIKED = (ALIEN, FATHER)
TOLD = {
    "popular": "popular|Many people|many people|很受欢迎|很多人",
    "fresh": "new|刚刚上架|新来的",
    "explore": "something different|for a change|换个方向",
    "people_like_you": "taste like yours|品味相近",
    "because_named": "asked for|你提到的",
    "because_liked": "looked at|你看过的",  # of one that is no like
}


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("kind", TOLD)
def test_without_a_like_that_carried_it_none_is_named(kind: str, language: str) -> None:
    reasons = (Reason(kind, 0.7, "77" if kind == "because_liked" else None), Reason("popular", 0.1))
    for seed in range(30):
        made = task("reason", BABE, liked=LIKED, reasons=reasons, language=language, seed=seed)
        built = prompts.build(made)
        ground = ground_of(made, built.instructions, built.max_chars)
        texts = [f"{one.begun}{end}" for one in built.segments for end in ends(one.phrases.patterns)]
        for text in texts:
            assert check(text, "", ground) is None, text
        for text in (*texts, render(made)):
            assert "Alien" not in text and "Godfather" not in text, text
            assert re.search(TOLD[kind], text), text


def test_a_like_is_named_that_carried_it_and_no_other() -> None:
    reasons = (Reason("popular", 0.9), Reason("similar_text", 0.4, FATHER.item_id), Reason("because_liked", -0.2, "1"))
    made = task("reason", BABE, liked=LIKED, reasons=reasons)
    assert in_segment(made).liked == (FATHER,)
    for seed in range(20):
        segment, *_ = prompts.build(task("reason", BABE, liked=LIKED, reasons=reasons, seed=seed)).segments
        for text in (segment.begun, render(made)):
            assert "Godfather" in text and "Alien" not in text
    assert "Alien" in prompts.build(task("pitch", BABE, liked=(ALIEN,), reasons=())).segments[0].begun


def test_texts_that_say_different_reasons_are_kept_apart() -> None:
    one, other = (task("reason", LAMP, liked=(), reasons=(Reason(kind, 1.0),)) for kind in ("popular", "fresh"))
    assert query_of(one, "w") != query_of(other, "w")


@pytest.mark.integration
@pytest.mark.parametrize("language", ["en", "zh"])
async def test_the_model_says_it_too(engine: Engine, language: str) -> None:
    made = task("reason", BABE, liked=LIKED, reasons=(Reason("popular", 1.0),), language=language)
    done = [frame async for frame in TextWriter(engine, CONFIG).write(made)][-1]
    assert isinstance(done, TextDone) and done.source == "generated" and "liked" not in done.facts
    assert "Alien" not in done.text and re.search(TOLD["popular"], done.text)

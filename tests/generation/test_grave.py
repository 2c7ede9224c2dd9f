"""Nothing cheerful is said of what is grave: drawn uniformly, in both languages, templates too."""

from __future__ import annotations

import random
import re

import pytest

from cluster.messages import Item
from generation import prompts
from generation.guard import check, ground_of
from generation.lexicon import joined
from generation.profile import profile_of
from generation.templates import render
from tests.generation.catalogue import BABE, LAMP, task

GRAVE = (
    Item("g1", title="Rat Poison 500 g", categories=("Garden",)),
    Item("g2", title="Insulin Pen Needles", categories=("Health",)),
    Item("g3", title="Oak Casket", categories=("Funeral Supplies",), attributes={"material": "oak"}),
    Item("g4", title="Psycho (1960)", categories=("Horror", "Romance", "Thriller")),
    Item("g5", title="Schindler's List (1993)", categories=("Drama", "War")),
    Item("g6", title="强力灭鼠药", categories=("家居",)),
)
CHEER = {
    "en": re.compile(
        r"mood\b|\blov|fond|friend|enjoy|favou?rite|delight|charm|lively|warm|treat|\bfun\b|smile|bright|wish list|"
        r"hello|somebody you know|happy|pleasant|wonder|tempting|glad|surprise|present|!|\bsweet|sunny|beguil",
        re.IGNORECASE,
    ),
    "zh": re.compile("明快|灵动|惊喜|喜欢上|口味|开心|愉快|俏皮|魅力|心动|甜|暖|浪漫|讨喜|亲切|舒心|机会|认识|最爱|！"),
}


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("item", GRAVE, ids=lambda item: item.title)
def test_nothing_cheerful_is_said(item: Item, language: str) -> None:
    source, texts = random.Random(7), set()
    for number in range(250):
        kind = source.choice([kind for kind in prompts.KINDS if kind not in ("chat", "summary")])
        tone = source.choice(("friendly", "playful", "formal", "enthusiastic"))
        liked = (LAMP,) if number % 2 else ()
        made = task(kind, item, liked=liked, tone=tone, language=language, seed=number, reasons=())
        built, text = prompts.build(made, number % 3), ""
        ground = ground_of(made, built.instructions, built.max_chars)
        for segment in built.segments:
            pattern = source.choice(segment.phrases.patterns)
            between = " " if text and language == "en" else ""
            sentence = f"{between}{segment.begun}{''.join(joined(source.choice(place)) for place in pattern)}"
            assert check(sentence, text, ground) is None, sentence
            text += sentence
        for whole in (text, built.closing, render(made)):
            assert not CHEER[language].search(whole), whole
        texts.add(text)
    assert len(texts) > 60


def test_what_is_grave() -> None:
    assert all(profile_of(item).grave for item in GRAVE)
    comedy = Item("c", title="Death Becomes Her", categories=("Comedy", "Fantasy"))
    assert not any(profile_of(item).grave for item in (BABE, LAMP, comedy))

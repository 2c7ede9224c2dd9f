"""What may be written of hard items, drawn by chance: checked by rules that share no code with the guard, and by it."""

from __future__ import annotations

import random
import re

import pytest

from benchmarks.writing_catalogue import NEWS, SHOP
from benchmarks.writing_checks import FactCheck
from cluster.messages import Item, WriteTask
from generation import prompts
from generation.guard import check, ground_of
from generation.lexicon import joined

ODD = (
    Item("o1", title="Café Müller — “Étoile” espresso", categories=("Coffee",), attributes={"brand": "Müller"}),
    Item("o2", title="<b>Mega</b> Sale &amp; more", categories=("Deals & Offers",)),
    Item("o3", title="Pizza Party 🍕🎉 Kit", categories=("Party 🎈",)),
    Item("o4", title="كتاب الطبخ العربي", categories=("كتب",)),
    Item("o5", title="茶壶", categories=("厨房",)),
    Item("o6", title="100% Cotton T-Shirt, 3-Pack", categories=("Clothing > Men > T-Shirts",)),
    Item("o7", title="Reel " + "With Many Words " * 11, categories=("Garden",)),
    Item("o8", title="1984", categories=("Fiction", "Dystopia"), attributes={"author": "George Orwell", "year": 1949}),
    Item("o9", title="Whistling Kettle, 2 L", categories=("Kettles",), attributes={"brand": "Bosch", "price": 20}),
    Item("o10", title="Plain Thing"),
)
ITEMS = (*SHOP, *NEWS, *ODD)
BROKEN = re.compile(r" [,.]|,,|\.\.|\ba [aeio]\w|\ban [^aeiouh]| a a |\bis is\b|  ")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_whatever_is_chosen_is_true_and_whole(language: str) -> None:
    source, checker = random.Random(5), FactCheck(ITEMS)
    for number in range(300):
        kind = source.choice(prompts.KINDS)
        item, *others = source.sample(ITEMS, 6)
        items = (item, *others[:2]) if kind in ("summary", "chat") else (item,)
        tone = source.choice(("friendly", "playful", "serious", "formal", "enthusiastic"))
        liked = tuple(others[2 : 2 + number % 4])
        made = WriteTask(kind, items, liked, tone=tone, language=language, messages=(("user", "Something new?"),))
        built = prompts.build(made, number % 3)
        ground, text = ground_of(made, built.instructions, built.max_chars), ""
        for segment in built.segments:
            pattern = source.choice(segment.phrases.patterns)
            between = " " if text and language == "en" else ""
            sentence = f"{between}{segment.begun}{''.join(joined(source.choice(place)) for place in pattern)}"
            assert check(sentence, text, ground) in (None, "loop"), (text, sentence)
            text += sentence
        assert checker.violations(made, text) == [], text
        bare = re.sub(r"“[^”]*”|‘[^’]*’", "T", text)
        assert not BROKEN.search(bare) if language == "en" else "， " not in bare, text

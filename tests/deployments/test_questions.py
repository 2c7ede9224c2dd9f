"""Questions about a fact of an item, and what the catalogue says to them."""

from __future__ import annotations

import pytest

from cluster.messages import Item
from deployments.chat.questions import answer_to

FILM = Item(
    "fargo",
    "Fargo (1996)",
    categories=("Crime",),
    attributes={"director": "Joel <b>Coen</b>", "cast": ["Frances McDormand", "William H. Macy"], "minutes": 98.0},
)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Who directed Fargo?", "Director: Joel Coen."),
        ("who's in Fargo?", "With: Frances McDormand, William H. Macy."),
        ("Fargo是谁演的？", "主演：Frances McDormand、William H. Macy。"),
        ("What year is Fargo from?", "Year: 1996."),
        ("How long is Fargo?", "Minutes: 98."),
        ("How much is Fargo?", "The catalogue does not say."),
        ("Fargo多少钱？", "目录里没有写。"),
        ("Is Fargo any good?", None),
        ("tell me more about Fargo", None),
    ],
)
def test_facts_are_told_as_they_are_stored_or_not_at_all(text: str, answer: str | None) -> None:
    assert answer_to(text, FILM, "zh" if "演" in text or "多少" in text else "en") == answer

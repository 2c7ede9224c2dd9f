"""What is found by meaning and what is ranked for the person become one list."""

from __future__ import annotations

from cluster.messages import RankedItem
from deployments.chat.lists import fused, near


def entries(*ids: str) -> list[RankedItem]:
    return [RankedItem(item_id, 1.0, ()) for item_id in ids]


def test_only_what_is_near_enough_counts() -> None:
    assert near([]) == []
    assert near([("a", 0.8), ("b", 0.7), ("c", 0.6)]) == ["a", "b"]
    assert near([("a", 0.45), ("b", 0.41), ("c", 0.39)]) == ["a", "b"]
    assert near([("a", 0.3)]) == []


def test_what_both_agree_on_comes_first_and_the_rest_after() -> None:
    found = fused(["a", "b", "c", "hidden"], entries("b", "c", "a"), entries("x", "b", "y"))
    assert [entry.item_id for entry in found] == ["b", "a", "c", "x", "y"]

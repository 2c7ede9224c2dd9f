"""A ranked list as columns: how lists are made, sent and shown without an object for each of their reasons.

A list of ten with six reasons each would be eighty objects, which take longer to make than the list. Whoever wants
them reads `items`, and they are made then.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

from cluster.messages import RankedItem, RankedList, Reason

Places = list[tuple[str, float, float, str]]
"""Item, score, propensity and source of each place."""
Reasons = tuple[list[int], list[str], list[float], list[str | None]]
"""How many reasons each place has; then, of all of them one after the other, kinds, weights and items."""
NO_REASONS: Reasons = ([], [], [], [])


class ListColumns(RankedList):
    """A `RankedList` whose items are made when somebody asks for them; none that rules or exploration had a say in.

    Args:
        places: best first. reasons: of all places; none when empty.
    """

    __slots__ = ("places", "reasons")

    places: Places
    reasons: Reasons

    def __init__(self, places: Places, reasons: Reasons, model_version: str) -> None:
        put = object.__setattr__
        put(self, "places", places)
        put(self, "reasons", reasons)
        put(self, "model_version", model_version)

    @property
    def items(self) -> tuple[RankedItem, ...]:
        """The places, with their reasons."""
        counts, kinds, weights, ids = self.reasons
        made = list(map(Reason, kinds, weights, ids))
        parts = [tuple(made[start:end]) for start, end in pairwise(accumulate(counts, initial=0))]
        return tuple(
            RankedItem(item_id, score, source, parts[place] if parts else (), propensity)
            for place, (item_id, score, propensity, source) in enumerate(self.places)
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return ListColumns, (self.places, self.reasons, self.model_version)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RankedList):
            return NotImplemented
        return self.items == other.items and self.model_version == other.model_version

    __hash__ = None  # type: ignore[assignment]


def places_of(found: RankedList) -> Places:
    """Item, score, propensity and source of each place of any list."""
    if isinstance(found, ListColumns):
        return found.places
    return [(entry.item_id, entry.score, entry.propensity, entry.source) for entry in found.items]


def as_json(found: RankedList) -> list[dict[str, Any]]:
    """The places as an answer shows them, with their reasons; what says nothing is left out."""
    if not isinstance(found, ListColumns):
        return [_place(entry) for entry in found.items]
    counts, kinds, weights, items = found.reasons
    shown = list(map(_shown, kinds, weights, items))
    parts = [shown[start:end] for start, end in pairwise(accumulate(counts, initial=0))]
    return [
        {"item_id": item_id, "score": score, "source": source, "reasons": parts[place] if parts else []}
        for place, (item_id, score, _, source) in enumerate(found.places)
    ]


def _place(entry: RankedItem) -> dict[str, Any]:
    reasons = [_shown(reason.kind, reason.weight, reason.item_id, reason.feature) for reason in entry.reasons]
    place = {"item_id": entry.item_id, "score": entry.score, "source": entry.source, "reasons": reasons}
    if entry.propensity < 1.0:
        place["propensity"] = entry.propensity
    if entry.rules:
        place["rules"] = [{"rule_id": rule_id, "kind": kind} for rule_id, kind in entry.rules]
    return place


def _shown(kind: str, weight: float, item_id: str | None, feature: str | None = None) -> dict[str, Any]:
    shown: dict[str, Any] = {"kind": kind, "weight": weight}
    if item_id is not None:
        shown["item_id"] = item_id
    if feature is not None:
        shown["feature"] = feature
    return shown

from __future__ import annotations

import pickle
from dataclasses import asdict

from cluster.columns import NO_REASONS, ListColumns, as_json, places_of
from cluster.ids import new_id
from cluster.messages import RankedItem, RankedList, Reason

OBJECTS = RankedList(
    (
        RankedItem("a", 2.0, "graph", (Reason("because_liked", 1.5, "x"), Reason("people_like_you", 0.5))),
        RankedItem("b", 1.0, "fresh", ()),
        RankedItem("c", -0.5, "text", (Reason("similar_text", -0.5, "y"),)),
    ),
    "v1",
)
COLUMNS = ListColumns(
    [("a", 2.0, 1.0, "graph"), ("b", 1.0, 1.0, "fresh"), ("c", -0.5, 1.0, "text")],
    (
        [2, 0, 1],
        ["because_liked", "people_like_you", "similar_text"],
        [1.5, 0.5, -0.5],
        ["x", None, "y"],
    ),
    "v1",
)


def test_columns_are_the_list() -> None:
    assert COLUMNS.items == OBJECTS.items
    assert COLUMNS == OBJECTS and COLUMNS.model_version == "v1"
    assert places_of(COLUMNS) == places_of(OBJECTS)
    assert as_json(COLUMNS) == as_json(OBJECTS)
    assert as_json(OBJECTS)[0]["reasons"][1] == {"kind": "people_like_you", "weight": 0.5}
    again = pickle.loads(pickle.dumps(COLUMNS))
    assert type(again) is ListColumns and again == OBJECTS


def test_without_reasons() -> None:
    plain = ListColumns([("a", 2.0, 1.0, "graph")], NO_REASONS, "v1")
    assert [asdict(entry) for entry in plain.items] == [
        {"item_id": "a", "score": 2.0, "source": "graph", "reasons": (), "propensity": 1.0, "rules": ()}
    ]
    assert as_json(plain) == [{"item_id": "a", "score": 2.0, "source": "graph", "reasons": []}]
    assert as_json(ListColumns([], NO_REASONS, "v1")) == []


def test_new_ids_are_new() -> None:
    made = [new_id() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(len(name) == 32 and int(name, 16) >= 0 for name in made)

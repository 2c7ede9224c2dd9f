from __future__ import annotations

import numpy as np
import pytest

from cluster.coded import EVENT, StoredView, Words
from cluster.messages import SessionView
from graph.reading import Reader
from graph.weights import EventWeights

ITEMS = {"a": 0, "b": 1, "c": 2}
Told = tuple[str, str, float | None]


def reader() -> Reader:
    return Reader(ITEMS, EventWeights({"like": 1.0, "dislike": -1.0, "impression": 0.0, "view": 0.3}), bound=1.5)


def stored(words: Words, *events: Told, began_ms: int = 1) -> StoredView:
    """A view as a shard sends it."""
    rows = []
    for place, (item, kind, value) in enumerate(events):
        for table, word in ((words.items, item), (words.types, kind)):
            if word not in table:
                table.append(word)
        number = np.nan if value is None else value
        rows.append((words.items.index(item), words.types.index(kind), number, began_ms and began_ms + place))
    return StoredView("u", "default", words, np.array(rows, dtype=EVENT).tobytes())


SESSIONS: list[list[Told]] = [
    [("a", "like", None), ("nobody knows", "like", None), ("b", "view", None), ("a", "view", None)],
    [("b", "impression", None), ("c", "rating", 1.0), ("c", "rating", 5.0), ("a", "dislike", None)],
    [],
    [("a", "impression", None)],
    [("c", "like", None), ("c", "dislike", None), ("b", "rating", None)],
    [*[("b", "view", None)] * 9, ("a", "view", None)],
]


def test_codes_are_read_as_ids_are() -> None:
    words = Words()
    views = [stored(words, *events) for events in SESSIONS]
    by_codes, by_ids = reader().read(views), reader().read([view.plain() for view in views])
    assert by_codes.sessions.offsets.tolist() == by_ids.sessions.offsets.tolist() == [0, 2, 4, 4, 4, 5, 7]
    assert by_codes.sessions.item.tolist() == by_ids.sessions.item.tolist() == [1, 0, 2, 0, 1, 1, 0]
    assert by_codes.sessions.strength == pytest.approx(by_ids.sessions.strength)
    assert by_codes.sessions.times is not None and by_ids.sessions.times is not None
    assert by_codes.sessions.times.tolist() == by_ids.sessions.times.tolist() == [1, 1, 0, 1, 1, 1]
    for row in range(len(SESSIONS)):
        met = [set(reading.met[reading.met_by == row].tolist()) for reading in (by_codes, by_ids)]
        assert met[0] == met[1] == {ITEMS[name] for name in views[row].seen if name in ITEMS}


def test_each_item_stands_where_it_was_met_last_within_the_bound() -> None:
    (session,) = (reader().read([stored(Words(), *SESSIONS[5])]).sessions,)
    assert session.item.tolist() == [1, 0]
    assert session.strength.tolist() == pytest.approx([1.5, 0.3])  # nine views, to 1.5 at most
    strong = reader().read([stored(Words(), ("a", "like", None), ("a", "like", None))]).sessions
    assert strong.strength.tolist() == [3.0]  # or to the strongest of them


def test_views_of_several_tables_and_of_none_keep_their_order() -> None:
    one, two = Words(), Words()
    views: list[SessionView] = [
        stored(one, ("a", "like", None)),
        SessionView(None, ("b",), ("like",), (None,), (0,), frozenset(["b", "c"])),
        stored(two, ("c", "like", None), ("b", "like", None)),
        stored(one, ("c", "like", None), began_ms=0),
    ]
    reading = reader().read(views, timed=0.5)
    assert reading.sessions.offsets.tolist() == [0, 1, 2, 4, 5]
    assert reading.sessions.item.tolist() == [0, 1, 2, 1, 2]
    assert reading.sessions.times is not None
    assert reading.sessions.times.tolist() == [0.5, 0.0, 0.5, 0.0]
    assert reading.met_by.tolist() == [0, 1, 1, 2, 2, 3]
    assert len(reader().read([]).sessions) == 0


def test_a_table_that_grew_is_read_on() -> None:
    words, by = Words(), reader()
    assert by.read([stored(words, ("a", "like", None))]).sessions.item.tolist() == [0]
    assert by.read([stored(words, ("a", "like", None), ("c", "view", None))]).sessions.item.tolist() == [0, 2]

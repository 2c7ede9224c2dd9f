"""The packed records against a plain model of them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.coded import StoredView
from cluster.sessions.memory import HEAD_BYTES, SessionMemory
from cluster.store.events import SessionRow

LIMIT = 5
ROW = st.tuples(
    st.sampled_from(["a", "b", "片", "x" * 200]),
    st.sampled_from(["click", "like", "impression"]),
    st.none() | st.floats(allow_nan=False, width=64),
    st.integers(0, 20),
)


def person(n: int) -> bytes:
    return n.to_bytes(16, "little")


def events_of(memory: SessionMemory, n: int) -> list[tuple] | None:
    record = memory.record(person(n))
    if record is None:
        return None
    view = StoredView("u", "default", memory.words, record, HEAD_BYTES)
    return list(zip(view.items, view.types, view.values, view.timestamps_ms, strict=True))


@settings(max_examples=100, deadline=None)
@given(st.lists(ROW, max_size=8), st.lists(ROW, max_size=8))
def test_view_is_the_newest_events_in_order(stored: list[tuple], added: list[tuple]) -> None:
    memory = SessionMemory(1 << 20, LIMIT)
    rows: list[SessionRow] = [(seq, *row) for seq, row in enumerate(stored + added, 1)]
    memory.load(person(1), rows[: len(stored)], len(stored))
    expected = sorted(stored, key=lambda row: row[3])[-LIMIT:]
    for row in rows[len(stored) // 2 :]:  # half of what was loaded comes again
        memory.add(person(1), row)
    for row in added:
        expected = sorted([*expected, row], key=lambda row: row[3])[-LIMIT:]
    assert events_of(memory, 1) == expected


def test_unknown_people_are_not_there() -> None:
    memory = SessionMemory(1 << 20, LIMIT)
    memory.add(person(1), (1, "a", "click", None, 1))
    assert memory.record(person(1)) is None and person(1) not in memory
    memory.load(person(1), [], 0)
    assert events_of(memory, 1) == []
    memory.drop(person(1))
    assert memory.record(person(1)) is None and memory.used_bytes == 0


def test_budget_holds_and_what_is_used_stays() -> None:
    memory = SessionMemory(100_000, LIMIT)
    rows: list[SessionRow] = [(n, "a", "click", None, n) for n in range(1, 6)]
    for n in range(5_000):
        memory.load(person(n), rows, 5)
        assert memory.used_bytes <= 101_000
        if n >= 100:
            assert memory.record(person(50)) is not None
    assert memory.record(person(4_999)) is not None and memory.record(person(60)) is None
    assert 150 < len(memory) < 400


def test_a_flood_of_ids_does_not_grow_without_bound() -> None:
    memory = SessionMemory(100_000, LIMIT)
    for n in range(5_000):
        memory.load(person(n), [(1, f"made-up-{n}", f"type_{n}", None, 1)], 1)
        assert memory.used_bytes <= 110_000
    assert events_of(memory, 4_999) == [("made-up-4999", "type_4999", None, 1)]


def test_a_record_from_before_all_was_forgotten_can_still_be_read() -> None:
    memory = SessionMemory(1 << 20, LIMIT)
    memory.load(person(1), [(1, "a", "click", None, 1), (2, "b", "rating", 2.5, 2)], 2)
    words, record = memory.words, memory.record(person(1))
    memory.clear()
    memory.load(person(2), [(3, "c", "like", None, 3)], 3)
    view = StoredView("u", "default", memory.words, memory.recoded(words, record), HEAD_BYTES)
    assert (view.items, view.types, view.values) == (("a", "b"), ("click", "rating"), (None, 2.5))

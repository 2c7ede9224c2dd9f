"""The contract of the store on both databases: events."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from cluster.errors import InputError
from cluster.messages import Event
from cluster.store import Store
from tests.cluster.made import make_event


class TestEvents:
    def test_append_says_what_is_new(self, store: Store) -> None:
        assert store.events.append([make_event(1), make_event(2), make_event(1)]) == [True, True, False]
        assert store.events.append([make_event(2), make_event(3)]) == [False, True]
        assert store.events.append([]) == []

    def test_first_of_two_equal_ids_is_kept(self, store: Store) -> None:
        store.events.append([make_event(1, item="first"), make_event(1, item="second")])
        store.events.append([make_event(1, item="third")])
        assert [event.item_id for event in store.events.of_users("default", ["u"], 10)["u"]] == ["first"]

    def test_event_comes_back_whole(self, store: Store) -> None:
        event = Event(
            event_id="e/1 ü",
            user_id="用户/1",
            item_id="片 'x' \"y\"",
            type="rating",
            timestamp_ms=1_700_000_000_123,
            value=0.1 + 0.2,
            session_id="s",
            recommendation_id="r",
            context={"z": 1, "a": [1, {"b": None}], "ü": "é\u0000"},
            tenant="t",
        )
        store.events.append([event])
        assert store.events.of_users("t", ["用户/1"], 1) == {"用户/1": [event]}
        assert list(store.events.since(0, 10)[0][1].context or {}) == ["z", "a", "ü"]  # order of keys kept

    def test_users_newest_events_oldest_first(self, store: Store) -> None:
        store.events.append([make_event(n, user=f"u{n % 2}") for n in range(10)])
        found = store.events.of_users("default", ["u0", "nobody", "u1"], 3)
        assert [e.event_id for e in found["u0"]] == ["e4", "e6", "e8"]
        assert [e.event_id for e in found["u1"]] == ["e5", "e7", "e9"]
        assert found["nobody"] == []

    def test_session_rows_keep_the_order_asked(self, store: Store) -> None:
        store.events.append([make_event(n, user=f"u{n % 2}", value=float(n)) for n in range(6)])
        rows = store.events.session_rows(
            [("default", "u1"), ("default", "x"), ("other", "u1"), ("default", "u0"), ("default", "u1")], 2
        )
        assert [[row[1] for row in user] for user in rows] == [["i3", "i5"], [], [], ["i2", "i4"], ["i3", "i5"]]
        assert rows[3][1][1:] == ("i4", "click", 4.0, 1_700_000_000_004)

    def test_since_follows_the_order_of_append(self, store: Store) -> None:
        store.events.append([make_event(n) for n in range(5)])
        store.events.append([make_event(3), make_event(7, tenant="t")])
        page = store.events.since(0, 4)
        rest = store.events.since(page[-1][0], 10)
        assert [event.event_id for _, event in page + rest] == ["e0", "e1", "e2", "e3", "e4", "e7"]
        assert store.events.latest_seq() == rest[-1][0]
        assert [row[0] for row in store.events.tail_rows(0, 10)] == [seq for seq, _ in page + rest]

    def test_tenants_are_apart(self, store: Store) -> None:
        assert store.events.append([make_event(1, tenant="a"), make_event(1, tenant="b")]) == [True, True]
        assert [event.tenant for _, event in store.events.scan("a")] == ["a"]
        assert store.events.count("b") == 1
        assert store.events.of_users("c", ["u"], 5) == {"u": []}

    def test_scan_pages(self, store: Store) -> None:
        store.events.append([make_event(n) for n in range(7)])
        first = store.events.scan("default", limit=4)
        second = store.events.scan("default", after_seq=first[-1][0], limit=4)
        assert [event.event_id for _, event in first + second] == [f"e{n}" for n in range(7)]

    def test_pages_by_number_are_not_sorted(self, store: Store) -> None:
        """Each page would take as long as the whole table, however short it is."""
        if store.database.dialect != "sqlite":
            pytest.skip("asks SQLite for its plan")
        store.events.append([make_event(n) for n in range(50)])
        asked: list[tuple[str, Any]] = []
        engine = store.database._reader
        event.listen(engine, "before_cursor_execute", lambda c, cursor, sql, values, *_: asked.append((sql, values)))
        list(store.events.arrow_batches("default", rows=10, after=20, until=30))
        store.events.scan("default", 10, 5)
        store.feedback.scan("default", 10, 5)
        plans = []
        with store.database.reading() as connection:
            for sql, values in asked.copy():
                plans += [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)]
        assert len(plans) >= 3 and all("PRIMARY KEY" in plan for plan in plans), plans

    def test_arrow_batches(self, store: Store) -> None:
        store.events.append([make_event(n, value=n if n % 2 else None, context={"n": n}) for n in range(7)])
        batches = list(store.events.arrow_batches("default", rows=3))
        assert [batch.num_rows for batch in batches] == [3, 3, 1]
        rows = [row for batch in batches for row in batch.to_pylist()]
        assert [row["event_id"] for row in rows] == [f"e{n}" for n in range(7)]
        assert rows[1]["value"] == 1.0 and rows[2]["value"] is None and rows[3]["context"] == '{"n":3}'
        assert list(store.events.arrow_batches("nobody")) == []

    def test_popular_counts_no_impressions(self, store: Store) -> None:
        items = ["a", "b", "b", "c", "c"]
        store.events.append([make_event(n, item=item) for n, item in enumerate(items)])
        store.events.append([make_event(9 + n, item="a", type="impression") for n in range(5)])
        assert store.events.popular("default", 2) == [("b", 2), ("c", 2)]

    def test_impressions_are_counted_by_item(self, store: Store) -> None:
        kinds = [("a", "impression"), ("a", "impression"), ("b", "impression"), ("b", "click"), ("c", "click")]
        store.events.append([make_event(n, item=item, type=kind) for n, (item, kind) in enumerate(kinds)])
        store.events.append([make_event(9, item="a", type="impression", tenant="other")])
        assert store.events.impressions("default") == {"a": 2, "b": 1}

    def test_failed_batch_leaves_nothing(self, store: Store) -> None:
        with pytest.raises(InputError):
            store.events.append([make_event(1), make_event(2, context={"x": object()})])
        assert store.events.latest_seq() == 0

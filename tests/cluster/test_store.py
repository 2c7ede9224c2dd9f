"""The contract of the store, on both databases."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.config import Settings
from cluster.errors import ConflictError, InputError, NotFoundError, UnavailableError
from cluster.messages import Event, Item, User, Version
from cluster.store import Feedback, Operation, Recommendation, Store
from cluster.store.events import EventStore
from cluster.store.retention import user_digest

ROOT = Path(__file__).resolve().parents[2]


def make_event(n: int, user: str = "u", item: str | None = None, **changes: object) -> Event:
    event = Event(f"e{n}", user, item or f"i{n}", "click", 1_700_000_000_000 + n)
    return replace(event, **changes)  # type: ignore[arg-type]


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

    def test_failed_batch_leaves_nothing(self, store: Store) -> None:
        with pytest.raises(InputError):
            store.events.append([make_event(1), make_event(2, context={"x": object()})])
        assert store.events.latest_seq() == 0


class TestItems:
    def test_item_comes_back_whole(self, store: Store) -> None:
        item = Item(
            item_id="50/ü",
            title="Star Wars",
            description="far away",
            categories=("Sci-Fi", "War"),
            tags=("space",),
            attributes={"year": 1977, "people": ["Lucas"], "a": {"b": 1.5}},
            image_url="http://x/y.png",
            available_from_ms=5,
            available_until_ms=10**13,
            hidden=True,
            updated_ms=77,
            tenant="t",
        )
        plain = Item("p", updated_ms=1, tenant="t")
        store.items.put([item, plain])
        assert store.items.get("t", ["50/ü", "p", "nope"]) == {"50/ü": item, "p": plain}
        assert store.items.get("default", ["50/ü"]) == {}

    def test_put_replaces_and_stamps(self, store: Store) -> None:
        before = time.time_ns() // 1_000_000
        store.items.put([Item("a", title="1"), Item("a", title="2")])
        found = store.items.get("default", ["a"])["a"]
        assert found.title == "2" and found.updated_ms >= before
        store.items.put([Item("a", title="3")])
        assert store.items.get("default", ["a"])["a"].title == "3"
        assert store.items.count("default") == 1

    def test_changes_and_tombstones(self, store: Store) -> None:
        store.items.put([Item(name) for name in "abc"])
        first = store.items.changes(0, 2)
        assert [change.item_id for change in first] == ["a", "b"]
        assert [change.item_id for change in store.items.changes(first[-1].seq, 10)] == ["c"]
        last = store.items.changes(0, 10)[-1].seq
        assert store.items.delete("default", ["b", "nope"]) == [True, False]
        store.items.put([Item("a", title="new")])
        changes = store.items.changes(last, 10)
        assert [(c.item_id, c.item and c.item.title) for c in changes] == [("b", None), ("a", "new")]
        assert store.items.delete("default", ["b"]) == [False]
        assert [item.item_id for item in store.items.scan("default")] == ["a", "c"]
        store.items.put([Item("b", title="back")])
        assert store.items.changes(changes[-1].seq, 10)[0].item == store.items.get("default", ["b"])["b"]

    def test_scan_is_ordered_by_bytes(self, store: Store) -> None:
        store.items.put([Item(name) for name in ("b", "B", "a", "é", "10", "9")])
        page = store.items.scan("default", limit=4)
        rest = store.items.scan("default", after_id=page[-1].item_id)
        assert [item.item_id for item in page + rest] == ["10", "9", "B", "a", "b", "é"]

    def test_many(self, store: Store) -> None:
        store.items.put([Item(f"{n:05}") for n in range(2000)])
        assert len(store.items.get("default", [f"{n:05}" for n in range(3000)])) == 2000
        assert sum(store.items.delete("default", [f"{n:05}" for n in range(3000)])) == 2000


class TestUsers:
    def test_deleted_user_leaves_nothing(self, store: Store) -> None:
        store.users.put([User("u", {"age": 3}, updated_ms=4), User("v")])
        assert store.users.get("default", ["u"]) == {"u": User("u", {"age": 3}, updated_ms=4)}
        assert store.users.delete("default", ["u", "w"]) == [True, False]
        assert [change.item_id for change in store.users.changes(0, 10)] == ["v"]


class TestRegistry:
    def test_pointer_moves_by_compare_and_swap(self, store: Store) -> None:
        registry = store.registry
        assert registry.live("default", "graph") is None
        one = Version("graph", "1", "/x/1", 100, {"ndcg": 0.1})
        registry.publish(one)
        registry.publish(replace(one, version="2", created_ms=200))
        assert registry.live("default", "graph") is None
        registry.move("default", "graph", "1", None)
        assert registry.live("default", "graph") == one
        with pytest.raises(ConflictError):
            registry.move("default", "graph", "2", None)
        with pytest.raises(ConflictError):
            registry.move("default", "graph", "2", "0")
        with pytest.raises(NotFoundError):
            registry.move("default", "graph", "3", "1")
        registry.move("default", "graph", "2", "1")
        assert [(m.from_version, m.to_version) for m in registry.history("default", "graph")] == [
            ("1", "2"),
            (None, "1"),
        ]
        assert [v.version for v in registry.versions("default", "graph")] == ["2", "1"]
        assert registry.live("other", "graph") is None

    def test_versions_are_immutable_and_the_live_one_stays(self, store: Store) -> None:
        version = Version("graph", "1", "/x", 1)
        store.registry.publish(version)
        with pytest.raises(ConflictError):
            store.registry.publish(version)
        store.registry.move("default", "graph", "1", None)
        with pytest.raises(ConflictError):
            store.registry.remove("default", "graph", "1")
        store.registry.publish(replace(version, version="2"))
        store.registry.remove("default", "graph", "2")
        assert store.registry.versions("default", "graph") == [version]

    def test_of_many_movers_one_wins(self, store: Store) -> None:
        for n in range(5):
            store.registry.publish(Version("graph", str(n), "/x", n))
        store.registry.move("default", "graph", "0", None)
        won = []

        def move(n: int) -> None:
            try:
                store.registry.move("default", "graph", str(n), "0")
                won.append(n)
            except ConflictError:
                pass

        threads = [threading.Thread(target=move, args=(n,)) for n in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        live = store.registry.live("default", "graph")
        assert len(won) == 1 and live is not None and live.version == str(won[0])


class TestFeedback:
    def test_feedback_and_log(self, store: Store) -> None:
        entry = Feedback("f1", 5, user_id="u", recommendation_id="r1", rating="up", comment="gut")
        store.feedback.add([entry, entry])
        assert [found for _, found in store.feedback.scan("default")] == [entry]
        given = Recommendation(
            "r1", 5, "v1", (("a", 0.5, 1.0, "graph"), ("b", 0.25, 0.1, "popular")), "u", before=("c",)
        )
        store.feedback.log([given])
        store.feedback.log([given])
        assert [found for _, found in store.feedback.scan_log("default")] == [given]
        assert store.feedback.recommendation("default", "r1") == given
        assert store.feedback.recommendation("t", "r1") is None


class TestRetention:
    def test_erase_leaves_no_row(self, store: Store) -> None:
        store.events.append([make_event(1), make_event(2), make_event(3, user="v")])
        store.users.put([User("u", {"mail": "x"})])
        store.feedback.add([Feedback("f", 1, user_id="u")])
        store.feedback.log([Recommendation("r", 1, "v", user_id="u")])
        assert store.retention.erase("default", "u") == {"events": 2, "users": 1, "feedback": 1, "recommendations": 1}
        assert [event.user_id for _, event in store.events.scan("default")] == ["v"]
        assert store.retention.erase("default", "u")["events"] == 0
        digests = [digest for _, digest in store.retention.erasures(0)]
        assert digests == [user_digest("default", "u")] * 2
        assert store.retention.latest_erasure() == store.retention.erasures(0)[-1][0]

    def test_prune_by_age(self, store: Store) -> None:
        store.events.append([make_event(n, tenant=tenant) for n in range(6) for tenant in "ab"])
        store.feedback.add([Feedback("f", 1, tenant="a")])
        pruned = store.retention.prune("a", make_event(4).timestamp_ms)
        assert pruned == {"events": 4, "feedback": 1, "recommendations": 0}
        assert [event.event_id for _, event in store.events.scan("a")] == ["e4", "e5"]
        assert store.events.count("b") == 6

    def test_prune_through_a_gateway_is_many_short_calls(self, store: Store, store_settings: Settings) -> None:
        """Live requests come in between; one long call would make them wait for all of it."""
        store.events.append([make_event(n) for n in range(10)])
        calls = []

        def gateway(part: str, method: str, args: tuple[object, ...]) -> object:
            calls.append(method)
            return store.apply(part, method, args)

        with pytest.MonkeyPatch.context() as patch, Store.open(store_settings, gateway=gateway) as client:
            patch.setattr("cluster.store.retention.PRUNE_CHUNK_ROWS", 3)
            pruned = client.retention.prune("default", make_event(8).timestamp_ms, ("events",))
        assert pruned == {"events": 8} and store.events.count("default") == 2
        assert calls == ["prune_chunk"] * 3 + ["prune_notices"]  # rows 1 to 3, 4 to 6, 7 to 9

    def test_numbers_are_never_given_twice(self, store: Store) -> None:
        store.events.append([make_event(1), make_event(2)])
        last = store.events.latest_seq()
        store.retention.erase("default", "u")
        store.events.append([make_event(3)])
        assert store.events.latest_seq() > last


class TestOperations:
    def test_an_erasure_keeps_whom_it_is_about_only_until_it_is_done(self, store: Store) -> None:
        store.events.append([make_event(n) for n in range(3)])
        store.users.put([User("u", {"mail": "x"})])
        begun = Operation("o", "erase_user", "running", 5, subject="u")
        store.operations.begin(begun)
        store.operations.begin(replace(begun, subject="other"))
        assert store.operations.running() == [begun]
        assert store.operations.erase_user("default", "o")
        counts = {"events": 3, "users": 1, "feedback": 0, "recommendations": 0}
        assert store.operations.running() == [replace(begun, subject=None, result=counts)]
        store.events.append([make_event(9)])
        assert store.operations.erase_user("default", "o")  # whom it was about is not known any more
        assert store.events.count("default") == 1
        store.operations.finish("default", "o")
        done = store.operations.get("default", "o")
        assert done is not None and (done.status, done.result) == ("done", counts) and done.finished_ms
        assert store.operations.erase_user("default", "unknown")
        assert store.operations.prune("default", done.finished_ms) == 0
        assert store.operations.prune("default", done.finished_ms + 1) == 1

    def test_a_replacement_needs_what_it_replaces(self, store: Store) -> None:
        before, after = Item("a", "A", attributes={"n": [1, 2]}, updated_ms=1), Item("a", "B", updated_ms=2)
        assert not store.items.replace(after, before)
        store.items.put([before])
        assert store.items.replace(after, before)
        assert not store.items.replace(before, before)
        assert store.items.get("default", ["a"]) == {"a": after}
        assert [change.item for change in store.items.changes(0, 9)] == [after]
        store.items.delete("default", ["a"])
        assert not store.items.replace(after, after)

    def test_replacements_at_once_are_all_kept(self, store: Store) -> None:
        store.items.put([Item("a", updated_ms=1)])

        def add(n: int) -> None:
            while True:
                before = store.items.get("default", ["a"])["a"]
                if store.items.replace(replace(before, attributes={**before.attributes, f"k{n}": n}), before):
                    return

        threads = [threading.Thread(target=add, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.items.get("default", ["a"])["a"].attributes == {f"k{n}": n for n in range(8)}

    def test_lists_from_before_an_erasure_are_not_logged_after_it(self, store: Store) -> None:
        now_ms = time.time_ns() // 1_000_000
        store.retention.erase("default", "u")
        lists = [
            Recommendation("before", now_ms - 60_000, "v", user_id="u"),
            Recommendation("other tenant", now_ms - 60_000, "v", user_id="u", tenant="t"),
            Recommendation("others", now_ms - 60_000, "v", user_id="w"),
            Recommendation("nobody", now_ms - 60_000, "v"),
            Recommendation("afterwards", now_ms + 60_000, "v", user_id="u"),
        ]
        store.feedback.log(lists)
        store.feedback.log([])
        assert [row.recommendation_id for _, row in store.feedback.scan_log("default")] == [
            "others",
            "nobody",
            "afterwards",
        ]
        assert len(store.feedback.scan_log("t")) == 1


class TestOpening:
    def test_migrating_twice_changes_nothing(self, store: Store) -> None:
        store.events.append([make_event(1)])
        store.migrate()
        assert store.events.count("default") == 1

    def test_migrations_make_what_the_tables_say(self, store: Store) -> None:
        from alembic.autogenerate import compare_metadata
        from alembic.migration import MigrationContext

        from cluster.store.tables import metadata

        with store.database.writing() as connection:
            assert compare_metadata(MigrationContext.configure(connection), metadata) == []

    def test_reader_cannot_write(self, store: Store, store_settings: Settings) -> None:
        with Store.open(store_settings, readonly=True) as reader:
            with pytest.raises(UnavailableError):
                reader.events.append([make_event(1)])
            store.events.append([make_event(1)])
            assert reader.events.count("default") == 1

    def test_gateway_carries_writes_in_chunks(self, store: Store, store_settings: Settings) -> None:
        calls = []

        def gateway(part: str, method: str, args: tuple[object, ...]) -> object:
            calls.append((part, method, len(args[-1])))  # type: ignore[arg-type]
            return store.apply(part, method, args)

        with Store.open(store_settings, gateway=gateway) as client:
            assert client.events.append([make_event(n) for n in range(1100)]) == [True] * 1100
            assert calls == [("events", "append", 500), ("events", "append", 500), ("events", "append", 100)]
            client.items.put([Item("a")])
            assert client.items.delete("default", ["a", "b"]) == [True, False]
            assert client.events.count("default") == 1100

    def test_gateway_carries_nothing_else(self, store: Store) -> None:
        for part, method in (("events", "_check"), ("events", "scan"), ("nope", "append"), ("events", "database")):
            with pytest.raises(InputError):
                store.apply(part, method, ())
        assert "append" in EventStore.writes

    def test_late_commit_is_not_passed_over(self, store: Store, store_settings: Settings) -> None:
        """Writers race; a reader that tails by number must see every row, in order, exactly once."""
        writers, rows = 4, 50
        seen: list[tuple[int, str]] = []
        done = threading.Event()

        def tail() -> None:
            last = 0
            while True:
                finished = done.is_set()
                page = store.events.since(last, 1000)
                seen.extend((seq, event.event_id) for seq, event in page)
                last = page[-1][0] if page else last
                if finished and not page:
                    return

        def append(writer: int) -> None:
            for n in range(rows):
                store.events.append([make_event(writer * 1000 + n), make_event(writer * 1000 + 500 + n)])

        reader = threading.Thread(target=tail)
        threads = [threading.Thread(target=append, args=(writer,)) for writer in range(writers)]
        for thread in (reader, *threads):
            thread.start()
        for thread in threads:
            thread.join()
        done.set()
        reader.join()
        assert len(seen) == writers * rows * 2 == len({event_id for _, event_id in seen})
        assert [seq for seq, _ in seen] == sorted(seq for seq, _ in seen)


def test_reading_after_the_writer_has_gone(sqlite_settings: Settings) -> None:
    """A clean stop removes SQLite's log files, a kill leaves them; both can be read without the right to write."""
    with Store.open(sqlite_settings) as store:
        store.migrate()
        store.events.append([make_event(1)])
    with Store.open(sqlite_settings, readonly=True) as reader:
        assert reader.events.count("default") == 1
    program = (
        "import os, sys; from cluster.config import Settings; from cluster.store import Store\n"
        "from cluster.messages import Event\n"
        "store = Store.open(Settings(state_dir=sys.argv[1]))\n"
        "store.events.append([Event('e2', 'u', 'i', 'click', 1)])\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(sqlite_settings.state_dir)], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    with Store.open(sqlite_settings, readonly=True) as reader:
        assert reader.events.count("default") == 2
    with Store.open(sqlite_settings) as store:  # the kernel gave the lock back
        assert store.events.append([make_event(2), make_event(3)]) == [False, True]


def test_no_trace_of_an_erased_person_in_the_files(sqlite_settings: Settings) -> None:
    trace = "somebody-who-wants-to-be-forgotten"
    with Store.open(sqlite_settings) as store:
        store.migrate()
        store.users.put([User(trace, {"mail": trace})])
        store.events.append(
            [make_event(n, user=trace if n % 3 else "other", context={"x": trace}) for n in range(3, 600)]
        )
        store.events.append([make_event(n, user="other") for n in range(700, 800)])
        assert any(trace.encode() in path.read_bytes() for path in sqlite_settings.state_dir.iterdir())
        store.retention.erase("default", trace)
        store.retention.erase("default", "other")
        for path in sqlite_settings.state_dir.iterdir():
            assert trace.encode() not in path.read_bytes(), path


def test_full_disk_is_unavailable_and_leaves_nothing(sqlite_settings: Settings) -> None:
    with Store.open(sqlite_settings) as store:
        store.migrate()
        with store.database.writing() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 10}")  # as SQLite meets a full disk
        with pytest.raises(UnavailableError, match="full"):
            store.events.append([make_event(n) for n in range(2000)])
        assert store.events.count("default") == 0
        assert store.events.append([make_event(1)]) == [True]

"""The contract of the store on both databases: feedback, retention, operations, and opening it."""

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
from cluster.errors import InputError, UnavailableError
from cluster.messages import Item, User
from cluster.store import Feedback, Operation, Recommendation, Store
from cluster.store.events import EventStore
from cluster.store.retention import user_digest
from tests.cluster.made import make_event

ROOT = Path(__file__).resolve().parents[2]


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

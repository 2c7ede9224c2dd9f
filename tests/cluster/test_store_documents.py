"""The contract of the store on both databases: items, users, versions."""

from __future__ import annotations

import threading
import time
from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.errors import ConflictError, NotFoundError
from cluster.messages import Item, User, Version
from cluster.store import Store

ROOT = Path(__file__).resolve().parents[2]


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
            vectors={"image": array("f", [0.1, -2.0]), "sound": array("f", [1e-9])},
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

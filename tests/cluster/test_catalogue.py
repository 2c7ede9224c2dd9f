"""The mirror of the catalogue, on both databases."""

from __future__ import annotations

import asyncio

import pytest

from cluster.catalogue import Catalogue, is_available
from cluster.errors import InputError
from cluster.messages import Item
from cluster.store import Store

FILMS = [
    Item("alien", "Alien", categories=("Horror", "Sci-Fi"), attributes={"year": 1979}),
    Item("heat", "Heat", categories=("Crime",), attributes={"year": 1995}),
    Item("untitled", categories=("Crime",), hidden=True),
]


async def test_start_reads_everything_and_polling_keeps_up(store: Store) -> None:
    store.items.put([*FILMS, Item("other", "Other", tenant="t")])
    catalogue = Catalogue(store, poll_s=0.02)
    await catalogue.start()
    try:
        assert catalogue.get("default", "alien") == store.items.get("default", ["alien"])["alien"]
        assert catalogue.get("t", "alien") is None and catalogue.get("nobody", "x") is None
        assert {item.item_id for item in catalogue.items("default")} == {"alien", "heat", "untitled"}
        assert sorted(catalogue.titles("default")) == ["Alien", "Heat"]
        version = catalogue.version
        await asyncio.sleep(0.1)
        assert catalogue.version == version
        store.items.put([Item("new", "New", categories=("Crime",)), Item("alien", "Alien 2", categories=("Crime",))])
        store.items.delete("default", ["heat"])
        for _ in range(200):
            if catalogue.get("default", "heat") is None:
                break
            await asyncio.sleep(0.02)
        assert catalogue.version > version
        assert catalogue.get("default", "heat") is None
        assert catalogue.in_categories("default", ["Crime", "nothing"]) == {"new", "alien", "untitled"}
        assert catalogue.in_categories("default", ["Horror"]) == frozenset()
        assert catalogue.unavailable("default", 0) == {"heat", "untitled"}
    finally:
        await catalogue.stop()


async def test_availability_follows_the_clock(store: Store) -> None:
    store.items.put([Item("a", available_from_ms=100, available_until_ms=200), Item("b"), Item("c", hidden=True)])
    catalogue = Catalogue(store)
    await catalogue.refresh()
    assert [catalogue.unavailable("default", now) for now in (99, 100, 199, 200)] == [
        {"a", "c"},
        {"c"},
        {"c"},
        {"a", "c"},
    ]
    store.items.put([Item("a"), Item("c")])
    await catalogue.refresh()
    assert catalogue.unavailable("default", 0) == frozenset()
    assert is_available(Item("x"), 0) and catalogue.is_available(Item("x"), 0)


async def test_filters_see_changes(store: Store) -> None:
    store.items.put(FILMS)
    catalogue = Catalogue(store)
    await catalogue.refresh()
    assert catalogue.matching("default", "year < 1990") == {"alien"}
    store.items.put([Item("old", attributes={"year": 1920})])
    await catalogue.refresh()
    assert catalogue.matching("default", "year < 1990") == {"alien", "old"}
    assert catalogue.matching("nobody", "year < 1990") == frozenset()
    with pytest.raises(InputError):
        catalogue.matching("default", "year <")


async def test_deleted_before_the_start(store: Store) -> None:
    store.items.put(FILMS)
    store.items.delete("default", ["alien"])
    catalogue = Catalogue(store)
    await catalogue.refresh()
    assert catalogue.get("default", "alien") is None
    assert "alien" in catalogue.unavailable("default", 0)


async def test_what_changed_since_a_number(store: Store) -> None:
    store.items.put(FILMS)
    catalogue = Catalogue(store)
    await catalogue.refresh()
    version = catalogue.version
    assert catalogue.changed_since("default", version) == set()
    store.items.put([Item("heat", "Heat 2"), Item("elsewhere", tenant="t")])
    store.items.delete("default", ["alien"])
    await catalogue.refresh()
    assert catalogue.changed_since("default", version) == {"heat", "alien"}
    assert catalogue.changed_since("t", version) == {"elsewhere"}
    assert catalogue.changed_since("default", 0) == {"heat", "alien", "untitled"}
    assert catalogue.changed_since("default", catalogue.version) == set()


async def test_answers_are_kept_until_the_catalogue_or_the_clock_says_otherwise(store: Store) -> None:
    store.items.put([Item("a", available_from_ms=100, available_until_ms=200), Item("b", updated_ms=150), Item("c")])
    catalogue = Catalogue(store)
    await catalogue.refresh()
    ids, until_ms = catalogue.barred("default", 50)
    assert (ids, until_ms) == ({"a"}, 100)
    assert catalogue.barred("default", 99)[0] is ids
    assert catalogue.barred("default", 100) == (frozenset(), 200)
    assert catalogue.barred("default", 99) == ({"a"}, 100)
    assert catalogue.barred("default", 500)[1] > 1 << 60
    assert [(item.item_id, ms) for item, ms in catalogue.latest("default", 2, 150)][1:] == [("b", 150)]
    assert [item.item_id for item, _ in catalogue.latest("default", 9, 150)] == ["c", "b", "a"]
    assert [item.item_id for item, _ in catalogue.latest("default", 9, 200)] == ["c", "b"]
    assert catalogue.ids("default") == ["a", "b", "c"] and catalogue.ids("default") is catalogue.ids("default")
    assert catalogue.matching_known("default", 'item_id == "c"') is None
    matching = catalogue.matching("default", 'item_id == "c"')
    assert catalogue.matching_known("default", 'item_id == "c"') is matching
    store.items.put([Item("b", hidden=True)])
    store.items.delete("default", ["c"])
    await catalogue.refresh()
    assert catalogue.matching_known("default", 'item_id == "c"') is None
    assert catalogue.barred("default", 100) == ({"b", "c"}, 200)
    assert catalogue.ids("default") == ["a", "b"] and catalogue.latest("default", 9, 200) == []
    assert (catalogue.ids("t"), catalogue.latest("t", 9, 0), catalogue.barred("t", 0)[0]) == ([], [], frozenset())

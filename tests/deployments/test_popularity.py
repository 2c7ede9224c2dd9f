"""Lists of a tenant without a version: counted beside the thread that ranks, whatever the count takes."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.catalogue import Catalogue
from cluster.config import Settings
from cluster.errors import UnavailableError
from cluster.messages import Event, Item, RankQuery, SessionView
from cluster.store import Store
from deployments.popularity import Popularity

QUERY = RankQuery(SessionView(None), 2)


@pytest.fixture
def store(settings: Settings) -> Any:
    with Store.open(settings) as store:
        store.migrate()
        store.items.put([Item("old"), Item("new")])
        store.events.append([Event("e1", "u", "old", "view", 1)])
        yield store


async def popularity(store: Store, counting: Any) -> tuple[Popularity, Catalogue]:
    """With a way to count that the test holds."""
    catalogue = Catalogue(store, poll_s=10.0)
    await catalogue.start()
    return Popularity(SimpleNamespace(events=SimpleNamespace(popular=counting)), catalogue), catalogue  # type: ignore[arg-type]


def shown(ranked: Any) -> list[str]:
    return [item.item_id for item in ranked.items]


async def test_a_long_count_stops_no_list(store: Store) -> None:
    gate = threading.Event()

    def slow(tenant: str, n: int) -> Any:
        gate.wait(10)
        return store.events.popular(tenant, n)

    popular, catalogue = await popularity(store, slow)
    try:
        began = time.monotonic()
        assert sorted(shown(popular.rank(QUERY))) == ["new", "old"]
        first_s = time.monotonic() - began
        popular.rank(QUERY)
        assert first_s < 2 and time.monotonic() - began - first_s < 0.1  # the second one does not wait at all
        gate.set()
        while popular.rank(QUERY).items[0].score == 0:
            assert time.monotonic() - began < 5
        assert shown(popular.rank(QUERY)) == ["old", "new"]
    finally:
        gate.set()
        await catalogue.stop()


async def test_a_short_count_is_in_the_first_list(store: Store) -> None:
    popular, catalogue = await popularity(store, store.events.popular)
    assert shown(popular.rank(QUERY)) == ["old", "new"] and popular.rank(QUERY).items[0].score == 1
    await catalogue.stop()


async def test_a_count_that_fails_leaves_the_newest(store: Store) -> None:
    def away(*_: Any) -> Any:
        raise UnavailableError("the database does not answer")

    popular, catalogue = await popularity(store, away)
    assert sorted(shown(popular.rank(QUERY))) == ["new", "old"]
    await catalogue.stop()

"""The catalogue's news over a live version: what is made when, and that nothing is made for nothing."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.catalogue import Catalogue
from cluster.config import Settings
from cluster.messages import Item, RankQuery, SessionView
from cluster.store import Store
from deployments import overlay as module
from deployments.overlay import Live, Overlay
from graph.bundle import save_model
from graph.ranking import Ranker
from tests.deployments.conftest import until
from tests.deployments.small_world import ITEMS, make_model

NEW = Item("new", "Thunder", categories=("Rock",))
FAN = SessionView(None, ("loud/1", "loud/2"), ("like", "like"), (None, None), (1, 2), frozenset({"loud/1", "loud/2"}))


class World:
    """A store, its mirror, and an overlay over a version that can be exchanged."""

    def __init__(self, settings: Settings) -> None:
        self.store = Store.open(settings)
        self.store.migrate()
        self.store.items.put(ITEMS)
        self.catalogue = Catalogue(self.store)
        self.live: Live | None = ("v1", Ranker(make_model(), "v1"))
        self.overlay = Overlay(self.catalogue, "default", lambda: self.live)

    async def look(self) -> bool:
        """Take all in; whether anything was made."""
        await self.catalogue.refresh()
        return await self.overlay.refresh()

    def ids(self, n: int = 100, view: SessionView = FAN) -> list[str]:
        assert self.overlay.current is not None
        return [entry.item_id for entry in self.overlay.current[1].rank([RankQuery(view, n)])[0].items]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(Settings(state_dir=tmp_path))
    yield world
    await world.overlay.stop()
    world.store.close()


async def test_nothing_is_made_for_nothing(world: World) -> None:
    assert await world.look()
    assert not await world.look()
    first = world.overlay.current
    assert not await world.look() and world.overlay.current is first


async def test_what_is_new_ranks_and_only_its_content_makes_it_anew(world: World) -> None:
    await world.look()
    assert world.overlay.current is not None and "new" not in world.overlay.current[1]
    world.store.items.put([NEW])
    assert await world.look()
    assert world.ids().index("new") < 20  # among the loud ones
    extended = world.overlay._extended
    world.store.items.put([replace(NEW, image_url="https://x/y.png"), replace(ITEMS[3], title="Another")])
    assert await world.look() and world.overlay._extended is extended
    world.store.items.put([replace(NEW, hidden=True)])
    await world.look()
    assert "new" not in world.ids() and world.overlay._extended is extended
    world.store.items.delete("default", ["new"])
    await world.look()
    assert "new" not in world.ids() and world.overlay._extended is extended
    world.store.items.put([replace(NEW, title="Silence", categories=("Ambient",))])
    await world.look()
    assert world.overlay._extended is not extended
    assert world.ids().index("new") > 17  # behind all that are loud
    assert world.store.items.count("default") == 41


async def test_a_vector_that_comes_later_makes_it_anew(world: World) -> None:
    world.store.items.put([NEW])
    await world.look()
    before = world.overlay.current
    world.store.items.put([replace(NEW, vectors={"image": array("f", [1.0, 2.0])})])
    await world.look()
    assert before is not None and world.overlay.current is not None
    extended = world.overlay.current[1]
    assert extended._scorer.fresh is not before[1]._scorer.fresh
    world.store.items.put([replace(NEW, vectors={"image": array("f", [1.0, 2.0])}, image_url="http://x/1.png")])
    await world.look()
    assert world.overlay.current[1]._scorer.fresh is extended._scorer.fresh


async def test_a_new_version_takes_the_news_along(world: World) -> None:
    world.store.items.put([NEW, replace(ITEMS[5], hidden=True)])
    await world.look()
    world.live = ("v2", Ranker(make_model("v2", [*ITEMS[:30], NEW]), "v2"))
    assert await world.look()
    assert world.overlay.current is not None and world.overlay.current[0] == "v2"
    assert set(world.ids(view=SessionView(None))) == {item.item_id for item in (*ITEMS, NEW)} - {"loud/5"}
    assert world.overlay.current[1].fresh == {item.item_id for item in ITEMS[30:]}


async def test_too_many_new_ones_are_the_newest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FRESH", 5)
    world.store.items.put([replace(NEW, item_id=f"n{n}", updated_ms=n + 1) for n in range(9)])
    await world.look()
    fresh = {item_id for item_id in world.ids(view=SessionView(None)) if item_id.startswith("n")}
    assert fresh == {f"n{n}" for n in range(4, 9)}


async def test_changes_that_are_forgotten_are_looked_for_everywhere(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.look()
    world.store.items.put([NEW])
    await world.catalogue.refresh()
    monkeypatch.setattr(world.catalogue, "_forgotten_seq", world.catalogue.version)
    assert world.catalogue.changed_since("default", 0) is None
    await world.overlay.refresh()
    assert "new" in world.ids()


async def test_a_version_that_cannot_take_the_news_leaves_the_old_one_serving(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.catalogue.refresh()
    await world.overlay.start()
    broken = Ranker(make_model("v2"), "v2")
    monkeypatch.setattr(broken, "with_items", None)
    world.live = ("v2", broken)
    await asyncio.sleep(0.2)
    assert world.overlay.current is not None and world.overlay.current[0] == "v1"
    world.live = ("v3", Ranker(make_model("v3"), "v3"))

    async def is_taken() -> bool:
        return world.overlay.current is not None and world.overlay.current[0] == "v3"

    await until(is_taken, module.RETRY_S + 10.0)
    other = Overlay(world.catalogue, "default", lambda: ("v2", broken))
    await other.start()
    assert other.current is None
    await other.stop()


async def test_before_a_version_there_is_none(world: World) -> None:
    world.live = None
    assert not await world.look()
    assert world.overlay.current is None


@pytest.mark.parametrize("exhaustive", [20_000, 1])
def test_a_ranker_without_items_never_shows_them(exhaustive: int, tmp_path: Path) -> None:
    """Both ways to score: everything, and what the index finds."""
    model = make_model()
    serving = model.config.serving.model_copy(update={"exhaustive_items": exhaustive, "retrieve": 40})
    model = replace(model, config=model.config.model_copy(update={"serving": serving}))
    save_model(model, tmp_path)
    ranker = Ranker.load(tmp_path, "v1")
    barred = {"loud/3", "静-0", "unknown"}
    query = RankQuery(FAN, 100, excluded=frozenset({"loud/4"}))
    whole = [entry.item_id for entry in ranker.rank([query])[0].items]
    rest = [entry.item_id for entry in ranker.without(barred).rank([query])[0].items]
    assert len(whole) == 37 and rest == [item_id for item_id in whole if item_id not in barred]
    similar = ranker.without(barred).similar("loud/2", 100)
    assert similar is not None and not barred & {entry.item_id for entry in similar}
    assert [entry.item_id for entry in ranker.without(()).rank([query])[0].items] == whole
    for n in range(40):  # more sets of allowed items than are kept
        few = frozenset({"loud/9", f"静-{n % 20}", f"other-{n}"})
        assert {e.item_id for e in ranker.rank([replace(query, allowed=few)])[0].items} == {"loud/9", f"静-{n % 20}"}
    extended = ranker.without(barred).with_items([NEW])
    assert "new" in [entry.item_id for entry in extended.rank([query])[0].items]
    assert "new" in extended and "loud/3" in [entry.item_id for entry in extended.rank([query])[0].items]

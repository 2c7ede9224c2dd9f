"""New items enter by their words at once, by their text vectors as soon as those are there: real encoder and index."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cluster.catalogue import Catalogue
from cluster.config import Settings
from cluster.messages import Item, RankQuery, SessionView
from cluster.store import Store
from cluster.text_vectors import VectorFiles
from deployments import fresh_texts as module
from deployments.finding import FinderClient
from deployments.fresh_texts import FreshTexts
from deployments.meanings import Meanings, patient_thread
from deployments.overlay import Overlay
from graph.config import GraphConfig
from graph.content import fit_content_map, hashed_features
from graph.kernels import Kernel
from graph.model import Model
from graph.ranking import Ranker
from graph.text import TextEncoder, describe
from tests.deployments.conftest import until
from tests.deployments.finding import LocalHandle
from tests.deployments.small_world import make_model

OCEAN = ("sailors", "a lighthouse", "whales", "a submarine", "pirates", "a coral reef", "fishermen", "a shipwreck")
KITCHEN = ("a chef", "a bakery", "a soup", "pastry", "a food market", "spices", "a wedding cake", "noodles")
ITEMS = [Item(f"ocean{n}", f"Story {n}", description=f"About {what}.") for n, what in enumerate(OCEAN)]
ITEMS += [Item(f"kitchen{n}", f"Story {n}", description=f"About {what}.") for n, what in enumerate(KITCHEN)]
FANS = {
    kind: SessionView(
        None, (f"{kind}0", f"{kind}3"), ("like",) * 2, (None,) * 2, (1, 2), frozenset({f"{kind}0", f"{kind}3"})
    )
    for kind in ("ocean", "kitchen")
}
NEW = Item("new", "Untitled", description="Divers swim with dolphins.")
"""No word of it is in another item."""


def model_with_texts(encoder: TextEncoder) -> Model:
    """Who likes one of a kind likes the others; nothing but the texts tells what kind a new item is of."""
    model = make_model(items=ITEMS)
    hashed = hashed_features(ITEMS, model.config.content.hashed_dim)
    kinds = np.repeat(np.eye(2, dtype=np.float32), 8, axis=0)
    text = encoder.encode([describe(item) for item in ITEMS])
    content = fit_content_map(hashed, text, np.full(16, 50.0), 0.1, 16)
    kernels = (Kernel("alike", source=kinds, target=kinds),)
    config = GraphConfig.model_validate({"content": {"encoder": "auto"}})
    return replace(model, kernels=kernels, content=content, config=config)


class World:
    """An overlay over a version that was trained with texts, and the Finder's part in this process."""

    def __init__(self, settings: Settings, encoder: TextEncoder) -> None:
        self.store = Store.open(settings)
        self.store.migrate()
        self.store.items.put(ITEMS)
        self.catalogue = Catalogue(self.store)
        self.patient = patient_thread()
        self.meanings = Meanings(self.catalogue, encoder, VectorFiles(str(settings.state_dir), "m"), self.patient)
        self.meanings.ask("default")
        self.handle = LocalHandle(self.meanings)
        self.base = Ranker(model_with_texts(encoder), "v1")
        self.live = ("v1", self.base)
        self.texts = FreshTexts(FinderClient(self.handle, 5.0), "default", "auto")
        self.overlay = Overlay(self.catalogue, "default", lambda: self.live, texts=self.texts)

    def lead(self, item_id: str = "new") -> float:
        """How much of the ocean an item is for the ranker: 1 as one of it that is known, -1 as a known kitchen."""
        assert self.overlay.current is not None
        ocean, kitchen = (
            {entry.item_id: entry.score for entry in found.items}
            for found in self.overlay.current[1].rank([RankQuery(fan, 100) for fan in FANS.values()])
        )
        return (ocean[item_id] - kitchen[item_id]) / (ocean["ocean1"] - kitchen["ocean1"])


@pytest.fixture
async def world(tmp_path: Path, sentence_encoder: TextEncoder) -> AsyncIterator[World]:
    world = World(Settings(state_dir=tmp_path), sentence_encoder)
    await world.catalogue.refresh()
    await world.meanings.look()
    await world.overlay.start()
    yield world
    await world.overlay.stop()
    world.patient.shutdown()
    world.meanings.stop()
    world.store.close()


async def until_new(world: World, before: object, seconds: float = 10.0) -> None:
    async def is_new() -> bool:
        return world.overlay._extended is not before

    await until(is_new, seconds)


async def test_a_new_item_is_placed_at_once_and_again_when_its_vector_is_there(world: World) -> None:
    world.store.items.put([NEW])
    await world.catalogue.refresh()
    before = world.overlay._extended
    await until_new(world, before)
    by_words = world.lead()
    assert abs(by_words) < 0.02  # nothing tells
    await world.meanings.look()
    await until_new(world, world.overlay._extended)
    by_text, extended, calls = world.lead(), world.overlay._extended, world.handle.calls
    assert by_text > by_words + 0.15
    await asyncio.sleep(0.5)
    assert world.overlay._extended is extended and world.handle.calls == calls  # once, and nothing more is asked
    world.store.items.put([replace(NEW, description="Boil rice, then fry it.")])
    await world.catalogue.refresh()
    await until_new(world, extended)
    assert abs(world.lead()) < 0.05  # of the text before nothing is left
    await world.meanings.look()
    await until_new(world, world.overlay._extended)
    assert world.lead() < -0.05


async def test_it_is_asked_less_and_less_often(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAIT_S", 0.8)
    world.store.items.put([NEW])
    await world.catalogue.refresh()
    await until_new(world, world.overlay._extended)
    await asyncio.sleep(2.0)  # at 0.2, 0.6, 1.4
    assert 2 <= world.handle.calls <= 4


@pytest.mark.parametrize("why", ["no texts in it", "another encoder", "other dimensions"])
async def test_a_version_that_cannot_read_the_vectors_gets_none(world: World, why: str) -> None:
    model = world.base.model
    content = model.content
    assert content is not None and content.text is not None and content.centre is not None
    if why == "no texts in it":
        model = replace(model, content=replace(content, text=None, centre=None))
    elif why == "another encoder":
        model = replace(model, config=GraphConfig.model_validate({"content": {"encoder": "/models/another"}}))
    else:
        model = replace(model, content=replace(content, text=content.text[:, :-1], centre=content.centre[:-1]))
    world.live = ("v2", Ranker(model, "v2"))
    world.store.items.put([NEW])
    await world.catalogue.refresh()
    await world.meanings.look()
    await until_new(world, world.overlay._extended)
    await asyncio.sleep(0.6)
    assert abs(world.lead()) < 0.02
    assert world.handle.calls == 0 or why == "other dimensions"

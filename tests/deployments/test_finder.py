"""The catalogue by meaning, with the real sentence encoder: found by paraphrase, kept up to date, apart by tenant."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.background import end
from cluster.catalogue import Catalogue
from cluster.config import Settings
from cluster.errors import TailorbirdError, UnavailableError
from cluster.messages import Item
from cluster.store import Store
from cluster.text_vectors import VectorFiles, digest_of
from deployments import finder as finder_module
from deployments import meanings as meanings_module
from deployments.app import build
from deployments.finder import Finder
from deployments.finding import FinderClient
from deployments.meanings import Meanings, patient_thread
from graph.text import TextEncoder, describe
from tests.deployments.conftest import until
from tests.deployments.finding import LocalHandle

FILMS = [
    Item("robot", "Tin Heart", description="A machine that was built to clean learns what it is to love."),
    Item("heist", "Nine Keys", description="Thieves plan to empty the vault of a casino in one night."),
    Item("sea", "Salt", description="Two sailors are shipwrecked and drift on a raft for weeks."),
    Item("cook", "Reduction", description="A chef loses her restaurant and begins again with a food truck."),
]
SAILORS = "lost on the ocean after the boat went down"


class Counting:
    """The encoder, with a note of what it embeds; `during` is called after each time."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self.texts: list[str] = []
        self.during: Callable[[], object] = lambda: None

    @property
    def dim(self) -> int:
        return self._encoder.dim

    def encode(self, texts: Sequence[str], batch: int = 64) -> np.ndarray:
        self.texts += texts
        found = self._encoder.encode(texts, batch)
        self.during()
        return found


@pytest.fixture
def encoder(sentence_encoder: TextEncoder) -> Counting:
    return Counting(sentence_encoder)


class World:
    """A store, its mirror, and what is made of it."""

    def __init__(self, settings: Settings, encoder: Any) -> None:
        self.store = Store.open(settings)
        self.store.migrate()
        self.store.items.put(FILMS)
        self.catalogue = Catalogue(self.store)
        self.kept = VectorFiles(settings.resolved_artifacts_url, "model")
        self.patient = patient_thread()
        self.meanings = Meanings(self.catalogue, encoder, self.kept, self.patient)
        self.meanings.ask("default")

    async def look(self) -> None:
        await self.catalogue.refresh()
        await self.meanings.look()
        while self.meanings.waiting:
            await self.meanings.embed_waiting()

    async def first(self, text: str, tenant: str = "default") -> str:
        return (await self.meanings.search(tenant, text, 1))[0][0]


@pytest.fixture
async def world(tmp_path: Path, encoder: Counting) -> AsyncIterator[World]:
    world = World(Settings(state_dir=tmp_path), encoder)
    yield world
    world.patient.shutdown()
    world.meanings.stop()
    world.store.close()


async def test_items_are_found_by_what_they_are_about(world: World) -> None:
    assert await world.meanings.search("default", SAILORS, 5) == []
    await world.look()
    found = await world.meanings.search("default", SAILORS, 4)
    assert found[0][0] == "sea" and len(found) == 4
    cosines = [cosine for _, cosine in found]
    assert cosines == sorted(cosines, reverse=True) and 1 > cosines[0] > cosines[1] + 0.1
    assert await world.first("an android with feelings") == "robot"
    assert await world.first("a robbery of a gambling house") == "heist"
    assert await world.first("starting over in the kitchen") == "cook"
    assert await world.meanings.search("default", "  ", 3) == [] == await world.meanings.search("default", "x", 0)
    assert len(await world.meanings.search("default", "x " * 50_000, 3)) == 3


async def test_it_keeps_up_with_the_catalogue(world: World, encoder: Counting) -> None:
    await world.look()
    encoder.texts = []
    world.store.items.put(
        [
            Item("space", "Far Out", description="Astronauts are stranded on Mars."),
            replace(FILMS[2], description="A tailor opens a shop for wedding dresses."),
            replace(FILMS[3], hidden=True, image_url="https://x/y.png"),
        ]
    )
    world.store.items.delete("default", ["heist"])
    await world.look()
    assert sorted(encoder.texts) == [
        "Far Out. Astronauts are stranded on Mars.",
        "Salt. A tailor opens a shop for wedding dresses.",
    ]
    assert await world.first("marooned on another planet") == "space"
    assert await world.first("clothes for a bride") == "sea"
    assert await world.first("starting over in the kitchen") == "cook"  # hidden ones stay
    assert "heist" not in dict(await world.meanings.search("default", "casino thieves", 10))
    world.store.items.put([replace(FILMS[2], title="", description="")])
    await world.look()
    assert "sea" not in dict(await world.meanings.search("default", SAILORS, 10))


async def test_tenants_are_apart(world: World) -> None:
    world.store.items.put([replace(FILMS[2], item_id="theirs", tenant="other")])
    await world.look()
    assert await world.meanings.search("other", SAILORS, 10) == []  # asked for the first time
    await world.look()
    assert [item_id for item_id, _ in await world.meanings.search("other", SAILORS, 10)] == ["theirs"]
    assert "theirs" not in dict(await world.meanings.search("default", SAILORS, 10))
    assert await world.meanings.vectors("default", {"theirs": digest_of(describe(FILMS[2]))}) == {}


async def test_vectors_are_those_of_just_that_text(world: World, encoder: Counting) -> None:
    await world.look()
    text = describe(FILMS[0])
    found = await world.meanings.vectors("default", {"robot": digest_of(text), "sea": digest_of("older"), "no": "x"})
    assert list(found) == ["robot"] and found["robot"].dtype == np.float32
    assert found["robot"] == pytest.approx(encoder.encode([text])[0], abs=1e-3)


async def test_many_wait_and_what_a_refresh_embedded_is_read(
    world: World, encoder: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meanings_module, "BATCH", 16)
    monkeypatch.setattr(meanings_module, "STORED_S", 0.0)
    many = [Item(f"n{n}", f"Number {n}") for n in range(60)]
    world.store.items.put(many)
    known = np.eye(384, dtype=np.float32)
    world.kept.write([digest_of(f"Number {n}") for n in range(10)], known[:10])
    world.kept.write([digest_of("Number 11")], np.ones((1, 3), dtype=np.float32))  # another encoder's
    await world.catalogue.refresh()
    await world.meanings.look()
    assert world.meanings.waiting == 64 and len(world.meanings) == 0
    await world.meanings.embed_waiting()
    assert world.meanings.waiting == 38 and len(world.meanings) == 26
    world.kept.write([digest_of(f"Number {n}") for n in range(10, 30)], known[10:30])
    while world.meanings.waiting:
        await world.meanings.embed_waiting()
    assert len(world.meanings) == 64 and len(encoder.texts) == len(set(encoder.texts)) <= 44
    assert not {f"Number {n}" for n in range(30)} & set(encoder.texts[16:])
    found = await world.meanings.vectors("default", {"n3": digest_of("Number 3")})
    assert found["n3"].argmax() == 3


async def test_what_is_stored_is_only_a_short_cut(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> list[str]:
        raise OSError("the bucket is away")

    monkeypatch.setattr(world.kept, "paths", away)
    monkeypatch.setattr(meanings_module, "FEW", 0)
    await world.look()
    assert await world.first(SAILORS) == "sea"


@pytest.mark.parametrize("few", [0, 32])
async def test_a_text_that_changes_while_it_is_embedded(
    world: World, encoder: Counting, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meanings_module, "FEW", few)
    loop = asyncio.get_running_loop()

    def change() -> None:
        encoder.during = lambda: None
        world.store.items.put([replace(FILMS[2], description="A tailor opens a shop for wedding dresses.")])
        asyncio.run_coroutine_threadsafe(world.catalogue.refresh(), loop).result(10)

    encoder.during = change
    await world.look()
    await world.look()
    assert await world.first("clothes for a bride") == "sea"
    assert (await world.meanings.search("default", SAILORS, 1))[0][1] < 0.4 and len(world.meanings) == 4


async def test_the_deployment_answers_at_once_and_finds_when_there_is_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made as Serve makes it, before there is a store."""
    monkeypatch.setattr(finder_module, "RETRY_S", 0.1)
    settings = Settings(state_dir=tmp_path)
    finder = Finder.__new__(Finder)
    began = time.monotonic()
    await finder.__init__(settings)  # type: ignore[misc]
    assert await finder.search("default", SAILORS, 3) == [] and await finder.vectors("default", {"sea": "x"}) == {}
    assert time.monotonic() - began < 0.5
    try:
        await asyncio.sleep(0.3)
        with Store.open(settings) as store:
            store.migrate()
            store.items.put(FILMS)

            async def found() -> bool:
                return [item_id for item_id, _ in await finder.search("default", SAILORS, 1)] == ["sea"]

            await until(found, 60)
            store.items.put([replace(FILMS[2], item_id="new")])

            async def both() -> bool:
                return {item_id for item_id, _ in await finder.search("default", SAILORS, 2)} == {"sea", "new"}

            await until(both, 1.0)
            await finder.check_health()
            await end(finder._tasks[0])
            with pytest.raises(TailorbirdError):
                await finder.check_health()
    finally:
        await finder.stop()


async def test_the_client_never_fails_and_soon_gives_up() -> None:
    nobody = FinderClient(None, 0.2)
    assert not nobody.is_there and await nobody.search("default", "x", 3) == [] == list(await nobody.vectors("t", {}))

    def refuse() -> None:
        raise UnavailableError("gone")

    for before in (refuse, lambda: asyncio.sleep(60)):
        handle = LocalHandle(None, before)
        client = FinderClient(handle, 0.2)
        began = time.monotonic()
        assert await client.search("default", "x", 3) == []
        assert await client.search("default", "x", 3) == [] and await client.vectors("default", {"a": "b"}) == {}
        assert time.monotonic() - began < 0.35 and handle.calls == 1


async def test_the_client_asks_again_after_a_moment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.look()
    failures = iter([UnavailableError("gone")])

    def perhaps() -> None:
        if (failure := next(failures, None)) is not None:
            raise failure

    client = FinderClient(LocalHandle(world.meanings, perhaps), 5.0)
    assert await client.search("default", SAILORS, 1) == []
    monkeypatch.setattr(client, "_rests_until_s", 0.0)
    assert (await client.search("default", SAILORS, 1))[0][0] == "sea"
    assert list(await client.vectors("default", {"sea": digest_of(describe(FILMS[2]))})) == ["sea"]


@pytest.mark.parametrize(
    ("lines", "finds"),
    [
        ("", True),
        ("graph: {content: {encoder: none}}", False),
        ("finder: {max_replicas: 0}", False),
        ("recommender: {binding: deployment}", True),
    ],
)
def test_it_is_bound_where_there_is_an_encoder(lines: str, finds: bool, tmp_path: Path) -> None:
    file = tmp_path / "tailorbird.yaml"
    file.write_text(f"state_dir: {tmp_path}\n{lines}\n")
    ingress = build({"config": str(file)})._bound_deployment  # type: ignore[arg-type]
    _, _, recommender, finder = ingress.init_args
    assert (finder is not None) is finds
    if recommender is not None:
        assert recommender._bound_deployment.init_args[2] is finder

"""What an item carries beside facts and text: learnt shares, and new items ranked by them."""

from __future__ import annotations

import json
from array import array
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize

from cluster.errors import InputError
from cluster.messages import Item, RankQuery, SessionView
from graph.bundle import FUSED, load_model, save_model
from graph.config import GraphConfig
from graph.content import fit_content_map
from graph.dataset import Interactions
from graph.fit import Content, fit
from graph.modalities import Fusion, _left_out, carried, vectors_of
from graph.model import Model
from graph.ranking import Ranker
from graph.weights import EventWeights

ITEMS, KINDS, NEW, USERS = 150, 5, 50, 120
FIRST = 5
CONFIG = GraphConfig.model_validate(
    {
        "encoder": {"dim": 8, "epochs": 5, "threads": 1},
        "factors": {"dim": 8, "rounds": 4, "ridge": 5.0},
        "content": {"text_dim": 8, "encoder": "none"},
        "combine": {"steps": 20},
    }
)


class World:
    """Items of a few kinds and people who like one kind each; the last `NEW` items come after the version.

    One modality tells the kind, the other is noise; titles are noise. A share of the images is missing.
    """

    def __init__(self, told_by: str, missing: float = 0.0, seed: int = 3) -> None:
        rng = np.random.default_rng(seed)
        self.kinds = rng.permutation(np.arange(ITEMS) % KINDS)
        self.ids = [f"i{number}" for number in range(ITEMS)]
        made = {}
        for name, dim in (("image", 12), ("text", 10)):
            kinds = 2.0 * rng.normal(size=(KINDS, dim))[self.kinds]
            made[name] = (5.0 + rng.normal(size=(ITEMS, dim)) + kinds * (name == told_by)).astype(np.float32)
        self.text = dict(zip(self.ids, made["text"], strict=True))
        there = rng.random(ITEMS) >= missing
        self.items = {
            item_id: Item(
                item_id,
                title=f"word{rng.integers(50)} word{rng.integers(50)}",
                vectors={"image": array("f", made["image"][row].tolist())} if there[row] else {},
            )
            for row, item_id in enumerate(self.ids)
        }
        users, items = [], []
        for user in range(USERS):
            liked = rng.permutation(np.flatnonzero(self.kinds[:-NEW] == user % KINDS))[:10]
            for item in [*liked, *rng.integers(0, ITEMS - NEW, 2)]:
                users.append(f"u{user}")
                items.append(self.ids[item])
        times = list(range(len(users)))
        self.weights = EventWeights({"click": 0.5})
        self.data = Interactions.from_columns(users, items, self.weights, ["click"] * len(users), times_ms=times)

    @property
    def plain(self) -> dict[str, Item]:
        """The catalogue without images."""
        return {item_id: Item(item_id, title=item.title) for item_id, item in self.items.items()}

    def model(self, items: dict[str, Item]) -> Model:
        return fit(self.data, Content.of(self.data.item_ids, items, CONFIG, self.text), self.weights, CONFIG)

    def of_new(self, ranker: Ranker, items: list[Item] | None = None) -> float:
        """Of the first new items that people who like one kind are shown, how many are of that kind."""
        new = items or [self.items[item_id] for item_id in self.ids[-NEW:]]
        wider = ranker.with_items(new, self.text)
        hits = []
        for kind in range(KINDS):
            liked = [self.ids[row] for row in np.flatnonzero(self.kinds[:-NEW] == kind)[:6]]
            view = SessionView(None, tuple(liked), ("click",) * 6, (None,) * 6, tuple(range(6)), frozenset(liked))
            allowed = frozenset(item.item_id for item in new)
            shown = wider.rank([RankQuery(view, n=FIRST, allowed=allowed)])[0].items
            hits += [self.kinds[self.ids.index(entry.item_id)] == kind for entry in shown]
        return float(np.mean(hits))


@pytest.fixture(scope="module")
def seen() -> tuple[World, Model]:
    world = World("image")
    return world, world.model(world.items)


def fusion_of(model: Model) -> Fusion:
    assert model.content is not None and model.content.fusion is not None
    return model.content.fusion


def test_an_image_that_alone_tells_is_learnt_and_ranks_new_items(seen: tuple[World, Model]) -> None:
    world, model = seen
    logits = fusion_of(model).logits
    assert logits["vectors.image"] > max(logits["text"], logits["facts"]) + 1.0
    without = world.model(world.plain)
    assert without.content is not None and without.content.fusion is None
    assert world.of_new(Ranker(model, "v")) > 0.85 > 0.5 > world.of_new(Ranker(without, "v"))


def test_an_image_that_is_noise_counts_little_and_does_no_harm() -> None:
    world = World("text")
    model = world.model(world.items)
    logits = fusion_of(model).logits
    assert logits["text"] > logits["vectors.image"] + 1.0
    assert world.of_new(Ranker(model, "v")) > world.of_new(Ranker(world.model(world.plain), "v")) - 0.05


def test_where_only_some_items_carry_an_image_it_ranks_those() -> None:
    world = World("image", missing=0.5)
    ranker = Ranker(world.model(world.items), "v")
    with_image = [item for item_id in world.ids[-NEW:] if (item := world.items[item_id]).vectors]
    assert 15 < len(with_image) < 35
    assert world.of_new(ranker, with_image) > 0.75


def test_a_version_with_images_is_read_as_it_was_written(seen: tuple[World, Model], tmp_path: Path) -> None:
    world, model = seen
    save_model(model, tmp_path)
    assert json.loads((tmp_path / "model.json").read_text())["format"] == FUSED
    loaded = load_model(tmp_path)
    assert fusion_of(loaded).logits == fusion_of(model).logits and fusion_of(loaded).scale == fusion_of(model).scale
    assert world.of_new(Ranker(loaded, "v")) == world.of_new(Ranker(model, "v"))
    assert model.content is not None and loaded.content is not None
    new = [world.items[item_id] for item_id in world.ids[-NEW:]]
    hashed = np.zeros((NEW, model.content.buckets), dtype=np.float32)
    before, after = (
        content.express(hashed, None, content.vectors_of(new)) for content in (model.content, loaded.content)
    )
    assert np.array_equal(before, after) and before.std(axis=1).min() > 0


def test_a_new_item_whose_vector_is_of_another_length_is_ranked_without_it(seen: tuple[World, Model]) -> None:
    _, model = seen
    assert model.content is not None
    found = model.content.vectors_of([Item("a", vectors={"image": array("f", [1.0] * 7), "sound": array("f", [1.0])})])
    assert list(found) == ["image"] and not found["image"].any()
    wider = Ranker(model, "v").with_items([Item("a", title="word1", vectors={"image": array("f", [1.0] * 7)})])
    assert "a" in wider


def test_two_lengths_of_one_name_are_refused_and_the_item_is_named() -> None:
    items = [Item(f"i{n}", vectors={"image": array("f", [1.0] * (3 if n != 2 else 4))}) for n in range(4)]
    with pytest.raises(InputError, match=r"'i2'.*vectors\.image has 4 numbers, most items have 3"):
        vectors_of([None, *items])
    assert vectors_of([None, items[0]])["image"].tolist() == [[0.0] * 3, [1.0] * 3]


def given(rng: np.random.Generator, items: int) -> dict[str, np.ndarray]:
    """Three modalities, of which each item misses some."""
    found = carried(
        np.abs(rng.normal(size=(items, 6))).astype(np.float32),
        rng.normal(size=(items, 5)).astype(np.float32),
        {"image": rng.normal(size=(items, 4)).astype(np.float32)},
    )
    found["facts"] /= np.linalg.norm(found["facts"], axis=1, keepdims=True)
    for array_ in found.values():
        array_[rng.random(items) < 0.5] = 0.0
    return found


def test_what_an_item_carries_counts_whole_whatever_is_missing() -> None:
    """The shares of what is there add up to one; likenesses have no negative eigenvalues."""
    some = given(np.random.default_rng(0), 60)
    fusion = Fusion.before(some)
    joined = np.concatenate(list(fusion.joined(some).values()), axis=1)
    there = np.any([(array_ != 0).any(axis=1) for array_ in some.values()], axis=0)
    assert 0 < there.sum() < 60
    assert (joined**2).sum(axis=1) == pytest.approx(np.where(there, fusion.scale, 0.0), abs=1e-5)
    image_alone = np.flatnonzero(
        ~some["facts"].any(axis=1) & ~some["text"].any(axis=1) & some["vectors.image"].any(axis=1)
    )
    assert (fusion.joined(some)["vectors.image"][image_alone] ** 2).sum(axis=1) == pytest.approx(fusion.scale, abs=1e-5)
    kernel = np.expm1((joined @ joined.T).astype(np.float64))
    assert np.linalg.eigvalsh(kernel).min() > -1e-4


def test_the_error_is_that_of_leaving_each_anchor_out_and_its_gradient_is_exact() -> None:
    rng = np.random.default_rng(1)
    some = given(rng, 25)
    fusion, ridge = Fusion.before(some), 0.7
    units = fusion.units(some)
    alike = [unit.astype(np.float64) @ unit.T.astype(np.float64) for unit in units.values()]
    there = np.stack([(unit != 0).any(axis=1) for unit in units.values()], axis=1).astype(np.float64)
    wanted = rng.normal(size=(25, 3))
    point = np.array([0.3, -0.2, 0.5, np.log(1.7)])
    error, gradient = _left_out(point, alike, there, wanted, ridge)
    numeric = scipy.optimize.approx_fprime(point, lambda at: _left_out(at, alike, there, wanted, ridge)[0], 1e-6)
    assert gradient == pytest.approx(numeric, rel=1e-3, abs=1e-4)
    as_asked = Fusion(dict(zip(units, point[:-1], strict=True)), fusion.centres, 1.7)
    joined = np.concatenate(list(as_asked.joined(some).values()), axis=1).astype(np.float64)
    kernel = np.expm1(joined @ joined.T)
    by_hand = 0.0
    for out in range(25):
        kept = np.arange(25) != out
        weights = np.linalg.solve(kernel[kept][:, kept] + ridge * np.eye(24), kernel[kept, out])
        by_hand += float(((weights @ wanted[kept] - wanted[out]) ** 2).sum())
    assert error == pytest.approx(by_hand, rel=1e-4)


def test_a_map_without_vectors_is_the_one_with_two_constants() -> None:
    rng = np.random.default_rng(2)
    some = given(rng, 30)
    mapping = fit_content_map(some["facts"], some["text"], np.ones(30), 1.0, 30)
    unit = some["text"] - some["text"][some["text"].any(axis=1)].mean(axis=0)
    unit = np.where(some["text"].any(axis=1, keepdims=True), unit, 0.0)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-9)
    kernel = np.expm1(0.6 * some["facts"] @ some["facts"].T + 0.8 * unit @ unit.T) + np.eye(30)
    assert mapping.fusion is None and mapping.inverse == pytest.approx(np.linalg.inv(kernel), abs=1e-3)

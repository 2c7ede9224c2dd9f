"""New items beside a version score as if they were in it, and cost little; fusing sources changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from cluster.messages import Item, RankQuery, SessionView
from graph.content import ContentMap
from graph.fresh import Fresh
from graph.kernels import Kernel, Sessions
from graph.likeness import LIKENESS, likeness_kernel
from graph.model import NEW, UNMET, Bias, Carry, Gate, Model
from graph.ranking import Ranker
from graph.scoring import Scorer
from graph.weights import EventWeights

RNG = np.random.default_rng(5)


def fresh_of(model: Model, count: int) -> Fresh:
    assert model.content is not None
    weights = RNG.normal(size=(count, len(model.content.anchors))).astype(np.float32)
    return Fresh(len(model.item_ids), model.content.anchors, weights / len(model.content.anchors))


def widened(model: Model, fresh: Fresh) -> Model:
    """The model with the new items written into every array."""
    carry = Carry(fresh.anchors, fresh.weights)
    return replace(
        model,
        item_ids=model.item_ids + tuple(f"new {n}" for n in range(len(fresh))),
        kernels=tuple(carry.kernel(kernel, model.gates[kernel.name].share) for kernel in model.kernels),
        biases=tuple(
            replace(
                b,
                values=np.concatenate(
                    [
                        b.values,
                        np.ones(len(fresh), np.float32)
                        if b.name == NEW
                        else carry.rows(b.values, model.gates[b.name].share),
                    ]
                ),
            )
            for b in model.biases
        ),
        popularity=np.pad(model.popularity, (0, len(fresh))),
    )


def liking(model: Model) -> Model:
    """The same with the source that speaks of unmet items only, of which the version itself has some."""
    popularity = model.popularity.copy()
    popularity[[5, 9, 20]] = 0
    return replace(
        model,
        kernels=(*model.kernels, likeness_kernel(len(model.item_ids))),
        gates=dict(model.gates) | {LIKENESS: replace(model.gates["factors"], level=-0.5)},
        popularity=popularity,
    )


def apart(model: Model) -> Model:
    """The same in which items that nobody met stand out by the factorisation, and new ones begin higher."""
    gates = {name: replace(gate, unmet=0.0 if name == "factors" else -30.0) for name, gate in model.gates.items()}
    return replace(
        model,
        biases=(*model.biases, Bias(NEW, np.zeros(len(model.item_ids), np.float32))),
        gates=gates | {UNMET: Gate(1.0, slope=0.5, still=0.2), NEW: Gate(-0.5, slope=0.3)},
    )


def sparse(model: Model) -> Model:
    """The same with sparse matrices."""
    kernels = [k if k.matrix is None else replace(k, matrix=sp.csr_matrix(k.matrix)) for k in model.kernels]
    return replace(model, kernels=tuple(kernels))


def sessions_with(model: Model, new: int) -> Sessions:
    first = len(model.item_ids)
    parts = [(np.array([3, first, 8]), np.array([1.0, 0.7, -0.5])), (np.array([], np.int64), np.array([]))]
    return Sessions.join([*parts, (np.array([first + new - 1]), np.array([1.0])), (np.array([1, 2]), np.ones(2))])


def unlike(model: Model) -> Model:
    """The same whose sources are worth more or less for items that nobody met, those computed together alike."""
    shares = {
        "graph": 0.5,
        "factors": -0.7,
        "item_item": 0.3,
        "near": 0.3,
        "next_1": -1.0,
        "next_2": -1.0,
        "popular": 0.9,
    }
    return replace(
        model, gates={name: replace(gate, unmet=shares.get(name, 0.0)) for name, gate in model.gates.items()}
    )


@pytest.mark.parametrize(
    "made",
    [
        lambda m: m,
        sparse,
        unlike,
        lambda m: unlike(sparse(m)),
        liking,
        lambda m: liking(unlike(m)),
        lambda m: apart(liking(m)),
    ],
    ids=["dense", "sparse", "dense, unlike", "sparse, unlike", "liking", "liking, unlike", "apart"],
)
def test_new_items_score_as_if_they_were_in_the_model(model: Model, made: object) -> None:
    model = made(model)  # type: ignore[operator]
    fresh = fresh_of(model, 4)
    sessions = sessions_with(model, 4)
    expected = widened(model, fresh).scores(sessions)
    scorer = Scorer(model, fresh)
    batch = scorer.read(sessions)
    assert scorer.all_scores(batch) == pytest.approx(expected, abs=2e-4)
    chosen = np.tile([0, len(model.item_ids) + 1, 17], (4, 1))
    liked, text = batch.carried(chosen)
    for row in range(4):
        own = slice(sessions.offsets[row], sessions.offsets[row + 1])
        events = (liked[own] + text[own]).sum(axis=0)
        biases = scorer.bias_values[:, chosen[row]].T @ batch.bias_gates[row]
        assert events + biases == pytest.approx(expected[row, chosen[row]], abs=2e-4)
    total = sum(share for _, share in batch.shares(chosen)) + batch.bias_gates @ scorer.bias_values[:, chosen[0]]
    assert total == pytest.approx(np.take_along_axis(expected, chosen, axis=1), abs=2e-4)


@pytest.mark.parametrize("made", [lambda m: m, sparse, lambda m: apart(liking(m))], ids=["dense", "sparse", "apart"])
def test_scores_are_the_same_to_the_bit_in_every_batch(model: Model, made: Callable[[Model], Model]) -> None:
    model = made(model)
    scorer = Scorer(model, fresh_of(model, 4))
    parts = []
    for length in RNG.integers(0, 30, size=64):
        met = RNG.choice(len(model.item_ids) + 4, size=length, replace=False)
        parts.append((met, RNG.choice([1.0, 0.7, -0.5], size=length)))
    together = scorer.all_scores(scorer.read(Sessions.join(parts)))
    for size in (1, 2, 3, 5, 16, 63):
        for first in range(0, len(parts) - size + 1, size):
            some = Sessions.join(parts[first : first + size])
            assert np.array_equal(scorer.all_scores(scorer.read(some)), together[first : first + size]), (size, first)


def test_new_items_are_of_no_weight_where_a_source_does_not_read_their_session(model: Model) -> None:
    first = len(model.item_ids)
    scorer = Scorer(model, fresh_of(model, 1))
    batch = scorer.read(Sessions.join([(np.array([first, 3]), np.ones(2)), (np.array([7]), np.ones(1))]))
    (earlier,) = [np.asarray(table.scores) for table in batch.tables if table.kernel.most == 1]
    assert not earlier[0].any() and earlier[1].any()
    assert np.isfinite(scorer.all_scores(batch)).all()


def test_fusing_makes_fewer_sources_of_the_same_score(model: Model) -> None:
    fused = model.fused()
    assert {k.name for k in model.active} - {k.name for k in fused.active} == {"near"}
    assert fused.fused() is fused
    sessions = sessions_with(model, 1)
    known = Sessions.join([(sessions.item[-2:], sessions.strength[-2:])])
    assert fused.scores(known) == pytest.approx(model.scores(known), abs=1e-4)
    matrices = {id(k.matrix) for k in fused.active if k.name.startswith("next_")}
    assert len(matrices) == 1


@pytest.mark.parametrize(("items", "limit_s"), [(20_000, 0.05), (100_000, 0.2)])
def test_new_items_cost_little_in_a_large_catalogue(model: Model, items: int, limit_s: float) -> None:
    ids = tuple(str(n) for n in range(items))
    vectors = RNG.normal(size=(items, 64)).astype(np.float32)
    table = sp.random(items, items, density=20 / items, format="csr", dtype=np.float32, rng=np.random.default_rng(0))
    facts = RNG.normal(size=(1000, 512)).astype(np.float32) / 20
    content = ContentMap(np.arange(1000), np.eye(1000, dtype=np.float32) / 10, facts)
    large = Model(
        item_ids=ids,
        kernels=(Kernel("graph", source=vectors, target=vectors), Kernel("item_item", matrix=table)),
        biases=(),
        gates={name: model.gates[name] for name in ("graph", "item_item")},
        vectors=vectors,
        popularity=np.ones(items, dtype=np.float32),
        jitter=np.zeros(items, dtype=np.float32),
        weights=EventWeights(),
        config=model.config.model_copy(
            update={"serving": model.config.serving.model_copy(update={"exhaustive_items": items})}
        ),
        content=content,
    )
    ranker = Ranker(large, "v")
    new = [Item(f"new {n}", title=f"word{n} of many", categories=("Rock",)) for n in range(20)]
    ranker.with_items(new)
    best = float("inf")
    for _ in range(5):
        started = time.process_time()
        wider = ranker.with_items(new)
        best = min(best, time.process_time() - started)
    assert best < limit_s
    found = wider.rank([RankQuery(SessionView(None, ("5",), ("like",), (None,), (0,), frozenset("5")), n=items + 20)])
    assert {item.item_id for item in new} <= {entry.item_id for entry in found[0].items}
    assert wider._scorer.model.kernels[0].source is vectors

"""What is done otherwise on large data; and going on from what was learnt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

import graph.itemitem
from graph.build import build_graph
from graph.config import EncoderConfig, FactorsConfig, GraphConfig
from graph.dataset import Interactions, Pairs, condense
from graph.encoder import GraphEncoder
from graph.factors import is_exact, item_factors
from graph.fit import Content, fit
from graph.itemitem import strongest
from graph.metrics import ndcg, top
from graph.sampled import Neighbours
from graph.splits import learning_split, newest_split, random_split
from graph.train import Trained, is_sampled, train_encoder
from graph.warm import Warm
from graph.weights import EventWeights


def test_sampled_neighbours_are_right_on_average(data: Interactions) -> None:
    """With all neighbours drawn the vectors are those of the whole propagation; with a few, their mean is."""
    g = build_graph(data.pairs)
    model = GraphEncoder(data.shape[1], 8, 2, torch.zeros(data.shape[1]), torch.Generator().manual_seed(0))
    whole = torch.cat(model(g), dim=1).detach()
    some = torch.tensor([3, 0, 17, 25])
    every = torch.cat(Neighbours(g.int(), (1000, 1000), 2).propagated(model, some), dim=1).detach()
    assert torch.allclose(every, whole[some], atol=1e-5)
    few = Neighbours(g.int(), (6, 6), 2)
    mean = torch.stack([torch.cat(few.propagated(model, some), dim=1).detach() for _ in range(300)]).mean(dim=0)
    one = torch.cat(few.propagated(model, some), dim=1).detach()
    assert (mean - whole[some]).norm() < 0.25 * (one - whole[some]).norm() + 0.02


@pytest.mark.filterwarnings("ignore")
def test_training_by_sampled_neighbours_learns_as_well(data: Interactions, config: GraphConfig) -> None:
    split = random_split(data, 0.25)
    whole = config.encoder.model_copy(update={"epochs": 40, "batch_users": 64})
    sampled = whole.model_copy(update={"sampled_above": 0, "sampled_steps": 200, "validate_steps": 50})

    def validate(kernel: object, bias: np.ndarray) -> float:
        scores = kernel.scores(split.sessions()) + bias  # type: ignore[attr-defined]
        return ndcg(top(scores, 10, split.seen()), split.truth)

    one = train_encoder(split.train.pairs, whole, 1, validate)
    other = train_encoder(split.train.pairs, sampled, 1, validate)
    assert other.epochs % 50 == 0 and other.epochs <= 200
    assert other.validation > 0.9 * one.validation
    again = train_encoder(split.train.pairs, sampled, 1, validate, epochs=50, start=other.state)
    assert again.validation > 0.9 * other.validation


def test_what_is_much_work() -> None:
    """Few events of very many people cost as much as many of few, for the graph is propagated once per batch."""
    encoder, factors = GraphConfig().encoder, GraphConfig().factors

    def sized(events: int, people: int, items: int) -> tuple[bool, bool]:
        some = np.zeros(events, dtype=np.int32)
        pairs = Pairs(some, some, np.ones(events, np.float32), np.zeros(people + 1, np.int64), (people, items))
        shape = sp.csr_matrix((np.ones(1), ([0], [0])), shape=(people, items))
        shape.data = np.ones(events)
        shape.indices = some
        shape.indptr[1:] = events
        return is_sampled(pairs, encoder), not is_exact(shape, factors)

    assert sized(100_000, 943, 1_682) == (False, False)  # as MovieLens-100K
    assert sized(1_000_000, 6_040, 3_706) == (False, False)  # as MovieLens-1M
    assert sized(1_000_000, 575_000, 200_000) == (True, True)
    assert sized(3_000_000, 10_000, 10_000) == (True, True)


def test_approximate_factors_are_close_to_the_exact_ones(data: Interactions) -> None:
    positive = data.pairs.positive
    config = FactorsConfig(dim=8, rounds=6, rounds_approximate=6, descents=4)
    exact = item_factors(positive, config, 1)
    near = item_factors(positive, config.model_copy(update={"exact_events": 0}), 1)
    assert np.abs(near - exact).max() < 0.02 * np.abs(exact).max()
    begun = item_factors(positive, config.model_copy(update={"exact_events": 0}), 1, exact)
    assert np.abs(begun - exact).max() < 0.02 * np.abs(exact).max()


def test_the_strongest_of_each_row_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = sp.random(300, 80, density=0.3, random_state=1, format="csr", dtype=np.float32)
    whole = strongest(matrix.copy(), 5)
    monkeypatch.setattr(graph.itemitem, "BLOCK_ENTRIES", 100)
    blocks = strongest(matrix, 5)
    assert (whole != blocks).nnz == 0 and blocks.shape == whole.shape and np.diff(blocks.indptr).max() == 5


def test_nothing_is_held_out_but_of_those_who_are_asked(data: Interactions) -> None:
    split = learning_split(data, 0.2, 0.3, 0.2, 1, max_users=20)
    gone = set(range(data.shape[0])) - set(split.train.user.tolist())
    assert len(split.users) > 0 and len(gone) <= 20
    lost = np.bincount(data.user, minlength=data.shape[0]) - np.bincount(split.train.user, minlength=data.shape[0])
    assert 0 < (lost > 0).sum() <= 20


def test_what_came_after_a_moment_is_held_out(data: Interactions) -> None:
    data = replace(data, time_ms=np.arange(len(data)))  # user by user: the last users have all of the newest events
    since = int(len(data) * 0.8)
    split = newest_split(data, since, 0.2, 10_000, 1)
    held = np.setdiff1d(data.time_ms, split.train.time_ms)
    assert len(held) and held.min() > since
    assert (np.bincount(split.train.user, minlength=data.shape[0]) > 0).all()
    assert len(newest_split(data, since, 0.2, 3, 1).users) == 3
    assert len(newest_split(data, len(data), 0.2, 3, 1).users) == 0
    assert split.fresh is not None and (split.fresh != split.truth).nnz == 0


@pytest.mark.filterwarnings("ignore")
def test_a_training_goes_on_from_what_was_learnt(
    data: Interactions, config: GraphConfig, weights: EventWeights, tmp_path: Path
) -> None:
    data = replace(data, time_ms=np.arange(len(data)))
    first = data.take(np.arange(len(data)) % 10 != 9)
    content = Content(np.zeros((data.shape[1], 4), np.float32), None)
    model = fit(first, content, weights, config)
    assert model.state is not None and model.state.until_ms == int(first.time_ms.max())
    model.state.save(tmp_path)
    state = Warm.load(tmp_path, model.item_ids)
    assert state is not None and state.gates == model.gates
    assert Warm.load(tmp_path, model.item_ids[:-1]) is None and Warm.load(tmp_path / "none", model.item_ids) is None

    steps = []

    def counted(*args: Any, **options: Any) -> Trained:
        trained = train_encoder(*args, **options)
        steps.append(trained.epochs)
        return trained

    state = replace(state, until_ms=int(data.time_ms.max() * 0.9))
    again = fit(data, content, weights, config, warm=state, trainer=counted)
    assert max(steps) <= round(config.encoder.epochs * config.encoder.continued)
    assert dict(again.gates) == dict(model.gates) and again.meta["figures"]["sessions"] > 0
    assert again.meta["figures"]["ndcg@10"] > again.meta["figures"]["popularity_ndcg@10"] * 0.9


def test_new_items_begin_where_their_audience_is(data: Interactions, config: GraphConfig) -> None:
    trained = train_encoder(data.pairs, config.encoder, 1, epochs=5)
    known = data.item_ids[:-3]
    some = replace(
        trained.state,
        source=trained.state.source[:-3],
        target=trained.state.target[:-3],
        bias=trained.state.bias[:-3],
    )
    order = (*data.item_ids[-3:], *data.item_ids[:-3])
    pairs = replace(data.pairs, item=((data.pairs.item + 3) % data.shape[1]).astype(np.int32))
    grown = Warm(known, some, {}, 5, 0).grown(order, pairs).encoder
    assert np.array_equal(grown.source[3:], some.source) and np.array_equal(grown.bias[3:], some.bias)
    assert np.isfinite(grown.source[:3]).all() and np.abs(grown.source[:3]).sum() > 0
    towards = trained.state.source[-3:]
    alike = (grown.source[:3] * towards).sum(axis=1)
    assert alike.mean() > 0  # they point where training would have put them


def test_vectors_of_many_people_do_not_shrink() -> None:
    """Most items are hardly met in a step; the penalty on their vectors is not to be all that moves them."""
    rng = np.random.default_rng(0)
    users, items, topics, events = 30_000, 20_000, 50, 200_000
    tastes = rng.integers(topics, size=(users, 3))
    user = np.sort(rng.integers(users, size=events))
    item = np.floor(items // topics * rng.random(events) ** 3).astype(np.int64) * topics
    item += tastes[user, rng.integers(3, size=events)]
    pairs = condense(user, item, np.ones(events, dtype=np.float32), (users, items), 1.5)
    encoder = EncoderConfig(dim=16, sampled_steps=40)
    source = train_encoder(pairs, encoder, 0, sampled=True).kernel.source
    assert source is not None and np.abs(source).mean() > 0.08

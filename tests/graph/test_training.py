from __future__ import annotations

import numpy as np
import pytest
import torch

from graph.batches import candidates_of
from graph.build import MET, MET_BY, build_graph
from graph.config import GraphConfig
from graph.dataset import Interactions
from graph.metrics import ndcg, top
from graph.splits import Split, random_split
from graph.train import train_encoder


@pytest.mark.filterwarnings("ignore")
def test_the_graph_has_weighted_edges(data: Interactions) -> None:
    pairs = data.pairs
    g = build_graph(pairs)
    assert g.num_nodes("user") == 120 and g.num_nodes("item") == 60
    assert g.num_edges(MET) == g.num_edges(MET_BY) == len(pairs.user)
    assert g.edges[MET].data["strength"].numpy() == pytest.approx(pairs.strength)
    assert (g.edges[MET_BY].data["norm"].numpy()[pairs.strength < 0] == 0).all()


def test_training_learns_and_is_repeatable(data: Interactions, config: GraphConfig) -> None:
    split = random_split(data)
    seen = split.seen()

    def run(seed: int) -> np.ndarray:
        trained = train_encoder(split.train.pairs, config.encoder, seed, epochs=30)
        return trained.kernel.scores(split.sessions()) + trained.bias

    first = run(1)
    assert ndcg(top(first, 10, seen), split.truth) > 1.2 * ndcg(top(_popularity(split), 10, seen), split.truth)
    assert run(1) == pytest.approx(first, abs=1e-3)


def test_sampled_softmax_learns_as_well(data: Interactions, config: GraphConfig) -> None:
    split = random_split(data)
    small = config.encoder.model_copy(update={"max_logits": 64, "batch_users": 50})
    few = small.model_copy(update={"max_logits": 32})

    assert len(candidates_of(torch.arange(5), data.pairs, few, torch.Generator())[0]) < 60
    trained = train_encoder(split.train.pairs, few, 1, epochs=40)
    found = ndcg(top(trained.kernel.scores(split.sessions()) + trained.bias, 10, split.seen()), split.truth)
    assert found > ndcg(top(_popularity(split), 10, split.seen()), split.truth)


def test_early_stopping_keeps_the_best(data: Interactions, config: GraphConfig) -> None:
    figures = iter([0.1, 0.5, 0.4, 0.3, 0.2, 0.2, 0.2])
    quick = config.encoder.model_copy(update={"validate_every": 1, "patience": 3})
    trained = train_encoder(data.pairs, quick, 0, lambda kernel, bias: next(figures))
    assert (trained.epochs, trained.validation) == (2, 0.5)


def _popularity(split: Split) -> np.ndarray:
    return np.tile(np.asarray(split.train.pairs.positive.sum(axis=0)).ravel(), (len(split.users), 1))

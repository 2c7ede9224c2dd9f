"""A new version beside the one that serves: both in the same sessions, on what the live one has not seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from graph.compare import Live
from graph.config import GraphConfig
from graph.dataset import Interactions
from graph.fit import Content, fit
from graph.model import Model
from graph.splits import learning_split
from graph.weights import EventWeights

SINCE = 7_500
"""Of each person's twelve events the last four are later."""


def test_what_is_held_out_is_told_apart_by_its_time(data: Interactions) -> None:
    split = learning_split(data, 0.3, 0.5, 0.2, 1, since_ms=SINCE)
    assert split.fresh is not None and 0 < split.fresh.nnz < split.truth.nnz
    assert (split.fresh > split.truth).nnz == 0
    time_of = {(user, item): moment for user, item, moment in zip(data.user, data.item, data.time_ms, strict=True)}
    newest = {item: max(time_of[key] for key in time_of if key[1] == item) for item in range(data.shape[1])}
    assert all(newest[item] > SINCE for item in split.fresh.indices)
    assert learning_split(data, 0.3, 0.5, 0.2, 1).fresh is None
    late = learning_split(data, 0.3, 0.5, 0.2, 1, since_ms=int(data.time_ms.max())).fresh
    assert late is not None and late.nnz == 0


def test_a_model_scores_in_the_numbers_of_other_items(model: Model, data: Interactions) -> None:
    """Whatever their order is; items that it does not know come last."""
    split = learning_split(data, 0.3, 0.5, 0.2, 1)
    sessions, live = split.sessions(), Live(model, 0)
    own = live.scores(model.item_ids, sessions, None)
    order = np.random.default_rng(0).permutation(len(model.item_ids))
    place = np.argsort(order)
    names = (*(model.item_ids[number] for number in order), "unknown")
    turned = live.scores(names, replace(sessions, item=place[sessions.item]), None)
    assert np.allclose(turned[:, :-1], own[:, order], atol=1e-5)
    assert (turned[:, -1] < turned[:, :-1].min(axis=1)).all()
    some = np.tile(np.array([5, 0, len(order)]), (len(sessions), 1))
    assert np.allclose(live.scores(names, replace(sessions, item=place[sessions.item]), some), turned[:, [5, 0, -1]])


@pytest.fixture(scope="module")
def before(data: Interactions, content: Content, weights: EventWeights, config: GraphConfig) -> Model:
    """What served when the last four events of everybody had not happened yet."""
    return fit(data.take(data.time_ms <= SINCE), content, weights, config)


def test_both_versions_are_asked_for_the_new_events(
    before: Model, data: Interactions, content: Content, weights: EventWeights, config: GraphConfig
) -> None:
    figures = fit(data, content, weights, config, live=Live(before, SINCE)).meta["figures"]
    assert figures["sessions"] >= figures["newest_sessions"] > 40
    assert figures["newest_ndcg@10"] == pytest.approx(figures["newest_live_ndcg@10"], abs=4 * figures["newest_error"])
    # The same sessions: the difference is known better than either figure.
    assert 0 < figures["newest_error"] < figures["ndcg@10_error"]

    # One that puts last what it should put first is found out by as many sessions.
    blind = replace(before, gates={name: replace(gate, level=-20.0) for name, gate in before.gates.items()})
    dull = fit(data, content, weights, config, live=Live(blind, SINCE)).meta["figures"]
    assert dull["newest_ndcg@10"] == figures["newest_ndcg@10"]
    assert dull["newest_live_ndcg@10"] < figures["newest_live_ndcg@10"]


def test_nothing_new_is_nothing_to_compare(
    before: Model, data: Interactions, content: Content, weights: EventWeights, config: GraphConfig
) -> None:
    figures = fit(data, content, weights, config, live=Live(before, int(data.time_ms.max()))).meta["figures"]
    assert not [name for name in figures if name.startswith("newest_")]

"""Weights of the sources: which sessions teach them, and what they learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from graph.combine import FUSED, learn_gates
from graph.config import GraphConfig
from graph.dataset import Interactions
from graph.model import Gate
from graph.splits import without_times
from graph.weighing import divisions


def sessions(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores (3, 200, 30) of sources, what is known of the sessions (200, 2), truth: source 0 is right about sessions
    with times, source 1 about those without, source 2 about none."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(3, 200, 30)).astype(np.float32)
    seen = np.stack([rng.normal(size=200) * 0.3, np.arange(200) % 2], axis=1)
    right = np.where(seen[:, 1, None] > 0, values[1], values[0])
    return values, seen, right >= np.sort(right, axis=1)[:, -3:-2]


def share(gates: dict[str, Gate], name: str, timeless: float) -> float:
    here = np.array([[0.0, timeless]])
    total = sum(float(gate(here)[0]) for gate in gates.values())
    return float(gates[name](here)[0]) / total


def test_sessions_with_and_without_times_teach_weights_of_their_own() -> None:
    values, seen, truth = sessions(0)
    gates = learn_gates(("next_1", "factors", "text"), values, seen, truth, np.zeros_like(truth), 60, 0)
    assert share(gates, "next_1", 0.0) > 0.8
    assert share(gates, "factors", 1.0) > 0.8


def test_what_is_learnt_of_sessions_with_times_does_not_hang_on_those_without() -> None:
    values, seen, truth = sessions(1)
    names, timed = ("next_1", "factors", "text"), seen[:, 1] == 0
    both = learn_gates(names, values, seen, truth, np.zeros_like(truth), 40, 0)
    alone = learn_gates(
        names, values[:, timed], seen[timed], truth[timed], np.zeros_like(truth)[timed], 40, 0
    )  # fmt: skip
    for name in names:
        # The spread that weights are relative to is of all sessions, hence nearly.
        assert share(both, name, 0.0) == pytest.approx(share(alone, name, 0.0), abs=0.05)


def test_sources_that_are_fused_differ_by_a_constant() -> None:
    values, seen, truth = sessions(2)
    names = ("item_item", "near", "factors")
    gates = learn_gates(names, values, seen, truth, np.zeros_like(truth), 40, 0, ("dense", "dense", "factors"))
    first, second = gates["item_item"], gates["near"]
    assert replace(first, level=0.0) == replace(second, level=0.0)
    spread = values.std(axis=2).mean(axis=1)
    assert np.exp(second.level - first.level) * spread[1] / spread[0] == pytest.approx(FUSED["near"], rel=1e-4)
    names = ("after", "earlier", "factors")
    gates = learn_gates(names, values, seen, truth, np.zeros_like(truth), 40, 0, ("dense", "dense", "factors"))
    assert gates["earlier"] == gates["after"]


def test_a_source_that_has_learnt_nothing_is_not_heard() -> None:
    """Not even when it learns something later, with the same gates: an incremental version keeps them."""
    values, seen, truth = sessions(3)
    values[2] *= 1e-12
    gates = learn_gates(("next_1", "factors", "graph"), values, seen, truth, np.zeros_like(truth), 40, 0)
    for timeless in (0.0, 1.0):
        assert float(gates["graph"](np.array([[0.0, timeless]]))[0]) < 1e-9
        assert share(gates, "factors", timeless) > 0.0


def test_small_data_are_divided_once_for_each_kind_of_session(data: Interactions) -> None:
    config = GraphConfig()
    timed, still = divisions(data, config, False, None)
    assert not timed.sessions().timeless.any() and still.sessions().timeless.all()
    first, second = divisions(without_times(data), config, False, None)
    assert first.sessions().timeless.all() and second.sessions().timeless.all()
    assert len(first.train) != len(second.train) or (first.train.item != second.train.item).any()
    assert len(divisions(data, config, True, None)) == 1
    few = config.model_copy(update={"combine": config.combine.model_copy(update={"max_queries": 10})})
    (only,) = divisions(data, few, False, None)
    assert len(only.users) == 10

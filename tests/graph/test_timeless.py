from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cluster.messages import SessionView
from graph.dataset import Interactions
from graph.kernels import Sessions
from graph.model import Gate, Model
from graph.ranking import Ranker
from graph.splits import learning_split, random_split, without_times


def test_a_session_without_times_is_ranked_by_taste_and_not_by_order(model: Model) -> None:
    ranker = Ranker(replace(model, gates={**model.gates, "graph": Gate(0.0, still=2.0)}), "v")
    item = np.array([0, 1, 2])
    timed = Sessions.join([(item, np.ones(3)), (item, np.ones(3))], np.array([1.0, 0.0]))
    graph = next(kernel for kernel in model.kernels if kernel.name == "graph")
    difference = np.subtract(*ranker.model.only("graph").scores(timed)[::-1])
    assert difference == pytest.approx((np.exp(2.0) - 1.0) * graph.scores(timed)[0], rel=1e-4)
    view = SessionView(None, model.item_ids[:3], ("click",) * 3, (None,) * 3, (5, 6, 7))
    both = ranker.sessions([view, replace(view, timestamps_ms=(0, 0, 0))])
    assert both.timeless.tolist() == [0.0, 1.0]


def test_what_is_drawn_at_random_is_asked_for_without_times(data: Interactions) -> None:
    assert not random_split(data).visible.time_ms.any() and random_split(data).train.time_ms.any()
    split = learning_split(data, 0.2, 0.5, 0.2, 1)
    timeless = split.sessions().timeless
    assert 0.3 < timeless.mean() < 0.7
    assert learning_split(without_times(data), 0.2, 0.5, 0.2, 1).sessions().timeless.all()

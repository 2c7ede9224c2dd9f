"""Lists of which it is not known whether they are to say what comes next."""

from __future__ import annotations

import numpy as np
import pytest

from cluster.messages import RankQuery
from graph.dataset import Interactions
from graph.ranking import Ranker
from graph.undecided import mixed


def test_chances_are_the_mean_of_both() -> None:
    first = np.log(np.array([[0.8, 0.1, 0.1], [0.2, 0.6, 0.2]])) / 2
    second = np.log(np.array([[0.1, 0.1, 0.8], [0.2, 0.6, 0.2]])) / 2
    found = np.exp(mixed(first, second, 0.25))
    assert found == pytest.approx(np.array([[0.625, 0.1, 0.275], [0.2, 0.6, 0.2]]), rel=1e-5)
    assert mixed(first, second, 0.25).dtype == np.float32


def test_what_must_not_be_shown_stays_out() -> None:
    nothing = np.full((1, 3), -np.inf, dtype=np.float32)
    assert mixed(nothing, nothing, 0.5).tolist() == nothing.tolist()
    some = np.array([[1.0, -np.inf, 2.0]], dtype=np.float32)
    assert np.isfinite(mixed(some, some, 0.5)).tolist() == [[True, False, True]]


def test_between_the_two_a_list_holds_what_either_is_sure_of(ranker: Ranker, data: Interactions) -> None:
    queries = [RankQuery(data.view(user), n=60, explain=False) for user in range(20)]
    lists = {share: ranker.as_of_now(share).rank(queries) for share in (0.0, 0.001, 0.5, 0.999, 1.0)}

    def ids(share: float) -> list[list[str]]:
        return [[entry.item_id for entry in found.items] for found in lists[share]]

    assert ids(1.0) == [[entry.item_id for entry in found.items] for found in ranker.rank(queries)]
    for whole, between in zip(ids(0.0), ids(0.5), strict=True):
        assert set(whole) == set(between)
    timeless = [RankQuery(type(query.view)(None, query.view.items, query.view.types, query.view.values,
                (0,) * len(query.view.items), query.view.seen), n=60, explain=False) for query in queries]  # fmt: skip
    bare = [[entry.item_id for entry in found.items] for found in ranker.as_of_now(0.5).rank(timeless)]
    assert bare == [[entry.item_id for entry in found.items] for found in ranker.as_of_now(0.0).rank(timeless)]

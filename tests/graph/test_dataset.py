from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from graph.config import EventConfig, GraphConfig
from graph.dataset import Interactions
from graph.weights import EventWeights

WEIGHTS = EventWeights({"like": 1.0, "dislike": -1.0, "impression": 0.0, "rating": 1.0}, 0.3)


def test_rows_are_sorted_by_user_and_time_and_ties_keep_their_order() -> None:
    data = Interactions.from_columns(
        ["b", "a", "b", "b"], ["x", "y", "z", "w"], WEIGHTS, ["like"] * 4, None, [5, 9, 1, 5]
    )
    rows = [(data.user_ids[u], data.item_ids[i]) for u, i in zip(data.user, data.item, strict=True)]
    assert rows == [("b", "z"), ("b", "x"), ("b", "w"), ("a", "y")]


def test_pairs_add_up_are_bounded_and_stand_at_the_last_event() -> None:
    data = Interactions.from_columns(
        ["u"] * 9,
        ["x", "y", "x", "x", "q", "x", "z", "z", "z"],
        WEIGHTS,
        ["view", "view", "like", "view", "impression", "like", *["view"] * 3],
    )
    many = Interactions.from_columns(["u"] * 9, ["w"] * 9, WEIGHTS, ["view"] * 9)
    pairs = data.pairs
    assert [data.item_ids[i] for i in pairs.item] == ["y", "x", "z"]
    # Like upon like is no more than one like; views add up, but not beyond the bound.
    assert pairs.strength.tolist() == pytest.approx([0.3, 3.0, 0.9])
    assert many.pairs.strength.tolist() == pytest.approx([1.5])
    assert pairs.offsets.tolist() == [0, 3]


def test_batches_and_columns_agree() -> None:
    batch = pa.record_batch(
        {
            "seq": pa.array([1, 2], pa.int64()),
            "user_id": pa.array(["u", "v"]),
            "item_id": pa.array(["x", "x"]),
            "type": pa.array(["rating", "dislike"]),
            "value": pa.array([1.0, None], pa.float64()),
            "timestamp_ms": pa.array([1, 2], pa.int64()),
        }
    )
    data = Interactions.from_batches([batch], WEIGHTS, catalogue=("x", "unmet"))
    assert data.shape == (2, 2)
    assert data.strength.tolist() == [pytest.approx(0.45), -3.0]
    assert data.pairs.positive.toarray().tolist() == [[1, 0], [0, 0]]
    assert len(Interactions.from_batches([], WEIGHTS)) == 0


def test_a_view_says_what_the_session_would_hold() -> None:
    data = Interactions.from_columns(["u"] * 3, ["x", "y", "z"], WEIGHTS, None, [4.0, None, 2.0], [1, 2, 3])
    view = data.view(0, first=2)
    assert (view.items, view.types, view.values) == (("x", "y"), ("rating", "rating"), (4.0, None))
    assert view.seen == {"x", "y"}


def test_ratings_count_by_their_place_on_the_scale() -> None:
    weights = EventWeights({"rating": 2.0}, 0.3, (1.0, 5.0), EventConfig(rating_floor=-0.5, rating_ceiling=1.0))
    assert weights.of(["rating"] * 4, [1.0, 3.0, 5.0, 99.0]) == [-1.0, 0.5, 2.0, 2.0]
    coded = weights.of_coded(np.array([0, 0, 1]), ("rating", "odd"), np.array([1.0, np.nan, 7.0]))
    assert coded.tolist() == [-1.0, 2.0, pytest.approx(0.3)]


def test_the_hash_names_the_configuration() -> None:
    assert GraphConfig().config_hash == GraphConfig().config_hash
    assert GraphConfig(seed=8).config_hash != GraphConfig().config_hash
    with pytest.raises(ValueError, match="extra"):
        GraphConfig.model_validate({"encoder": {"dims": 3}})

from __future__ import annotations

import numpy as np

from graph.dataset import Interactions
from graph.splits import (
    cold_item_split,
    cold_session_split,
    learning_split,
    open_item_split,
    random_split,
    temporal_split,
)
from graph.weights import EventWeights


def test_random_takes_its_share_of_each_user(data: Interactions) -> None:
    split = random_split(data, 0.25, seed=1)
    assert len(split.train) + split.truth.nnz == len(data)
    assert set(np.diff(split.truth.indptr)) == {3}
    assert split.truth.multiply(split.seen()).nnz == 0
    assert (random_split(data, 0.25, seed=1).truth != split.truth).nnz == 0
    assert (random_split(data, 0.25, seed=2).truth != split.truth).nnz > 0


def test_temporal_takes_the_last(data: Interactions) -> None:
    split = temporal_split(data, 0.25)
    for user in split.users:
        rows = slice(data.offsets[user], data.offsets[user + 1])
        assert set(split.truth[int(user)].indices) == set(data.item[rows][-3:])


def test_cold_users_are_not_in_training(data: Interactions) -> None:
    split = cold_session_split(data, 3)
    assert len(split.users) == 24
    assert not set(split.users) & set(split.train.user)
    assert set(split.sessions().lengths) == {3}
    assert set(np.diff(split.truth.indptr)) == {9}


def test_cold_items_are_ranked_among_themselves(data: Interactions) -> None:
    split = cold_item_split(data)
    assert split.candidates is not None
    assert split.candidates.sum() == 6
    assert not split.candidates[split.train.item].any()
    assert split.candidates[split.truth.indices].all()


def test_items_that_come_later_are_known_to_nobody_and_wanted_as_others_are(data: Interactions) -> None:
    split, plain = open_item_split(data, seed=2), random_split(data, seed=2)
    assert split.new is not None and split.new.sum() == 6
    assert not np.isin(np.flatnonzero(split.new), split.train.item).any()
    assert not np.isin(np.flatnonzero(split.new), split.visible.item).any()
    assert (split.truth != plain.truth).nnz == 0 and split.truth[:, split.new].nnz > 0
    known = split.train.without_items(split.new)
    assert [known.item_ids[i] for i in known.item] == [split.train.item_ids[i] for i in split.train.item]
    assert set(split.train.item_ids) - set(known.item_ids) == {data.item_ids[i] for i in np.flatnonzero(split.new)}


def test_learning_split_mixes_all_situations(data: Interactions) -> None:
    split = learning_split(data, 0.25, 0.5, 0.2, seed=0)
    assert 12 < 120 - len(np.unique(split.train.user)) < 40
    assert split.truth.multiply(split.seen()).nnz == 0
    lengths = split.sessions().lengths
    assert (lengths == 9).sum() == len(np.unique(split.train.user))
    assert (lengths < 9).sum() > 40 and lengths.min() == 1


def test_what_is_visible_is_not_to_be_found_again(weights: EventWeights) -> None:
    data = Interactions.from_columns(["u"] * 5, ["x", "y", "x", "y", "z"], weights, times_ms=[1, 2, 3, 4, 5])
    split = temporal_split(data, 0.6)
    assert [data.item_ids[i] for i in split.truth.indices] == ["z"]
    learning = learning_split(data, 0.6, 0.0, 0.0, seed=0)
    assert [data.item_ids[i] for i in learning.truth.indices] == ["z"]

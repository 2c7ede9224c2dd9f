"""Items in the plane."""

from __future__ import annotations

import numpy as np

from graph.projection import plane


def test_two_groups_come_apart_and_stay_together() -> None:
    random = np.random.default_rng(0)
    centres = np.zeros((2, 16))
    centres[0, 3], centres[1, 7] = 4.0, 4.0
    group = np.repeat([0, 1], 50)
    places = plane(centres[group] + random.normal(0, 0.1, (100, 16)))
    assert places.shape == (100, 2)
    assert np.abs(places).max() <= 1.0
    first, second = places[group == 0, 0], places[group == 1, 0]
    assert (first.max() < second.min()) or (second.max() < first.min())
    assert abs(first.mean() - second.mean()) > 10 * max(first.std(), second.std())


def test_the_same_vectors_give_the_same_picture() -> None:
    vectors = np.random.default_rng(1).normal(size=(30, 8)).astype(np.float32)
    assert np.array_equal(plane(vectors), plane(vectors.copy()))


def test_a_single_item_and_equal_items_lie_in_the_middle() -> None:
    assert np.array_equal(plane(np.ones((1, 8))), np.zeros((1, 2)))
    assert np.array_equal(plane(np.ones((5, 8))), np.zeros((5, 2)))
    assert plane(np.arange(4.0).reshape(4, 1)).shape == (4, 2)

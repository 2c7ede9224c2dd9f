from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp

from graph.metrics import (
    bootstrap_interval,
    calibration,
    coverage,
    intra_list_diversity,
    ndcg,
    novelty,
    paired_ratio,
    per_query,
    top,
)

TRUTH = sp.csr_matrix(np.array([[1, 0, 1, 0, 1], [0, 0, 0, 0, 0], [0, 1, 0, 0, 0]]))
LISTS = np.array([[0, 1, 2], [0, 1, 2], [3, 1, -1]])


def test_figures_by_hand() -> None:
    found = per_query(LISTS, TRUTH, 3)
    full = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert found["ndcg"].tolist() == pytest.approx([(1 + 1 / math.log2(4)) / full, 1 / math.log2(3)])
    assert found["recall"].tolist() == pytest.approx([2 / 3, 1.0])
    assert found["precision"].tolist() == pytest.approx([2 / 3, 1 / 3])
    assert found["map"].tolist() == pytest.approx([(1 + 2 / 3) / 3, 1 / 2])


def test_figures_agree_with_a_plain_loop_on_random_lists() -> None:
    rng = np.random.default_rng(0)
    truth = sp.csr_matrix((rng.random((40, 60)) < 0.1).astype(float))
    lists = np.stack([rng.permutation(60)[:10] for _ in range(40)])
    expected = []
    for row in range(40):
        wanted = set(truth[row].indices.tolist())
        if wanted:
            gain = sum(1 / math.log2(place + 2) for place, item in enumerate(lists[row]) if item in wanted)
            expected.append(gain / sum(1 / math.log2(place + 2) for place in range(min(len(wanted), 10))))
    assert ndcg(lists, truth) == pytest.approx(np.mean(expected), abs=1e-9)


@pytest.mark.filterwarnings("ignore")  # numba warns of casts of its own
def test_figures_agree_with_ranx() -> None:
    ranx = pytest.importorskip("ranx")
    rng = np.random.default_rng(5)
    truth = sp.csr_matrix((rng.random((60, 80)) < rng.random((60, 1)) * 0.3).astype(float))
    truth = truth[np.diff(truth.indptr) > 0]
    lists = np.stack([rng.permutation(80)[:20] for _ in range(truth.shape[0])])
    lists[::7, 12:] = -1  # shorter lists
    lists[3] = -1
    lists[3, 0] = 0
    qrels = ranx.Qrels({str(row): {str(item): 1 for item in truth[row].indices} for row in range(truth.shape[0])})
    run = ranx.Run(
        {str(row): {str(item): 1.0 - place / 100 for place, item in enumerate(line) if item >= 0}
         for row, line in enumerate(lists)}
    )  # fmt: skip
    for k in (1, 5, 10, 20):
        ours = per_query(lists, truth, k)
        for name in ("ndcg", "recall", "precision", "map"):
            theirs = ranx.evaluate(qrels, run, f"{name}@{k}")
            assert ours[name].mean() == pytest.approx(theirs, abs=1e-6), (name, k)


def test_calibration_by_hand() -> None:
    categories = sp.csr_matrix(np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]))
    met = sp.csr_matrix(np.array([[1.0, 1.0, 0.0]]))
    assert calibration(np.array([[2, -1]]), met, categories) == pytest.approx(0.0)
    q = np.array([0.99 + 0.005, 0.005])
    assert calibration(np.array([[0]]), met, categories) == pytest.approx(float((0.5 * np.log(0.5 / q)).sum()))
    assert calibration(np.array([[0]]), met, sp.csr_matrix((3, 0))) == 0.0


def test_the_queries_of_one_person_are_no_independent_evidence() -> None:
    rng = np.random.default_rng(3)
    of_people = rng.random(50)
    values = np.repeat(of_people, 20)
    alone, together = bootstrap_interval(values), bootstrap_interval(values, who=np.repeat(np.arange(50), 20))
    assert together[1] - together[0] > 3 * (alone[1] - alone[0])
    low, high = bootstrap_interval(of_people)
    assert together == pytest.approx((low, high), abs=0.02)


def test_ties_are_broken_by_the_seed_and_not_by_the_id() -> None:
    scores = np.zeros((1, 100))
    drawn = [top(scores, 10, seed=seed)[0].tolist() for seed in range(5)]
    assert drawn[0] == top(scores, 10, seed=0)[0].tolist()
    assert len({tuple(found) for found in drawn}) == 5
    assert np.mean(drawn) > 30


def test_top_leaves_out_and_fills_up() -> None:
    seen = sp.csr_matrix(np.array([[1, 0, 0], [1, 1, 1]]))
    assert top(np.array([[3.0, 2.0, 1.0], [1.0, 1.0, 1.0]]), 3, seen).tolist() == [[1, 2, -1], [-1, -1, -1]]


def test_list_figures() -> None:
    assert coverage(np.array([[0, 1], [1, -1]]), 8) == 0.25
    assert novelty(np.array([[0]]), np.array([0.0]), 7) == 3.0
    assert intra_list_diversity(np.array([[0, 1]]), np.eye(2)) == pytest.approx(1.0)
    assert intra_list_diversity(np.array([[0, 1]]), np.ones((2, 2))) == pytest.approx(0.0)


def test_intervals_hold_the_mean() -> None:
    values = np.random.default_rng(1).random(400)
    low, high = bootstrap_interval(values)
    assert low < values.mean() < high < low + 0.1
    ratio, ratio_low, ratio_high = paired_ratio(values * 1.1, values)
    assert ratio == pytest.approx(1.1) == pytest.approx(ratio_low) == pytest.approx(ratio_high)

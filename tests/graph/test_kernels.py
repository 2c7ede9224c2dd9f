from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from graph.config import FactorsConfig, ItemItemConfig, OrderConfig
from graph.dataset import Interactions
from graph.factors import fold_in_kernel
from graph.itemitem import cosine_neighbours, ease, item_item_kernel, strongest
from graph.kernels import Kernel, Sessions
from graph.model import Model
from graph.order import order_kernels, share
from graph.together import close_gram, later_counts
from graph.weights import EventWeights

SESSIONS = Sessions.join(
    [
        (np.array([3, 1, 7]), np.array([1.0, -0.5, 1.2])),
        (np.array([], dtype=np.int64), np.array([])),
        (np.array([2]), np.array([0.4])),
    ]
)


def test_sessions_know_their_places() -> None:
    assert SESSIONS.lengths.tolist() == [3, 0, 1]
    assert SESSIONS.position.tolist() == [2, 1, 0, 0]


def test_every_source_is_the_sum_of_its_contributions(model: Model) -> None:
    targets = np.array([0, 5, 9])
    for kernel in model.kernels:
        scores, weights = kernel.scores(SESSIONS), kernel.weights(SESSIONS)
        assert scores.shape == (3, len(model.item_ids))
        assert not scores[1].any()
        for row in (0, 2):
            parts = kernel.contributions(SESSIONS, row, weights, targets)
            assert parts.sum(axis=0) == pytest.approx(scores[row, targets], abs=2e-4), kernel.name
        candidates = np.tile(targets, (3, 1))
        assert kernel.scores_at(SESSIONS, candidates) == pytest.approx(scores[:, targets], abs=2e-4)


def test_dense_and_sparse_matrices_agree() -> None:
    matrix = np.random.default_rng(0).random((10, 10)).astype(np.float32)
    dense, sparse = Kernel("a", matrix=matrix, memory=2.0), Kernel("a", matrix=sp.csr_matrix(matrix), memory=2.0)
    assert dense.scores(SESSIONS) == pytest.approx(sparse.scores(SESSIONS), abs=1e-6)


def test_memory_fades_older_events() -> None:
    weights = Kernel("a", matrix=np.eye(10, dtype=np.float32), memory=1.0, power=0.0).weights(SESSIONS)
    assert weights[0] == pytest.approx(np.exp(-2.0))
    assert weights[2] == pytest.approx(1.2)


def test_ease_solves_its_problem(data: Interactions) -> None:
    positive = data.pairs.positive
    matrix = ease(positive, 20.0)
    assert not np.diag(matrix).any()
    # The gradient of the ridge problem vanishes off the diagonal.
    gram = (positive.T @ positive).toarray()
    gradient = gram @ matrix - gram + 20.0 * matrix
    np.fill_diagonal(gradient, 0.0)
    assert np.abs(gradient).max() < 1e-3


def test_items_of_one_sitting_count_more_together(data: Interactions) -> None:
    positive = data.pairs.positive
    gram, plain = close_gram(data.pairs, 2.0), (positive.T @ positive).toarray()
    assert np.diag(gram) == pytest.approx(np.diag(plain))
    assert (gram <= plain + 1e-9).all() and gram.sum() < 0.7 * plain.sum()
    assert close_gram(data.pairs, 1e9) == pytest.approx(plain, abs=1e-4)
    assert np.linalg.eigvalsh(gram).min() > -1e-6  # stands where X'X stands


def test_after_is_the_share_of_people_who_went_on_to(weights: EventWeights) -> None:
    made = Interactions.from_columns(
        ["u", "u", "u", "v", "v", "w", "w"], ["a", "b", "c", "a", "c", "c", "a"], weights, times_ms=range(7)
    )
    a, b, c = (made.item_ids.index(name) for name in "abc")
    counts = later_counts(made.pairs, dense=True)
    later, earlier = (share(each, made.pairs, 0.0) for each in (counts, counts.T))
    assert later[a, [b, c]] == pytest.approx([1 / 3, 2 / 3])
    assert later[c, [a, b]] == pytest.approx([1 / 3, 0.0])
    assert earlier[c, [a, b]] == pytest.approx([2 / 3, 1 / 3])
    assert not np.diag(later).any() and not np.diag(earlier).any()
    counts = later_counts(made.pairs, dense=False)
    sparse = [share(each, made.pairs, 0.0) for each in (counts, counts.T)]
    assert sparse[0].toarray() == pytest.approx(later) and sparse[1].toarray() == pytest.approx(earlier)


def test_what_was_met_before_counts_more_for_a_first_event(data: Interactions) -> None:
    config = OrderConfig(before=0.3, before_first=0.7)
    kernels = {kernel.name: kernel for kernel in order_kernels(data.pairs, config)}
    sessions = Sessions.join([(np.arange(count), np.ones(count)) for count in (1, 2, 20)])

    def scores(before: float) -> np.ndarray:
        alone = OrderConfig(before=before, before_first=0.0)
        return next(k for k in order_kernels(data.pairs, alone) if k.name == "after").scores(sessions)

    both = kernels["after"].scores(sessions) + kernels["earlier"].scores(sessions)
    for row, before in enumerate((0.7, 0.3, 0.3)):
        assert both[row] == pytest.approx(scores(before)[row], abs=1e-5)
    assert not kernels["earlier"].scores(sessions)[1:].any()


def test_without_times_no_order_is_read_into_the_events(weights: EventWeights) -> None:
    rng = np.random.default_rng(0)
    users, items = np.repeat([f"u{n}" for n in range(30)], 6), rng.integers(0, 12, 180).astype(str)
    kernels = {
        way: {k.name: k.matrix for k in order_kernels(
            Interactions.from_columns(users[::way].tolist(), items[::way].tolist(), weights).pairs, OrderConfig(), False
        )} for way in (1, -1)
    }  # fmt: skip
    forward, backward = kernels[1]["after"], kernels[-1]["after"]
    assert isinstance(forward, np.ndarray) and forward.sum() == pytest.approx(np.asarray(backward).sum(), rel=1e-5)


def test_neighbours_are_kept_sparse(data: Interactions) -> None:
    found = cosine_neighbours(data.pairs.positive, 5, 1.0)
    assert np.diff(found.indptr).max() <= 5
    assert not found.diagonal().any()
    assert sp.issparse(item_item_kernel(data.pairs, ItemItemConfig(max_dense_items=10)).matrix)
    assert strongest(sp.csr_matrix([[1.0, 3.0, -5.0, 2.0]]), 2).toarray().tolist() == [[0, 3, 0, 2]]


def test_folding_in_gives_the_vector_of_training(data: Interactions) -> None:
    positive = data.pairs.positive
    kernel = fold_in_kernel(positive, FactorsConfig(dim=6, rounds=3, ridge=2.0, alpha=3.0), 0)
    row = positive[0]
    met = kernel.source[row.indices]  # type: ignore[index]
    expected = np.linalg.solve(kernel.ground + 3.0 * met.T @ met, 4.0 * met.sum(axis=0))
    session = Sessions.join([(row.indices, np.ones(row.nnz))])
    assert kernel.vectors(session, kernel.weights(session))[0] == pytest.approx(expected, rel=1e-3)

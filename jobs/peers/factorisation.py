"""Matrix factorisation by the package `implicit`: ALS, BPR, and ALS whose item factors are foretold from content."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from graph.dataset import Interactions
from graph.fit import Content
from graph.splits import Split
from jobs.peers.base import Choice, Peer, Scorer
from jobs.peers.closed import met


def _als_model(train: Interactions, choice: Choice, seed: int) -> Any:
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):  # as implicit asks for: its own loops and BLAS's wait for each other
        model = AlternatingLeastSquares(
            factors=int(choice["factors"]), regularization=choice["ridge"], alpha=choice["alpha"], iterations=15,
            num_threads=1, random_state=seed,
        )  # fmt: skip
        model.fit(train.pairs.positive.astype(np.float32), show_progress=False)
    return model


def _folded_in(model: Any, events: sp.csr_matrix) -> np.ndarray:
    """(Q, d): the people's factors by the last half step of ALS, which strangers get as well."""
    rows = events.astype(np.float32).tocsr()
    return np.asarray(model.recalculate_user(np.arange(rows.shape[0]), rows))


def _als(train: Interactions, content: Content, choice: Choice, seed: int) -> Scorer:
    model = _als_model(train, choice, seed)
    return lambda split: _folded_in(model, met(split)) @ np.asarray(model.item_factors).T


def _als_from_content(train: Interactions, content: Content, choice: Choice, seed: int) -> Scorer:
    """Item factors by ridge regression from text vectors and hashed facts to those of ALS; people's as ALS has them."""
    model = _als_model(train, choice, seed)
    facts = content.hashed if content.text is None else np.concatenate([content.text, content.hashed], axis=1)
    facts = np.concatenate([facts, np.ones((len(facts), 1))], axis=1).astype(np.float64)
    known = np.asarray(train.pairs.positive.sum(axis=0)).ravel() > 0
    x, y = facts[known], np.asarray(model.item_factors, dtype=np.float64)[known]
    kernel = x @ x.T
    kernel[np.diag_indices_from(kernel)] += choice["content_ridge"]
    factors = facts @ (x.T @ np.linalg.solve(kernel, y))

    def score(split: Split) -> np.ndarray:
        return np.asarray(_folded_in(model, met(split)) @ factors.T)

    return score


def _bpr(train: Interactions, content: Content, choice: Choice, seed: int) -> Scorer:
    from implicit.cpu.bpr import BayesianPersonalizedRanking
    from threadpoolctl import threadpool_limits

    positive = train.pairs.positive.astype(np.float32)
    with threadpool_limits(1, "blas"):
        model = BayesianPersonalizedRanking(
            factors=int(choice["factors"]), learning_rate=choice["rate"], regularization=choice["ridge"],
            iterations=int(choice["rounds"]), num_threads=1, random_state=seed,
        )  # fmt: skip
        model.fit(positive, show_progress=False)
    users, items = np.asarray(model.user_factors), np.asarray(model.item_factors)
    trained = np.diff(positive.indptr) > 0

    def score(split: Split) -> np.ndarray:
        # BPR has no way to take strangers in: they are where the items are that they met (the last entry is the bias).
        events = met(split)
        mean = np.asarray(events @ items) / np.maximum(events.sum(axis=1), 1)
        mean[:, -1] = 1.0
        own = users[split.users] if len(users) == split.visible.shape[0] else mean
        return np.asarray(np.where(trained[split.users][:, None], own, mean) @ items.T)

    return score


ALS = Peer(
    "als",
    "Hu, Koren and Volinsky, Collaborative filtering for implicit feedback datasets, ICDM 2008 (implicit)",
    _als,
    (
        {"factors": 32, "alpha": 4.0, "ridge": 10.0},
        {"factors": 64, "alpha": 4.0, "ridge": 40.0},
        {"factors": 64, "alpha": 2.0, "ridge": 20.0},
        {"factors": 48, "alpha": 8.0, "ridge": 40.0},
        {"factors": 64, "alpha": 8.0, "ridge": 80.0},
        {"factors": 32, "alpha": 2.0, "ridge": 5.0},
        {"factors": 16, "alpha": 4.0, "ridge": 40.0},
        {"factors": 8, "alpha": 4.0, "ridge": 40.0},
        {"factors": 16, "alpha": 4.0, "ridge": 200.0},
        {"factors": 32, "alpha": 4.0, "ridge": 400.0},
        {"factors": 8, "alpha": 1.0, "ridge": 20.0},
        {"factors": 128, "alpha": 4.0, "ridge": 60.0},
        {"factors": 32, "alpha": 1.0, "ridge": 1.0},
        {"factors": 64, "alpha": 16.0, "ridge": 160.0},
    ),
    needs="implicit",
)
BPR = Peer(
    "bpr",
    "Rendle et al., BPR: Bayesian personalized ranking from implicit feedback, UAI 2009 (implicit)",
    _bpr,
    (
        {"factors": 64, "rate": 0.05, "ridge": 0.01, "rounds": 100},
        {"factors": 32, "rate": 0.05, "ridge": 0.01, "rounds": 200},
        {"factors": 64, "rate": 0.05, "ridge": 0.03, "rounds": 200},
        {"factors": 64, "rate": 0.1, "ridge": 0.02, "rounds": 100},
        {"factors": 32, "rate": 0.02, "ridge": 0.02, "rounds": 300},
        {"factors": 128, "rate": 0.05, "ridge": 0.02, "rounds": 200},
    ),
    needs="implicit",
)
ALS_FROM_CONTENT = Peer(
    "als_from_content",
    "Gantner et al., Learning attribute-to-feature mappings for cold-start recommendations, ICDM 2010",
    _als_from_content,
    tuple(
        {"factors": factors, "alpha": alpha, "ridge": ridge, "content_ridge": content_ridge}
        for factors, alpha, ridge in ((32, 4.0, 10.0), (64, 4.0, 40.0), (16, 2.0, 5.0))
        for content_ridge in (1.0, 3.0, 10.0, 30.0)
    ),
    needs="implicit",
    cold_items=True,
)

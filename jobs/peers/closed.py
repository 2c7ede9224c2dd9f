"""Peers in closed form: popularity, item-KNN, EASE."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from graph.dataset import Interactions
from graph.fit import Content
from graph.itemitem import ease
from graph.splits import Split
from jobs.peers.base import Choice, Peer, Scorer


def met(split: Split) -> sp.csr_matrix:
    """(Q, N) with 1 for what the users asked about met and did not dislike."""
    return split.visible.pairs.positive[split.users]


def counts(train: Interactions) -> np.ndarray:
    """(N,): how many users met each item."""
    return np.asarray(train.pairs.positive.sum(axis=0)).ravel()


def _popularity(train: Interactions, content: Content, choice: Choice, seed: int) -> Scorer:
    popular = counts(train)
    return lambda split: np.tile(popular, (len(split.users), 1))


def _item_knn(train: Interactions, content: Content, choice: Choice, seed: int) -> Scorer:
    """Sum over the session's items of the shrunk cosine, cut to the nearest `neighbours` of each candidate."""
    matrix = train.pairs.positive
    gram = (matrix.T @ matrix).toarray().astype(np.float64)
    count = np.diag(gram).copy()
    np.fill_diagonal(gram, 0.0)
    power, neighbours = choice["power"], int(choice["neighbours"])
    chance = (count[:, None] ** power) * (count[None, :] ** (1 - power)) + choice["shrink"]
    similar = gram / np.maximum(chance, 1e-9)
    if neighbours < len(count):
        bound = -np.partition(-similar, neighbours, axis=0)[neighbours]
        similar[similar < bound[None, :]] = 0.0
    return lambda split: np.asarray(met(split) @ similar)


def _ease(train: Interactions, content: Content, choice: Choice, seed: int) -> Scorer:
    matrix = ease(train.pairs.positive, choice["ridge"])
    return lambda split: np.asarray(met(split) @ matrix)


POPULARITY = Peer("popularity", "how many people met each item", _popularity)
ITEM_KNN = Peer(
    "item_knn",
    "Deshpande and Karypis, Item-based top-N recommendation algorithms, TOIS 2004",
    _item_knn,
    tuple(
        {"neighbours": neighbours, "shrink": shrink, "power": power}
        for neighbours in (100, 20, 50, 200, 5000)
        for shrink in (10.0, 50.0)
        for power in (0.5, 0.3, 0.8, 1.0)
    ),
)
EASE = Peer(
    "ease",
    "Steck, Embarrassingly shallow autoencoders for sparse data, WWW 2019",
    _ease,
    # Who is known by a few events is served best by the greatest: what is left is how often two items were met by one.
    tuple(
        {"ridge": ridge} for ridge in (300.0, 100.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0, 50.0, 50e3, 200e3, 1e6)
    ),
)

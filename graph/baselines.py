"""The peers that every model is measured beside: popularity, item-KNN, EASE. Scores are (Q, N) for sessions."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from graph.dataset import Interactions
from graph.itemitem import ease
from graph.metrics import ndcg, top
from graph.splits import Split, cold_session_split, random_split, temporal_split


def popularity(split: Split) -> np.ndarray:
    """How many users met each item, the same for everybody."""
    counts = np.asarray(split.train.pairs.positive.sum(axis=0)).ravel()
    return np.tile(counts, (len(split.users), 1))


def item_knn(split: Split, neighbours: int, shrink: float, power: float) -> np.ndarray:
    """Sum over the session's items of the shrunk cosine, cut to the nearest `neighbours` of each candidate."""
    matrix = split.train.pairs.positive
    gram = (matrix.T @ matrix).toarray().astype(np.float64)
    count = np.diag(gram).copy()
    np.fill_diagonal(gram, 0.0)
    chance = (count[:, None] ** power) * (count[None, :] ** (1 - power)) + shrink
    similar = gram / np.maximum(chance, 1e-9)
    if neighbours < len(count):
        bound = -np.partition(-similar, neighbours, axis=0)[neighbours]
        similar[similar < bound[None, :]] = 0.0
    return np.asarray(_met(split) @ similar)


def ease_scores(split: Split, ridge: float) -> np.ndarray:
    """EASE with this regularisation."""
    return np.asarray(_met(split) @ ease(split.train.pairs.positive, ridge))


def tuned(name: str, split: Split, validation: Split) -> tuple[np.ndarray, dict[str, float]]:
    """Scores of `item_knn` or `ease` on `split` with the parameters that do best on `validation`, and these."""
    best: tuple[float, dict[str, float]] = (-1.0, {})
    for choice in GRIDS[name]:
        found = ndcg(top(_scores(name, validation, choice), 10, validation.seen()), validation.truth)
        if found > best[0]:
            best = (found, choice)
    return _scores(name, split, best[1]), best[1]


def _scores(name: str, split: Split, choice: dict[str, float]) -> np.ndarray:
    if name == "ease":
        return ease_scores(split, choice["ridge"])
    return item_knn(split, int(choice["neighbours"]), choice["shrink"], choice["power"])


def _met(split: Split) -> sp.csr_matrix:
    return split.visible.pairs.positive[split.users]


GRIDS: dict[str, list[dict[str, float]]] = {
    "item_knn": [
        {"neighbours": neighbours, "shrink": shrink, "power": power}
        for neighbours in (20, 50, 100, 200)
        for shrink in (0.0, 10.0, 50.0)
        for power in (0.3, 0.5)
    ],
    "ease": [{"ridge": ridge} for ridge in (50.0, 100.0, 200.0, 300.0, 500.0, 1000.0)],
}


def validation_of(protocol: str, data: Interactions, seed: int) -> Split:
    """A part of the training data, divided as the protocol divides the whole."""
    if protocol == "temporal":
        return temporal_split(data, seed=seed + 1000)
    if protocol.startswith("cold-session-"):
        return cold_session_split(data, int(protocol.rsplit("-", 1)[1]), seed=seed + 1000)
    return random_split(data, seed=seed + 1000)

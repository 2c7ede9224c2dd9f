"""Figures of merit of ranked lists, with binary relevance.

Lists are item numbers (Q, k), -1 where a list is shorter. Truths are a sparse matrix (Q, N) of ones. Queries without
truth are left out of every mean. Definitions agree with `ranx` and `trec_eval`.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp


def hits(lists: np.ndarray, truth: sp.csr_matrix) -> np.ndarray:
    """(Q, k) booleans: whether each place is relevant."""
    if lists.size == 0:
        return np.zeros(lists.shape, dtype=bool)
    rows = np.repeat(np.arange(lists.shape[0]), lists.shape[1])
    flat = lists.ravel()
    found = np.asarray(truth[rows, np.maximum(flat, 0)]).ravel() > 0
    return (found & (flat >= 0)).reshape(lists.shape)


def per_query(lists: np.ndarray, truth: sp.csr_matrix, k: int = 10) -> dict[str, np.ndarray]:
    """nDCG, recall, precision and average precision at k of each query that has a truth, (Q',) each."""
    relevant = np.diff(truth.indptr)
    asked = relevant > 0
    hit = hits(lists[:, :k], truth)[asked].astype(np.float64)
    relevant = relevant[asked]
    width = hit.shape[1]
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    best = np.cumsum(discount)[np.minimum(relevant, k) - 1]
    precision_at = np.cumsum(hit, axis=1) / np.arange(1, width + 1)
    return {
        "ndcg": (hit * discount[:width]).sum(axis=1) / best,
        "recall": hit.sum(axis=1) / relevant,
        "precision": hit.sum(axis=1) / k,
        "map": (hit * precision_at).sum(axis=1) / relevant,
    }


def ndcg(lists: np.ndarray, truth: sp.csr_matrix, k: int = 10) -> float:
    """Mean nDCG at k."""
    values = per_query(lists, truth, k)["ndcg"]
    return float(values.mean()) if len(values) else 0.0


def coverage(lists: np.ndarray, items: int) -> float:
    """Share of the catalogue that appears in any list."""
    shown = np.unique(lists[lists >= 0])
    return len(shown) / max(items, 1)


def novelty(lists: np.ndarray, popularity: np.ndarray, users: int) -> float:
    """Mean self-information, in bits, of the items shown: -log2 of the share of users who met each."""
    shown = lists[lists >= 0]
    share = (popularity[shown] + 1.0) / (users + 1.0)
    return float(-np.log2(np.minimum(share, 1.0)).mean()) if len(shown) else 0.0


def intra_list_diversity(lists: np.ndarray, vectors: np.ndarray) -> float:
    """Mean over lists of 1 - mean cosine of the pairs of items; `vectors` (N, d)."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    values = []
    for row in lists:
        shown = unit[row[row >= 0]]
        if len(shown) > 1:
            total = float((shown.sum(axis=0) ** 2).sum()) - len(shown)
            values.append(1.0 - total / (len(shown) * (len(shown) - 1)))
    return float(np.mean(values)) if values else 0.0


def summary(
    lists: np.ndarray,
    truth: sp.csr_matrix,
    popularity: np.ndarray,
    users: int,
    vectors: np.ndarray | None = None,
    k: int = 10,
) -> dict[str, float]:
    """All figures at k, rounded to 5 places. Coverage, novelty and diversity are over the queries that have a truth."""
    values = {name: float(each.mean()) if len(each) else 0.0 for name, each in per_query(lists, truth, k).items()}
    asked = lists[np.diff(truth.indptr) > 0, :k]
    values["coverage"] = coverage(asked, truth.shape[1])
    values["novelty"] = novelty(asked, popularity, users)
    if vectors is not None:
        values["diversity"] = intra_list_diversity(asked, vectors)
    return {f"{name}@{k}": round(value, 5) for name, value in values.items()}


def bootstrap_interval(
    values: np.ndarray, seed: int = 0, draws: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Bounds of the mean of `values` (Q,) by the percentile bootstrap."""
    if len(values) == 0:
        return 0.0, 0.0
    rng = np.random.default_rng(seed)
    means = np.array([values[rng.integers(len(values), size=len(values))].mean() for _ in range(draws)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_ratio(ours: np.ndarray, peer: np.ndarray, seed: int = 0, draws: int = 2000) -> tuple[float, float, float]:
    """Ratio of the means of two models on the same queries, with the bounds of its 95% paired bootstrap interval."""
    rng = np.random.default_rng(seed)
    ratios = []
    for _ in range(draws):
        rows = rng.integers(len(ours), size=len(ours))
        ratios.append(ours[rows].mean() / max(peer[rows].mean(), 1e-12))
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(ours.mean() / max(peer.mean(), 1e-12)), float(low), float(high)


def top(scores: np.ndarray, k: int, excluded: sp.csr_matrix | None = None, seed: int = 0) -> np.ndarray:
    """(Q, k) best items of each row of `scores` (Q, N), -1 where fewer are left; ties in random order, seeded."""
    scores = np.array(scores, dtype=np.float64)
    if excluded is not None:
        rows = np.repeat(np.arange(excluded.shape[0]), np.diff(excluded.indptr))
        scores[rows, excluded.indices] = -np.inf
    order = np.random.default_rng(seed).permutation(scores.shape[1])
    shuffled = scores[:, order]
    k = min(k, scores.shape[1])
    best = np.argpartition(-shuffled, k - 1, axis=1)[:, :k]
    values = np.take_along_axis(shuffled, best, axis=1)
    place = np.argsort(-values, axis=1, kind="stable")
    found = order[np.take_along_axis(best, place, axis=1)]
    return np.where(np.isfinite(np.take_along_axis(values, place, axis=1)), found, -1)

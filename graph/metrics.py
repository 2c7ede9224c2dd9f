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
    """Mean over lists of 1 - mean cosine of the pairs of items; `vectors` (N, d), whose zero rows tell nothing."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    values = []
    for row in lists:
        shown = unit[row[row >= 0]]
        if len(shown) > 1:
            total = float((shown.sum(axis=0) ** 2).sum()) - len(shown)
            values.append(1.0 - total / (len(shown) * (len(shown) - 1)))
    return float(np.mean(values)) if values else 0.0


def calibration(lists: np.ndarray, met: sp.csr_matrix, categories: sp.csr_matrix, smoothing: float = 0.01) -> float:
    """Mean over queries of how far the categories of the list are from those of what the person met; 0 is the same.

    The Kullback-Leibler divergence, in nats, of Steck, "Calibrated recommendations" (RecSys 2018). Queries whose
    history or list has no category are left out.

    Args:
        lists: (Q, k). met: (Q, N), what each person met. categories: (N, G), each row's entries add up to 1 or 0.
    """
    if not categories.shape[1]:
        return 0.0
    rows, places = np.nonzero(lists >= 0)
    shown = sp.csr_matrix((np.ones(len(rows)), (rows, lists[rows, places])), shape=met.shape)
    wanted, got = np.asarray((met @ categories).todense()), np.asarray((shown @ categories).todense())
    both = (wanted.sum(axis=1) > 0) & (got.sum(axis=1) > 0)
    if not both.any():
        return 0.0
    p = wanted[both] / wanted[both].sum(axis=1, keepdims=True)
    q = got[both] / got[both].sum(axis=1, keepdims=True)
    q = (1.0 - smoothing) * q + smoothing * p
    return float(np.where(p > 0, p * np.log(np.maximum(p, 1e-12) / np.maximum(q, 1e-12)), 0.0).sum(axis=1).mean())


def bootstrap_interval(
    values: np.ndarray, seed: int = 0, draws: int = 2000, level: float = 0.95, who: np.ndarray | None = None
) -> tuple[float, float]:
    """Bounds of the mean of `values` (Q,) by the percentile bootstrap; `who` (Q,) as in `paired_ratio`."""
    if len(values) == 0:
        return 0.0, 0.0
    drawn = _draws(values.astype(np.float64)[:, None], seed, draws, who)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_ratio(
    ours: np.ndarray, peer: np.ndarray, seed: int = 0, draws: int = 2000, who: np.ndarray | None = None
) -> tuple[float, float, float]:
    """Ratio of the means of two models on the same queries, with the bounds of its 95% paired bootstrap interval.

    Args:
        who: (Q,) numbers of the people who asked. Where the same person asks often, in several splits, say, it is
            people that are drawn, each with all their queries: the queries of one person are no independent evidence.
    """
    if len(ours) == 0:
        return 1.0, 1.0, 1.0
    drawn = _draws(np.stack([ours, peer], axis=1).astype(np.float64), seed, draws, who)
    low, high = np.quantile(drawn[:, 0] / np.maximum(drawn[:, 1], 1e-12), [0.025, 0.975])
    return float(ours.mean() / max(peer.mean(), 1e-12)), float(low), float(high)


def _draws(values: np.ndarray, seed: int, draws: int, who: np.ndarray | None) -> np.ndarray:
    """(draws, columns + 1): sums of the columns of `values` (Q, columns) over resampled people, and their queries."""
    code = np.arange(len(values)) if who is None else np.unique(who, return_inverse=True)[1]
    people = int(code.max()) + 1
    sums = np.stack([np.bincount(code, column, people) for column in (*values.T, np.ones(len(values)))], axis=1)
    rng = np.random.default_rng(seed)
    step = max(1, 5_000_000 // people)
    parts = [
        rng.multinomial(people, np.full(people, 1.0 / people), size=min(step, draws - start)) @ sums
        for start in range(0, draws, step)
    ]
    return np.concatenate(parts)


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

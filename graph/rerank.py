"""Diversity: choosing a list whose items differ, from a pool of good ones (maximal marginal relevance)."""

from __future__ import annotations

import numpy as np


def diversify(scores: np.ndarray, vectors: np.ndarray, popularity: np.ndarray, n: int, diversity: float) -> np.ndarray:
    """Places (n,) in the pool, best first.

    Each step takes the item with the greatest (1 - diversity) * score - diversity * likeness to what was taken, both on
    the scale of the pool; part of the penalty is how well known the item is, since a list of what everybody sees is
    no variety.

    Args:
        scores: (M,). vectors: unit vectors (M, d). popularity: logarithms (M,). diversity: 0 to 1.
    """
    span = max(float(scores.max() - scores.min()), 1e-9)
    relevance = (scores - scores.min()) / span
    known = popularity / max(float(popularity.max()), 1e-9)
    gain = (1.0 - diversity) * relevance - 0.25 * diversity * known
    likeness = np.zeros(len(scores), dtype=np.float32)
    free = np.ones(len(scores), dtype=bool)
    chosen = []
    for _ in range(min(n, len(scores))):
        value = np.where(free, gain - 0.5 * diversity * likeness, -np.inf)
        pick = int(value.argmax())
        chosen.append(pick)
        free[pick] = False
        np.maximum(likeness, vectors @ vectors[pick], out=likeness)
    return np.array(chosen, dtype=np.int64)

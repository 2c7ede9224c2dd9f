"""Two rankings in one, where it is not known which of them is asked for.

Weights that lie half-way between the two are good at neither. By the mean of what each says of an item's chances a list
holds what either is sure of, which is what the expected number of hits is greatest for.
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

SHARP = 2.0
"""Scores are logarithms of odds of single events; of a list's hits, the greatest of many, they tell too little."""


def mixed(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """(Q, N) float32: logarithms of the mean chances of items by their scores (Q, N), `share` of them by the second.

    -inf stays -inf.
    """
    chances = np.logaddexp(np.log(1.0 - share) + _chances(first), np.log(share) + _chances(second))
    return np.asarray(chances, dtype=np.float32)


def _chances(scores: np.ndarray) -> np.ndarray:
    """(Q, N): logarithms of chances that add up to one; of a row without a finite score all -inf."""
    there = np.isfinite(scores).any(axis=1, keepdims=True)
    return np.where(there, log_softmax(np.where(there, SHARP * scores, 0.0), axis=1), -np.inf)

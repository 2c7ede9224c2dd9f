"""How often two items are met by the same people, counted by which came first and how far apart they were.

What a person meets within one sitting hangs together more than what they met a year apart, and what tends to come later
is what a person who has done little will do next. Both are sums over people of a table of pairs of places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse as sp

from graph.dataset import Pairs

NEWEST = 3000
"""Of a person's events so many of the newest are paired with each other, where all pairs of places count."""
LAGS = 50
"""Places apart at most, where the catalogue is too large for a dense matrix."""


def close_gram(pairs: Pairs, reach: float) -> np.ndarray:
    """(N, N) float64: who met both items, each counting exp(-places apart / reach); the diagonal is popularity.

    A kernel of places is positive definite, hence so is the sum: it may stand where X'X stands.
    """
    longest = min(_longest(pairs), NEWEST)
    apart = np.abs(np.subtract.outer(np.arange(longest), np.arange(longest)))
    return _summed(pairs, np.exp(apart / -reach))


def later_counts(pairs: Pairs, dense: bool) -> np.ndarray | sp.csr_matrix:
    """(N, N): who met the column's item after the row's; sparse, and within `LAGS` places, if not `dense`."""
    if dense:
        longest = min(_longest(pairs), NEWEST)
        return _summed(pairs, np.triu(np.ones((longest, longest)), 1))
    return lagged(pairs, LAGS, lambda _: 1.0)


def lagged(pairs: Pairs, lags: int, weight: Callable[[int], float]) -> sp.csr_matrix:
    """(N, N) float32: of each pair of items the weights of the lags at which the column's came after the row's."""
    kept = pairs.strength > 0
    user, item = pairs.user[kept], pairs.item[kept]
    total = sp.csr_matrix((pairs.shape[1], pairs.shape[1]), dtype=np.float32)
    for lag in range(1, lags + 1):
        same = user[lag:] == user[:-lag]
        if not same.any():
            break
        values = np.full(int(same.sum()), weight(lag), dtype=np.float32)
        total = total + sp.csr_matrix((values, (item[:-lag][same], item[lag:][same])), shape=total.shape)
    return total.tocsr()


def _summed(pairs: Pairs, table: np.ndarray) -> np.ndarray:
    """The sum over people of `table` (L, L), whose places are those of the person's liked items, oldest first."""
    out = np.zeros((pairs.shape[1], pairs.shape[1]))
    for items in _histories(pairs):
        length = len(items)
        out[np.ix_(items, items)] += table[:length, :length]
    return out


def _histories(pairs: Pairs) -> Iterator[np.ndarray]:
    kept = pairs.strength > 0
    item = pairs.item[kept]
    ends = np.concatenate(([0], np.cumsum(np.bincount(pairs.user[kept], minlength=pairs.shape[0]))))
    for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        if start < end:
            yield item[max(start, end - NEWEST) : end]


def _longest(pairs: Pairs) -> int:
    return int(np.bincount(pairs.user[pairs.strength > 0], minlength=1).max())

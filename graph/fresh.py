"""Items that a version does not know, laid beside it: nothing of the version is copied or changed.

A new item is a weighted sum of the version's anchors (`graph.content`), hence so is all that linear sources say of it:
its score is the same sum of the anchors' scores, and what having met it says is the same sum of what they say. How far
it stands out from the mean of the anchors by one source is multiplied by that source's `share` (`graph.unmet`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import scipy.sparse as sp

STRONGEST = 50
"""Anchors per new item that count for sparse matrices."""
NONE = 1e-9
"""By a share below this new items do not stand out at all."""


@dataclass(frozen=True, eq=False)
class Fresh:
    """n new items, numbered from `first` (N) on: `weights` (n, A) of the `anchors` (A,)."""

    first: int
    anchors: np.ndarray
    weights: np.ndarray
    _met: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.weights)

    def rows(self, values: np.ndarray, share: float = 1.0) -> np.ndarray:
        """(N, ...) -> (n, ...): what holds of the new items when `values` hold of the old ones."""
        return carried_rows(self.weights, values[self.anchors], share)

    def columns(self, scores: np.ndarray | sp.csr_matrix, share: float = 1.0) -> np.ndarray | sp.csr_matrix:
        """(Q, N) -> (Q, n): the new items' scores by one matrix, in float64 as all that `Scorer.all_scores` adds up."""
        if sp.issparse(scores):
            return sp.csr_matrix(scores.astype(np.float64) @ self.selector.T) * share
        return carried_rows(self._exact, scores[:, self.anchors].T.astype(np.float64), share).T

    def met(self, matrix: np.ndarray | sp.csr_matrix, number: int) -> np.ndarray:
        """(N,): what having met the new item `number` says of the old ones. Made when first asked for, and kept."""
        key = (id(matrix), number)
        found = self._met.get(key)
        if found is None:
            if sp.issparse(matrix):
                found = (self.selector[number - self.first] @ matrix).toarray().ravel()
            else:
                spread = np.zeros(self.first, dtype=np.float32)
                spread[self.anchors] = self.weights[number - self.first]
                found = spread @ matrix
            self._met[key] = found
        return found

    def block(
        self, matrix: np.ndarray | sp.csr_matrix, events: np.ndarray, targets: np.ndarray, share: float = 1.0
    ) -> np.ndarray:
        """(E, n): the matrix at these events and targets, either of which may be new."""
        rows = np.empty((len(events), self.first), dtype=np.float32)
        old = events < self.first
        known = matrix[events[old]]
        rows[old] = known.toarray() if sp.issparse(known) else known
        for place in np.flatnonzero(~old):
            rows[place] = self.met(matrix, int(events[place]))
        out = np.empty((len(events), len(targets)), dtype=np.float32)
        new = targets >= self.first
        out[:, ~new] = rows[:, targets[~new]]
        if new.any():
            chosen = targets[new] - self.first
            out[:, new] = (
                (self.selector[chosen] @ rows.T).T * np.float32(share)
                if sp.issparse(matrix)
                else carried_rows(self.weights[chosen], rows[:, self.anchors].T, share).T
            )
        return out

    @cached_property
    def _exact(self) -> np.ndarray:
        return self.weights.astype(np.float64)

    @cached_property
    def selector(self) -> sp.csr_matrix:
        """The weights as (n, N) with the strongest of each row."""
        return strongest_anchors(self.anchors, self.weights, self.first)


def carried_rows(weights: np.ndarray, of_anchors: np.ndarray, share: float) -> np.ndarray:
    """(n, ...): sums of the rows (A, ...) by `weights` (n, A), which stand out from the rows' mean by `share`."""
    if share < NONE:
        mean = of_anchors.mean(axis=0, dtype=np.float64).astype(of_anchors.dtype)
        return np.repeat(mean[None], len(weights), axis=0)
    found = weights @ of_anchors
    if share != 1.0:
        found = share * found + (1.0 - share) * of_anchors.mean(axis=0)
    return np.asarray(found, dtype=of_anchors.dtype)


def strongest_anchors(anchors: np.ndarray, weights: np.ndarray, items: int) -> sp.csr_matrix:
    """`weights` (n, A) as a matrix (n, items) with the `STRONGEST` of each row: enough for a sparse matrix."""
    count = min(STRONGEST, weights.shape[1])
    best = np.empty((len(weights), count), dtype=np.int64)
    for start in range(0, len(weights) if count else 0, 4096):
        some = np.abs(weights[start : start + 4096])
        best[start : start + 4096] = np.argpartition(-some, count - 1, axis=1)[:, :count]
    values = np.take_along_axis(weights, best, axis=1)
    rows = np.repeat(np.arange(len(best)), count)
    shape = (len(best), items)
    return sp.csr_matrix((values.ravel(), (rows, anchors[best].ravel())), shape=shape, dtype=np.float32)

"""The source `likeness`: which of the items that somebody met a new one is like.

By it the score of an item that nobody met is the sum of its own weights (`graph.content`) over the items that the
person met: the kernel in which each item speaks for itself alone, carried over as all sources are. Of items that
somebody met it says nothing, so only the columns of the others are kept for scoring.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from graph.fresh import Fresh
from graph.kernels import Kernel, Sessions

LIKENESS = "likeness"


def likeness_kernel(items: int) -> Kernel:
    """The source in which each of the items speaks for itself alone."""
    return Kernel(LIKENESS, matrix=sp.identity(items, dtype=np.float32, format="csr"), power=0.0, kind="similar_text")


@dataclass(frozen=True, eq=False)
class Likeness:
    """The source with new items beside a version, N + n in all: `matrix` (N + n, U) of the U `items` that nobody met.

    `place` (N + n,) is the column of each item, -1 for those that it says nothing of.
    """

    kernel: Kernel
    matrix: sp.csr_matrix
    items: np.ndarray
    place: np.ndarray

    @classmethod
    def of(cls, kernel: Kernel, popularity: np.ndarray, fresh: Fresh | None, share: float) -> Likeness | None:
        """None where there is no item that nobody met. `popularity` (N,) of the version's items."""
        matrix, unmet = sp.csr_matrix(kernel.matrix), np.flatnonzero(popularity <= 0)
        own = matrix[:, unmet]
        items = unmet
        if fresh is not None and len(fresh):
            below = fresh.selector @ matrix
            to = fresh.selector.T * np.float32(share)
            right, corner = matrix @ to, below @ to
            own = sp.bmat([[own, right], [below[:, unmet], corner]], format="csr")
            items = np.concatenate([unmet, fresh.first + np.arange(len(fresh))])
        if not len(items):
            return None
        place = np.full(own.shape[0], -1, dtype=np.int64)
        place[items] = np.arange(len(items))
        return cls(kernel, sp.csr_matrix(own, dtype=np.float32), items, place)

    def read(self, sessions: Sessions, weights: np.ndarray) -> LikenessPart:
        """What it says for these sessions; `weights` (P,) are the gated ones of the events."""
        spread = sp.csr_matrix((weights, sessions.item, sessions.offsets), shape=(len(sessions), len(self.place)))
        return LikenessPart(self, weights, np.asarray((spread @ self.matrix).toarray(), dtype=np.float32))


@dataclass(frozen=True, eq=False)
class LikenessPart:
    """The source for one batch: gated weights (P,) of the events and scores (Q, U)."""

    source: Likeness
    weights: np.ndarray
    scores: np.ndarray

    def at(self, chosen: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """(Q, n) scores of the items `chosen` (Q, n) of the sessions `rows` (Q,), by default each one's own."""
        columns = self.source.place[chosen]
        if (columns < 0).all():
            return np.zeros(chosen.shape, dtype=np.float32)
        lines = np.arange(len(chosen)) if rows is None else rows
        return np.where(columns >= 0, self.scores[lines[:, None], columns], np.float32(0.0))

    def carried(self, sessions: Sessions, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places (K,) of events, and what they carry (K, n) of their session's items of `chosen` (Q, n)."""
        columns = self.source.place[chosen]
        kept = np.flatnonzero((columns >= 0).any(axis=1)[sessions.query] & (self.weights != 0))
        columns = columns[sessions.query[kept]]
        if not len(kept):
            return kept, np.zeros((0, chosen.shape[1]), dtype=np.float32)
        lines = np.repeat(sessions.item[kept], columns.shape[1])
        found = np.asarray(self.source.matrix[lines, np.maximum(columns, 0).ravel()], dtype=np.float32)
        return kept, np.where(columns >= 0, found.reshape(columns.shape), 0.0) * self.weights[kept, None]

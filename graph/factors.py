"""Matrix factorisation for implicit feedback, with people folded in: nobody's vector is kept.

Weighted alternating least squares (Hu, Koren, Volinsky, 2008). Only item vectors y are kept; a session's vector is the
ridge regression of its events on them, (Y'Y + alpha Y_s'Y_s + reg I)^-1 (1 + alpha) sum(strength * y), so a score is
a sum over the events once the session's own inverse is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from graph.config import FactorsConfig
from graph.kernels import Kernel, Sessions


@dataclass(frozen=True, eq=False)
class FoldInKernel(Kernel):
    """A factor source whose vectors are solved for: `alpha`, and `ground` (d, d) = Y'Y + reg I."""

    alpha: float = 1.0
    ground: np.ndarray | None = None

    def vectors(self, sessions: Sessions, weights: np.ndarray) -> np.ndarray:
        """(Q, d): the sessions' vectors, times what the weights were scaled by."""
        assert self.source is not None
        drive = self.spread(sessions, weights) @ self.source
        return np.linalg.solve(self._system(sessions), drive[:, :, None].astype(np.float32))[:, :, 0]

    def weights(self, sessions: Sessions) -> np.ndarray:
        """(P,): strengths times 1 + alpha, without normalisation, which the inverse sees to."""
        return (sessions.strength * (1.0 + self.alpha)).astype(np.float32)

    def contributions(self, sessions: Sessions, row: int, weights: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """(E, n): exact for this session, whose inverse is applied to the targets."""
        assert self.source is not None and self.target is not None
        span = slice(sessions.offsets[row], sessions.offsets[row + 1])
        source = self.source[sessions.item[span]]
        system = self.ground + self.alpha * (source.T @ source)
        turned = np.linalg.solve(system, self.target[targets].T)
        return np.asarray((source * weights[span, None]) @ turned)

    def _system(self, sessions: Sessions) -> np.ndarray:
        assert self.source is not None and self.ground is not None
        systems = np.empty((len(sessions), *self.ground.shape), dtype=np.float32)
        for row in range(len(sessions)):
            met = self.source[sessions.item[sessions.offsets[row] : sessions.offsets[row + 1]]]
            systems[row] = self.ground + self.alpha * (met.T @ met)
        return systems


def fold_in_kernel(positive: sp.csr_matrix, config: FactorsConfig, seed: int) -> FoldInKernel:
    """The source `factors` for a matrix (U, N) of who met what."""
    items = item_factors(positive, config, seed)
    ground = items.T @ items + config.ridge * np.eye(items.shape[1], dtype=np.float32)
    return FoldInKernel("factors", source=items, target=items, alpha=config.alpha, ground=ground.astype(np.float32))


def item_factors(positive: sp.csr_matrix, config: FactorsConfig, seed: int) -> np.ndarray:
    """(N, d) float32 item vectors."""
    rng = np.random.default_rng(seed)
    items = rng.normal(0.0, 0.1, (positive.shape[1], config.dim)).astype(np.float32)
    by_user, by_item = positive.tocsr(), positive.T.tocsr()
    for _ in range(config.rounds):
        users = _solve(by_user, items, config)
        items = _solve(by_item, users, config)
    return items


def _solve(met: sp.csr_matrix, other: np.ndarray, config: FactorsConfig, block: int = 512) -> np.ndarray:
    """(rows, d): each row's least squares given the other side's vectors."""
    ground = other.T @ other + config.ridge * np.eye(other.shape[1], dtype=np.float32)
    out = np.zeros((met.shape[0], other.shape[1]), dtype=np.float32)
    sums = (1.0 + config.alpha) * (met @ other)
    for start in range(0, met.shape[0], block):
        rows = range(start, min(start + block, met.shape[0]))
        systems = np.empty((len(rows), *ground.shape), dtype=np.float32)
        for place, row in enumerate(rows):
            vectors = other[met.indices[met.indptr[row] : met.indptr[row + 1]]]
            systems[place] = ground + config.alpha * (vectors.T @ vectors)
        out[rows.start : rows.stop] = np.linalg.solve(systems, sums[rows.start : rows.stop, :, None])[:, :, 0]
    return out

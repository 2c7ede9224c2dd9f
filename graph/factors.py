"""Matrix factorisation for implicit feedback, with people folded in: nobody's vector is kept.

Weighted alternating least squares (Hu, Koren, Volinsky, 2008). Only item vectors y are kept; a session's vector is the
ridge regression of its events on them, (Y'Y + alpha Y_s'Y_s + reg I)^-1 (1 + alpha) sum(strength * y), so a score is
a sum over the events once the session's own inverse is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from graph.compiled import fold_in, solve_each
from graph.config import FactorsConfig
from graph.kernels import Kernel, Sessions


@dataclass(frozen=True, eq=False)
class Solver:
    """The sessions' ridge regressions, their systems as Cholesky factors (Q, d, d), lower."""

    factors: np.ndarray

    def solve(self, right: np.ndarray) -> np.ndarray:
        """(Q, n, d): each session's inverse times the vectors of its own in `right` (Q, n, d)."""
        found = np.array(right, dtype=np.float32, order="C")
        solve_each(self.factors, found)
        return found


@dataclass(frozen=True, eq=False)
class FoldInKernel(Kernel):
    """A factor source whose vectors are solved for: `alpha`, and `ground` (d, d) = Y'Y + reg I."""

    alpha: float = 1.0
    ground: np.ndarray | None = None

    @property
    def reading(self) -> tuple[float, ...]:
        """As of every kernel."""
        return (-1.0, self.alpha)

    def solver(self, offsets: np.ndarray, met: np.ndarray) -> Solver:
        """The sessions' systems: the events of session q have the vectors `met[offsets[q]:offsets[q + 1]]`.

        Raises:
            LinAlgError: one is not positive definite.
        """
        assert self.ground is not None
        factors = np.empty((len(offsets) - 1, *self.ground.shape), dtype=np.float32)
        fold_in(offsets, met, self.ground, self.alpha, factors)
        return Solver(factors)

    def vectors(self, sessions: Sessions, weights: np.ndarray) -> np.ndarray:
        """(Q, d): the sessions' vectors, times what the weights were scaled by."""
        assert self.source is not None
        drive = self.spread(sessions, weights) @ self.source
        return self.solver(sessions.offsets, self.source[sessions.item]).solve(np.asarray(drive)[:, None])[:, 0]

    def weights(self, sessions: Sessions) -> np.ndarray:
        """(P,): strengths times 1 + alpha, without normalisation, which the inverse sees to."""
        return (sessions.strength * (1.0 + self.alpha)).astype(np.float32)

    def contributions(self, sessions: Sessions, row: int, weights: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """(E, n): exact for this session, whose inverse is applied to the targets."""
        assert self.source is not None and self.target is not None
        span = slice(sessions.offsets[row], sessions.offsets[row + 1])
        source = self.source[sessions.item[span]]
        solver = self.solver(np.array([0, len(source)]), source)
        turned = solver.solve(self.target[targets][None])[0]
        return np.asarray((source * weights[span, None]) @ turned.T)


def fold_in_kernel(
    positive: sp.csr_matrix, config: FactorsConfig, seed: int, start: np.ndarray | None = None
) -> FoldInKernel:
    """The source `factors` for a matrix (U, N) of who met what, from random vectors or from `start` (N, d)."""
    items = item_factors(positive, config, seed, start)
    ground = items.T @ items + config.ridge * np.eye(items.shape[1], dtype=np.float32)
    return FoldInKernel("factors", source=items, target=items, alpha=config.alpha, ground=ground.astype(np.float32))


def item_factors(
    positive: sp.csr_matrix, config: FactorsConfig, seed: int, start: np.ndarray | None = None
) -> np.ndarray:
    """(N, d) float32 item vectors; with `start` (N, d) to begin with, one round is enough.

    Where that is much work (`is_exact`) the systems are solved by a few steps of conjugate gradients, all at once
    (Takacs, Pilaszy, Tikk, 2011): an exact solution costs d^3 a person.
    """
    rng = np.random.default_rng(seed)
    items = rng.normal(0.0, 0.1, (positive.shape[1], config.dim)).astype(np.float32)
    if start is not None:
        items = start
    by_user, by_item = positive.tocsr(), positive.T.tocsr()
    if is_exact(positive, config):
        for _ in range(config.rounds):
            users = _solve(by_user, items, config)
            items = _solve(by_item, users, config)
        return items
    users = np.zeros((positive.shape[0], config.dim), dtype=np.float32)
    for _ in range(1 if start is not None else config.rounds_approximate):
        users = _descend(by_user, items, users, config)
        items = _descend(by_item, users, items, config)
    return items


def is_exact(positive: sp.csr_matrix, config: FactorsConfig) -> bool:
    """Whether all systems are solved exactly: d^2 operations for an event, and d^3 / 3 for a person or an item."""
    people, items = positive.shape
    return bool(positive.nnz + (people + items) * config.dim // 3 <= config.exact_events)


def _descend(
    met: sp.csr_matrix, other: np.ndarray, begin: np.ndarray, config: FactorsConfig, block: int = 50_000
) -> np.ndarray:
    """(rows, d): each row's least squares given the other side's vectors, approximately, beginning with `begin`."""
    ground = other.T @ other + config.ridge * np.eye(other.shape[1], dtype=np.float32)
    out = np.empty_like(begin)
    for start in range(0, met.shape[0], block):
        part = met[start : start + block]
        row = np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
        vectors = other[part.indices]

        def times(
            x: np.ndarray, part: sp.csr_matrix = part, row: np.ndarray = row, vectors: np.ndarray = vectors
        ) -> np.ndarray:
            dots = np.einsum("ed,ed->e", vectors, x[row])
            inner = sp.csr_matrix((dots, part.indices, part.indptr), shape=part.shape)
            return np.asarray(x @ ground + config.alpha * (inner @ other))

        x = begin[start : start + block].copy()
        rest = (1.0 + config.alpha) * (part @ other) - times(x)
        way, size = rest.copy(), np.einsum("ud,ud->u", rest, rest)
        for _ in range(config.descents):
            turned = times(way)
            step = size / np.maximum(np.einsum("ud,ud->u", way, turned), 1e-12)
            x += step[:, None] * way
            rest -= step[:, None] * turned
            before, size = size, np.einsum("ud,ud->u", rest, rest)
            way = rest + (size / np.maximum(before, 1e-12))[:, None] * way
        out[start : start + block] = x
    return out


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

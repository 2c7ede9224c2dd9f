"""Sources of a score that are linear in a person's events, so that every score falls apart into exact contributions.

A kernel says how much having met item i speaks for item j. A session's score for j is the sum over its events of
`weight(event) * kernel(i, j)`: the weight is the event's signed strength, faded by its place in the session where the
kernel has a memory, over a power of the sum of all weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from graph.compiled_reading import weigh

FULL = 1.1
"""An event counts as this much at most in the normalisation, so that an explicit sign of taste raises a score."""
SHORTENED = 5_000
"""Up to this many items a matrix is kept a second time in 16 bits (50 MB), which are summed in half the time."""
STEPS = 32_767
FORGOTTEN = 0.01
"""An event whose memory has faded below this is left out."""


@dataclass(frozen=True, eq=False)
class Sessions:
    """Q sessions in one: the events of session q are rows `offsets[q]` to `offsets[q + 1]`, oldest first.

    `item` (P,) are numbers of items, each at most once in a session; `strength` (P,) is signed and not zero. `times`
    (Q,) is 0 for a session of which it is not known when it was, so that what comes next has no meaning for it, else 1.
    """

    offsets: np.ndarray
    item: np.ndarray
    strength: np.ndarray
    times: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> np.ndarray:
        """(Q,) events per session."""
        return np.diff(self.offsets)

    @cached_property
    def timeless(self) -> np.ndarray:
        """(Q,) float: see above."""
        return np.zeros(len(self)) if self.times is None else 1.0 - self.times

    @cached_property
    def query(self) -> np.ndarray:
        """(P,) the session of each row."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @cached_property
    def position(self) -> np.ndarray:
        """(P,) places from the end: 0 is the newest event."""
        return self.offsets[1:][self.query] - 1 - np.arange(len(self.item))

    @classmethod
    def join(cls, parts: list[tuple[np.ndarray, np.ndarray]], times: np.ndarray | None = None) -> Sessions:
        """From (items, strengths) of each session; `times` (Q,) as above, None where all have times."""
        offsets = np.concatenate(([0], np.cumsum([len(items) for items, _ in parts]))).astype(np.int64)
        if not parts:
            return cls(offsets, np.empty(0, np.int64), np.empty(0, np.float32), times)
        item = np.concatenate([items for items, _ in parts]).astype(np.int64)
        return cls(offsets, item, np.concatenate([strength for _, strength in parts]).astype(np.float32), times)


@dataclass(frozen=True, eq=False)
class Kernel:
    """One source.

    Either factors, `source` (N, d) and `target` (N, d) with kernel(i, j) = source[i] . target[j], or a `matrix` (N, N),
    dense or sparse. `memory` is the decay of an event's weight in positions, infinite for none; `power` the exponent of
    the normalisation. Sessions of more than `most` events are not read, by a source for those of whom little is known.
    `kind` is the kind of its reasons.
    """

    name: str
    source: np.ndarray | None = None
    target: np.ndarray | None = None
    matrix: np.ndarray | sp.csr_matrix | None = None
    memory: float = float("inf")
    power: float = 0.5
    most: float = float("inf")
    kind: str = "because_liked"

    @property
    def items(self) -> int:
        """N."""
        return (self.matrix if self.matrix is not None else self.source).shape[0]  # type: ignore[union-attr]

    @cached_property
    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """A dense matrix (N, N) and what its rows are to be multiplied by (N,), float32.

        Where there are few items it is in whole numbers of 16 bits: an entry differs by a 65,534th of the greatest of
        its row at most.
        """
        assert isinstance(self.matrix, np.ndarray)
        if len(self.matrix) > SHORTENED:
            return self.matrix, np.ones(len(self.matrix), dtype=np.float32)
        scale = (np.abs(self.matrix).max(axis=1, initial=0.0) / STEPS).astype(np.float32)
        return np.rint(self.matrix / np.where(scale > 0, scale, 1.0)[:, None]).astype(np.int16), scale

    @property
    def reading(self) -> tuple[float, ...]:
        """Sources with the same value here give events the same weights."""
        return self.memory, self.power, self.most

    @property
    def fusion(self) -> tuple[float, float, str] | None:
        """Dense sources with the same value here stand in fixed proportions; with one `reading` they are one source."""
        dense = self.matrix is not None and not sp.issparse(self.matrix)
        return (self.memory, self.power, self.kind) if dense else None

    def weights(self, sessions: Sessions) -> np.ndarray:
        """(P,) the weight of each event of each session."""
        return np.asarray(
            weigh(sessions.offsets, sessions.strength, self.memory, self.power, self.most, FULL, FORGOTTEN)
        )

    def spread(self, sessions: Sessions, weights: np.ndarray) -> sp.csr_matrix:
        """The weights as a matrix (Q, N)."""
        shape = (len(sessions), self.items)
        if not np.isfinite(min(self.memory, self.most)):
            return sp.csr_matrix((weights, sessions.item, sessions.offsets), shape=shape)
        kept = weights != 0
        ends = np.concatenate(([0], np.cumsum(kept)))[sessions.offsets]
        return sp.csr_matrix((weights[kept], sessions.item[kept], ends), shape=shape)

    def vectors(self, sessions: Sessions, weights: np.ndarray) -> np.ndarray:
        """(Q, d): the sessions' vectors, of a source that has factors."""
        return np.asarray(self.spread(sessions, weights) @ self.source)

    def scores(self, sessions: Sessions) -> np.ndarray:
        """(Q, N) float32, every item for every session."""
        weights = self.weights(sessions)
        if self.matrix is None:
            assert self.target is not None
            return np.asarray(self.vectors(sessions, weights) @ self.target.T, dtype=np.float32)
        found = self.spread(sessions, weights) @ self.matrix
        return np.asarray(found.toarray() if sp.issparse(found) else found, dtype=np.float32)

    def scores_at(self, sessions: Sessions, candidates: np.ndarray) -> np.ndarray:
        """(Q, C) float32, for the items `candidates` (Q, C) of each session."""
        weights = self.weights(sessions)
        if self.matrix is None:
            assert self.target is not None
            vectors = self.vectors(sessions, weights)
            out = np.empty(candidates.shape, dtype=np.float32)
            for start in range(0, len(out), 128):  # the gathered targets of all sessions would be gigabytes
                some = slice(start, start + 128)
                out[some] = np.einsum("qd,qcd->qc", vectors[some], self.target[candidates[some]])
            return out
        found = self.spread(sessions, weights) @ self.matrix
        rows = np.repeat(np.arange(len(sessions)), candidates.shape[1])
        at = found[rows, candidates.ravel()]
        return np.asarray(at, dtype=np.float32).reshape(candidates.shape)

    def contributions(self, sessions: Sessions, row: int, weights: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """(E, n): what each event of session `row` carries of each target's score; `weights` (P,) of all events."""
        span = slice(sessions.offsets[row], sessions.offsets[row + 1])
        events, weight = sessions.item[span], weights[span, None]
        if self.matrix is None:
            assert self.source is not None and self.target is not None
            return np.asarray((self.source[events] * weight) @ self.target[targets].T)
        block = self.matrix[events[:, None], targets[None, :]]
        return np.asarray((block.toarray() if sp.issparse(block) else block) * weight)

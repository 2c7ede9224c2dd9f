"""How far items that nobody met stand out by the factorisation from the mean of the anchors, stretched for each person.

Their targets are what content foretells (`graph.content`), which differs less from item to item than what is known.
The gate `UNMET` says by how much (`graph.unmet`), so that a score remains a sum over a person's events.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class Stretch:
    """Of N + n items, new ones included, `items` (U,) that nobody met, with what sets their targets apart (U, d).

    `apart` is float64, as all that `Scorer.all_scores` multiplies by. `place` (N + n,) is the row of each
    item in `apart`, -1 for those that somebody met. `more` (Q,), for one batch, is by how many times what sets them
    apart counts more than it does of itself.
    """

    items: np.ndarray
    apart: np.ndarray
    place: np.ndarray
    more: np.ndarray

    @classmethod
    def of(
        cls, target: np.ndarray, popularity: np.ndarray, anchors: np.ndarray, fresh: np.ndarray | None
    ) -> Stretch | None:
        """None where there is no item that nobody met.

        Args:
            target: (N, d) of the version's items. popularity: (N,). anchors: (A,). fresh: (n, d), targets of new items.
        """
        unmet = np.flatnonzero(popularity <= 0)
        unmet = unmet[np.abs(target[unmet]).sum(axis=1) > 0]  # of the others nothing is known
        rows, count = target[unmet], len(target)
        if fresh is not None and len(fresh):
            rows = np.concatenate([rows, fresh])
            unmet = np.concatenate([unmet, count + np.arange(len(fresh))])
            count += len(fresh)
        if not len(unmet):
            return None
        place = np.full(count, -1, dtype=np.int64)
        place[unmet] = np.arange(len(unmet))
        apart = rows - target[anchors].mean(axis=0, dtype=np.float64)
        return cls(unmet, apart, place, np.empty(0, dtype=np.float32))

    def by(self, gate: np.ndarray) -> Stretch:
        """For a batch of sessions for which the gate says this (Q,)."""
        return replace(self, more=(gate - 1.0).astype(np.float32))

    def scores(self, vectors: np.ndarray) -> np.ndarray:
        """(Q, U) float64: what is added to the scores of `items`, for the sessions' vectors (Q, d)."""
        return np.asarray((vectors * self.more[:, None]) @ self.apart.T)

    def moved(self, targets: np.ndarray, items: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
        """(Q, n, d): the targets of the items (Q, n) for the sessions `rows` (Q,), by default each one's own."""
        places = self.place[items]
        lines, columns = np.nonzero(places >= 0)
        if len(lines):
            more = self.more[lines if rows is None else rows[lines]]
            targets[lines, columns] += more[:, None] * self.apart[places[lines, columns]]
        return targets

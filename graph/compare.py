"""The version that serves beside one that is made: in the same held-out sessions, each with the items that it knows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graph.kernels import Sessions
from graph.model import Model, context


@dataclass(frozen=True, eq=False)
class Live:
    """The model that serves, which has seen the events up to `until_ms`."""

    model: Model
    until_ms: int

    def scores(self, item_ids: tuple[str, ...], sessions: Sessions, candidates: np.ndarray | None) -> np.ndarray:
        """(Q, C) scores of the `candidates` (Q, C), or of all items, which are numbers in `item_ids` (N,).

        Items that the model does not know come last: they could not be in its lists.
        """
        place = {item_id: number for number, item_id in enumerate(self.model.item_ids)}
        known = np.array([place.get(item_id, -1) for item_id in item_ids], dtype=np.int64)
        kept = known[sessions.item] >= 0
        ends = np.concatenate(([0], np.cumsum(kept)))[sessions.offsets]
        ours = Sessions(ends, known[sessions.item[kept]], sessions.strength[kept], sessions.times)
        if candidates is None:
            candidates = np.tile(np.arange(len(item_ids)), (len(sessions), 1))
        at = known[candidates]
        x, model = context(ours), self.model
        scores = np.zeros(candidates.shape, dtype=np.float32)
        for kernel in model.active:
            weight = model.gates[kernel.name](x)[:, None].astype(np.float32)
            scores += kernel.scores_at(ours, np.maximum(at, 0)) * weight
        for bias in model.active_biases:
            scores += model.gates[bias.name](x)[:, None].astype(np.float32) * bias.values[np.maximum(at, 0)]
        if scores.size:
            scores[at < 0] = scores.min() - 1.0
        return scores

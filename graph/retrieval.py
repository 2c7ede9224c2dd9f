"""Candidates from several sources, for catalogues that are too large to score all of it for every list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from cluster.messages import RankQuery
from graph.index import load_index, search
from graph.kernels import Sessions
from graph.model import Model

ALLOWED_EXACT = 20_000
"""Up to this many allowed items are all scored instead of being looked for."""


class Retriever:
    """The index over the items' joined targets, and how to ask it."""

    def __init__(self, model: Model, index: Any) -> None:
        self._index = index
        self._popular = np.argsort(-(model.popularity + model.jitter), kind="stable")[: model.config.serving.retrieve]

    @classmethod
    def load(cls, model: Model, path: Path) -> Retriever:
        """Open the index file of a version."""
        return cls(model, load_index(path))

    def pools(
        self,
        model: Model,
        sessions: Sessions,
        weights: Mapping[str, np.ndarray],
        gates: Mapping[str, np.ndarray],
        queries: Sequence[RankQuery],
        numbers: Callable[[frozenset[str]], np.ndarray],
        fresh: np.ndarray,
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each query its candidates (C,) and their scores (C,), exact sums over all sources.

        `numbers` gives those of allowed items, sorted; `fresh` are items that the index does not hold.
        """
        vectors, targets, sparse = [], [], []
        for kernel in model.active:
            gated = weights[kernel.name] * gates[kernel.name][sessions.query]
            if kernel.matrix is None:
                vectors.append(kernel.vectors(sessions, gated))
                targets.append(kernel.target)
            else:
                sparse.append(sp.csr_matrix(kernel.spread(sessions, gated) @ kernel.matrix))
        bias_gates = [gates[bias.name][:, None] for bias in model.active_biases]
        joined = np.concatenate([*vectors, *bias_gates], axis=1).astype(np.float32)
        # The biases come last in the index; a model that is asked without them gives them no weight.
        joined = np.pad(joined, ((0, 0), (0, self._index.d - joined.shape[1])))
        count = model.config.serving.retrieve
        _, found = search(self._index, joined, count)
        pools = []
        for row, query in enumerate(queries):
            rows = [matrix[row] for matrix in sparse]
            allowed = None
            if query.allowed is not None:
                allowed = numbers(query.allowed)
            if allowed is not None and len(allowed) <= ALLOWED_EXACT:
                candidates = allowed
            else:
                best = [_best(part, count) for part in rows]
                candidates = np.unique(np.concatenate([found[row][found[row] >= 0], self._popular, fresh, *best]))
                if allowed is not None:
                    candidates = np.intersect1d(candidates, allowed, assume_unique=True)
            scores = np.zeros(len(candidates), dtype=np.float32)
            for vector, target in zip(vectors, targets, strict=True):
                scores += target[candidates] @ vector[row]  # type: ignore[index]
            for bias in model.active_biases:
                scores += bias.values[candidates] * gates[bias.name][row]
            for part in rows:
                scores[_places(candidates, part.indices)] += part.data[np.isin(part.indices, candidates)]
            pools.append((candidates, scores + model.jitter[candidates] * 1e-5))
        return pools


def _best(row: sp.csr_matrix, count: int) -> np.ndarray:
    if row.nnz <= count:
        return np.asarray(row.indices, dtype=np.int64)
    return np.asarray(row.indices[np.argpartition(-row.data, count)[:count]], dtype=np.int64)


def _places(candidates: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Where those of `items` that are candidates stand among the sorted candidates."""
    kept = items[np.isin(items, candidates)]
    return np.searchsorted(candidates, kept)

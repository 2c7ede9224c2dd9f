"""Candidates from several sources, for catalogues that are too large to score all of it for every list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from cluster.messages import RankQuery
from graph.index import load_index, search
from graph.model import Model
from graph.scoring import Batch, Scorer

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
        scorer: Scorer,
        batch: Batch,
        queries: Sequence[RankQuery],
        numbers: Callable[[frozenset[str]], np.ndarray],
        fresh: np.ndarray,
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each query its candidates (C,) and their scores (C,), exact sums over all sources.

        `numbers` gives those of allowed items, sorted; `fresh` are items that the index does not hold.
        """
        vectors = [part.vectors for part in batch.factors]
        joined = np.concatenate([*vectors, batch.bias_gates], axis=1).astype(np.float32)
        # The biases come last in the index; a model that is asked without them gives them no weight.
        joined = np.pad(joined, ((0, 0), (0, self._index.d - joined.shape[1])))
        count = scorer.model.config.serving.retrieve
        _, found = search(self._index, joined, count)
        tables = [_sparse(table.scores) for table in batch.tables]
        news = [None if table.fresh is None else _sparse(table.fresh) for table in batch.tables]
        first = len(scorer.model.item_ids)
        pools = []
        for row, query in enumerate(queries):
            rows = [matrix[row] for matrix in tables]
            allowed = None if query.allowed is None else numbers(query.allowed)
            if allowed is not None and len(allowed) <= ALLOWED_EXACT:
                candidates = allowed
            else:
                best = [_best(part, count) for part in rows]
                candidates = np.unique(np.concatenate([found[row][found[row] >= 0], self._popular, fresh, *best]))
                if allowed is not None:
                    candidates = np.intersect1d(candidates, allowed, assume_unique=True)
            scores = batch.bias_gates[row].astype(np.float32) @ scorer.bias_values[:, candidates]
            for part in batch.factors:
                scores += part.targets(candidates) @ part.vectors[row]
            for old, new in zip(rows, news, strict=True):
                _add(scores, candidates, old.indices, old.data)
                if new is not None:
                    _add(scores, candidates, new[row].indices + first, new[row].data)
            pools.append((candidates, np.asarray(scores, dtype=np.float32)))
        return pools


def _sparse(scores: np.ndarray | sp.csr_matrix) -> sp.csr_matrix:
    return scores if sp.issparse(scores) else sp.csr_matrix(scores)


def _add(scores: np.ndarray, candidates: np.ndarray, items: np.ndarray, values: np.ndarray) -> None:
    """Add the values of items to the scores of the sorted candidates that are among them."""
    if len(candidates):
        places = np.minimum(np.searchsorted(candidates, items), len(candidates) - 1)
        kept = candidates[places] == items
        scores[places[kept]] += values[kept]


def _best(row: sp.csr_matrix, count: int) -> np.ndarray:
    if row.nnz <= count:
        return np.asarray(row.indices, dtype=np.int64)
    return np.asarray(row.indices[np.argpartition(-row.data, count)[:count]], dtype=np.int64)

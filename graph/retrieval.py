"""Candidates from several sources, for catalogues that are too large to score all of it for every list.

From the index those with the best sum over the factor sources and the biases, from each neighbour source its best, what
is popular, and what is new. All candidates are then scored exactly, by all sources.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from cluster.messages import RankQuery
from graph.index import load_index, search
from graph.kernels import Sessions
from graph.model import Model
from graph.scoring import Batch, Scorer

ALLOWED_EXACT = 20_000
"""Up to this many allowed items are all scored instead of being looked for."""
POPULAR = 200
"""Popular items that always compete. They are in the index as well, with their biases."""
MAX_MORE = 2_000
"""Up to this many more are retrieved where so many may not be shown."""
ROOM = 32
"""Where the index knows the whole score, so many are retrieved beyond what is asked for: for twins, and for what
changes places when half precision becomes single."""
SCALE_SESSIONS, SCALE_EVENTS = 256, 20
"""Sessions, and events of each, on which the length of a query's parts is found."""
LEAST_LENGTH = 1e-4
"""A part of the queries counts as at least this share of the longest: one that is never asked for is not blown up."""


class Retriever:
    """The index over the items' joined targets, and how to ask it."""

    def __init__(self, model: Model, index: Any, scale: np.ndarray) -> None:
        self._index = index
        self._scale = scale
        self._popular = np.argsort(-(model.popularity + model.jitter), kind="stable")[:POPULAR]

    @classmethod
    def load(cls, model: Model, folder: Path) -> Retriever:
        """Open the index in the folder of a version; older versions have it unscaled."""
        index, scale = load_index(folder / "index.faiss"), folder / "index_scale.npy"
        return cls(model, index, np.load(scale) if scale.exists() else np.ones(index.d, np.float32))

    def pools(
        self,
        scorer: Scorer,
        batch: Batch,
        queries: Sequence[RankQuery],
        numbers: Callable[[frozenset[str]], np.ndarray],
        fresh: np.ndarray,
        more: int = 0,
        best: int | None = None,
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each query its candidates (C,), sorted, and their scores (C,), exact sums over all sources.

        `numbers` gives those of allowed items, sorted; `fresh` are items that the index does not hold; `more` are to be
        retrieved beyond `serving.retrieve`, because so many of what is found may be left out. `best` is how many of the
        best scores are wanted of each, when nothing but those is: few are retrieved then, if the index knows it all.
        """
        joined = joined_queries(batch)
        # The biases come last in the index; a model that is asked without them gives them no weight.
        joined /= self._scale[: joined.shape[1]]
        joined = np.pad(joined, ((0, 0), (0, self._index.d - joined.shape[1])))
        count = scorer.model.config.serving.retrieve
        if best is not None and not batch.tables:
            count = min(count, best + ROOM)
        count += min(more, MAX_MORE)
        allowed = [None if query.allowed is None else numbers(query.allowed) for query in queries]
        found = self._search(joined, count, allowed)
        tables = [_sparse(table.scores) for table in batch.tables]
        news = [None if table.fresh is None else _sparse(table.fresh) for table in batch.tables]
        first = len(scorer.model.item_ids)
        pools = []
        for row in range(len(queries)):
            rows = [_row(matrix, row) for matrix in tables]
            only, looked = allowed[row], found[row]
            if looked is None:
                assert only is not None
                candidates = only
            else:
                of_tables = [_best(*part, count) for part in rows]
                candidates = _distinct(np.concatenate([looked, self._popular, fresh, *of_tables]))
                if only is not None:
                    candidates = np.intersect1d(candidates, only, assume_unique=True)
            scores = batch.bias_gates[row].astype(np.float32) @ scorer.bias_values[:, candidates]
            for part in batch.factors:
                scores += part.targets(candidates[None], np.array([row]))[0] @ part.vectors[row]
            for (items, values), new in zip(rows, news, strict=True):
                _add(scores, candidates, items, values)
                if new is not None:
                    items, values = _row(new, row)
                    _add(scores, candidates, items + first, values)
            if batch.likeness is not None:
                scores += batch.likeness.at(candidates[None], np.array([row]))[0]
            pools.append((candidates, np.asarray(scores, dtype=np.float32)))
        return pools

    def _search(self, joined: np.ndarray, count: int, allowed: Sequence[np.ndarray | None]) -> list[np.ndarray | None]:
        """What the index finds for each query, among the allowed; None where these are few enough to take all."""
        found: list[np.ndarray | None] = [None] * len(joined)
        free = [row for row, only in enumerate(allowed) if only is None]
        if free:
            _, items = search(self._index, joined[free], count)
            for row, best in zip(free, items, strict=True):
                found[row] = best[best >= 0]
        for row, only in enumerate(allowed):
            if only is not None and len(only) > ALLOWED_EXACT:
                mask = np.zeros(self._index.ntotal, dtype=bool)
                mask[only[only < len(mask)]] = True
                _, items = search(self._index, joined[row : row + 1], count, mask)
                found[row] = items[0][items[0] >= 0]
        return found


def joined_targets(model: Model) -> np.ndarray:
    """(N, D): the targets of all factor sources and the biases side by side; `joined_queries` is their counterpart."""
    parts = [kernel.target for kernel in model.active if kernel.target is not None]
    parts += [bias.values[:, None] for bias in model.active_biases]
    return np.concatenate(parts, axis=1).astype(np.float32) if parts else model.vectors


def joined_queries(batch: Batch) -> np.ndarray:
    """(Q, D) float32, whose inner products with `joined_targets` are the scores without those of tables."""
    vectors = [part.vectors for part in batch.factors]
    return np.concatenate([*vectors, batch.bias_gates], axis=1).astype(np.float32)


def query_scale(model: Model) -> np.ndarray:
    """(D,): how long each part of a joined query is, for every dimension of the part; found on made-up sessions.

    Lists of similar items are made by distance, in which a source that queries hardly ask for would count as much as
    the one that decides. Items times it and queries over it keep their products, and make the distance that of scores.
    """
    scorer, rng = Scorer(model), np.random.default_rng(model.config.seed)
    items = [np.unique(rng.integers(len(model.item_ids), size=SCALE_EVENTS)) for _ in range(SCALE_SESSIONS)]
    batch = scorer.read(Sessions.join([(rng.permutation(some), np.ones(len(some), np.float32)) for some in items]))
    joined = joined_queries(batch)
    widths = [part.vectors.shape[1] for part in batch.factors] + [1] * batch.bias_gates.shape[1]
    if not widths:
        return np.ones(model.vectors.shape[1], np.float32)
    lengths = [np.sqrt((part**2).sum(axis=1).mean()) for part in np.split(joined, np.cumsum(widths)[:-1], axis=1)]
    least = LEAST_LENGTH * max(lengths) or 1.0  # nothing is asked for: as it is
    return np.repeat(np.maximum(lengths, least), widths).astype(np.float32)


def _distinct(numbers: np.ndarray) -> np.ndarray:
    """Each once, sorted: what `numpy.unique` does in ten times the time."""
    numbers.sort()
    first = np.ones(len(numbers), dtype=bool)
    np.not_equal(numbers[1:], numbers[:-1], out=first[1:])
    return np.asarray(numbers[first])


def _sparse(scores: np.ndarray | sp.csr_matrix) -> sp.csr_matrix:
    return scores if sp.issparse(scores) else sp.csr_matrix(scores)


def _row(matrix: sp.csr_matrix, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Items and values of one row, without the cost of slicing a matrix."""
    span = slice(matrix.indptr[row], matrix.indptr[row + 1])
    return matrix.indices[span], matrix.data[span]


def _add(scores: np.ndarray, candidates: np.ndarray, items: np.ndarray, values: np.ndarray) -> None:
    """Add the values of items to the scores of the sorted candidates that are among them."""
    if len(candidates):
        places = np.minimum(np.searchsorted(candidates, items), len(candidates) - 1)
        kept = candidates[places] == items
        scores[places[kept]] += values[kept]


def _best(items: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    if len(items) <= count:
        return np.asarray(items, dtype=np.int64)
    return np.asarray(items[np.argpartition(-values, count)[:count]], dtype=np.int64)

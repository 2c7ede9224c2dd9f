"""Scores of a batch of sessions, and what each event carried of them: one pass over the sources, kept for the reasons.

Sources that read sessions alike share the event weights; dense matrices that the gates keep in proportion have been
fused into one (`Model.fused`), and sources with the same matrix are one product.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from graph.compiled import add_entries, add_products, add_rows
from graph.compiled_reading import add_gated
from graph.factors import FoldInKernel, Solver
from graph.fresh import Fresh
from graph.kernels import Kernel, Sessions
from graph.likeness import LIKENESS, Likeness, LikenessPart
from graph.model import NEW, UNMET, Bias, Model, context, gates_at
from graph.stretch import Stretch


@dataclass(frozen=True, eq=False)
class FactorPart:
    """A source with factors, for one batch of Q sessions with P events.

    The events are the rows `item` (P,) of `source` (M, d), with gated `weights` (P,); `vectors` (Q, d) are their sums,
    or what the solver makes of these.
    """

    kernel: Kernel
    fresh_target: np.ndarray | None
    weights: np.ndarray
    item: np.ndarray
    source: np.ndarray
    vectors: np.ndarray
    solver: Solver | None
    stretch: Stretch | None = None

    def targets(self, items: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """(Q, n, d) target vectors of items (Q, n), old or new, for the sessions `rows`, by default each one's own."""
        assert self.kernel.target is not None
        found = _rows(self.kernel.target, self.fresh_target, items)
        return found if self.stretch is None else self.stretch.moved(found, items, rows)


@dataclass(frozen=True, eq=False)
class TablePart:
    """The sources with one matrix, for one batch: gated weights (P,) and scores (Q, N), dense, or sparse."""

    kernel: Kernel
    weights: np.ndarray
    scores: np.ndarray | sp.csr_matrix
    fresh: np.ndarray | sp.csr_matrix | None
    share: float

    def add_entries(self, sessions: Sessions, chosen: np.ndarray, into: np.ndarray) -> None:
        """Add to `into` (P, n) what each event carries of its session's items of `chosen` (Q, n); none is new."""
        matrix, scale = self.kernel.table
        add_entries(sessions.offsets, sessions.item, self.weights * scale[sessions.item], matrix, chosen, into)

    def at(self, items: np.ndarray) -> np.ndarray:
        """(Q, n) scores of the items (Q, n)."""
        if self.fresh is None:
            return _pick(self.scores, items)
        first = self.scores.shape[1]
        old = _pick(self.scores, np.minimum(items, first - 1))
        return np.where(items < first, old, _pick(self.fresh, np.maximum(items - first, 0)))


@dataclass(frozen=True, eq=False)
class Batch:
    """What the model makes of Q sessions."""

    sessions: Sessions
    factors: list[FactorPart]
    tables: list[TablePart]
    bias_gates: np.ndarray
    fresh: Fresh | None
    likeness: LikenessPart | None = None

    def carried(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(P, n) each: what each event carries of its session's items of `chosen` (Q, n), by behaviour and by text."""
        sessions, count = self.sessions, chosen.shape[1]
        carried = {
            "because_liked": np.zeros((len(sessions.item), count), np.float32),
            "similar_text": np.zeros((len(sessions.item), count), np.float32),
        }
        liked = carried["because_liked"]
        for table in self.tables:
            into = carried.get(table.kernel.kind, liked)
            matrix = table.kernel.matrix
            if isinstance(matrix, np.ndarray) and not self._has_new(matrix, chosen):
                table.add_entries(sessions, chosen, into)
            else:
                kept = np.flatnonzero(table.weights)
                into[kept] += self._block(table, kept, chosen) * table.weights[kept, None]
        for part in self.factors:
            into, targets = carried.get(part.kernel.kind, liked), part.targets(chosen)
            if part.solver is not None:
                targets = part.solver.solve(targets)
            add_products(sessions.offsets, part.item, part.weights, part.source, np.ascontiguousarray(targets), into)
        if self.likeness is not None:
            kept, parts = self.likeness.carried(sessions, chosen)
            carried["similar_text"][kept] += parts
        return liked, carried["similar_text"]

    def shares(self, chosen: np.ndarray) -> list[tuple[Kernel, np.ndarray]]:
        """Of each source, (Q, n): its share of the scores of the items `chosen` (Q, n)."""
        shares = [(part.kernel, np.einsum("qd,qnd->qn", part.vectors, part.targets(chosen))) for part in self.factors]
        shares += [(table.kernel, table.at(chosen)) for table in self.tables]
        likeness = self.likeness
        return shares if likeness is None else [*shares, (likeness.source.kernel, likeness.at(chosen))]

    def _has_new(self, matrix: np.ndarray | sp.csr_matrix, chosen: np.ndarray) -> bool:
        """Whether there is an item that the matrix does not know, met or chosen."""
        items = matrix.shape[0]
        return self.fresh is not None and bool((self.sessions.item >= items).any() or (chosen >= items).any())

    def _block(self, table: TablePart, kept: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """(K, n): a matrix that is sparse, or lacks new items, at the events `kept` and what their sessions chose."""
        matrix, sessions = table.kernel.matrix, self.sessions
        events, query = sessions.item[kept], sessions.query[kept]
        assert matrix is not None
        if not self._has_new(matrix, chosen):
            return _pick(matrix, chosen[query], events)
        assert self.fresh is not None
        out = np.empty((len(kept), chosen.shape[1]), dtype=np.float32)
        for row in np.unique(query):
            own = query == row
            out[own] = self.fresh.block(matrix, events[own], chosen[row], table.share)
        return out


@dataclass(eq=False)
class Scorer:
    """A model, with new items beside it, ready to score; without what is the same for everybody if not `biased`."""

    model: Model
    fresh: Fresh | None = None
    biased: bool = True
    bias_values: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.model = self.model.fused()
        self._gate_places = {name: place for place, name in enumerate(self.model.gates)}
        self._coefficients = np.array([gate.coefficients for gate in self.model.gates.values()]).reshape(-1, 6)
        self._factors = [kernel for kernel in self.model.active if kernel.matrix is None]
        self._likeness: Likeness | None = None
        groups: dict[int, list[Kernel]] = {}
        for kernel in self.model.active:
            if kernel.name == LIKENESS:
                self._likeness = Likeness.of(kernel, self.model.popularity, self.fresh, self._share(kernel.name))
            elif kernel.matrix is not None:
                groups.setdefault(id(kernel.matrix), []).append(kernel)
        self._tables = list(groups.values())
        biases = self.model.active_biases if self.biased else ()
        self.biases = biases
        self.bias_values = (
            np.stack([self._bias(bias) for bias in biases]).astype(np.float32)
            if biases
            else np.zeros((0, self.size), np.float32)
        )
        self._fresh_vectors: np.ndarray | None = None
        rows = self.fresh.rows if self.fresh is not None else None
        self._fresh_sources = [rows(k.source) if rows and k.source is not None else None for k in self._factors]
        self._fresh_targets = [
            rows(k.target, self._share(k.name)) if rows and k.target is not None else None for k in self._factors
        ]
        self._stretch = [self._stretch_of(k, new) for k, new in zip(self._factors, self._fresh_targets, strict=True)]

    @property
    def size(self) -> int:
        """Items, the new ones included."""
        return len(self.model.item_ids) + (len(self.fresh) if self.fresh is not None else 0)

    def join(self, values: np.ndarray, share: float = 1.0) -> np.ndarray:
        """(N, ...) -> (N + n, ...)."""
        return values if self.fresh is None else np.concatenate([values, self.fresh.rows(values, share)])

    def _share(self, name: str) -> float:
        return self.model.gates[name].share

    def _bias(self, bias: Bias) -> np.ndarray:
        if bias.name == NEW and self.fresh is not None:
            return np.concatenate([bias.values, np.ones(len(self.fresh), dtype=np.float32)])
        return self.join(bias.values, self._share(bias.name))

    def _stretch_of(self, kernel: Kernel, fresh: np.ndarray | None) -> Stretch | None:
        content = self.model.content
        if kernel.name != "factors" or UNMET not in self.model.gates or content is None or kernel.target is None:
            return None
        return Stretch.of(kernel.target, self.model.popularity, content.anchors, fresh)

    def vectors(self, items: np.ndarray) -> np.ndarray:
        """(n, d): unit vectors of items, old or new, that tell how alike they are."""
        if self.fresh is None:
            return np.asarray(self.model.vectors[items])
        if self._fresh_vectors is None:
            made = self.fresh.rows(self.model.vectors)
            self._fresh_vectors = made / np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1e-9)
        return _rows(self.model.vectors, self._fresh_vectors, items)

    def read(self, sessions: Sessions) -> Batch:
        """Everything that follows from the sessions, short of adding it up."""
        x = context(sessions)
        weighed = gates_at(self._coefficients, x)
        gates = dict(zip(self._gate_places, np.ascontiguousarray(weighed.T, dtype=np.float32), strict=True))
        weights: dict[tuple[float, ...], np.ndarray] = {}

        def gated(*kernels: Kernel) -> np.ndarray:
            total = np.zeros(len(sessions.item), dtype=np.float32)
            for kernel in kernels:
                if kernel.reading not in weights:
                    weights[kernel.reading] = kernel.weights(sessions)
                add_gated(sessions.offsets, weights[kernel.reading], gates[kernel.name], total)
            return total

        factors = []
        for place, kernel in enumerate(self._factors):
            item, source, new = sessions.item, kernel.source, self._fresh_sources[place]
            assert source is not None
            if new is not None or isinstance(kernel, FoldInKernel):
                item, source = np.arange(len(item)), _rows(source, new, item)
            weight = gated(kernel)
            vectors = np.zeros((len(sessions), source.shape[1]), dtype=np.float32)
            add_rows(sessions.offsets, item, weight, source, vectors)
            solver = None
            if isinstance(kernel, FoldInKernel):
                solver = kernel.solver(sessions.offsets, source)
                vectors = solver.solve(vectors[:, None])[:, 0]
            stretch = self._stretch[place]
            if stretch is not None:
                stretch = stretch.by(weighed[:, self._gate_places[UNMET]])
            made = FactorPart(kernel, self._fresh_targets[place], weight, item, source, vectors, solver, stretch)
            factors.append(made)
        tables = []
        for group in self._tables:
            total = gated(*group)
            if not total.any():  # such as the source for sessions of one event, where all have more
                continue
            scores = self._product(group[0], sessions, total)
            share = self._share(group[0].name)
            fresh = self.fresh.columns(scores, share) if self.fresh is not None else None
            tables.append(TablePart(group[0], total, scores, fresh, share))
        likeness = None if self._likeness is None else self._likeness.read(sessions, gated(self._likeness.kernel))
        bias_gates = weighed[:, [self._gate_places[bias.name] for bias in self.biases]]
        return Batch(sessions, factors, tables, bias_gates, self.fresh, likeness)

    @cached_property
    def _whole(self) -> np.ndarray:
        """(B + D, N + n): the biases, then the targets of all sources with factors: what `all_scores` multiplies by.

        float64, for the product adds up in an order that the size of the batch decides, and a list must not depend on
        what it was ranked with: of near equals the one would come first alone, the other among many.
        """
        return np.ascontiguousarray(
            np.concatenate(
                [
                    self.bias_values,
                    *(
                        np.concatenate([kernel.target.T, *([] if new is None else [new.T])], axis=1)
                        for kernel, new in zip(self._factors, self._fresh_targets, strict=True)
                        if kernel.target is not None
                    ),
                ],
                dtype=np.float64,
            )
        )

    def all_scores(self, batch: Batch) -> np.ndarray:
        """(Q, N + n) float32, of each session the same whatever else is in the batch."""
        read = np.concatenate([batch.bias_gates, *(part.vectors for part in batch.factors)], axis=1, dtype=np.float64)
        total = (read @ self._whole).astype(np.float32)
        items = len(self.model.item_ids)
        old = total[:, :items]
        for table in batch.tables:
            old += _dense(table.scores)
            if table.fresh is not None:
                total[:, items:] += _dense(table.fresh)
        if batch.likeness is not None:
            total[:, batch.likeness.source.items] += batch.likeness.scores
        for part in batch.factors:
            if part.stretch is not None:
                total[:, part.stretch.items] += part.stretch.scores(part.vectors)
        return total

    def _product(self, kernel: Kernel, sessions: Sessions, weights: np.ndarray) -> np.ndarray | sp.csr_matrix:
        """(Q, N): the sum of the matrix's rows of each session's events."""
        matrix = kernel.matrix
        assert matrix is not None
        items = matrix.shape[0]
        new, old, met = np.empty(0, dtype=np.int64), weights, sessions.item
        if self.fresh is not None and (is_new := sessions.item >= items).any():
            # They may be of no weight here, as what is forgotten.
            new = np.flatnonzero(is_new & (weights != 0))
            old, met = np.where(is_new, np.float32(0.0), weights), np.minimum(sessions.item, items - 1)
        found: np.ndarray | sp.csr_matrix
        if isinstance(matrix, np.ndarray):
            found = np.zeros((len(sessions), items), dtype=np.float32)
            table, scale = kernel.table
            add_rows(sessions.offsets, met, old * scale[met], table, found)
        else:
            kept = old != 0
            ends = np.concatenate(([0], np.cumsum(kept)))[sessions.offsets]
            found = sp.csr_matrix((old[kept], met[kept], ends), shape=(len(sessions), items)) @ matrix
        for row in new:
            assert self.fresh is not None
            of_new = self.fresh.met(matrix, int(sessions.item[row])) * weights[row]
            query = int(sessions.query[row])
            if sp.issparse(found):
                single = sp.csr_matrix((of_new, (np.full(items, query), np.arange(items))), shape=found.shape)
                single.eliminate_zeros()
                found = found + single
            else:
                found[query] += of_new
        return found


def _rows(values: np.ndarray, fresh: np.ndarray | None, items: np.ndarray) -> np.ndarray:
    """(..., d): the rows of old and new items."""
    if fresh is None:
        return np.take(values, items, axis=0)
    out = values[np.minimum(items, len(values) - 1)]
    new = items >= len(values)
    out[new] = fresh[items[new] - len(values)]
    return out


def _dense(scores: np.ndarray | sp.csr_matrix) -> np.ndarray:
    return np.asarray(scores.toarray() if sp.issparse(scores) else scores)  # type: ignore[union-attr]


def _pick(scores: np.ndarray | sp.csr_matrix, items: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """(Q, n) entries of `scores` (R, N) at the columns `items` (Q, n) of the rows (Q,), by default each one's own."""
    lines = np.arange(len(items)) if rows is None else rows
    if not sp.issparse(scores):
        return np.asarray(scores[lines[:, None], items])
    flat = scores[np.repeat(lines, items.shape[1]), items.ravel()] if items.size else np.zeros(0)
    return np.asarray(flat, dtype=np.float32).reshape(items.shape)


def label(kernel: str) -> str:
    """The source that a kernel's name stands for, as lists name it."""
    return {"near": "session", "likeness": "text", "earlier": "after"}.get(
        kernel, "session" if kernel.startswith("next_") else kernel
    )

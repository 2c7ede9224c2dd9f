"""The ranker: sessions in, lists out. numpy, scipy and FAISS only; what is evaluated is what is served."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from cluster.errors import BundleError
from cluster.messages import Item, RankedItem, RankedList, RankQuery, SessionView
from graph.bundle import load_model
from graph.content import hashed_features
from graph.kernels import Sessions
from graph.model import Model, context
from graph.reasons import Parts, reasons_of
from graph.rerank import diversify
from graph.retrieval import Retriever

JITTER = 1e-5
"""Random part of a score, per item, that decides between equals."""
FILTERS = 16
"""Sets of allowed items whose numbers are kept."""
BATCH = 64
"""Queries that are scored at once at most, which bounds memory."""
STRENGTHS = 10_000
"""Strengths of events that are remembered by type and value."""


class Ranker:
    """One version of the model, ready to rank. Safe to share between threads; nothing but a memo changes.

    Args:
        model: the arrays. version: its name, carried in every list.
        retriever: finds candidates where the catalogue is too large to score all of it.
    """

    def __init__(self, model: Model, version: str, retriever: Retriever | None = None) -> None:
        self.model = model
        self.version = version
        self._number = {item_id: number for number, item_id in enumerate(model.item_ids)}
        self._retriever = retriever
        self._log_popularity = np.log1p(model.popularity).astype(np.float32)
        self._tie = (model.jitter * JITTER).astype(np.float32)
        self._strengths: dict[tuple[str, float | None], float] = {}
        self._overlay = frozenset[str]()
        self._barred = np.empty(0, dtype=np.int64)
        self._filters: dict[frozenset[str], np.ndarray] = {}
        self._origin = self

    @classmethod
    def load(cls, path: str | Path, version: str | None = None) -> Ranker:
        """Read a version's folder.

        Raises:
            BundleError: the folder is not a version that this code reads.
        """
        folder = Path(path)
        model = load_model(folder)
        retriever = None
        if len(model.item_ids) > model.config.serving.exhaustive_items:
            retriever = Retriever.load(model, folder / "index.faiss")
        return cls(model, version or str(model.meta.get("version") or folder.name), retriever)

    @property
    def items(self) -> tuple[str, ...]:
        """Ids of the items that can be ranked."""
        return self.model.item_ids

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._number

    def with_items(self, items: Sequence[Item], text_vectors: Mapping[str, np.ndarray] | None = None) -> Ranker:
        """The same version with further items of the catalogue, which enter by what is known of them.

        The given items replace those of an earlier call; items of the version itself are left as they are. Title words,
        categories, tags and attributes suffice; text vectors of the version's encoder make it better where given.
        """
        base = self._origin
        new = {item.item_id: item for item in items if item.item_id not in base._number}
        if not new or base.model.content is None:
            return base
        content = base.model.content
        hashed = hashed_features(list(new.values()), content.buckets)
        text = None
        if text_vectors and content.by_both is not None:
            text = np.zeros((len(new), content.by_both.shape[0] - content.buckets), dtype=np.float32)
            for row, item_id in enumerate(new):
                if item_id in text_vectors:
                    text[row] = text_vectors[item_id]
        extended = base.model.extend(tuple(new), content.express(hashed, text))
        ranker = Ranker(extended, self.version, base._retriever)
        ranker._overlay, ranker._origin = frozenset(new), base
        return ranker

    def without(self, item_ids: Iterable[str]) -> Ranker:
        """The same version, which never shows these items (in place of those of an earlier call)."""
        ranker = copy(self)
        numbers = [self._number[item_id] for item_id in item_ids if item_id in self._number]
        ranker._barred = np.array(sorted(numbers), dtype=np.int64)
        return ranker

    def rank(self, queries: Sequence[RankQuery]) -> list[RankedList]:
        """One list per query, in the same order. Unknown items are ignored; an empty session gets what is popular."""
        lists: list[RankedList] = []
        for start in range(0, len(queries), BATCH):
            lists += self._rank_batch(queries[start : start + BATCH])
        return lists

    def sessions(self, views: Sequence[SessionView]) -> Sessions:
        """What the model reads of the views: known items, each once at its last event, strengths added up."""
        return Sessions.join([self._events(view) for view in views])

    def similar(self, item_id: str, n: int = 10) -> tuple[RankedItem, ...] | None:
        """What a person who met this item and no other would be shown, leaving out what is popular anyway.

        None when the item is unknown.
        """
        if item_id not in self._number:
            return None
        bare = copy(self)
        bare.model = self.model.only(*(kernel.name for kernel in self.model.active))
        view = SessionView(None, (item_id,), ("like",), (None,), (0,), frozenset((item_id,)))
        return bare._rank_batch([RankQuery(view, n=n)])[0].items

    def popular(self, n: int = 10) -> tuple[RankedItem, ...]:
        """What most people met; the scores are their numbers."""
        order = np.argsort(-(self._log_popularity + self._tie), kind="stable")[:n]
        counts = self.model.popularity
        return tuple(RankedItem(self.model.item_ids[i], float(counts[i]), "popular") for i in order.tolist())

    def smoke(self) -> None:
        """Rank for a stranger and for somebody with two events.

        Raises:
            BundleError: no list comes out.
        """
        views = [SessionView(None), SessionView(None, self.items[:2], ("like", "like"), (None, None), (0, 1))]
        if self.items and not all(found.items for found in self.rank([RankQuery(view, n=3) for view in views])):
            raise BundleError(f"version {self.version} ranks nothing")

    def _events(self, view: SessionView) -> tuple[np.ndarray, np.ndarray]:
        number, known = self._number, self._strengths
        total: dict[int, float] = {}
        for item_id, type_, value in zip(view.items, view.types, view.values, strict=True):
            item = number.get(item_id)
            if item is None:
                continue
            strength = known.get((type_, value))
            if strength is None:
                if len(known) >= STRENGTHS:
                    known.clear()
                strength = known[type_, value] = self.model.weights.one(type_, value)
            if strength:
                # Taken out and put in again, so that an item stands where it was met last.
                total[item] = total.pop(item, 0.0) + strength
        bound = self.model.config.events.max_strength
        kept = {item: min(max(strength, -bound), bound) for item, strength in total.items() if abs(strength) > 1e-6}
        return np.fromiter(kept.keys(), np.int64, len(kept)), np.fromiter(kept.values(), np.float32, len(kept))

    def _rank_batch(self, queries: Sequence[RankQuery]) -> list[RankedList]:
        sessions = self.sessions([query.view for query in queries])
        gates = self._gates(sessions)
        weights = {kernel.name: kernel.weights(sessions) for kernel in self.model.active}
        pools: list[tuple[np.ndarray | None, np.ndarray]]
        if self._retriever is None:
            scores = self._all_scores(sessions, weights, gates)
            pools = [(None, row) for row in scores]
        else:
            found = self._retriever.pools(self.model, sessions, weights, gates, queries, self._numbers, self._fresh)
            pools = [(candidates, values) for candidates, values in found]
        lists = []
        for row, query in enumerate(queries):
            candidates, values = pools[row]
            chosen = self._choose(query, candidates, values)
            lists.append(self._list(query, sessions, row, chosen, weights, gates))
        return lists

    @property
    def _fresh(self) -> np.ndarray:
        """Numbers of the items of `with_items`, which stand at the end."""
        return np.arange(len(self.model.item_ids) - len(self._overlay), len(self.model.item_ids))

    def _numbers(self, item_ids: frozenset[str]) -> np.ndarray:
        """Numbers of these items, sorted. Filters come again and again with the same set, so some are kept."""
        found = self._filters.get(item_ids)
        if found is None:
            known = [self._number[item_id] for item_id in item_ids if item_id in self._number]
            found = np.array(sorted(known), dtype=np.int64)
            for oldest in list(self._filters)[: max(0, len(self._filters) - FILTERS + 1)]:
                self._filters.pop(oldest, None)
            self._filters[item_ids] = found
        return found

    def _gates(self, sessions: Sessions) -> dict[str, np.ndarray]:
        x = context(sessions.lengths)
        return {name: gate(x).astype(np.float32) for name, gate in self.model.gates.items()}

    def _all_scores(
        self, sessions: Sessions, weights: Mapping[str, np.ndarray], gates: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """(Q, N) float32. Gates go into the weights, so that each source is one product."""
        model = self.model
        if model.active_biases:
            table = np.stack([bias.values for bias in model.active_biases])
            total = np.stack([gates[bias.name] for bias in model.active_biases], axis=1) @ table
        else:
            total = np.zeros((len(sessions), len(model.item_ids)), dtype=np.float32)
        vectors, targets = [], []
        for kernel in model.active:
            gated = weights[kernel.name] * gates[kernel.name][sessions.query]
            if kernel.matrix is None:
                vectors.append(kernel.vectors(sessions, gated))
                targets.append(kernel.target)
            else:
                found = kernel.spread(sessions, gated) @ kernel.matrix
                total += found.toarray() if sp.issparse(found) else found
        for vector, target in zip(vectors, targets, strict=True):
            total += vector @ target.T  # type: ignore[union-attr]
        return np.asarray(total + self._tie, dtype=np.float32)

    def _choose(self, query: RankQuery, candidates: np.ndarray | None, values: np.ndarray) -> np.ndarray:
        """Item numbers of the list, best first. `candidates` (C,) are the items that `values` (C,) belong to."""
        values = np.array(values, dtype=np.float32)
        items = np.arange(len(values)) if candidates is None else candidates
        if query.allowed is not None and candidates is None:
            mask = np.zeros(len(values), dtype=bool)
            mask[self._numbers(query.allowed)] = True
            values[~mask] = -np.inf
        out = query.excluded if query.include_seen else query.excluded | query.view.seen
        numbers = [self._number[item_id] for item_id in out if item_id in self._number]
        if candidates is None:
            values[numbers] = -np.inf
            values[self._barred] = -np.inf
        elif numbers or len(self._barred):
            values[np.isin(candidates, np.concatenate([np.array(numbers, dtype=np.int64), self._barred]))] = -np.inf
        serving = self.model.config.serving
        size = query.n if query.diversity <= 0 else max(serving.diversity_pool, 5 * query.n)
        size = min(size, len(values))
        if size <= 0:
            return np.empty(0, dtype=np.int64)
        best = np.argpartition(-values, size - 1)[:size]
        best = best[np.argsort(-values[best], kind="stable")]
        best = best[np.isfinite(values[best])]
        if query.diversity > 0 and len(best) > 1:
            pool = items[best]
            order = diversify(
                values[best], self.model.vectors[pool], self._log_popularity[pool], query.n, min(query.diversity, 1.0)
            )
            best = best[order]
        return np.asarray(items[best[: query.n]], dtype=np.int64)

    def _list(
        self,
        query: RankQuery,
        sessions: Sessions,
        row: int,
        chosen: np.ndarray,
        weights: Mapping[str, np.ndarray],
        gates: Mapping[str, np.ndarray],
    ) -> RankedList:
        model = self.model
        if not len(chosen):
            return RankedList((), self.version)
        span = slice(sessions.offsets[row], sessions.offsets[row + 1])
        events = sessions.item[span]
        liked = np.zeros((len(events), len(chosen)))
        text = np.zeros((len(events), len(chosen)))
        by_source: dict[str, np.ndarray] = {}
        if len(events):
            for kernel in model.active:
                part = kernel.contributions(sessions, row, weights[kernel.name] * gates[kernel.name][row], chosen)
                into = text if kernel.kind == "similar_text" else liked
                into += part
                by_source[_label(kernel.name)] = by_source.get(_label(kernel.name), 0.0) + part.sum(axis=0)
        biases: dict[str, np.ndarray] = {}
        for bias in model.active_biases:
            value = bias.values[chosen].astype(np.float64) * float(gates[bias.name][row])
            biases[bias.kind] = biases.get(bias.kind, 0.0) + value
        by_source |= biases
        parts = Parts(tuple(model.item_ids[i] for i in events.tolist()), liked, text, biases)
        totals = parts.totals().tolist()
        names = list(by_source)
        top = np.stack([by_source[name] for name in names]).argmax(axis=0).tolist() if names else [0] * len(chosen)
        reasons = reasons_of(parts, model.config.serving.reasons) if query.explain else [()] * len(chosen)
        return RankedList(
            tuple(
                RankedItem(model.item_ids[item], totals[place], self._source(item, names, top[place]), reasons[place])
                for place, item in enumerate(chosen.tolist())
            ),
            self.version,
        )

    def _source(self, item: int, names: Sequence[str], best: int) -> str:
        if self._overlay and self.model.item_ids[item] in self._overlay:
            return "fresh"
        return names[best] if names else "popular"


def _label(kernel: str) -> str:
    """The source that a kernel's name stands for, as lists name it."""
    return {"near": "session"}.get(kernel, "session" if kernel.startswith("next_") else kernel)

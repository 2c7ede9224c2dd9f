"""The ranker: sessions in, lists out. numpy, scipy and FAISS only; what is evaluated is what is served."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from pathlib import Path

import numpy as np

from cluster.coded import EVENT, StoredView, Words
from cluster.errors import BundleError
from cluster.messages import ActiveRule, Item, RankedItem, RankedList, RankQuery, SessionView
from graph.bundle import load_model
from graph.choosing import SLACK, Candidates, Chooser, Chosen
from graph.compiled_lists import best_places
from graph.content import hashed_features
from graph.fresh import Fresh
from graph.kernels import Sessions
from graph.lists import Lister
from graph.model import Model
from graph.projection import plane
from graph.reading import Reader, Reading
from graph.rerank import Taste
from graph.retrieval import Retriever
from graph.scoring import Batch, Scorer
from graph.steering import NONE, Steering, contains
from graph.undecided import mixed

JITTER = 1e-5
"""Random part of a score, per item, that decides between equals."""
FILTERS = 16
"""Sets of allowed items, and of rules of requests, whose numbers are kept."""
BATCH = 64
"""Queries that are scored at once at most, which bounds memory."""


class Ranker:
    """One version of the model, ready to rank. Safe to share between threads; nothing but a memo changes.

    Args:
        model: the arrays. version: its name, carried in every list.
        retriever: finds candidates where the catalogue is too large to score all of it.
    """

    def __init__(self, model: Model, version: str, retriever: Retriever | None = None) -> None:
        self.model = model
        self.version = version
        self.items: tuple[str, ...] = model.item_ids
        self._scorer = Scorer(model)
        self._number = {item_id: number for number, item_id in enumerate(model.item_ids)}
        self._retriever = retriever
        self._popularity = model.popularity
        self._log_popularity = np.log1p(model.popularity).astype(np.float32)
        self._unmet = model.popularity <= 0
        self._tie = (model.jitter * JITTER).astype(np.float32)
        self._reader = self._read_by(self._number)
        self._barred = np.empty(0, dtype=np.int64)
        self._filters: dict[frozenset[str], np.ndarray] = {}
        self._asked: dict[tuple[ActiveRule, ...], Steering] = {}
        self._timed = 1.0
        self._traits = model.traits
        self._steering = NONE
        self._origin = self
        self._chooser = self._make_chooser(model.reach)

    def _make_chooser(self, reach: np.ndarray | None) -> Chooser:
        shown = self.model.impressions
        if shown is not None:
            shown = np.pad(shown, (0, len(self.items) - len(shown)))
        twins = None if self._traits is None else self._traits.groups()
        pool = self.model.config.serving.diversity_pool
        return Chooser(self._scorer.vectors, twins, self._popularity, reach, pool, shown)

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
            retriever = Retriever.load(model, folder)
        return cls(model, version or str(model.meta.get("version") or folder.name), retriever)

    @property
    def fresh(self) -> frozenset[str]:
        """Ids of the items that the version itself does not know."""
        return frozenset(self.items[len(self.model.item_ids) :])

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._number

    def with_items(self, items: Sequence[Item], text_vectors: Mapping[str, np.ndarray] | None = None) -> Ranker:
        """The same version with further items of the catalogue, which enter by what is known of them.

        The given items replace those of an earlier call; items of the version itself are left as they are. Title words,
        categories, tags and attributes suffice; text vectors of the version's encoder make it better where given, and
        so do vectors of the items' own where the version has learnt from such, of the same length.
        """
        base = self._origin
        new = {item.item_id: item for item in items if item.item_id not in base._number}
        if not new or base.model.content is None:
            return base
        content = base.model.content
        hashed = hashed_features(list(new.values()), content.buckets)
        text = None
        if text_vectors and content.text_dim:
            text = np.zeros((len(new), content.text_dim), dtype=np.float32)
            for row, item_id in enumerate(new):
                if item_id in text_vectors:
                    text[row] = text_vectors[item_id]
        vectors = content.vectors_of(list(new.values()))
        ranker = copy(base)
        ranker._origin = base
        ranker._filters, ranker._barred, ranker._steering = {}, np.empty(0, dtype=np.int64), NONE
        ranker._asked = {}
        first = len(base.items)
        fresh = Fresh(first, content.anchors, content.express(hashed, text, vectors))
        ranker._scorer = Scorer(base._scorer.model, fresh)
        ranker.items = base.items + tuple(new)
        ranker._number = base._number | dict(zip(new, range(first, first + len(new)), strict=True))
        ranker._reader = base._read_by(ranker._number)
        nobody = np.zeros(len(new), dtype=np.float32)
        ranker._popularity = np.concatenate([base._popularity, nobody])
        ranker._log_popularity = np.concatenate([base._log_popularity, nobody])
        ranker._unmet = ranker._popularity <= 0
        jitter = np.random.default_rng(first).random(len(new), dtype=np.float32)
        ranker._tie = np.concatenate([base._tie, jitter * np.float32(JITTER)])
        if base._traits is not None:
            ranker._traits = base._traits.extended(list(new.values()))
        reach = base.model.reach
        ranker._chooser = ranker._make_chooser(None if reach is None else np.pad(reach, ((0, 0), (0, len(new)))))
        return ranker

    def steered(self, rules: Sequence[ActiveRule]) -> Ranker:
        """The same version with these rules in lists asked for with `steered`, in place of an earlier call's."""
        ranker = copy(self)
        ranker._steering = Steering.of(rules, self._number)
        return ranker

    def without(self, item_ids: Iterable[str]) -> Ranker:
        """The same version, which never shows these items (in place of those of an earlier call)."""
        ranker = copy(self)
        numbers = [self._number[item_id] for item_id in item_ids if item_id in self._number]
        ranker._barred = np.array(sorted(numbers), dtype=np.int64)
        return ranker

    def as_of_now(self, share: float) -> Ranker:
        """The same version for lists of which it is not known whether they are to say what comes next.

        With a share of 1 they do, with 0 they say what a taste is like, as for sessions without times. Between the two
        items are ranked by how likely they are on the average (`graph.undecided`); reasons then tell of the first
        alone. In catalogues that are searched by the index, times count by that share instead.
        """
        ranker = copy(self)
        ranker._timed = share
        return ranker

    def rank(self, queries: Sequence[RankQuery]) -> list[RankedList]:
        """One list per query, in the same order. Unknown items are ignored; an empty session gets what is popular."""
        lists: list[RankedList] = []
        for start in range(0, len(queries), BATCH):
            lists += self._rank_batch(queries[start : start + BATCH])
        return lists

    def sessions(self, views: Sequence[SessionView]) -> Sessions:
        """What the model reads of the views: known items, each once at its last event, strengths added up."""
        return self._reader.read(views, self._timed).sessions

    def similar(self, item_id: str, n: int = 10) -> tuple[RankedItem, ...] | None:
        """What a person who met this item and no other would be shown, leaving out what is popular anyway.

        None when the item is unknown.
        """
        if item_id not in self._number:
            return None
        bare = copy(self)
        bare._scorer = Scorer(self._scorer.model, self._scorer.fresh, biased=False)
        view = SessionView(None, (item_id,), ("like",), (None,), (0,), frozenset((item_id,)))
        return bare._rank_batch([RankQuery(view, n=n)])[0].items

    def popular(self, n: int = 10) -> tuple[RankedItem, ...]:
        """What most people met; the scores are their numbers."""
        order = np.argsort(-(self._log_popularity + self._tie), kind="stable")[:n]
        counts = self._popularity
        return tuple(RankedItem(self.items[i], float(counts[i]), "popular") for i in order.tolist())

    def in_plane(self, n: int) -> list[tuple[str, float, float]]:
        """The n most popular items with their places in a picture in which similar ones lie together."""
        order = np.argsort(-(self._log_popularity + self._tie), kind="stable")[:n]
        places = plane(self._scorer.vectors(order))
        return [(self.items[i], x, y) for i, (x, y) in zip(order.tolist(), places.tolist(), strict=True)]

    def smoke(self) -> None:
        """Rank for a stranger and for somebody with two stored events, which also compiles the loops.

        Raises:
            BundleError: no list comes out.
        """
        words = Words()
        words.items, words.types = list(self.items[:2]), ["like", "rating"]
        events = np.array([(0, 0, np.nan, 1), (len(words.items) - 1, 1, 5.0, 2)], dtype=EVENT)
        views = [SessionView(None), StoredView("somebody", "", words, events.tobytes())]
        if self.items and not all(found.items for found in self.rank([RankQuery(view, n=3) for view in views])):
            raise BundleError(f"version {self.version} ranks nothing")

    def _read_by(self, number: dict[str, int]) -> Reader:
        return Reader(number, self.model.weights, self.model.config.events.max_strength)

    def _rank_batch(self, queries: Sequence[RankQuery]) -> list[RankedList]:
        reading = self._reader.read([query.view for query in queries], self._timed)
        sessions = reading.sessions
        batch = self._scorer.read(sessions)
        steering = [self._steering_of(query) for query in queries]
        plain = [self._chooser.is_plain(query, own) for query, own in zip(queries, steering, strict=True)]
        more = SLACK if self._chooser.twins is not None else 0
        chosen: list[Chosen] = []
        if self._retriever is None:
            scores = self._scored(queries, reading, batch, steering)
            if 0.0 < self._timed < 1.0:
                timeless = self._reader.read([query.view for query in queries], 0.0)
                others = self._scored(queries, timeless, self._scorer.read(timeless.sessions), steering)
                scores = mixed(others, scores, self._timed)
            pools = best_of(
                scores, [query.n + more if is_plain else 0 for query, is_plain in zip(queries, plain, strict=True)]
            )
            for place, (query, pool) in enumerate(zip(queries, pools, strict=True)):
                best = self._best(query, *pool) if plain[place] else None
                if best is None:
                    everything = Candidates(np.arange(len(self.items)), scores[place])
                    best = self._choose(query, place, sessions, everything, steering[place])
                chosen.append(best)
        else:
            wanted = max(query.n for query in queries) if all(plain) and not any(steering) else None
            for place, (query, candidates) in enumerate(
                zip(queries, self._retrieved(queries, reading, batch, steering, wanted), strict=True)
            ):
                best = None
                if plain[place]:
                    ((places, values),) = best_of(candidates.scores[None], [query.n + more])
                    best = self._best(query, candidates.items[places], values)
                if best is None:
                    best = self._choose(query, place, sessions, candidates, steering[place])
                chosen.append(best)
        lister = Lister(self._scorer, self.items, self._tie, self._unmet, self.version)
        return lister.lists(queries, batch, chosen, steering)

    def _scored(
        self, queries: Sequence[RankQuery], reading: Reading, batch: Batch, steering: Sequence[Steering]
    ) -> np.ndarray:
        """(Q, N) float32: the scores of all items, -inf for what must not be shown."""
        scores = self._scorer.all_scores(batch) + self._tie
        for row, own in zip(scores, steering, strict=True):
            own.move(row)
        self._leave_out(queries, reading, scores)
        return scores

    def _retrieved(
        self,
        queries: Sequence[RankQuery],
        reading: Reading,
        batch: Batch,
        steering: Sequence[Steering],
        best: int | None,
    ) -> list[Candidates]:
        """What may be shown, where there is too much to score all of it; `best` as for `Retriever.pools`."""
        assert self._retriever is not None
        always = [np.arange(len(self.model.item_ids), len(self.items))]
        always += [own.always(self._popularity) for own in dict.fromkeys(steering) if own]
        out = self._out(queries, reading)
        more = max(map(len, out), default=0) + len(self._barred)
        found = self._retriever.pools(
            self._scorer, batch, queries, self._numbers, np.unique(np.concatenate(always)), more, best
        )
        pools = []
        for gone, own, (items, values) in zip(out, steering, found, strict=True):
            values = values + self._tie[items]
            for shift, inside in own.moves_of(items):
                values[inside] += shift.by
            for numbers in (gone, self._barred):
                values[contains(np.sort(numbers), items)] = -np.inf
            pools.append(Candidates(items, values))
        return pools

    def _steering_of(self, query: RankQuery) -> Steering:
        own = self._steering if query.steered else NONE
        if not query.rules:
            return own
        asked = self._asked.get(query.rules)
        if asked is None:
            asked = Steering.of(query.rules, self._number)
            for oldest in list(self._asked)[: max(0, len(self._asked) - FILTERS + 1)]:
                self._asked.pop(oldest, None)
            self._asked[query.rules] = asked
        return own.plus(asked)

    def _best(self, query: RankQuery, items: np.ndarray, values: np.ndarray) -> Chosen | None:
        """A plain list from the best items, None if it needs more of them."""
        places = self._chooser.distinct(items, query.n)
        if places is None:
            return Chosen(items[: query.n], values[: query.n])
        enough = len(places) == query.n or len(items) < query.n + SLACK
        return Chosen(items[places], values[places]) if enough else None

    def _choose(
        self, query: RankQuery, row: int, sessions: Sessions, candidates: Candidates, steering: Steering
    ) -> Chosen:
        def taste(items: np.ndarray) -> Taste | None:
            if self._traits is None:
                return None
            own = slice(sessions.offsets[row], sessions.offsets[row + 1])
            liked = np.maximum(sessions.strength[own], 0.0)
            wanted = liked @ self._traits.shares(sessions.item[own])
            total = float(wanted.sum())
            if total <= 0:
                return None
            kept = np.flatnonzero(wanted)
            return Taste(wanted[kept] / total, self._traits.shares(items)[:, kept])

        return self._chooser.choose(query, candidates, steering, taste, 1.0 - float(sessions.timeless[row]))

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

    def _out(self, queries: Sequence[RankQuery], reading: Reading) -> list[np.ndarray]:
        """For each query the numbers of the items that its list must not show."""
        ends = np.searchsorted(reading.met_by, np.arange(1, len(queries)))
        out = [
            np.empty(0, np.int64) if query.include_seen else met
            for query, met in zip(queries, np.split(reading.met, ends), strict=True)
        ]
        for row, query in enumerate(queries):
            if query.excluded:
                out[row] = np.concatenate([out[row], self._reader.numbers(query.excluded)])
        return out

    def _leave_out(self, queries: Sequence[RankQuery], reading: Reading, scores: np.ndarray) -> None:
        """Take what must not be shown out of the scores (Q, N)."""
        if len(self._barred):
            scores[:, self._barred] = -np.inf
        row, met = reading.met_by, reading.met
        if any(query.include_seen for query in queries):
            hidden = ~np.array([query.include_seen for query in queries])[row]
            row, met = row[hidden], met[hidden]
        scores[row, met] = -np.inf
        for own, query in zip(scores, queries, strict=True):
            if query.excluded:
                own[self._reader.numbers(query.excluded)] = -np.inf
            if query.allowed is not None:
                mask = np.ones(len(own), dtype=bool)
                mask[self._numbers(query.allowed)] = False
                own[mask] = -np.inf


def best_of(scores: np.ndarray, sizes: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each row of `scores` (Q, N) its best places and their scores, best first, as many as asked for and finite."""
    size = min(max(sizes, default=0), scores.shape[1])
    if size <= 0:
        return [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)) for _ in sizes]
    best = np.zeros((len(scores), size), dtype=np.int64)
    values = np.full(best.shape, -np.inf, dtype=np.float32)
    best_places(scores, best, values)
    lengths = np.minimum(np.isfinite(values).sum(axis=1), sizes).tolist()
    return [(best[row, :length], values[row, :length]) for row, length in enumerate(lengths)]

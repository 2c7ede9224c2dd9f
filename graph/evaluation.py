"""Protocols, lists and figures of an evaluation: what is asked of every model, and how their answers compare.

A protocol has one or several views: the cold session is asked with a person's first 1, 3, 5, ... events, of one
training part. What is asked is what a server would be asked: the `Ranker`, with the session that it would hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import scipy.sparse as sp

from cluster.errors import InputError
from cluster.messages import Item, RankQuery
from graph.dataset import Interactions
from graph.fit import Content
from graph.metrics import (
    bootstrap_interval,
    calibration,
    coverage,
    intra_list_diversity,
    novelty,
    paired_ratio,
    per_query,
)
from graph.model import Model
from graph.ranking import Ranker
from graph.splits import Split, cold_item_split, cold_session_split, open_item_split, random_split, temporal_split

COLD_FIRST = (1, 3, 5, 10, 20)
FAMILIES = ("random", "temporal", "cold-session", "cold-item", "open-item")
ONLY_NEW = "open-item-new"
"""The view of the same lists whose truth are the new items alone."""
GRAPH_ALONE = "graph model alone"
FIGURES = ("ndcg", "recall", "precision", "map")


def views_of(protocols: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Names of protocols or of single views -> the views of each protocol.

    Raises:
        InputError: there is no such protocol.
    """
    found: dict[str, dict[str, None]] = {}
    for name in FAMILIES if "all" in protocols else protocols:
        family, _, first = name.partition("cold-session-")
        if name == "cold-session":
            found.setdefault(name, {}).update(dict.fromkeys(f"cold-session-{first}" for first in COLD_FIRST))
        elif not family and first.isdigit() and int(first):
            found.setdefault("cold-session", {})[name] = None
        elif name == "open-item":
            found.setdefault(name, {}).update(dict.fromkeys((name, ONLY_NEW)))
        elif name in FAMILIES:
            found.setdefault(name, {})[name] = None
        else:
            known = ", ".join(("all", *FAMILIES, *(f"cold-session-{first}" for first in COLD_FIRST)))
            raise InputError(f"unknown protocol {name!r}; there are {known}")
    return {family: tuple(views) for family, views in found.items()}


def splits_of(family: str, views: Iterable[str], data: Interactions, seed: int) -> dict[str, Split]:
    """The split of each view; all have the same training part."""
    if family == "cold-session":
        return {view: cold_session_split(data, int(view.rsplit("-", 1)[1]), seed=seed) for view in views}
    if family == "open-item":
        split = open_item_split(data, seed=seed)
        assert split.new is not None
        truth = split.truth.multiply(sp.csr_matrix(split.new[None], dtype=np.float32)).tocsr()
        truth.eliminate_zeros()
        both = {family: split, ONLY_NEW: replace(split, truth=truth)}
        return {view: both[view] for view in views}
    make = {"random": random_split, "temporal": temporal_split, "cold-item": cold_item_split}[family]
    return {family: make(data, seed=seed)}


def served_lists(ranker: Ranker, split: Split, k: int, diversity: float = 0.0) -> np.ndarray:
    """(Q, k) item numbers, through the same interface as a server asks, -1 where a list is shorter."""
    allowed = None
    if split.candidates is not None:
        allowed = frozenset(split.train.item_ids[i] for i in np.flatnonzero(split.candidates))
    number = {item_id: place for place, item_id in enumerate(split.train.item_ids)}
    queries = [
        RankQuery(split.visible.view(int(user)), n=k, allowed=allowed, diversity=diversity, explain=False)
        for user in split.users
    ]
    out = np.full((len(queries), k), -1, dtype=np.int64)
    for row, found in enumerate(ranker.rank(queries)):
        out[row, : len(found.items)] = [number[entry.item_id] for entry in found.items]
    return out


def parts_of(model: Model, ablation: bool = True) -> dict[str, Model]:
    """The model cut down: the graph alone and, for an ablation, everything but the graph and each source alone."""
    graph = ("graph", "prior")
    parts = {GRAPH_ALONE: model.only(*graph).ungated(*graph)}
    if not ablation:
        return parts
    parts["without the graph"] = model.only(*(name for name in model.gates if name not in graph))
    for name in [kernel.name for kernel in model.active] + [bias.name for bias in model.active_biases]:
        if name not in graph:
            parts[f"only {name}"] = model.only(name)
    return parts


@dataclass(frozen=True, eq=False)
class Aspects:
    """What lists are judged by beside the truth: `vectors` (N, d) of the items, `categories` (N, G), rows of sum 1."""

    vectors: np.ndarray
    categories: sp.csr_matrix

    @classmethod
    def of(cls, data: Interactions, items: Mapping[str, Item], content: Content) -> Aspects:
        """Vectors of what is known of the items, or where nothing is, of who met them: the same for every model."""
        vectors = content.hashed if content.known.any() else data.pairs.positive.T.toarray()
        names: dict[str, int] = {}
        rows, columns, values = [], [], []
        for row, item_id in enumerate(data.item_ids):
            own = items[item_id].categories if item_id in items else ()
            for name in own:
                rows.append(row)
                columns.append(names.setdefault(name, len(names)))
                values.append(1.0 / len(own))
        shape = (len(data.item_ids), len(names))
        return cls(vectors, sp.csr_matrix((values, (rows, columns)), shape=shape))


@dataclass(frozen=True, eq=False)
class Measured:
    """Figures of one model: of each of Q' queries that has a truth, and of all lists together.

    `who` (Q',) numbers the people, `events` (Q',) counts what they were known by.
    """

    who: np.ndarray
    events: np.ndarray
    values: Mapping[str, np.ndarray]
    whole: Mapping[str, float]

    def summary(self, k: int) -> dict[str, float]:
        """All figures, rounded, with the 95% interval of nDCG."""
        values = {name: float(each.mean()) if len(each) else 0.0 for name, each in self.values.items()}
        found = {f"{name}@{k}": round(value, 5) for name, value in (values | dict(self.whole)).items()}
        low, high = bootstrap_interval(self.values["ndcg"], who=self.who)
        return found | {"ndcg_low": round(low, 5), "ndcg_high": round(high, 5)}

    def by_activity(self, parts: int = 4) -> list[tuple[str, float, int]]:
        """nDCG of people who were known by few, more, many events: a label, the mean and how many queries."""
        if not len(self.events):
            return []
        edges = np.unique(np.quantile(self.events, np.linspace(0, 1, parts + 1)).round())
        found = []
        for low, high in pairwise(edges):
            inside = (self.events >= low) & ((self.events < high) | (high == edges[-1]))
            if inside.any():
                upper = int(high) if high == edges[-1] else int(high) - 1
                found.append((f"{int(low)} to {upper}", float(self.values["ndcg"][inside].mean()), int(inside.sum())))
        return found


def measure(lists: np.ndarray, split: Split, aspects: Aspects, k: int) -> Measured:
    """Figures of lists (Q, k)."""
    asked = np.diff(split.truth.indptr) > 0
    seen = split.seen()
    shown = lists[asked, :k]
    popularity = np.asarray(split.train.pairs.positive.sum(axis=0)).ravel()
    whole = {
        "coverage": coverage(shown, split.truth.shape[1]),
        "diversity": intra_list_diversity(shown, aspects.vectors),
        "novelty": novelty(shown, popularity, split.train.shape[0]),
        "calibration": calibration(shown, seen[asked], aspects.categories),
    }
    events = np.diff(split.visible.offsets)[split.users][asked]
    return Measured(split.users[asked], events, per_query(lists, split.truth, k), whole)


def pooled(parts: Sequence[Measured]) -> Measured:
    """The queries of several splits together; figures of whole lists are averaged."""
    return Measured(
        np.concatenate([part.who for part in parts]),
        np.concatenate([part.events for part in parts]),
        {name: np.concatenate([part.values[name] for part in parts]) for name in FIGURES},
        {name: float(np.mean([part.whole[name] for part in parts])) for name in parts[0].whole},
    )


def compared(ours: Measured, peer: Measured) -> dict[str, float | bool]:
    """Ratios of nDCG and of recall to a peer's on the same queries, with their paired bootstrap 95% bounds."""
    ratio, low, high = paired_ratio(ours.values["ndcg"], peer.values["ndcg"], who=ours.who)
    recall, least, most = paired_ratio(ours.values["recall"], peer.values["recall"], who=ours.who)
    return {
        "ratio": round(ratio, 5), "low": round(low, 5), "high": round(high, 5), "better": low > 1.0,
        "worse": high < 1.0, "recall_ratio": round(recall, 5), "recall_low": round(least, 5),
        "recall_high": round(most, 5),
    }  # fmt: skip

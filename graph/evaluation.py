"""One evaluation: a protocol on a data set, Tailorbird beside its peers, all on the same split."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from cluster.errors import InputError
from cluster.messages import Item, RankQuery
from graph import baselines
from graph.config import GraphConfig
from graph.dataset import Interactions
from graph.fit import Content, fit
from graph.metrics import bootstrap_interval, paired_ratio, per_query, summary, top
from graph.model import Model
from graph.ranking import Ranker
from graph.reporting import Report
from graph.splits import Split, cold_item_split, cold_session_split, random_split, temporal_split
from graph.weights import EventWeights

COLD_FIRST = (1, 3, 5, 10, 20)


def _cold_session(first: int) -> Callable[[Interactions, int], Split]:
    return lambda data, seed: cold_session_split(data, first, seed=seed)


_MAKERS: dict[str, Callable[[Interactions, int], Split]] = {
    "random": lambda data, seed: random_split(data, seed=seed),
    "temporal": lambda data, seed: temporal_split(data, seed=seed),
    **{f"cold-session-{first}": _cold_session(first) for first in COLD_FIRST},
    "cold-item": lambda data, seed: cold_item_split(data, seed=seed),
}
GRAPH_ALONE = "graph model alone"
PROTOCOLS = tuple(_MAKERS)
RANDOM_SHARE = {"random": 1.0}
"""How the tuning part of training is drawn for a protocol: as the test part is, for us as for the peers."""


def split_of(protocol: str, data: Interactions | None, seed: int) -> Split | None:
    """The split of a protocol. Raises InputError for an unknown one; without data only the name is checked."""
    if protocol not in _MAKERS:
        raise InputError(f"unknown protocol {protocol!r}; there are {', '.join(PROTOCOLS)}")
    return None if data is None else _MAKERS[protocol](data, seed)


def evaluate(
    protocol: str,
    data: Interactions,
    items: Mapping[str, Item],
    text_vectors: Mapping[str, np.ndarray],
    weights: EventWeights,
    config: GraphConfig,
    seed: int = 0,
    k: int = 10,
    ablation: bool = False,
    report: Report | None = None,
) -> dict[str, dict[str, float]]:
    """Figures by model. `tailorbird` also has the interval of its nDCG and its ratio to the best peer with bounds."""
    split = split_of(protocol, data, seed)
    assert split is not None
    content = Content.of(data.item_ids, items, config, text_vectors)
    model = fit(split.train, content, weights, config, report, random_share=RANDOM_SHARE.get(protocol))
    popularity, people = model.popularity, data.shape[0]

    def figures(lists: np.ndarray) -> dict[str, float]:
        return summary(lists, split.truth, popularity, people, model.vectors, k)

    ours = served_lists(Ranker(model, "evaluated"), split, k)
    result = {"tailorbird": figures(ours)}
    peers = peer_lists(protocol, split, k, seed)
    result |= {name: figures(lists) for name, lists in peers.items()}
    for name, part in parts_of(model).items():
        if ablation or name == GRAPH_ALONE:
            result[name] = figures(served_lists(Ranker(part, "part"), split, k))
    values = per_query(ours, split.truth, k)["ndcg"]
    low, high = bootstrap_interval(values, seed)
    best = max(peers, key=lambda name: result[name][f"ndcg@{k}"])
    ratio, ratio_low, ratio_high = paired_ratio(values, per_query(peers[best], split.truth, k)["ndcg"], seed)
    result["tailorbird"] |= {
        "ndcg_low": round(low, 5), "ndcg_high": round(high, 5), "ratio_to_best_peer": round(ratio, 5),
        "ratio_low": round(ratio_low, 5), "ratio_high": round(ratio_high, 5),
    }  # fmt: skip
    return result


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


def peer_lists(protocol: str, split: Split, k: int, seed: int) -> dict[str, np.ndarray]:
    """Lists of the peers, tuned on a part of the training events divided as the protocol divides them all."""
    seen = split.seen()

    def best(scores: np.ndarray) -> np.ndarray:
        if split.candidates is not None:
            scores = np.where(split.candidates[None, :], scores, -np.inf)
        return top(scores, k, seen, seed)

    lists = {"popularity": best(baselines.popularity(split))}
    if split.candidates is not None:  # items absent from training are all the same to these
        return lists
    validation = baselines.validation_of(protocol, split.train, seed)
    for name in ("item_knn", "ease"):
        scores, _ = baselines.tuned(name, split, validation)
        lists[name] = best(scores)
    return lists


def parts_of(model: Model) -> dict[str, Model]:
    """The model cut down: the graph alone, everything but the graph, each source alone."""
    graph = ("graph", "prior")
    parts = {GRAPH_ALONE: model.only(*graph).ungated(*graph)}
    parts["without the graph"] = model.only(*(name for name in model.gates if name not in graph))
    for name in model.gates:
        if name not in graph:
            parts[f"only {name}"] = model.only(name)
    return parts

"""`python -m benchmarks.ranking`: the ranker alone, on one core. Prints one JSON line.

    --items 100000 1000000   synthetic catalogues beside MovieLens; none with `--items`
    --version FOLDER         rank this published version of MovieLens instead of training one
    --no-movielens           leave MovieLens out
    --work FOLDER            keep the synthetic versions there, and use what is there already (1e6 items: 4 GB)
    --seed 0

MovieLens: every list of ten has reasons; sessions are those of the data set, which have 106 events in the mean.
`cpu_ms` is CPU per request in batches of 32, `p50_ms` the median of a request alone. `new_items` is `whole` beside a
hundred items that the version does not know.

Synthetic catalogues (`benchmarks/_catalogue.py`) have all sources that a real version has, written to a folder and
opened as a server opens it. `whole` is everything from the view to the list of ten with reasons, for sessions of
twenty events; `recall` is the share of the exact ten (every item scored) that are in the list. `scores_all` is the
same without the index. `top_100` compares the ranker with plain FAISS: a model of one source of 64 dimensions
without reasons, whose hundred best items come with ids and scores, beside `index.search` of the same index for
vectors that are there already, both with the same recall of the exact hundred.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import gc
import json
import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._catalogue import synthetic_model, synthetic_sessions
from cluster.messages import ActiveRule, Item, RankedList, RankQuery, SessionView
from graph.bundle import save_model
from graph.index import search
from graph.model import Model
from graph.ranking import Ranker

BATCH = 32
SECONDS = 4.0
EVENTS = 20
QUERIES = 256
NEW_ITEMS = 100


def timed(call: Callable[[int], Any], seconds: float = SECONDS) -> tuple[np.ndarray, float]:
    """Calls `call(0)`, `call(1)`, ... for a while, after a first that is not counted: their seconds, CPU per call."""
    call(0)
    taken: list[float] = []
    cpu = time.process_time()
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end or len(taken) < 5:
        call(len(taken))
        taken.append(time.perf_counter() - began)
    return np.array(taken), (time.process_time() - cpu) / len(taken)


def measure(ranker: Ranker, queries: Sequence[RankQuery]) -> dict[str, float]:
    """CPU per request in batches, and the median and 99th percentile alone, in ms."""
    batches = [queries[start : start + BATCH] for start in range(0, len(queries) - BATCH + 1, BATCH)]
    _, cpu = timed(lambda n: ranker.rank(batches[n % len(batches)]))
    alone, alone_cpu = timed(lambda n: ranker.rank([queries[n % len(queries)]]))
    return {
        "cpu_ms": round(cpu / BATCH * 1000, 3),
        "cpu_alone_ms": round(alone_cpu * 1000, 3),
        "p50_ms": round(float(np.median(alone)) * 1000, 3),
        "p99_ms": round(float(np.percentile(alone, 99)) * 1000, 3),
    }


def movielens(version: Path | None) -> dict[str, Any]:
    """The default model of MovieLens-100K, as a refresh trains it."""
    from benchmarks.training import movielens as ratings
    from graph.config import GraphConfig
    from graph.fit import Content, fit
    from jobs.movielens import dataset_folder, read_items

    data, config = ratings(), GraphConfig()
    items = {item.item_id: item for item in read_items(dataset_folder(), 0)}
    if version is not None:
        ranker = Ranker.load(version)
    else:
        from graph.text import TextEncoder, describe, find_encoder
        from graph.weights import EventWeights

        encoder = find_encoder(config.content.encoder)
        vectors = {}
        if encoder is not None:
            texts = TextEncoder(encoder, 1).encode([describe(item) for item in items.values()])
            vectors = dict(zip(items, texts, strict=True))
        content = Content.of(data.item_ids, items, config, vectors)
        with tempfile.TemporaryDirectory(prefix="tb-ranking") as folder:
            save_model(fit(data, content, EventWeights(), config), Path(folder))
            ranker = Ranker.load(folder)
    users = np.random.default_rng(0).permutation(len(data.user_ids))
    queries = [RankQuery(data.view(int(user)), n=10) for user in users]
    few = [RankQuery(data.view(int(user), 20), n=10) for user in users]
    return {
        "items": len(ranker.items),
        "sources": len(ranker.model.active) + len(ranker.model.active_biases),
        "whole": measure(ranker, queries) | {"events": round(float(np.mean([len(q.view.items) for q in queries])), 1)},
        "whole_20_events": measure(ranker, few),
        "new_items": measure(ranker.with_items(_new(items)), queries),
        "diversity": measure(ranker, [RankQuery(q.view, n=10, diversity=0.3) for q in queries]),
        "explore": measure(ranker, [RankQuery(q.view, n=10, explore=0.2) for q in queries]),
        "rules": measure(ranker.steered(_rules(items)), [RankQuery(q.view, n=10, steered=True) for q in queries]),
    }


def _new(items: Mapping[str, Item]) -> list[Item]:
    """A hundred items that the version does not know, described as a hundred of its own are."""
    return [replace(item, item_id=f"new {item.item_id}") for item in list(items.values())[:NEW_ITEMS]]


def _rules(items: Mapping[str, Item]) -> list[ActiveRule]:
    """A pin, a boost, and a cap for each category."""
    by_category: dict[str, set[str]] = {}
    for item in items.values():
        for category in item.categories:
            by_category.setdefault(category, set()).add(item.item_id)
    sets = tuple(map(frozenset, by_category.values()))
    return [
        ActiveRule("pin", "pin", (frozenset([next(iter(items))]),), number=1),
        ActiveRule("boost", "boost", sets[:1], factor=3.0),
        ActiveRule("cap", "cap", sets, number=4),
    ]


def shared(lists: Sequence[RankedList], exact: Sequence[Sequence[str]]) -> float:
    """The mean share of the exact lists that is in the lists."""
    parts = [
        len({entry.item_id for entry in found.items} & set(best)) / len(best)
        for found, best in zip(lists, exact, strict=True)
    ]
    return round(float(np.mean(parts)), 4)


def exact_lists(model: Model, ranker: Ranker, queries: Sequence[RankQuery]) -> list[list[str]]:
    """The best items of each query, every item scored by the model itself."""
    found = []
    for start in range(0, len(queries), 8):
        some = queries[start : start + 8]
        scores = model.scores(ranker.sessions([query.view for query in some]))
        for row, query in zip(scores, some, strict=True):
            best = np.argpartition(-row, query.n + len(query.view.seen))[: query.n + len(query.view.seen)]
            ids = [model.item_ids[i] for i in best[np.argsort(-row[best])]]
            found.append([item_id for item_id in ids if item_id not in query.view.seen][: query.n])
    return found


def large(items: int, work: Path, seed: int) -> dict[str, Any]:
    """A synthetic catalogue of so many items."""
    result: dict[str, Any] = {"items": items, "events": EVENTS}
    for name in ("all", "one"):
        folder = work / f"{items}-{name}"
        model = synthetic_model(items, seed)
        if name == "one":
            model = model.only("graph")
        if not (folder / "model.json").exists():
            began = time.perf_counter()
            save_model(model, folder)
            result.setdefault("publish_s", {})[name] = round(time.perf_counter() - began, 1)
        views = synthetic_sessions(model, QUERIES, EVENTS)
        if name == "one":
            model = model.only("graph")
        ranker = Ranker.load(folder)
        gc.collect()
        result["whole" if name == "all" else "top_100"] = (
            whole(model, ranker, views) if name == "all" else top_100(model, ranker, views)
        )
    return result


def whole(model: Model, ranker: Ranker, views: Sequence[SessionView]) -> dict[str, Any]:
    """Lists of ten with reasons, by the index and by scoring everything."""
    queries = [RankQuery(view, n=10) for view in views]
    figures: dict[str, Any] = dict(measure(ranker, queries))
    some = queries[:64]
    figures["recall"] = shared(ranker.rank(some), exact_lists(model, ranker, some))
    every = Ranker(ranker.model, "every")
    _, cpu = timed(lambda n: every.rank([queries[n % len(queries)]]), SECONDS / 2)
    _, batched = timed(lambda n: every.rank(queries[:BATCH]), SECONDS / 2)
    figures["scores_all"] = {"cpu_ms": round(batched / BATCH * 1000, 3), "cpu_alone_ms": round(cpu * 1000, 3)}
    return figures


def top_100(model: Model, ranker: Ranker, views: Sequence[SessionView]) -> dict[str, Any]:
    """The hundred best of one source, by the ranker and by plain FAISS, in batches of 32."""
    queries = [RankQuery(view, n=100, include_seen=True, explain=False) for view in views]
    (kernel,) = ranker.model.active
    sessions = ranker.sessions(views)
    vectors = kernel.vectors(sessions, kernel.weights(sessions)).astype(np.float32)
    index = ranker._retriever._index  # type: ignore[union-attr]
    places = [slice(start, start + BATCH) for start in range(0, QUERIES - BATCH + 1, BATCH)]
    _, plain = timed(lambda n: search(index, vectors[places[n % len(places)]], 100))
    _, ours = timed(lambda n: ranker.rank(queries[places[n % len(places)]]))
    _, plain_alone = timed(lambda n: search(index, vectors[n % QUERIES : n % QUERIES + 1], 100))
    _, ours_alone = timed(lambda n: ranker.rank([queries[n % QUERIES]]))
    some = slice(0, 64)
    exact = exact_lists(model, ranker, queries[some])
    numbers = search(index, vectors[some], 100)[1]
    by_faiss = [{ranker.items[i] for i in row if i >= 0} for row in numbers]
    return {
        "faiss_ms": round(plain / BATCH * 1000, 3),
        "ranker_ms": round(ours / BATCH * 1000, 3),
        "ratio": round(ours / plain, 3),
        "alone": {
            "faiss_ms": round(plain_alone * 1000, 3),
            "ranker_ms": round(ours_alone * 1000, 3),
            "ratio": round(ours_alone / plain_alone, 3),
        },
        "faiss_recall": round(
            float(np.mean([len(found & set(best)) / 100 for found, best in zip(by_faiss, exact, strict=True)])), 4
        ),
        "ranker_recall": shared(ranker.rank(queries[some]), exact),
        "lists": index.nlist,
        "lists_read": index.nprobe,
    }


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--version", type=Path)
    parser.add_argument("--no-movielens", action="store_true")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    result: dict[str, Any] = {"benchmark": "ranking", "batch": BATCH, "python": platform.python_version()}
    if not arguments.no_movielens:
        result["movielens"] = movielens(arguments.version)
    with tempfile.TemporaryDirectory(prefix="tb-ranking") as folder:
        work = arguments.work or Path(folder)
        result["synthetic"] = [large(items, work, arguments.seed) for items in arguments.items]
    print(json.dumps(result))


if __name__ == "__main__":
    main()

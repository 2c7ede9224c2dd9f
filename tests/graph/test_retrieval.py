"""The scale of the index: lists of similar items are made by the distance that queries ask for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks._catalogue import synthetic_model, synthetic_sessions
from cluster.messages import RankQuery
from graph.bundle import save_model
from graph.config import GraphConfig
from graph.index import build_index, load_index, search
from graph.model import Gate
from graph.ranking import Ranker
from graph.retrieval import joined_queries, joined_targets, query_scale
from graph.scoring import Scorer
from tests.graph.test_index import exact, recall

ITEMS, SHARE = 20_000, 0.06


def test_the_scaled_index_finds_what_the_unscaled_one_misses(tmp_path: Path) -> None:
    serving = GraphConfig().serving.model_copy(update={"exhaustive_items": 10, "probe_share": SHARE})
    model = synthetic_model(ITEMS, config=GraphConfig().model_copy(update={"serving": serving}))
    # A source that sets items far apart, and that sessions hardly ask for.
    long = [replace(k, target=4 * k.target) if k.name == "text" and k.target is not None else k for k in model.kernels]
    save_model(replace(model, kernels=tuple(long), gates={**model.gates, "text": Gate(level=-4.0)}), tmp_path)
    ranker = Ranker.load(tmp_path)
    scale, targets = np.load(tmp_path / "index_scale.npy"), joined_targets(ranker.model)
    assert np.array_equal(scale, query_scale(ranker.model)) and scale.max() > 3 * scale.min() > 0

    views = synthetic_sessions(ranker.model, 64, 20)
    queries = joined_queries(Scorer(ranker.model).read(ranker.sessions(views)))
    best = exact(targets, queries, 10)
    scaled = recall(search(load_index(tmp_path / "index.faiss"), queries / scale, 10)[1], best)
    plain = recall(search(build_index(targets, SHARE, ranker.model.config.seed), queries, 10)[1], best)
    print(f"of the exact ten {scaled:.3f} scaled, {plain:.3f} plain")
    assert scaled > 0.87 and scaled > plain + 0.08
    # A version of before has no scale, and is read as it is.
    (tmp_path / "index_scale.npy").unlink()
    assert Ranker.load(tmp_path).rank([RankQuery(views[0], n=3)])[0].items

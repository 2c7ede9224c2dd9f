"""`jobs.refresh` on a small store and a real local Ray of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from cluster.artifacts import open_bundle
from cluster.config import Settings
from cluster.messages import Event, Item, RankQuery, SessionView
from cluster.store import Store
from graph.ranking import Ranker
from jobs.refresh import judge
from tests.jobs.conftest import RunJob

SMALL = """graph:
  encoder: {dim: 8, epochs: 10, threads: 1}
  content: {encoder: none, text_dim: 8}
  combine: {steps: 20}
"""


def fill(settings: Settings) -> None:
    rng = np.random.default_rng(0)
    with Store.open(settings) as store:
        store.migrate()
        store.items.put([Item(f"i{n}", title=f"Title {n}", categories=("A" if n < 20 else "B",)) for n in range(42)])
        store.events.append(
            [
                Event(f"e{user}-{place}", f"u{user}", f"i{item + 20 * (user % 2)}", kind, 1_000_000 + place)
                for user in range(60)
                for place, item in enumerate(rng.permutation(20)[:10])
                for kind in (["like"] if place else ["impression"])
            ]
        )


@pytest.mark.integration
def test_events_become_a_version_that_serves(run_job: RunJob, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(SMALL)
    empty = run_job("jobs.refresh", "--config", "settings.yaml")
    assert empty.code == 2 and "no events" in empty.result["error"]
    fill(settings)
    ran = run_job("jobs.refresh", "--config", "settings.yaml")
    assert ran.code == 0, ran.stderr
    assert ran.result["events"] == 60 * 9 and ran.result["items"] == 42
    assert {"reading events", "training", "publishing", "moving the pointer"} <= set(ran.result["stages_s"])
    with Store.open(settings, readonly=True) as store:
        live = store.registry.live("default", "graph")
        assert live is not None and live.version == ran.result["version"]
        assert live.metrics["ndcg@10"] == ran.result["metrics"]["ndcg@10"]
    folder = open_bundle(live.url, tmp_path / "cache", kind="graph")
    ranker = Ranker.load(folder)
    assert ranker.version == live.version
    assert len(ranker.rank([RankQuery(SessionView(None))])[0].items) == 10
    table = pq.read_table(folder / "embeddings")
    assert table["item_id"].to_pylist() == list(ranker.items) and len(table["source"][0].as_py()) == 8

    # A second version that may not be worse by anything than a live one of perfect figures is refused, unless forced.
    with Store.open(settings) as store:
        perfect = type(live)("graph", "perfect", live.url, 1, {"ndcg@10": 1.0})
        store.registry.publish(perfect)
        store.registry.move("default", "graph", "perfect", live.version)
    refused = run_job("jobs.refresh", "--config", "settings.yaml")
    assert refused.code == 1 and "not published" in refused.result["error"]
    with Store.open(settings, readonly=True) as store:
        assert store.registry.live("default", "graph").version == "perfect"  # type: ignore[union-attr]
    forced = run_job("jobs.refresh", "--config", "settings.yaml", "--force")
    assert forced.code == 0 and forced.result["gate"] != "passed", forced.stderr


def test_the_gate() -> None:
    good = {"ndcg@10": 0.3, "popularity_ndcg@10": 0.2, "sessions": 100.0}
    assert judge(good, None, 0.05) == ""
    assert judge(good, {"ndcg@10": 0.31}, 0.05) == ""
    assert "live" in judge(good, {"ndcg@10": 0.33}, 0.05)
    assert "popularity" in judge(good | {"ndcg@10": 0.1}, None, 0.05)
    assert judge(good | {"ndcg@10": 0.1, "sessions": 5.0}, None, 0.05) == ""

"""`jobs.refresh` on a small store and a real local Ray of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
import yaml

from cluster.artifacts import open_bundle
from cluster.config import Settings
from cluster.messages import Event, Item, RankQuery, SessionView, Version
from cluster.store import Store
from graph.config import GraphConfig
from graph.dataset import Interactions
from graph.fit import Content
from graph.ranking import Ranker
from jobs.model import weights_of
from jobs.training import NAME, Plan, judge, train
from tests.jobs.conftest import ROOT, RunJob

SMALL = """graph:
  encoder: {dim: 8, epochs: 10, threads: 1}
  content: {encoder: none, text_dim: 8}
  combine: {steps: 20}
"""


def fill(settings: Settings, tenant: str = "default") -> None:
    rng = np.random.default_rng(0)
    with Store.open(settings) as store:
        store.migrate()
        kinds = [("A" if n < 20 else "B",) for n in range(42)]
        store.items.put([Item(f"i{n}", title=f"Title {n}", categories=kinds[n], tenant=tenant) for n in range(42)])
        store.events.append(
            [
                Event(
                    f"e{user}-{place}",
                    f"u{user}",
                    f"i{item + 20 * (user % 2)}",
                    kind,
                    1_000_000 + place,
                    tenant=tenant,
                )
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
    assert ranker.model.impressions is not None and ranker.model.impressions.sum() == 60
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


@pytest.mark.integration
def test_items_with_vectors_become_a_version_that_ranks_by_them(
    run_job: RunJob, settings: Settings, tmp_path: Path
) -> None:
    """Titles and categories tell nothing, pictures do; one item is of a length of its own at first."""
    (tmp_path / "settings.yaml").write_text(SMALL)
    fill(settings)
    rng = np.random.default_rng(1)

    def picture(number: int) -> array[float]:
        return array("f", (rng.normal(size=6) * 0.3 + (1.0, -1.0)[number % 2] * np.arange(6)).tolist())

    with Store.open(settings) as store:
        store.items.put([Item(f"i{n}", title=f"Title {n}", vectors={"image": picture(n // 20)}) for n in range(40)])
        store.items.put([Item("i3", vectors={"image": array("f", [1.0, 2.0])})])
    refused = run_job("jobs.refresh", "--config", "settings.yaml")
    assert refused.code == 2 and "'i3'" in refused.result["error"] and "2 numbers" in refused.result["error"]
    with Store.open(settings) as store:
        store.items.put([Item("i3", vectors={"image": picture(0)})])
    ran = run_job("jobs.refresh", "--config", "settings.yaml")
    assert ran.code == 0, ran.stderr
    with Store.open(settings, readonly=True) as store:
        live = store.registry.live("default", "graph")
    assert live is not None
    ranker = Ranker.load(open_bundle(live.url, tmp_path / "cache", kind="graph"))
    assert ranker.model.content is not None and ranker.model.content.fusion is not None
    logits = ranker.model.content.fusion.logits
    assert logits["vectors.image"] > logits["facts"]
    new = [Item(f"new{n}", title="Another", vectors={"image": picture(n)}) for n in range(10)]
    ids = frozenset(item.item_id for item in new)
    for kind in range(2):
        met = tuple(f"i{20 * kind + n}" for n in range(5))
        view = SessionView(None, met, ("like",) * 5, (None,) * 5, (1, 2, 3, 4, 5), frozenset(met))
        shown = ranker.with_items(new).rank([RankQuery(view, n=5, allowed=ids)])[0].items
        assert {int(entry.item_id[3:]) % 2 for entry in shown} == {kind}


@pytest.mark.integration
def test_a_tenant_has_versions_of_its_own(run_job: RunJob, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(SMALL)
    fill(settings, "acme")
    ran = run_job("jobs.refresh", "--config", "settings.yaml", "--tenant", "acme")
    assert ran.code == 0, ran.stderr
    with Store.open(settings, readonly=True) as store:
        assert store.registry.live("default", "graph") is None
        live = store.registry.live("acme", "graph")
        (entry,) = store.audit.page("acme", None, 10)
    assert live is not None and live.url == f"{settings.resolved_artifacts_url}/acme/graph/{live.version}"
    assert (entry.action, entry.target) == ("version.promote", live.version)
    assert entry.actor.startswith("job:") and entry.detail == {"gate": "passed"}
    assert run_job("jobs.refresh", "--config", "settings.yaml").code == 2  # nobody else's events are trained on


def test_the_gate() -> None:
    good = {"ndcg@10": 0.3, "ndcg@10_error": 0.002, "popularity_ndcg@10": 0.2, "sessions": 100.0}
    assert judge(good, {}, 0.05) == ""
    assert judge(good, {"ndcg@10": 0.31}, 0.05) == ""
    assert "live" in judge(good, {"ndcg@10": 0.33}, 0.05)
    assert "popularity" in judge(good | {"ndcg@10": 0.1}, {}, 0.05)
    assert judge(good | {"ndcg@10": 0.1, "sessions": 5.0}, {}, 0.05) == ""


def test_the_gate_knows_what_chance_does() -> None:
    """Figures of few sessions differ by more than the tolerance, and mean nothing by it."""
    rough = {"ndcg@10": 0.2, "ndcg@10_error": 0.03, "popularity_ndcg@10": 0.22, "popularity_error": 0.03}
    rough |= {"sessions": 90.0}
    assert judge(rough, {"ndcg@10": 0.26, "ndcg@10_error": 0.03}, 0.05) == ""
    assert "live" in judge(rough, {"ndcg@10": 0.36, "ndcg@10_error": 0.03}, 0.05)
    assert "popularity" in judge(rough | {"popularity_error": 0.001}, {}, 0.05)


@pytest.mark.parametrize("incremental", [False, True])
def test_the_gate_compares_on_what_neither_version_has_seen(incremental: bool) -> None:
    """Where there is enough of it nothing else of the live version counts."""
    own = {"ndcg@10": 0.3, "newest_ndcg@10": 0.2, "newest_live_ndcg@10": 0.2, "newest_sessions": 80.0}
    own |= {"newest_error": 0.01}
    assert judge(own, {"ndcg@10": 0.9}, 0.05, incremental) == ""
    assert judge(own | {"newest_ndcg@10": 0.18}, {}, 0.05, incremental) == "", "within chance"
    assert "new events" in judge(own | {"newest_ndcg@10": 0.17}, {}, 0.05, incremental)
    assert judge(own | {"newest_ndcg@10": 0.17}, {}, 0.1, incremental) == ""
    few = own | {"newest_ndcg@10": 0.1, "newest_sessions": 5.0}
    assert judge(few, {}, 0.05, incremental) == ""
    assert bool(judge(few, {"ndcg@10": 0.9}, 0.05, incremental)) is not incremental


@pytest.mark.parametrize(
    ("changed", "goes_on"),
    [
        ({}, True),
        ({"rating_scale": (1.0, 10.0)}, False),
        ({"default_weight": 0.2}, False),
        ({"weights": {"like": 0.5}}, False),
        ({"max_ahead_s": 5.0}, True),
    ],
)
def test_an_incremental_training_begins_anew_where_events_tell_other_things(
    changed: dict[str, Any], goes_on: bool, settings: Settings, tmp_path: Path
) -> None:
    config = GraphConfig.model_validate(yaml.safe_load(SMALL)["graph"])
    before = weights_of(settings, config)
    people = [f"u{n // 8}" for n in range(320)]
    items = [f"i{(n * 7 + n // 8) % 20}" for n in range(320)]
    data = Interactions.from_columns(people, items, before, ["like"] * 320, times_ms=list(range(320)))
    content = Content.of(data.item_ids, {}, config)
    assert train(data, content, before, config, Plan(settings, "one")).url is not None
    live = Version(NAME, "one", Plan(settings, "one").url, 1, {}, settings.tenant)
    after = weights_of(settings.model_copy(update={"events": settings.events.model_copy(update=changed)}), config)
    made = train(data, content, after, config, Plan(settings, "two", live, incremental=True, force=True))
    assert made.incremental is goes_on
    assert ("events.weights" in made.note) is not goes_on


@pytest.mark.integration
@pytest.mark.slow
def test_a_version_grows_out_of_the_one_before(run_job: RunJob, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(SMALL)
    fill(settings)
    first = run_job("jobs.refresh", "--config", "settings.yaml", "--incremental")
    assert first.code == 0 and not first.result["incremental"], first.stderr
    assert "no version is live yet" in first.stderr
    with Store.open(settings) as store:  # people go on, a new person comes, and so does a new item
        store.items.put([Item("new", title="New", categories=("A",))])
        store.events.append(
            [
                Event(f"later-{user}-{item}", f"u{user}", item, "like", 2_000_000 + user)
                for user in range(0, 62, 2)
                for item in ("new", f"i{user % 20}", f"i{(user + 7) % 20}")
            ]
        )
    second = run_job("jobs.refresh", "--config", "settings.yaml", "--incremental", "--force")
    assert second.code == 0 and second.result["incremental"], second.stderr
    assert second.result["users"] == 61 and second.result["items"] == 43
    metrics = second.result["metrics"]
    assert metrics["ndcg@10"] == first.result["metrics"]["ndcg@10"], "its base's, for the next full refresh"
    assert metrics["newest_sessions"] > 10 and 0 < metrics["newest_live_ndcg@10"] < 1
    assert 0 < metrics["newest_error"] < 0.2
    with Store.open(settings, readonly=True) as store:
        live = store.registry.live("default", "graph")
        assert live is not None and live.version == second.result["version"]
    ranker = Ranker.load(open_bundle(live.url, tmp_path / "cache", kind="graph"))
    assert "new" in ranker.items and len(ranker.rank([RankQuery(SessionView(None))])[0].items) == 10

    changed = run_job(
        "jobs.refresh", "--incremental", "--config", "settings.yaml", env={"TAILORBIRD_GRAPH": '{"seed": 3}'}
    )
    assert "settings of the section graph" in changed.stderr


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize(
    "line", ["reading events ...", "training ...", "training: train", "training: publish", "moving the"]
)
def test_a_refresh_that_is_killed_leaves_serving_as_it_was(
    line: str, run_job: RunJob, settings: Settings, tmp_path: Path
) -> None:
    """SIGKILL as soon as the line appears; the version that is live stays whole, and the next run makes a new one."""
    (tmp_path / "settings.yaml").write_text(SMALL)
    fill(settings)
    first = run_job("jobs.refresh", "--config", "settings.yaml")
    assert first.code == 0, first.stderr
    command = [sys.executable, "-m", "jobs.refresh", "--config", "settings.yaml", "--force"]
    environment = os.environ | {"TAILORBIRD_STATE_DIR": str(settings.state_dir), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as job:
        assert job.stderr is not None
        family: list[psutil.Process] = []
        seen = False
        for said in job.stderr:
            if said.startswith(line):
                family = psutil.Process(job.pid).children(recursive=True)
                job.kill()
                seen = True
                break
        job.stderr.read()
    assert seen and job.returncode == -signal.SIGKILL
    _, left = psutil.wait_procs(family, timeout=90)
    for process in left:
        process.kill()
    assert left == [], "Ray's processes end with the job that started them"

    with Store.open(settings, readonly=True) as store:
        live = store.registry.live("default", "graph")
        assert live is not None
        for version in store.registry.versions("default", "graph"):  # what the registry names can always be loaded
            Ranker.load(open_bundle(version.url, tmp_path / "cache", kind="graph")).smoke()
    assert live.version == first.result["version"] or line == "moving the"
    again = run_job("jobs.refresh", "--config", "settings.yaml", "--force")
    assert again.code == 0, again.stderr
    with Store.open(settings, readonly=True) as store:
        assert store.registry.live("default", "graph").version == again.result["version"]  # type: ignore[union-attr]


@pytest.mark.integration
@pytest.mark.slow
def test_two_processes_train_together(run_job: RunJob, settings: Settings, tmp_path: Path) -> None:
    """Through Ray Train; what they have learnt is as good as what one learns, within what chance does."""
    sampled = SMALL.replace("threads: 1", "threads: 1, sampled_above: 0, sampled_steps: 60, validate_steps: 20")
    (tmp_path / "settings.yaml").write_text(sampled)
    fill(settings)
    figures = []
    for workers in ("1", "2"):
        ran = run_job("jobs.refresh", "--config", "settings.yaml", "--force", "--workers", workers)
        assert ran.code == 0, ran.stderr
        assert ran.result["workers"] == int(workers)
        figures.append(ran.result["metrics"]["ndcg@10"])
    assert figures[1] > 0.9 * figures[0] > 0, figures
    assert "Traceback" not in ran.stderr and "error" not in ran.stderr.lower(), ran.stderr
    names = {path.name for path in (Path(settings.resolved_artifacts_url) / "default" / "graph").iterdir()}
    assert not any(name.endswith(".training") for name in names), names
    with Store.open(settings, readonly=True) as store:
        live = store.registry.live("default", "graph")
    assert live is not None and live.version == ran.result["version"]
    Ranker.load(open_bundle(live.url, tmp_path / "cache", kind="graph")).smoke()

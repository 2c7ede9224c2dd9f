"""`jobs.promote` and `jobs.prune` on a real registry and real folders."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from cluster.config import Settings
from cluster.errors import ConflictError, NotFoundError
from cluster.housekeeping import prune_rows
from cluster.messages import Event, Version
from cluster.sections import RetentionConfig
from cluster.store import Feedback, Operation, Recommendation, Store
from jobs.promote import promote
from jobs.prune import prune_versions
from tests.jobs.conftest import RunJob


def published(store: Store, settings: Settings, *versions: str, live: str | None = None) -> None:
    for number, version in enumerate(versions):
        folder = Path(settings.resolved_artifacts_url) / "graph" / version
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
        store.registry.publish(Version("graph", version, str(folder), 1000 + number, {"ndcg@10": 0.3}))
    if live:
        store.registry.move("default", "graph", live, None)


def live(store: Store) -> str | None:
    version = store.registry.live("default", "graph")
    return version.version if version else None


def folders(settings: Settings) -> list[str]:
    return sorted(path.name for path in (Path(settings.resolved_artifacts_url) / "graph").iterdir())


def test_forth_and_back(store: Store, settings: Settings) -> None:
    published(store, settings, "a", "b", "c")
    with pytest.raises(NotFoundError):
        promote(store, settings, "graph", None)
    assert promote(store, settings, "graph", "a") == {
        "name": "graph",
        "from_version": None,
        "version": "a",
        "moved": True,
    }
    assert promote(store, settings, "graph", "b")["from_version"] == "a"
    assert promote(store, settings, "graph", "latest")["version"] == "c"
    assert promote(store, settings, "graph", "c")["moved"] is False
    assert promote(store, settings, "graph", None)["version"] == "b"
    assert promote(store, settings, "graph", None)["version"] == "a"  # further back, not forth again
    with pytest.raises(NotFoundError, match="--version"):
        promote(store, settings, "graph", None)
    with pytest.raises(NotFoundError, match="nonsense"):
        promote(store, settings, "graph", "nonsense")
    assert live(store) == "a"


def test_a_rollback_passes_over_what_was_pruned(store: Store, settings: Settings) -> None:
    published(store, settings, "a", "b", "c", live="a")
    promote(store, settings, "graph", "b")
    promote(store, settings, "graph", "c")
    store.registry.remove("default", "graph", "b")
    assert promote(store, settings, "graph", None)["version"] == "a"


def test_where_nothing_is_live_there_is_nothing_to_go_back_from(store: Store, settings: Settings) -> None:
    with pytest.raises(NotFoundError, match="no graph version is live"):
        promote(store, settings, "graph", None)


def test_of_two_at_once_one_loses(store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    published(store, settings, "a", "b", "c", live="a")
    seen = store.registry.live("default", "graph")
    promote(store, settings, "graph", "b")
    monkeypatch.setattr(store.registry, "live", lambda tenant, name: seen)
    with pytest.raises(ConflictError):
        promote(store, settings, "graph", "c")
    monkeypatch.undo()
    assert live(store) == "b"


def test_promote_as_a_job(run_job: RunJob, settings: Settings) -> None:
    with Store.open(settings) as store:
        store.migrate()
        published(store, settings, "a", "b", live="a")
    assert run_job("jobs.promote", "--version", "b").result["version"] == "b"
    listed = run_job("jobs.promote", "--list").result
    assert [(version["version"], version["live"]) for version in listed["versions"]] == [("b", True), ("a", False)]
    assert [(move["from"], move["to"]) for move in listed["moves"]] == [("a", "b"), (None, "a")]
    assert run_job("jobs.promote", "--rollback").result["version"] == "a"
    for wrong in ((), ("--rollback", "--list"), ("--version", "nonsense")):
        assert run_job("jobs.promote", *wrong).code == 2


def test_prune_keeps_the_live_one_and_two(store: Store, settings: Settings) -> None:
    published(store, settings, "a", "b", "c", "d", "e", live="b")
    rehearsed = prune_versions(store, settings, "graph", 2, dry_run=True)
    assert folders(settings) == ["a", "b", "c", "d", "e"]
    result = prune_versions(store, settings, "graph", 2)
    assert result == rehearsed
    assert (result["removed"], result["kept"], result["live"]) == (["c", "a"], ["e", "d", "b"], "b")
    assert folders(settings) == ["b", "d", "e"]
    assert [version.version for version in store.registry.versions("default", "graph")] == ["e", "d", "b"]
    assert prune_versions(store, settings, "graph", 2)["removed"] == []
    assert prune_versions(store, settings, "graph", 0)["kept"] == ["b"]


def test_folders_of_killed_jobs_go_when_they_are_old(store: Store, settings: Settings) -> None:
    published(store, settings, "a", live="a")
    root = Path(settings.resolved_artifacts_url) / "graph"
    for name in ("new", "old"):
        (root / name).mkdir()
        (root / name / "part").write_text("x")
    two_days_ago = time.time() - 2 * 86_400
    for path in (root / "old" / "part", root / "old", root / "a" / "manifest.json", root / "a"):
        os.utime(path, (two_days_ago, two_days_ago))
    assert prune_versions(store, settings, "graph", 2)["orphans"] == [str(root / "old")]
    assert folders(settings) == ["a", "new"]


def test_nothing_outside_the_artifacts_is_an_orphan(store: Store, settings: Settings, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    for name in ("a", "precious"):
        (elsewhere / name).mkdir(parents=True)
        os.utime(elsewhere / name, (1, 1))
    store.registry.publish(Version("graph", "a", str(elsewhere / "a"), 1))
    assert prune_versions(store, settings, "graph", 2)["orphans"] == []
    assert (elsewhere / "precious").is_dir()


def test_prune_as_a_job_with_old_events(run_job: RunJob, settings: Settings) -> None:
    now_ms = time.time_ns() // 1_000_000
    with Store.open(settings) as store:
        store.migrate()
        published(store, settings, "a", "b", "c", "d", live="d")
        store.events.append(
            [Event("old", "u", "i", "view", now_ms - 10 * 86_400_000), Event("new", "u", "i", "view", now_ms)]
        )
    ran = run_job("jobs.prune", "--events-days", "5", "--keep", "1")
    assert (ran.code, ran.result["removed"], ran.result["rows"]["events"]) == (0, ["b", "a"], 1)
    with Store.open(settings, readonly=True) as store:
        assert [event.event_id for _, event in store.events.scan("default")] == ["new"]


def test_each_kind_of_row_has_its_own_age(settings: Settings) -> None:
    day_ms, now_ms = 86_400_000, time.time_ns() // 1_000_000
    ages = RetentionConfig(feedback_days=20, recommendations_days=5, operations_days=1)
    settings = settings.model_copy(update={"retention": ages})
    with Store.open(settings) as store:
        store.migrate()
        moments = [now_ms - days * day_ms for days in (0, 10, 30)]
        store.events.append([Event(f"e{ms}", "u", "i", "view", ms) for ms in moments])
        store.feedback.add([Feedback(f"f{ms}", ms) for ms in moments])
        store.feedback.log([Recommendation(f"r{ms}", ms, "v") for ms in moments])
        for ms in moments:
            store.operations.begin(Operation(f"o{ms}", "erase_user", "done", ms, finished_ms=ms))
        store.operations.begin(Operation("running", "erase_user", "running", moments[2], subject="u"))
        assert prune_rows(store, settings) == {"feedback": 1, "recommendations": 2, "operations": 2}
        assert prune_rows(store, settings, events_days=20)["events"] == 1
        assert [operation.operation_id for operation in store.operations.running()] == ["running"]

"""Versions do not pile up: each refresh leaves as many as `retention.versions` says."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.config import Settings
from cluster.messages import Version
from cluster.store import Store
from tests.jobs.conftest import RunJob
from tests.jobs.test_refresh import SMALL, fill


@pytest.mark.integration
@pytest.mark.slow
def test_a_refresh_leaves_the_newest_versions_only(run_job: RunJob, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(SMALL + "\nretention: {versions: 2}\n")
    fill(settings)
    folder = Path(settings.resolved_artifacts_url) / "default" / "graph"
    with Store.open(settings) as store:
        for number in range(6):
            old = folder / f"old-{number}"
            old.mkdir(parents=True)
            (old / "manifest.json").write_text("{}")
            store.registry.publish(Version("graph", old.name, str(old), 1_000 + number))
    ran = run_job("jobs.refresh", "--config", "settings.yaml")
    assert ran.code == 0, ran.stderr
    with Store.open(settings, readonly=True) as store:
        left = [version.version for version in store.registry.versions("default", "graph")]
    assert left == [ran.result["version"], "old-5", "old-4"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(left)

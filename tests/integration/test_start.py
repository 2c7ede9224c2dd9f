"""Starting and stopping: a second copy beside the first, ready again quickly, and nothing left behind."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

import httpx
import psutil
import pytest

from cluster.config import Settings
from cluster.launch import ROOT, ray_family, ray_temp_dir
from tests.integration.conftest import COMMAND, Copy, start_copy, stop_copy

pytestmark = pytest.mark.integration


def clone_state(source: Path, target: Path) -> None:
    """A state directory with the same data, versions and models, while the source is in use."""
    target.mkdir()
    with sqlite3.connect(source / "tailorbird.db") as live, sqlite3.connect(target / "tailorbird.db") as copy:
        live.backup(copy)
    shutil.copytree(source / "artifacts", target / "artifacts")
    (target / "models").symlink_to((source / "models").resolve())


def listed(api: httpx.Client, user: str) -> list[str]:
    answer = api.post("/v1/recommendations", json={"user_id": user, "n": 10})
    assert answer.status_code == 200, answer.text
    return [entry["item_id"] for entry in answer.json()["items"]]


def test_a_second_copy_with_the_other_binding_runs_beside_and_leaves_nothing(server: Copy, api: httpx.Client) -> None:
    with tempfile.TemporaryDirectory(prefix="tb") as folder:
        state_dir = Path(folder) / "state"
        clone_state(server.state_dir, state_dir)
        began = time.monotonic()
        second = start_copy(state_dir, recommender__binding="deployment")
        took = time.monotonic() - began
        try:
            assert took < 90  # 45 s on an idle machine; here another copy runs beside it
            assert not any("train the first version" in line for line in second.printed)
            with second.client() as other:
                assert listed(other, "42") == listed(api, "42")
                liked = [{"user_id": "42", "item_id": item, "type": "dislike"} for item in listed(other, "42")[:3]]
                assert other.post("/v1/events", json=liked).status_code == 202
                assert listed(other, "42") != listed(api, "42")
                assert other.get("/v1/similar", params={"item_id": "50"}).status_code == 200
                unknown = other.get("/v1/similar", params={"item_id": "none"})  # as the deployment raised it
                assert (unknown.status_code, unknown.json()["detail"]) == (404, "item 'none' is not in the catalogue")
                head = other.head("/v1/popular")
                assert head.status_code == 200 and int(head.headers["content-length"]) > 100 and head.content == b""
                assert other.get("/v1/models").json()["data"][0]["quantization"] == "q4_1"
            run = json.loads((state_dir / "run.json").read_text())
            temp_dir = ray_temp_dir(Settings(state_dir=state_dir))
            family = ray_family(run["ray_pid"], temp_dir)
            assert len(family) > 5
        finally:
            stop_copy(second)
        assert second.process is not None and second.process.returncode == 0, "".join(second.printed)
        time.sleep(1)
        assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
        assert ray_family(run["ray_pid"], temp_dir) == []
        assert not (state_dir / "run.json").exists()
    assert listed(api, "42")


def test_a_copy_whose_command_is_killed_is_replaced_by_the_next(server: Copy) -> None:
    with tempfile.TemporaryDirectory(prefix="tb") as folder:
        state_dir = Path(folder) / "state"
        state_dir.mkdir()
        (state_dir / "models").symlink_to((server.state_dir / "models").resolve())
        killed = start_copy(state_dir, "--no-demo", "--no-train")
        assert killed.process is not None
        killed.process.send_signal(signal.SIGKILL)
        killed.process.wait()
        orphan = json.loads((state_dir / "run.json").read_text())["ray_pid"]
        assert psutil.pid_exists(orphan)
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", httpx.URL(killed.url).port or 0)) == 0
        second = start_copy(state_dir, "--no-demo", "--no-train")
        try:
            with second.client() as api:
                empty = api.post("/v1/recommendations", json={"user_id": "anyone"})
                assert empty.status_code == 200 and empty.json()["items"] == []
            assert not psutil.pid_exists(orphan) or psutil.Process(orphan).status() == psutil.STATUS_ZOMBIE
        finally:
            stop_copy(second)
            stop_copy(killed)


@pytest.mark.parametrize(
    ("settings", "code", "said"),
    [
        ({"TAILORBIRD_PROT": "1"}, 2, "TAILORBIRD_PROT"),
        ({"TAILORBIRD_PORT": "many"}, 2, "'many'"),
        ({"TAILORBIRD_SESSIONS__SHARDS": "2"}, 2, "PostgreSQL"),
        ({"TAILORBIRD_GRAPH__DIMENSION": "7"}, 2, "graph"),
        ({"TAILORBIRD_GENERATION__NONSENSE": "7"}, 2, "generation"),
        ({"TAILORBIRD_ENGINE": "steam"}, 2, "steam"),
        ({"TAILORBIRD_API_KEY": "short"}, 2, "api_key"),
        ({"TAILORBIRD_CONFIG": "/nowhere.yaml"}, 2, "/nowhere.yaml"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_starts(
    settings: dict[str, str], code: int, said: str, tmp_path: Path
) -> None:
    environment = {"PATH": "/usr/bin:/bin", "TAILORBIRD_STATE_DIR": str(tmp_path / "s"), **settings}
    done = subprocess.run([COMMAND, "serve"], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_named(server: Copy, tmp_path: Path) -> None:
    port = str(httpx.URL(server.url).port)
    environment = server.environment | {"TAILORBIRD_STATE_DIR": str(tmp_path), "TAILORBIRD_PORT": port}
    done = subprocess.run([COMMAND, "serve"], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and port in done.stderr


def test_a_second_start_in_the_same_state_directory_is_refused(server: Copy) -> None:
    done = server.command("serve")
    assert done.returncode == 1 and "already runs" in done.stderr


def test_jobs_run_on_the_cluster(server: Copy, tmp_path: Path) -> None:
    out = tmp_path / "events.jsonl"
    done = server.command("jobs", "submit", "export", "--", "--events", str(out))
    assert done.returncode == 0, done.stderr
    assert len(out.read_text().splitlines()) >= 100_000
    assert "export" in server.command("jobs", "list").stdout
    assert server.command("jobs", "submit", "nonsense").returncode == 2

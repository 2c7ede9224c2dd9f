"""`serve run deployments.app:build config=FILE`, as Ray Serve's own users would start it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cluster.config import Settings
from cluster.launch import ROOT, RayHead, RunInfo
from cluster.ports import free_ports
from cluster.serve_app import wait_until_answering

KEY = "a-key-for-this-test"
SERVE = str(Path(sys.executable).parent / "serve")

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RayHead, RunInfo, Settings]]:
    settings = Settings(state_dir=tmp_path_factory.mktemp("serve-run") / "state", port=free_ports(1)[0])
    settings.state_dir.mkdir()
    head = RayHead(settings)
    try:
        yield head, head.start(), settings
    finally:
        head.stop()


def test_serve_run_brings_up_the_application(ray: tuple[RayHead, RunInfo, Settings], tmp_path: Path) -> None:
    head, info, settings = ray
    file = tmp_path / "settings.yaml"
    file.write_text(f"api_key: {KEY}\nstate_dir: {settings.state_dir}\nwriter: {{min_replicas: 0}}\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "TAILORBIRD_"))}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": info.token_path, "RAY_ADDRESS": info.ray_address}
    environment |= {"PYTHONPATH": str(ROOT)}
    start = [SERVE, "start", "--http-host", "127.0.0.1", "--http-port", str(settings.port)]
    subprocess.run(start, env=environment, cwd=tmp_path, check=True, timeout=120, capture_output=True)
    log = tmp_path / "serve-run.log"
    with log.open("wb") as out:
        running = subprocess.Popen(
            [SERVE, "run", "deployments.app:build", f"config={file}", "--address", info.ray_address],
            env=environment,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        alive = lambda: head.alive() and running.poll() is None  # noqa: E731
        wait_until_answering(info.http_url, KEY, alive, 120, need_version=False)
        refused = httpx.get(f"{info.http_url}/v1/popular", headers={"X-API-Key": "another"}, trust_env=False)
        assert refused.status_code == 401
    except Exception as error:
        raise AssertionError(log.read_text()[-3000:]) from error
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(60)


def test_serve_run_names_a_wrong_argument(ray: tuple[RayHead, RunInfo, Settings], tmp_path: Path) -> None:
    _, info, _ = ray
    environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": info.token_path}
    ran = subprocess.run(
        [SERVE, "run", "deployments.app:build", "confg=x.yaml", "--address", info.ray_address],
        env=environment | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode != 0 and "confg" in ran.stderr + ran.stdout

"""The rendered Serve configuration and settings file, really deployed: on a local Ray, with a real PostgreSQL."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from cluster.config import Settings
from cluster.launch import RayHead, dashboard_client
from cluster.ports import free_ports
from cluster.serve_app import wait_until_answering, wait_until_running
from tests.cluster.postgres import Postgres
from tests.k8s.chart import CHART, ROOT, minimal

KEY = "a-key-for-this-test"

VALUES = {
    "settings": {"sessions": {"shards": 2}, "ingress": {"num_cpus": 0.2}},
    # No writer runs until it is asked for, so no model is needed here.
    "serve": {"ingress": {"minReplicas": 1, "maxReplicas": 2}, "writer": {"minReplicas": 0}},
}


@pytest.fixture
def head(tmp_path: Path) -> Iterator[tuple[RayHead, Settings]]:
    """A Ray with the environment that the chart's pods have, as far as it holds outside Kubernetes."""
    postgres = Postgres()
    (port,) = free_ports(1)
    settings = Settings(state_dir=tmp_path / "state", port=port)
    settings.state_dir.mkdir()
    ray = RayHead(
        settings,
        {
            "TAILORBIRD_DATABASE_URL": postgres.url,
            "TAILORBIRD_API_KEY": KEY,
            "TAILORBIRD_ARTIFACTS_URL": str(tmp_path / "artifacts"),
            "TAILORBIRD_HOST": "127.0.0.1",
            "TAILORBIRD_PORT": str(port),
        },
    )
    with contextlib.ExitStack() as stack:
        stack.callback(postgres.remove)
        stack.callback(ray.stop)
        ray.start()
        yield ray, settings


@pytest.mark.integration
def test_what_the_chart_renders_runs(head: tuple[RayHead, Settings], tmp_path: Path) -> None:
    ray, settings = head
    assert ray.info is not None
    objects = minimal(VALUES)
    file = tmp_path / "tailorbird.yaml"
    file.write_text(objects["settings-configmap"]["data"]["tailorbird.yaml"])
    config = yaml.safe_load(objects["rayservice"]["spec"]["serveConfigV2"])
    # Only what a pod would have to itself: the port, and the place of the settings file.
    config["http_options"] |= {"host": "127.0.0.1", "port": settings.port}
    config["applications"][0]["args"]["config"] = str(file)

    with dashboard_client(ray.info, timeout_s=60) as client:
        answer = client.put("/api/serve/applications/", json=config)
        assert answer.status_code == 200, answer.text
        wait_until_running(ray.info, ray.alive, 120, print)
        application = client.get("/api/serve/applications/").json()["applications"]["tailorbird"]
    scaling = {
        name: part["deployment_config"]["autoscaling_config"] for name, part in application["deployments"].items()
    }
    assert (scaling["Writer"]["min_replicas"], scaling["Writer"]["max_replicas"]) == (0, 4)
    assert (scaling["Ingress"]["min_replicas"], scaling["Ingress"]["max_replicas"]) == (1, 2)
    assert scaling["Ingress"]["target_ongoing_requests"] == 64

    wait_until_answering(ray.info.http_url, KEY, ray.alive, 60, need_version=False)
    # KubeRay's readiness probe of a worker greps this answer of the proxy.
    assert "success" in httpx.get(f"{ray.info.http_url}/-/healthz", trust_env=False).text
    # And `helm test` asks.
    for key, code in ((KEY, 0), ("another-key", 1)):
        asked = subprocess.run(
            [sys.executable, str(CHART / "files" / "ask.py")],
            env={"SERVICE_URL": ray.info.http_url, "API_KEY": key, "ALLOW_EMPTY": "true"},
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        assert asked.returncode == code, asked.stdout

"""The head dies and comes back, with its state in a real Redis: requests go on, and everything is whole afterwards."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from cluster.config import Settings
from cluster.errors import UnavailableError
from cluster.launch import RayHead, dashboard_client
from cluster.ports import free_ports, free_range
from cluster.serve_app import serve_config, wait_until_answering, wait_until_running
from cluster.store import Store
from tests.cluster.postgres import Postgres
from tests.integration.nodes import RayNode, family, kill
from tests.integration.redis import redis_server

KEY = "a-key-for-this-test"
AWAY_S = 15.0
TRIES = 3
"""A raylet that waits for its agent for fifteen seconds dies: a busy machine does that. Kubernetes tries again."""

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@dataclass
class Load:
    """Events and lists, one after the other, from a thread, through one node's proxy; what was answered when."""

    url: str
    answers: list[tuple[float, str, int]] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Load:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        for number in itertools.count():
            if self._stop.is_set():
                return
            event_id = f"away-{number}"
            event = {"event_id": event_id, "user_id": f"u{number % 5}", "item_id": f"i{number % 20}", "type": "click"}
            if self._ask("/v1/events", event) == 202:
                self.acknowledged.append(event_id)
            self._ask("/v1/recommendations", {"user_id": f"u{number % 5}", "n": 3})
            time.sleep(0.05)

    def _ask(self, path: str, body: dict[str, Any]) -> int:
        began = time.monotonic()
        try:
            answer = httpx.post(
                f"{self.url}{path}", json=body, headers={"Authorization": f"Bearer {KEY}"}, timeout=15, trust_env=False
            )
            code = answer.status_code
        except httpx.HTTPError:
            code = 0
        self.answers.append((began, path, code))
        return code


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Gives `() -> (head, settings)`, which starts a head; each time on the same ports and with the same Redis."""
    postgres = Postgres()
    with contextlib.ExitStack() as stack:
        stack.callback(postgres.remove)
        redis = stack.enter_context(redis_server())
        ports, direct, (http,) = free_ports(12), free_range(64), free_ports(1)
        monkeypatch.setattr("cluster.launch.free_ports", lambda count: ports[:count])
        monkeypatch.setattr("cluster.launch.free_range", lambda count: direct)
        # Only the second node has room for what serves: the head does what a head does.
        settings = Settings(
            state_dir=tmp_path / "state",
            port=http,
            database_url=postgres.url,
            ingress={"num_cpus": 1.5, "max_replicas": 2},
            sessions={"shards": 2, "num_cpus": 1.5},
            writer={"min_replicas": 0},
            ray={"num_cpus": 1},
        )
        settings.state_dir.mkdir()
        environment = {
            "RAY_REDIS_ADDRESS": redis,
            # As KubeRay sets it: nodes wait this long for a head to come back. And a busy machine starts one slowly.
            "RAY_gcs_rpc_server_reconnect_timeout_s": "600",
            "RAY_raylet_start_wait_time_s": "120",
            "RAY_external_storage_namespace": "tailorbird-test",
            "TAILORBIRD_API_KEY": KEY,
            "TAILORBIRD_PORT": str(http),
            "TAILORBIRD_DATABASE_URL": postgres.url,
            "TAILORBIRD_INGRESS__NUM_CPUS": "1.5",
            "TAILORBIRD_INGRESS__MAX_REPLICAS": "2",
            "TAILORBIRD_SESSIONS__SHARDS": "2",
            "TAILORBIRD_SESSIONS__NUM_CPUS": "1.5",
            "TAILORBIRD_WRITER__MIN_REPLICAS": "0",
        }

        def begin() -> tuple[RayHead, Settings]:
            for tries_left in reversed(range(TRIES)):
                head = RayHead(settings, environment)
                # A new pod has an empty folder; here the note that a head runs has to go.
                (head.temp_dir / "ray_current_cluster").unlink(missing_ok=True)
                try:
                    head.start(timeout_s=180)
                except UnavailableError:
                    if not tries_left:
                        raise
                    continue
                stack.callback(head.stop)
                break
            return head, settings

        yield begin


def test_requests_go_on_while_the_head_is_away(start: Any, tmp_path: Path) -> None:
    head, settings = start()
    assert head.info is not None
    node = RayNode(head.info.ray_pid, head.info.ray_address, 1, 12, head.temp_dir, tmp_path)
    try:
        with dashboard_client(head.info, timeout_s=60) as client:
            client.put("/api/serve/applications/", json=serve_config(settings)).raise_for_status()
        wait_until_running(head.info, head.alive, 120, print)
        wait_until_answering(head.info.http_url, KEY, head.alive, 60, need_version=False)
        wait_until_answering(node.url, KEY, head.alive, 60, need_version=False)
        served = " ".join(" ".join(process.cmdline()) for process in node.family())
        assert "SessionShard" in served and "Replica:tailorbird:Ingress" in served

        # The service in front of the nodes leaves out one whose proxy does not answer: here that is the head's.
        with Load(node.url) as load:
            time.sleep(3)
            died = time.monotonic()
            beside = {process.pid for process in node.family()}
            kill([one for one in (*family(head.info.ray_pid), *proxies_of(head)) if one.pid not in beside])
            time.sleep(AWAY_S)
            print(f"{len(load.answers)} answers until now, {Counter(answer[2] for answer in load.answers)}")
            head, settings = start()
            assert head.info is not None
            back = time.monotonic()
            wait_until_running(head.info, head.alive, 120, print)
            healed = time.monotonic()
            count = len(load.answers)
            while len(load.answers) < count + 40:
                assert time.monotonic() < healed + 120, "requests stand still"
                time.sleep(0.5)
        before = [code for began, _, code in load.answers if began < died - 1]
        assert set(before) == {200, 202}
        away = [answer for answer in load.answers if died <= answer[0] < back]
        after = [answer for answer in load.answers if answer[0] >= back]
        failed = [answer for answer in away + after if answer[2] not in (200, 202)]
        print(f"{len(away)} answers while away, {len(after)} afterwards; whole {healed - back:.1f} s after the head")
        assert len(away) > 100 and len(after) > 20
        assert failed == [], [(round(began - died, 1), path, code) for began, path, code in failed]

        # Whole: nothing acknowledged is missing, and nothing is twice.
        with Store.open(settings, readonly=True) as store:
            stored = [event.event_id for _, event in store.events.since(0, 1_000_000)]
        assert len(stored) == len(set(stored)) and set(load.acknowledged) <= set(stored)
    finally:
        node.kill()


def proxies_of(head: RayHead) -> list[psutil.Process]:
    """HAProxy processes of the head and of nodes that were started with its environment."""
    mark = f"{head.temp_dir}/h/"
    return [process for process in psutil.process_iter(["cmdline"]) if mark in " ".join(process.info["cmdline"] or ())]

"""Load brings writers and the nodes that they need, calm takes both away, down to none; every text is answered in time.

The nodes are of this machine, started and ended by Ray's own autoscaler (`tests.integration.local_nodes`).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from cluster.config import Settings
from cluster.launch import RayHead, dashboard_client, ray_temp_dir
from cluster.ports import free_ports
from cluster.sections import RayConfig
from cluster.serve_app import serve_config, wait_until_answering, wait_until_running
from tests.cluster.postgres import Postgres
from tests.integration.local_nodes import HEAD_ENVIRONMENT, nodes_of, write_config
from tests.integration.nodes import family

KEY = "a-key-for-this-test"
DEADLINE_S = 8.0
GRACE_S = 3.0
"""On a machine of two cores that loads a model beside it, an answer may be this late."""
AT_ONCE = 8
START_S = 240
CALM_S = 240
SCALING = {
    "min_replicas": 0,
    "max_replicas": 2,
    "target_ongoing_requests": 2,
    "upscale_delay_s": 1,
    "downscale_delay_s": 5,
    "downscale_to_zero_delay_s": 5,
    "look_back_period_s": 4,
    "metrics_interval_s": 1,
}
CPUS = {"ingress": 2, "sessions": 2, "writer": 3}
KINDS = {
    "serving": {"resources": {"CPU": 4}, "min_workers": 2, "max_workers": 2},
    "writing": {"resources": {"CPU": 3}, "min_workers": 0, "max_workers": 2},
}
"""A serving node has room for an ingress and a shard, a writing node for a writer."""
WRITER = "Replica:tailorbird:Writer"

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@dataclass
class Texts:
    """Asks for texts, some at a time, from threads; how each was answered and how long it took."""

    url: str
    answers: list[tuple[str, float]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def ask(self, number: int) -> None:
        """One text."""
        began = time.monotonic()
        body = {"kind": "pitch", "item_id": f"i{number % 20}", "user_id": f"u{number}", "timeout_ms": DEADLINE_S * 1000}
        headers = {"Authorization": f"Bearer {KEY}"}
        try:
            answer = httpx.post(f"{self.url}/v1/content", json=body, headers=headers, timeout=60, trust_env=False)
            how = answer.json()["source"] if answer.status_code == 200 else str(answer.status_code)
            if answer.status_code in (429, 503):
                how += " later" if "retry-after" in answer.headers else " without Retry-After"
        except httpx.HTTPError as error:
            how = type(error).__name__
        self.answers.append((how, time.monotonic() - began))

    @contextlib.contextmanager
    def load(self) -> Iterator[None]:
        """Ask for as long as the block lasts."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for first in range(AT_ONCE):
                pool.submit(self._run, first)
            try:
                yield
            finally:
                self._stop.set()

    def _run(self, first: int) -> None:
        number = first
        while not self._stop.is_set():
            self.ask(number)
            number += AT_ONCE
            time.sleep(0.1)


@pytest.fixture
def head(tmp_path: Path) -> Iterator[tuple[RayHead, Settings]]:
    """A head that does what a head does: there is room for what serves on other nodes only."""
    postgres = Postgres()
    with contextlib.ExitStack() as stack:
        stack.callback(postgres.remove)
        # All addresses: HAProxy of one node asks the replicas of another at that one's.
        settings = Settings(
            state_dir=tmp_path / "state", host="0.0.0.0", port=free_ports(1)[0], ray=RayConfig(num_cpus=1)
        )
        settings.state_dir.mkdir()
        environment = {
            "TAILORBIRD_API_KEY": KEY,
            "TAILORBIRD_HOST": settings.host,
            "TAILORBIRD_PORT": str(settings.port),
            "TAILORBIRD_DATABASE_URL": postgres.url,
            "TAILORBIRD_SESSIONS__SHARDS": "2",
            "TAILORBIRD_INGRESS__MIN_REPLICAS": "2",
            "TAILORBIRD_INGRESS__MAX_REPLICAS": "2",
            "TAILORBIRD_WRITER__MIN_REPLICAS": "0",
            "TAILORBIRD_WRITER__MAX_REPLICAS": "2",
            "TAILORBIRD_GENERATION": '{"cache_bytes": 0}',
            **{f"TAILORBIRD_{name.upper()}__NUM_CPUS": str(cpus) for name, cpus in CPUS.items()},
        }
        config = tmp_path / "autoscaling.json"
        write_config(config, ray_temp_dir(settings), tmp_path, KINDS, idle_s=6)
        started = RayHead(settings, environment | HEAD_ENVIRONMENT, [f"--autoscaling-config={config}"])
        stack.callback(started.stop)
        started.start()
        yield started, settings


def test_writers_and_nodes_come_with_load_and_go_in_calm(head: tuple[RayHead, Settings]) -> None:
    ray, settings = head
    info = ray.info
    assert info is not None
    with dashboard_client(info, timeout_s=60) as client:

        def nodes() -> list[psutil.Process]:
            return list(nodes_of(info.ray_pid).values())

        def writers() -> Counter[str]:
            """Replicas of the writer by their state."""
            app: dict[str, Any] = client.get("/api/serve/applications/").json()["applications"]["tailorbird"]
            return Counter(replica["state"] for replica in app["deployments"]["Writer"]["replicas"])

        def alive() -> int:
            answer = client.get("/nodes?view=summary").json()["data"]["summary"]
            return sum(node["raylet"]["state"] == "ALIVE" for node in answer) - 1

        until(lambda: alive() == 2, START_S, "the two nodes that there are at least did not come")
        config = serve_config(settings)
        config["applications"][0]["deployments"] = [{"name": "Writer", "autoscaling_config": SCALING}]
        client.put("/api/serve/applications/", json=config).raise_for_status()
        wait_until_running(info, ray.alive, START_S, print)
        wait_until_answering(info.http_url, KEY, ray.alive, 60, need_version=False)
        items = [{"item_id": f"i{n}", "title": f"The {n}th", "categories": ["Drama"]} for n in range(20)]
        headers = {"Authorization": f"Bearer {KEY}"}
        put = httpx.post(f"{info.http_url}/v1/items:import", json=items, headers=headers, trust_env=False)
        assert put.status_code in (200, 202), put.text
        for title in ("SessionShard", "Replica:tailorbird:Ingress"):
            assert [count(node, title) for node in nodes()] == [1, 1], f"{title} is not on both nodes"
        assert writers() == Counter()

        time.sleep(1.0)  # by then every ingress knows the items
        texts = Texts(info.http_url)
        began = time.monotonic()
        texts.ask(0)  # nobody writes yet
        assert texts.answers[0][0] == "template"
        with texts.load():
            until(lambda: writers()["RUNNING"] == 1, START_S, "no writer came")
            print(f"a node and a writer after {time.monotonic() - began:.0f} s")
            until(lambda: writers()["RUNNING"] == 2, START_S, "the second writer did not come")
            print(f"two of each after {time.monotonic() - began:.0f} s")
            assert sorted(count(node, WRITER) for node in nodes()) == [0, 0, 1, 1]
            until(lambda: len(texts.answers) > 60, 60, "texts stand still")
        began = time.monotonic()
        until(lambda: writers() == Counter(), CALM_S, "writers do not go")
        print(f"no writer {time.monotonic() - began:.0f} s after the last text")
        until(lambda: alive() == 2 and len(nodes()) == 2, CALM_S, "nodes do not go")
        print(f"no node of theirs {time.monotonic() - began:.0f} s after the last text")
        texts.ask(1)  # from none again
        until(lambda: writers()["RUNNING"] >= 1, START_S, "no writer came back")
        texts.ask(2)
        until(lambda: writers() == Counter() and alive() == 2, CALM_S, "the writer or its node does not go")

        counts = Counter(how for how, _ in texts.answers)
        slowest = max(seconds for _, seconds in texts.answers)
        print(f"{dict(counts)}, slowest {slowest:.1f} s of {DEADLINE_S:.0f}")
        assert set(counts) <= {"generated", "template", "429 later", "503 later"}, counts
        assert counts["generated"] > 0 and slowest < DEADLINE_S + GRACE_S


def until(done: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, otherwise
        time.sleep(0.5)


def count(node: psutil.Process, title: str) -> int:
    """Processes of the node whose title holds `title`."""
    found = 0
    for process in family(node.pid):
        with contextlib.suppress(psutil.Error):
            found += title in " ".join(process.cmdline())
    return found

"""Two ingress replicas: a second after a change of the catalogue every list of both of them is as it should be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.integration.conftest import Copy, start_copy, stop_copy

pytestmark = [pytest.mark.integration, pytest.mark.slow]

RULE_S = 1.0
ROUNDS = 8
ASKED = 24
"""Lists for each look, all at once: HAProxy gives them to both replicas."""
SHOWN_S = 3.0
"""How long an item is to be had before it is over: long enough to be seen by a look on a busy machine."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    running = start_copy(
        tmp_path_factory.mktemp("second"),
        "--no-demo",
        "--no-train",
        ingress__min_replicas="2",
        ingress__max_replicas="2",
        writer__min_replicas="0",
    )
    with running.client() as client:
        items = [{"item_id": f"old-{n}", "title": f"Old {n}"} for n in range(20)]
        client.post("/v1/items:import", json=items).raise_for_status()
        # Without a version lists are by popularity: of what somebody has met.
        ids = [*(f"old-{n}" for n in range(20)), *(f"met-{n}" for n in range(ROUNDS))]
        events = [{"user_id": f"u{n}", "item_id": item_id, "type": "like"} for n, item_id in enumerate(ids)]
        client.post("/v1/events", json=events).raise_for_status()
    yield running
    stop_copy(running)


@pytest.fixture(scope="module")
def looks(copy: Copy) -> Iterator[Looks]:
    with copy.client() as client, ThreadPoolExecutor(ASKED) as pool:
        yield Looks(client, pool)


@dataclass
class Looks:
    """Many lists at the same moment."""

    client: httpx.Client
    pool: ThreadPoolExecutor

    def titles(self, path: str) -> list[dict[str, str]]:
        """For each list the titles by item."""

        def ask(_: int) -> dict[str, str]:
            answer = self.client.get(path).raise_for_status().json()
            return {entry["item_id"]: entry["item"].get("title", "") for entry in answer["items"]}

        return list(self.pool.map(ask, range(ASKED)))

    def settled(self, path: str, is_as_it_should_be: Callable[[dict[str, str]], bool]) -> float:
        """Seconds from now until a look begins in which every list is as it should be."""
        began = time.monotonic()
        while True:
            asked = time.monotonic()
            if all(is_as_it_should_be(list_) for list_ in self.titles(path)):
                return asked - began
            assert asked - began < 10, "it never happens"


def test_both_replicas_answer(copy: Copy, looks: Looks) -> None:
    processes = copy.processes("ServeReplica:tailorbird:Ingress")
    assert len(processes) == 2
    before = [process.cpu_times().user for process in processes]
    for _ in range(10):
        looks.titles("/v1/latest?n=50")
    assert all(process.cpu_times().user > was for process, was in zip(processes, before, strict=True))


@pytest.mark.parametrize(
    ("path", "prefix"), [("/v1/latest?n=200", "latest"), ("/v1/recommendations?user_id=somebody&n=200", "met")]
)
def test_a_change_counts_within_a_second_on_both(looks: Looks, path: str, prefix: str) -> None:
    rounds = [one_round(looks, path, f"{prefix}-{number}") for number in range(ROUNDS)]
    worst = {name: round(max(took[name] for took in rounds), 3) for name in rounds[0]}
    print(f"{path}: seconds until every list of both replicas knew it, at worst of {ROUNDS}: {worst}")
    assert max(worst.values()) <= RULE_S, worst


def one_round(looks: Looks, path: str, item: str) -> dict[str, float]:
    """Seconds after each kind of change until every list knows it."""

    def change(method: str, body: Any = None) -> None:
        looks.client.request(method, f"/v1/items/{item}", json=body).raise_for_status()

    def is_there(list_: dict[str, str]) -> bool:
        return item in list_

    def is_gone(list_: dict[str, str]) -> bool:
        return item not in list_

    took = {}
    change("PUT", {"title": "First"})
    took["new"] = looks.settled(path, lambda list_: list_.get(item) == "First")
    change("PATCH", {"title": "Second"})
    took["changed"] = looks.settled(path, lambda list_: list_.get(item) == "Second")
    change("PATCH", {"hidden": True})
    took["hidden"] = looks.settled(path, is_gone)
    ends = time.time() + SHOWN_S
    change("PATCH", {"hidden": False, "available_until": ends})
    took["shown"] = looks.settled(path, is_there)
    time.sleep(max(0.0, ends - time.time()))
    took["over"] = looks.settled(path, is_gone)
    change("PATCH", {"available_until": None})
    looks.settled(path, is_there)
    change("DELETE")
    took["deleted"] = looks.settled(path, is_gone)
    return took

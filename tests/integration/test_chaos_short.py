"""What guards a merge: a copy with two ingress replicas is struck under a constant light load that checks every answer.

`test_chaos_long.py` has the rest, `benchmarks.chaos` prints the figures.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from benchmarks import chaos_blows as blows
from benchmarks.chaos import under_load
from benchmarks.chaos_copy import Copy, prepared_copy
from cluster.store import Store
from deployments.recommendation_log import FLUSH_S

pytestmark = pytest.mark.integration

RATE = 60.0
SECONDS = 10.0
MAX_FAILED_SHARE = 0.01
MAX_UNLOGGED_S = FLUSH_S + 0.5
"""Lists wait this long to be written, and as long as that takes."""
MAX_STOP_S = 15.0
"""6 to 8 on an idle machine."""


@pytest.fixture(scope="module")
def copy() -> Iterator[Copy]:
    with prepared_copy(ingress__min_replicas=2, ingress__max_replicas=2) as copy:
        yield copy


def check(line: dict[str, Any]) -> None:
    """What holds for every blow."""
    assert line["acknowledged"] > 50, line
    assert line["missing"] == 0 and line["duplicates"] == 0, line
    assert line["window"]["failed_share"] <= MAX_FAILED_SHARE, line
    assert line["late"] == 0, line
    lists = line["lists"]
    assert lists["given"] > 200 and lists["doubled"] == 0 and lists["within_s"] <= MAX_UNLOGGED_S, line
    assert not any("broken" in code for code in line["codes"]), line


def test_a_killed_session_shard(copy: Copy) -> None:
    line = under_load(copy, lambda _: blows.kill_one(copy, "ray::SessionShard"), SECONDS, RATE)
    check(line)
    assert line["heal_s"] < 10, line
    assert line["lists"]["not_logged"] == 0, "lists wait for a shard that is away"


def test_a_killed_ingress_replica(copy: Copy) -> None:
    check(under_load(copy, lambda _: blows.kill_one(copy, "Replica:tailorbird:Ingress"), SECONDS, RATE))


def test_a_database_that_is_locked_for_three_seconds(copy: Copy) -> None:
    line = under_load(copy, lambda _: blows.lock_database(copy, 3.0), SECONDS, RATE)
    check(line)
    assert line["list"]["slowest_s"] < 3, "lists waited for the lock"


def test_a_replica_that_hangs_holds_no_request_beyond_its_deadline(copy: Copy) -> None:
    """Both replicas are held, as a process that swaps or sits in a long call is: the proxy answers in their place."""
    held = copy.processes("Replica:tailorbird:Ingress")
    with copy.client() as client:
        for process in held:
            process.suspend()
        try:
            began = time.monotonic()
            answer = client.post("/v1/recommendations", json={"user_id": "42", "timeout_ms": 700})
            took_s = time.monotonic() - began
        finally:
            for process in held:
                process.resume()
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1", answer.text
        assert 0.7 <= took_s < 1.7, took_s
        assert client.post("/v1/recommendations", json={"user_id": "42"}).status_code == 200


def test_no_header_of_a_client_overrules_the_deadline(copy: Copy) -> None:
    with copy.client() as client:
        headers = {"X-Request-Timeout-Seconds": "0.000001"}
        answer = client.post("/v1/recommendations", json={"user_id": "42"}, headers=headers)
    assert answer.status_code == 200, answer.text


def test_a_copy_that_stops_answers_what_is_in_work_and_is_gone_within_seconds(copy: Copy) -> None:
    """The last test of this copy."""
    answers: list[httpx.Response] = []

    def store() -> None:
        with copy.client() as client:
            answers.append(client.post("/v1/events", json={"user_id": "late", "item_id": "50", "type": "click"}))

    locking = threading.Thread(target=blows.lock_database, args=(copy, 3.0))
    storing = threading.Thread(target=store)
    locking.start()
    time.sleep(1.0)  # the lock is taken by a process that has to start
    storing.start()
    time.sleep(0.3)
    began = time.monotonic()
    copy.stop()
    took_s = time.monotonic() - began
    for thread in (locking, storing):
        thread.join()
    assert [answer.status_code for answer in answers] == [202]
    assert took_s < MAX_STOP_S, took_s
    with Store.open(copy.settings, readonly=True) as stored:
        assert len(stored.events.of_users("default", ["late"], 10)["late"]) == 1

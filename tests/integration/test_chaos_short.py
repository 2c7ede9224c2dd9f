"""What guards a merge: a copy with two ingress replicas is struck under a constant light load that checks every answer.

`test_chaos_long.py` has the rest, `benchmarks.chaos` prints the figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks import chaos_blows as blows
from benchmarks.chaos import under_load
from benchmarks.chaos_copy import Copy, prepared_copy

pytestmark = pytest.mark.integration

RATE = 60.0
SECONDS = 10.0
MAX_FAILED_SHARE = 0.01


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
    assert not any("broken" in code for code in line["codes"]), line


def test_a_killed_session_shard(copy: Copy) -> None:
    line = under_load(copy, lambda _: blows.kill_one(copy, "ray::SessionShard"), SECONDS, RATE)
    check(line)
    assert line["heal_s"] < 10, line


def test_a_killed_ingress_replica(copy: Copy) -> None:
    check(under_load(copy, lambda _: blows.kill_one(copy, "Replica:tailorbird:Ingress"), SECONDS, RATE))


def test_a_database_that_is_locked_for_three_seconds(copy: Copy) -> None:
    line = under_load(copy, lambda _: blows.lock_database(copy, 3.0), SECONDS, RATE)
    check(line)
    assert line["list"]["slowest_s"] < 3, "lists waited for the lock"

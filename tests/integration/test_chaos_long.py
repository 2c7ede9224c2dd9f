"""Every scenario of `benchmarks.chaos`, each on a copy of its own."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from benchmarks.chaos import SCENARIOS, overload, soak

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SECONDS = 15.0
RATE = 100.0
SOAK_S = 120.0
MAX_FAILED_SHARE = 0.01


def check(line: dict[str, Any]) -> None:
    """What every scenario promises."""
    print(json.dumps(line))
    assert line["missing"] == 0 and line["duplicates"] == 0, line
    assert line["acknowledged"] > 100, line
    assert line["lists"]["doubled"] == 0, line
    assert not any("broken" in code for code in line["codes"]), line


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_scenario(name: str) -> None:
    if name == "disk" and os.geteuid() != 0:
        pytest.skip("a file system of its own can only be mounted by root")
    line = SCENARIOS[name](SECONDS, RATE)
    check(line)
    if name != "everything":  # when nobody is there, nobody answers
        assert line["window"]["failed_share"] <= MAX_FAILED_SHARE, line
        assert line["late"] == 0, line
    if name == "writer":
        assert line["texts_begun"] > 0 and line["streams"].get("error", 0) <= line["texts_begun"], line
        assert all(end.startswith(("done", "error")) for end in line["streams"]), line["streams"]
    if name == "resize":
        assert line["sizes"] == [7, 4] and line["sessions_changed"] == 0, line["sessions"]
    if name == "redeploy":
        assert line["not_replaced"] == 0, line


def test_overload() -> None:
    line = overload(SECONDS)
    print(json.dumps(line))
    assert line["missing"] == 0 and line["duplicates"] == 0, line
    once, *more, after = line["steps"]
    for step in more:  # what is too much is refused, and costs what is answered little
        assert step["good_per_s"] > 0.7 * once["good_per_s"], line
    assert set(after["codes"]) <= {"event 202", "list 200"}, line


def test_soak() -> None:
    line = soak(SOAK_S, RATE)
    check(line)
    assert line["failed"] == 0
    assert set(line["memory"]) > {"Ingress", "SessionShard", "gcs_server"}

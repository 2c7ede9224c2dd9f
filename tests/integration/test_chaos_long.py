"""Every scenario of `benchmarks.chaos`, each on a copy of its own."""

from __future__ import annotations

import os
from typing import Any

import pytest

from benchmarks.chaos import SCENARIOS, soak

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SECONDS = 15.0
RATE = 100.0
SOAK_S = 120.0
MAX_FAILED_SHARE = {
    "disk": 0.25,  # no event can be stored: one request in five is one, for half of the window and what it needs to end
    "everything": 1.0,  # nobody is there to answer
}


def check(line: dict[str, Any], max_failed_share: float) -> None:
    """What every scenario promises."""
    assert line["missing"] == 0 and line["duplicates"] == 0, line
    assert line["acknowledged"] > 100, line
    assert line["window"]["failed_share"] <= max_failed_share, line
    assert not any("broken" in code for code in line["codes"]), line


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_scenario(name: str) -> None:
    if name == "disk" and os.geteuid() != 0:
        pytest.skip("a file system of its own can only be mounted by root")
    line = SCENARIOS[name](SECONDS, RATE)
    check(line, MAX_FAILED_SHARE.get(name, 0.01))
    if name == "disk":
        assert not any(
            code.startswith("list") for code in line["codes"] if code not in {"list 200", "list 200 degraded"}
        )
        assert set(line["probe"]) == {"503 retry-after 1"}
    if name == "writer":
        assert all(end.startswith(("done", "error")) for end in line["streams"]), line["streams"]
    if name == "resize":
        assert line["sizes"] == [7, 4]


def test_soak() -> None:
    line = soak(SOAK_S, RATE)
    check(line, 0.0)
    assert line["failed"] == 0

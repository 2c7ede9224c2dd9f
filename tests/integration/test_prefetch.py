"""The first texts of a list are in the cache a moment after it was returned, in a whole copy whose writer is idle."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.conftest import Copy, start_copy, stop_copy

pytestmark = [pytest.mark.integration, pytest.mark.slow]

AHEAD = 3
WAIT_S = 20.0


@pytest.fixture
def copy(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Copy]:
    state_dir = tmp_path_factory.mktemp("s")
    (state_dir / "models").symlink_to(models_dir)
    running = start_copy(state_dir, "--no-train", generation__prefetch_items=AHEAD)
    try:
        yield running
    finally:
        stop_copy(running)


def written_ahead(api: httpx.Client) -> float:
    """How many texts the writer has written ahead."""
    lines = api.get("/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if "texts_ahead" in line and 'result="written"' in line)


def test_the_first_texts_of_a_list_are_written_while_nobody_asks(copy: Copy) -> None:
    with copy.client() as api:
        asked = {"user_id": "42", "n": AHEAD + 2}
        ids = [item["item_id"] for item in api.post("/v1/recommendations", json=asked).json()["items"]]
        end = time.monotonic() + WAIT_S
        while written_ahead(api) < AHEAD and time.monotonic() < end:
            time.sleep(0.25)
        sources = [
            api.post("/v1/content", json={"kind": "pitch", "user_id": "42", "item_id": item_id}).json()["source"]
            for item_id in ids
        ]
    assert sources == ["cached"] * AHEAD + ["generated"] * 2

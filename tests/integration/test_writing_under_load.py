"""More texts than the writer has places for: every request ends in its time, and who is refused is told when to ask."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
import pytest

from tests.integration.conftest import Copy

pytestmark = pytest.mark.integration

MANY = 64
PLACES = 8 + 16
"""Of the writer by default: a batch, and a queue."""
ANSWER_S = 2.0
"""What a request may take beyond its deadline on a machine where the whole test suite runs."""


class End(NamedTuple):
    status: int
    headers: httpx.Headers
    body: str
    took_s: float


@asynccontextmanager
async def client_of(url: str, key: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {key}"},
        timeout=60.0,
        limits=httpx.Limits(max_connections=None),
        trust_env=False,
    ) as client:
        yield client


def body_of(seed: int, **more: Any) -> dict[str, Any]:
    """A text that no cache has."""
    return {"kind": "pitch", "item_id": str(50 + seed % 100), "session": [{"item_id": "172", "type": "like"}]} | {
        "seed": seed,
        **more,
    }


async def burst(server: Copy, timeout_ms: int) -> list[End]:
    async with client_of(server.url, server.key) as client:

        async def one(number: int) -> End:
            began = time.monotonic()
            asked = body_of(number, stream=number % 2 == 0, timeout_ms=timeout_ms)
            answer = await client.post("/v1/content", json=asked)
            return End(answer.status_code, answer.headers, answer.text, time.monotonic() - began)

        return await asyncio.gather(*map(one, range(MANY)))


def check(ends: list[End], timeout_ms: int) -> None:
    assert len(ends) == MANY
    for end in ends:
        assert end.took_s < timeout_ms / 1000 + ANSWER_S, end
        if end.status == 200 and end.headers["content-type"].startswith("text/event-stream"):
            names = [line for line in end.body.splitlines() if line.startswith("event: ")]
            assert names[-1] == "event: done" and "event: error" not in names, end.body
            assert names.count("event: done") == 1, end.body
        elif end.status == 200:
            assert json.loads(end.body)["text"], end.body
        else:
            assert end.status == 429, end
            assert int(end.headers["retry-after"]) >= 1, end.headers
            assert json.loads(end.body)["status"] == 429


async def test_64_at_once_on_a_queue_of_16_all_end(server: Copy) -> None:
    ends = await burst(server, 20_000)
    check(ends, 20_000)
    statuses = [end.status for end in ends]
    assert statuses.count(200) >= PLACES and statuses.count(429) >= 1, statuses


async def test_no_request_outlives_a_short_deadline(server: Copy) -> None:
    check(await burst(server, 700), 700)
    with server.client() as api:  # and nothing of it is left behind when a step of the engine has ended
        answer = api.post("/v1/content", json=body_of(1000))
        if answer.status_code == 429:
            await asyncio.sleep(int(answer.headers["retry-after"]))
            answer = api.post("/v1/content", json=body_of(1000))
        assert answer.status_code == 200

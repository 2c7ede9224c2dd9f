"""Two ingress replicas before one writer: what is changed through one is so in the lists of both within a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from cluster.config import Settings
from cluster.sessions.shard import Shard
from tests.deployments.conftest import running_app

RULE_S = 1.0
ROUNDS = 4
LISTS = ("/v1/latest?n=100", "/v1/recommendations?user_id=somebody&n=100")

Titles = dict[str, str]


@pytest.fixture
async def replicas(settings: Settings, shard: Shard) -> AsyncIterator[list[httpx.AsyncClient]]:
    async with AsyncExitStack() as stack:
        yield [(await stack.enter_async_context(running_app(settings, shard)))[0] for _ in range(2)]


async def titles(client: httpx.AsyncClient, path: str) -> Titles:
    answer = (await client.get(path)).raise_for_status().json()
    return {entry["item_id"]: entry["item"].get("title", "") for entry in answer["items"]}


async def settled(replicas: list[httpx.AsyncClient], holds: Callable[[Titles], bool]) -> float:
    """Seconds until all lists of all replicas are as they should be."""
    began = time.monotonic()
    while True:
        asked = time.monotonic()
        if all([holds(await titles(client, path)) for client in replicas for path in LISTS]):
            return asked - began
        assert asked - began < 5, "it never happens"
        await asyncio.sleep(0.01)


async def test_every_kind_of_change_counts_on_both(replicas: list[httpx.AsyncClient]) -> None:
    took: dict[str, list[float]] = {}

    async def check(
        name: str, changer: httpx.AsyncClient, item: str, body: Any, holds: Callable[[Titles], bool]
    ) -> None:
        if body is None:
            (await changer.delete(f"/v1/items/{item}")).raise_for_status()
        elif name == "new":
            (await changer.put(f"/v1/items/{item}", json=body)).raise_for_status()
        elif body:
            (await changer.patch(f"/v1/items/{item}", json=body)).raise_for_status()
        took.setdefault(name, []).append(await settled(replicas, holds))

    for number in range(ROUNDS):
        item, changer = f"fresh-{number}", replicas[number % 2]
        await check("new", changer, item, {"title": "First"}, lambda seen, item=item: seen.get(item) == "First")
        await check("changed", changer, item, {"title": "Second"}, lambda seen, item=item: seen.get(item) == "Second")
        await check("hidden", changer, item, {"hidden": True}, lambda seen, item=item: item not in seen)
        ends = time.time() + 0.7
        shown = {"hidden": False, "available_until": ends}
        await check("shown", changer, item, shown, lambda seen, item=item: item in seen)
        await asyncio.sleep(max(0.0, ends - time.time()))
        await check("over", changer, item, {}, lambda seen, item=item: item not in seen)
        await changer.patch(f"/v1/items/{item}", json={"available_until": None})
        await check("deleted", changer, item, None, lambda seen, item=item: item not in seen)
    worst = {name: round(max(times), 3) for name, times in took.items()}
    print(f"seconds until all lists of both replicas knew it, at worst of {ROUNDS}: {worst}")
    assert max(worst.values()) <= RULE_S, worst

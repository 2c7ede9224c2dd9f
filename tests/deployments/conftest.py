"""A whole application in this process: real store, real shard, real ranker, HTTP over ASGI. Only the writer is away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from cluster.config import Settings
from cluster.sessions.pool import SessionPool
from cluster.sessions.shard import Shard
from cluster.store import Store
from deployments.content_cache import CacheShard
from deployments.http_app import create_app
from deployments.services import Services
from graph.text import TextEncoder, find_encoder
from tests.deployments.small_world import ITEMS, publish

KEY = "test-key-0123456789"

Start = Callable[..., Any]


class LocalShard(Shard):
    """A shard in this process, with the actor's way to start."""

    async def ready(self) -> None:
        """Open the store."""
        if self._store is None:
            await self.start()


class Answer:
    """What a call of the handle gives: frames, and a way to have no more of them."""

    def __init__(self, frames: AsyncIterator[Any]) -> None:
        self.frames, self.cancelled = frames, False

    def __aiter__(self) -> AsyncIterator[Any]:
        return self.frames

    def cancel(self) -> None:
        self.cancelled = True


NO_WRITER = SimpleNamespace(options=lambda **_: None)


@asynccontextmanager
async def running_app(
    settings: Settings, shard: Shard, writer: Any = NO_WRITER
) -> AsyncIterator[tuple[httpx.AsyncClient, Services]]:
    """One ingress replica in front of a shard. Several may share one."""
    services = Services(settings, writer, None, SessionPool(settings, [shard]), [CacheShard(1 << 20)])
    await services.start()
    try:
        transport = httpx.ASGITransport(create_app(services), raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://app", headers=headers) as client:
            yield client, services
    finally:
        await services.stop()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path, api_key=SecretStr(KEY))


@pytest.fixture
async def shard(settings: Settings) -> AsyncIterator[Shard]:
    """The one writer, with forty items and a live version in its store."""
    with Store.open(settings) as store:
        store.migrate()
        store.items.put(ITEMS)
        publish(store, settings.state_dir)
    shard = LocalShard(settings)
    yield shard
    await shard.stop()


@pytest.fixture
async def app(settings: Settings, shard: Shard) -> AsyncIterator[tuple[httpx.AsyncClient, Services]]:
    async with running_app(settings, shard) as running:
        yield running


@pytest.fixture(scope="session")
def sentence_encoder() -> TextEncoder:
    """The real one, loaded once."""
    folder = find_encoder("auto")
    assert folder is not None
    return TextEncoder(folder, threads=1)


@pytest.fixture
def client(app: tuple[httpx.AsyncClient, Services]) -> httpx.AsyncClient:
    return app[0]


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 1.0) -> None:
    """Wait for what has to become true within a time."""
    import asyncio

    end = asyncio.get_running_loop().time() + seconds
    while not await condition():
        assert asyncio.get_running_loop().time() < end, f"it did not happen within {seconds} s"
        await asyncio.sleep(0.02)

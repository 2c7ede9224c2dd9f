"""Rates of keys: in memory and in a real Redis, told in headers, each key for itself."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest
import redis
from pydantic import SecretStr

from cluster.api_keys import Principal, parse_limits
from cluster.config import Settings
from cluster.errors import OverloadError
from cluster.ports import free_ports
from cluster.sections import LimitsConfig
from cluster.sessions.shard import Shard
from deployments import limiter
from deployments.limiter import Limiter
from tests.deployments.conftest import running_app, until

PASSWORD = "a-secret-of-redis"


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = shutil.which("redis-server") or shutil.which("valkey-server")
    if server is None:
        pytest.skip("no redis-server on this machine: `apt-get install redis-server`")
    (port,) = free_ports(1)
    folder = tmp_path_factory.mktemp("redis")
    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--save", ""]
    process = subprocess.Popen([*command, "--dir", str(folder)], stdout=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield f"redis://:{PASSWORD}@127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(10)


def wait_for(port: int) -> None:
    end = time.monotonic() + 10
    with redis.Redis(port=port, password=PASSWORD) as client:
        while True:
            try:
                client.ping()
                return
            except redis.ConnectionError:
                assert time.monotonic() < end
                time.sleep(0.05)


def principal(name: str, *rates: str) -> Principal:
    return Principal(f"key:{name}", "acme", frozenset({"read"}), parse_limits(rates))


async def passed(limiter: Limiter, who: Principal, tries: int) -> int:
    """How many of so many requests pass."""
    count = 0
    for _ in range(tries):
        try:
            await limiter.admit(who, [])
            count += 1
        except OverloadError:
            pass
    return count


async def test_each_key_has_its_own_rates() -> None:
    limiter = Limiter(LimitsConfig())
    assert await passed(limiter, principal("a", "5/minute", "100/day"), 9) == 5
    assert await passed(limiter, principal("b", "5/minute"), 3) == 3
    assert await passed(limiter, principal("c", "50/minute", "4/day"), 9) == 4


async def test_there_is_more_after_the_time_that_is_told() -> None:
    limiter, who = Limiter(LimitsConfig()), principal("a", "2/second")
    headers: list[tuple[bytes, bytes]] = []
    with pytest.raises(OverloadError) as refused:
        for _ in range(3):
            headers.clear()
            await limiter.admit(who, headers)
    assert refused.value.retry_after_s >= 1
    assert headers[0] == (b"ratelimit-policy", b'"1s";q=2;w=1')
    assert headers[1][0] == b"ratelimit" and headers[1][1].startswith(b'"1s";r=0;t=')
    await asyncio.sleep(2.1)
    await limiter.admit(who, headers)


async def test_redis_counts_for_all_replicas_together(redis_url: str) -> None:
    config = LimitsConfig(storage_url=SecretStr(redis_url), timeout_s=5)
    one, other = Limiter(config), Limiter(config)
    who = principal("shared", "10/minute")
    assert await passed(one, who, 6) + await passed(other, who, 6) == 10
    assert await passed(other, principal("alone", "3/minute"), 4) == 3
    await one.stop()
    await other.stop()


async def test_a_redis_that_is_away_lets_each_replica_count(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)
    config = LimitsConfig(storage_url=SecretStr(f"redis://:{PASSWORD}@127.0.0.1:{port}/0"))
    away = Limiter(config)
    monkeypatch.setattr(limiter.log, "propagate", True)
    assert await passed(away, principal("a", "5/minute"), 9) == 5
    assert PASSWORD not in caplog.text
    await away.stop()


async def test_a_redis_that_hangs_costs_one_wait() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # connections are made, and nobody answers
        url = SecretStr(f"redis://127.0.0.1:{server.getsockname()[1]}/0")
        hung = Limiter(LimitsConfig(storage_url=url, timeout_s=0.1))
        began = time.monotonic()
        assert await passed(hung, principal("a", "5/minute"), 9) == 5
        assert time.monotonic() - began < 1.0
        await hung.stop()


async def test_over_http_a_key_that_asks_too_much_is_told_when_to_come_back(settings: Settings, shard: Shard) -> None:
    limits = LimitsConfig(per_key=["1000/minute"])
    async with running_app(settings.model_copy(update={"limits": limits}), shard) as (client, _):
        bodies = ({"name": "slow", "limits": ["3/minute"]}, {"name": "usual"})
        made = [(await client.post("/v1/admin/keys", json=body)).json() for body in bodies]
        slow, usual = ({"Authorization": f"Bearer {one['key']}"} for one in made)

        async def known() -> bool:
            return (await client.get("/v1/session", headers=usual)).status_code == 200

        await until(known)
        answers: list[httpx.Response] = [await client.get("/v1/popular", headers=slow) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert answers[0].headers["ratelimit-policy"] == '"60s";q=3;w=60'
        assert answers[0].headers["ratelimit"].startswith('"60s";r=2;t=')
        assert answers[3].headers["ratelimit"].startswith('"60s";r=0;t=')
        assert 1 <= int(answers[3].headers["retry-after"]) <= 60
        assert answers[3].json()["status"] == 429
        other = await client.get("/v1/popular", headers=usual)
        assert other.headers["ratelimit-policy"] == '"60s";q=1000;w=60'
        assert "ratelimit" not in (await client.get("/v1/popular")).headers  # the bootstrap key has no rate

"""Who may do what: keys, their scopes, rotation and end, on two replicas; what every answer carries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from cluster.config import Settings
from cluster.sessions.shard import Shard
from deployments.services import Services
from tests.deployments.conftest import KEY, running_app, until

App = tuple[httpx.AsyncClient, Services]


@pytest.fixture
async def replicas(settings: Settings, shard: Shard) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """Two ingress replicas in front of one shard."""
    async with running_app(settings, shard) as (one, _), running_app(settings, shard) as (other, _):
        yield one, other


async def make(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    """A new key, which this replica knows already."""
    answer = await client.post("/v1/admin/keys", json={"name": "test", **body})
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    await until(lambda: opens(client, created["key"]))
    return created


async def opens(client: httpx.AsyncClient, key: str) -> bool:
    """Whether a key lets in at all."""
    return (await client.get("/v1/session", headers={"Authorization": f"Bearer {key}"})).status_code == 200


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def test_a_key_counts_on_every_replica_within_a_second_and_so_does_its_end(
    replicas: tuple[httpx.AsyncClient, httpx.AsyncClient],
) -> None:
    one, other = replicas
    created = await make(one, scopes=["read"])
    await until(lambda: opens(other, created["key"]))
    assert (await one.delete(f"/v1/admin/keys/{created['key_id']}")).status_code == 204

    async def closed() -> bool:
        return not await opens(one, created["key"]) and not await opens(other, created["key"])

    await until(closed)
    (listed,) = (await other.get("/v1/admin/keys")).json()["keys"]
    assert listed["is_valid"] is False and listed["revoked_at"] is not None


async def test_rotation_has_a_grace_period(client: httpx.AsyncClient) -> None:
    old = await make(client, limits=["100/second"])
    path = f"/v1/admin/keys:rotate/{old['key_id']}"
    new = (await client.post(path, json={"grace_s": 1.0})).json()
    assert new["replaces"] == old["key_id"] and new["key"] != old["key"]
    assert (new["scopes"], new["limits"], new["tenant"]) == (old["scopes"], old["limits"], old["tenant"])
    await until(lambda: opens(client, new["key"]))
    assert await opens(client, old["key"])

    async def over() -> bool:
        return not await opens(client, old["key"])

    await until(over, 2.0)
    assert await opens(client, new["key"])
    again = await client.post(path, json={})
    assert again.status_code == 409


@pytest.mark.parametrize(
    ("scopes", "reads", "writes", "administers"),
    [(["read"], 200, 403, 403), (["write"], 403, 202, 403), (["admin"], 403, 403, 200)],
)
async def test_scopes_open_what_they_say(
    client: httpx.AsyncClient, scopes: list[str], reads: int, writes: int, administers: int
) -> None:
    headers = bearer((await make(client, scopes=scopes))["key"])
    event = {"user_id": "u", "item_id": "loud/1", "type": "click"}
    assert (await client.post("/v1/recommendations", json={"n": 1}, headers=headers)).status_code == reads
    assert (await client.get("/v1/items", headers=headers)).status_code == reads
    assert (await client.post("/v1/events", json=event, headers=headers)).status_code == writes
    assert (await client.get("/v1/admin/keys", headers=headers)).status_code == administers
    assert (await client.get("/v1/users:export?user_id=u", headers=headers)).status_code == administers
    refused = await client.get("/v1/admin/audit" if reads == 200 else "/v1/models", headers=headers)
    assert refused.status_code == 403 and "scope" in refused.text


@pytest.mark.parametrize(
    "change",
    [
        lambda key: key[:-1],
        lambda key: key + "x",
        lambda key: key[:20] + "A" * (len(key) - 20),
        lambda key: key.upper(),
        lambda key: "tb_" + "0" * 16 + key[19:],
        lambda key: key[:19] + "_" + KEY,
        lambda key: "",
        lambda key: "tb__",
        lambda key: "a.b.c",
    ],
)
async def test_nearly_a_key_opens_nothing(client: httpx.AsyncClient, change: Any) -> None:
    key = (await make(client))["key"]
    assert await opens(client, key)
    wrong = change(key)
    answer = await client.get("/v1/items", headers=bearer(wrong))
    assert answer.status_code == 401
    assert not wrong or wrong not in answer.text


async def test_no_answer_and_no_log_line_holds_a_key(app: App, caplog: pytest.LogCaptureFixture) -> None:
    client, services = app
    created = await make(client, name="shop")
    secret = created["key"]
    told = [await client.get("/v1/admin/keys"), await client.get("/v1/admin/audit")]
    told += [
        await client.get("/v1/session", headers=bearer(secret)),
        await client.get("/nowhere", headers=bearer(secret)),
    ]
    told.append(await client.post("/v1/admin/keys", json={"name": "x", "scopes": [secret]}))
    for answer in told:
        assert secret not in answer.text and KEY not in answer.text
    assert secret[20:] not in caplog.text and KEY not in caplog.text
    assert secret not in repr(services.keys.__dict__) and KEY not in repr(services.settings)
    rows = services.store.api_keys.all()
    assert secret.encode() not in repr(rows).encode()


async def test_what_was_administered_is_in_the_audit_log(client: httpx.AsyncClient) -> None:
    created = await make(client, name="shop", scopes=["read"])
    answer = await client.post(f"/v1/admin/keys:rotate/{created['key_id']}", json={}, headers={"X-Request-Id": "r-1"})
    await client.delete(f"/v1/admin/keys/{created['key_id']}")
    await client.delete("/v1/users/somebody")
    page = (await client.get("/v1/admin/audit")).json()
    acts = [entry["action"] for entry in page["entries"]]
    assert acts == ["user.erase", "key.revoke", "key.rotate", "key.create"] and page["next_before"] is None
    rotated = page["entries"][2]
    assert rotated["target"] == answer.json()["key_id"] and rotated["request_id"] == "r-1"
    assert rotated["actor"] == "key:bootstrap" and rotated["detail"]["replaces"] == created["key_id"]
    assert "somebody" not in str(page)
    about = (await client.get("/v1/admin/audit", params={"user_id": "somebody"})).json()["entries"]
    assert [entry["action"] for entry in about] == ["user.erase"]
    assert (await client.get("/v1/admin/audit", params={"user_id": "somebody else"})).json()["entries"] == []
    first = (await client.get("/v1/admin/audit", params={"limit": 3})).json()
    rest = (await client.get("/v1/admin/audit", params={"before": first["next_before"]})).json()
    assert [entry["action"] for entry in rest["entries"]] == ["key.create"]


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["root"]},
        {"name": "x", "limits": ["fast"]},
        {"name": "x", "tenant": "../etc"},
        {"name": "x", "tenant": "Acme"},
        {"name": "x", "expires_at": "2001-01-01T00:00:00Z"},
        {"name": "x", "key": "mine"},
    ],
)
async def test_malformed_keys_are_refused(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert (await client.post("/v1/admin/keys", json=body)).status_code == 422
    assert (await client.get("/v1/admin/keys")).json()["keys"] == []


async def test_the_bootstrap_key_is_not_changed_over_http(client: httpx.AsyncClient) -> None:
    assert (await client.delete("/v1/admin/keys/bootstrap")).status_code == 422
    assert (await client.get("/v1/items")).status_code == 200


async def test_answers_carry_what_keeps_browsers_safe(client: httpx.AsyncClient) -> None:
    for path in ("/v1/items", "/v1/nowhere", "/"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers
    assert (await client.get("/v1/items")).headers["cache-control"] == "no-store"
    assert "strict-transport-security" not in headers


async def test_cors_is_closed_unless_an_origin_is_named(settings: Settings, shard: Shard) -> None:
    ask = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST", "Authorization": ""}
    async with running_app(settings, shard) as (closed, _):
        answer = await closed.options("/v1/recommendations", headers=ask)
        assert answer.status_code == 401 and "access-control-allow-origin" not in answer.headers
    ingress = settings.ingress.model_copy(update={"cors_origins": ["https://shop.example"], "hsts_s": 60})
    async with running_app(settings.model_copy(update={"ingress": ingress}), shard) as (client, _):
        allowed = await client.options("/v1/recommendations", headers=ask)
        assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
        assert "access-control-allow-credentials" not in allowed.headers
        other = await client.options("/v1/recommendations", headers=ask | {"Origin": "https://evil.example"})
        assert other.status_code == 400 and "access-control-allow-origin" not in other.headers
        answer = await client.get("/v1/items", headers={"Origin": "https://shop.example", "X-Forwarded-Proto": "https"})
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        assert answer.headers["strict-transport-security"] == "max-age=60"


async def test_a_body_that_never_ends_is_408(settings: Settings, shard: Shard) -> None:
    ingress = settings.ingress.model_copy(update={"body_timeout_s": 0.2})
    async with running_app(settings.model_copy(update={"ingress": ingress}), shard) as (client, _):

        async def drops() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b" "
                await asyncio.sleep(0.05)

        for path in ("/v1/recommendations", "/v1/feedback"):
            answer = await client.post(path, content=drops())
            assert answer.status_code == 408 and answer.headers["connection"] == "close"


async def test_everything_of_a_person_can_be_handed_out_and_nothing_of_others(app: App) -> None:
    client, services = app
    await client.put("/v1/users/ann", json={"attributes": {"age": 33}})
    for user in ("ann", "bob"):
        event = {"user_id": user, "item_id": "loud/1", "type": "like", "context": {"page": f"home of {user}"}}
        assert (await client.post("/v1/events", json=event)).status_code == 202
        listed = (await client.post("/v1/recommendations", json={"user_id": user, "n": 3})).json()
        said = {"user_id": user, "recommendation_id": listed["recommendation_id"], "text": f"{user} says hello"}
        assert (await client.post("/v1/feedback", json=said)).status_code == 201

    async def logged() -> bool:
        return len(services.store.feedback.scan_log("default")) == 2

    await until(logged, 3.0)
    answer = await client.get("/v1/users:export", params={"user_id": "ann"})
    records = [httpx.Response(200, content=line).json() for line in answer.text.splitlines()]
    assert [record["kind"] for record in records] == ["user", "event", "feedback", "recommendation"]
    assert {record["user_id"] for record in records} == {"ann"} and "bob" not in answer.text
    assert records[0]["attributes"] == {"age": 33} and records[1]["context"] == {"page": "home of ann"}
    assert records[2]["comment"] == "ann says hello" and len(records[3]["items"]) == 3
    nobody = await client.get("/v1/users:export", params={"user_id": "nobody"})
    assert nobody.status_code == 200 and nobody.content == b""

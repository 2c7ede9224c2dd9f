"""Two tenants in one copy: neither sees nor changes anything of the other, whatever route it tries.

The routes come from the OpenAPI document. A route that is not attacked here fails the test, so none can be forgotten.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from ray.exceptions import RayTaskError
from sqlalchemy import select

from cluster.config import Settings
from cluster.errors import EngineError
from cluster.messages import Item
from cluster.sessions.shard import Shard
from cluster.store.tables import metadata
from deployments.services import Services
from tests.deployments.conftest import Answer, running_app, until
from tests.deployments.small_world import publish

App = tuple[httpx.AsyncClient, Services]
SECRET = "ONLYACME"
ITEMS = [Item(f"acme-{n}", f"{SECRET} film {n}", tags=(SECRET,), tenant="acme") for n in range(8)]
GUESSED = ("acme-1", "acme-2")
"""Ids that the other tenant knows from somewhere, and uses for things of its own while it tries."""


async def _away(task: object) -> AsyncIterator[object]:
    raise RayTaskError("write", "no traceback", EngineError("no writer runs here"))
    yield


_FAILING = SimpleNamespace(write=SimpleNamespace(remote=lambda task: Answer(_away(task))))
AWAY = SimpleNamespace(options=lambda **_: _FAILING)
"""The handle of writers that all fail: texts are templates."""


@pytest.fixture
async def app(settings: Settings, shard: Shard) -> AsyncIterator[App]:
    async with running_app(settings, shard, AWAY) as running:
        yield running


class Tenant:
    """One tenant, over HTTP."""

    def __init__(self, app: App, name: str, key: dict[str, Any]) -> None:
        self.name, self.key_id = name, key["key_id"]
        self._client, self._headers = app[0], {"Authorization": f"Bearer {key['key']}"}

    async def __call__(self, method: str, path: str, **given: Any) -> httpx.Response:
        return await self._client.request(method, path, headers=self._headers, **given)


async def tenant(app: App, name: str) -> Tenant:
    """A tenant with a key that may do everything there."""
    body = {"name": name, "tenant": name, "scopes": ["read", "write", "admin"]}
    created = Tenant(app, name, (await app[0].post("/v1/admin/keys", json=body)).json())

    async def known() -> bool:
        return (await created("GET", "/v1/session")).status_code == 200

    await until(known)
    return created


async def settle(app: App) -> None:
    """Everything that was written is in the mirror of the catalogue, and lists are logged."""
    _, services = app
    await services.catalogue.refresh()

    async def logged() -> bool:
        return not services.log._waiting and not services.log._sending

    await until(logged, 5.0)


@pytest.fixture
async def acme(app: App) -> Tenant:
    """A tenant with something of everything, each with its mark."""
    acme = await tenant(app, "acme")
    documents = [{"item_id": one.item_id, "title": one.title, "tags": [SECRET]} for one in ITEMS]
    assert (await acme("POST", "/v1/items:import", json=documents)).json()["accepted"] == 8
    await acme("PUT", "/v1/users/ann", json={"attributes": {"note": SECRET}})
    rule = {"kind": "pin", "item_id": "acme-7", "position": 1, "note": SECRET}
    assert (await acme("PUT", "/v1/admin/rules/top", json=rule)).status_code == 200
    events = [{"event_id": f"e{n}", "user_id": "ann", "item_id": f"acme-{n}", "type": "like"} for n in range(3)]
    await acme("POST", "/v1/events", json=[{**event, "context": {"note": SECRET}} for event in events])
    await settle(app)
    return acme


def rows_of(services: Services, name: str) -> dict[str, list[Any]]:
    """All rows of a tenant."""
    with services.store.database.reading() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(select(table).where(table.c.tenant == name))))
            for table in metadata.sorted_tables
            if "tenant" in table.c
        }


async def attacks(app: App, acme: Tenant) -> dict[tuple[str, str], dict[str, Any]]:
    """For each operation of the document a request that names what is Acme's."""
    listed = (await acme("POST", "/v1/recommendations", json={"user_id": "ann", "n": 3})).json()["recommendation_id"]
    erasing = (await acme("DELETE", "/v1/users/gone")).json()["operation_id"]

    async def erased() -> bool:
        return (await acme("GET", f"/v1/operations/{erasing}")).json()["status"] == "done"

    await until(erased, 5.0)
    await settle(app)
    names = {
        "item_id": "acme-1",
        "user_id": "ann",
        "operation_id": erasing,
        "key_id": acme.key_id,
        "rule_id": "top",
        "model": "tailorbird",
    }
    queries = {
        **names,
        "tenant": "acme",
        "q": SECRET,
        "filter": f'tags == "{SECRET}"',
        "n": 50,
        "limit": 50,
        "days": 30,
    }
    bodies: dict[tuple[str, str], Any] = {
        ("POST", "/v1/events"): {"event_id": "e1", "user_id": "ann", "item_id": "acme-1", "type": "dislike"},
        ("POST", "/v1/recommendations"): {
            "user_id": "ann",
            "candidates": ["acme-1", "acme-2"],
            "include": ["title", "tags"],
            "explain": "path",
            "rules": [{"kind": "pin", "item_id": "acme-1", "position": 1}],
            "recommendation_id": listed,
        },
        ("POST", "/v1/content"): {"kind": "pitch", "user_id": "ann", "item_id": "acme-1", "timeout_ms": 200},
        ("POST", "/v1/chat/completions"): {
            "user": "ann",
            "messages": [{"role": "user", "content": f"what is {SECRET} film 1"}],
        },
        ("POST", "/v1/items:import"): [{"item_id": "acme-1", "title": "taken over"}],
        ("PUT", "/v1/items/{item_id}"): {"title": "taken over"},
        ("PATCH", "/v1/items/{item_id}"): {"title": "taken over"},
        ("POST", "/v1/users:import"): [{"user_id": "ann", "attributes": {"taken": "over"}}],
        ("PUT", "/v1/users/{user_id}"): {"attributes": {"taken": "over"}},
        ("PATCH", "/v1/users/{user_id}"): {"attributes": {"taken": "over"}},
        ("POST", "/v1/feedback"): {"user_id": "ann", "recommendation_id": listed, "verdict": "down"},
        ("POST", "/v1/admin/keys"): {"name": "mine", "tenant": "acme", "scopes": ["admin"]},
        ("POST", "/v1/admin/keys:rotate/{key_id}"): {"grace_s": 0},
        ("PUT", "/v1/admin/rules/{rule_id}"): {"kind": "pin", "item_id": "acme-1", "position": 1},
    }
    document = (await app[0].get("/openapi.json")).json()
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            key = (method.upper(), path)
            parameters = operation.get("parameters", [])
            asked = {one["name"]: one["in"] for one in parameters}
            unknown = {name for name in asked if name not in queries} - {"cursor", "before", "user-agent"}
            assert not unknown, f"{key} has parameters that this test does not know: {unknown}"
            filled = path
            for name in (name for name, where in asked.items() if where == "path"):
                filled = filled.replace(f"{{{name}}}", str(names[name]))
            assert "{" not in filled, f"{key} has a path that this test does not know"
            assert ("requestBody" in operation) == (key in bodies), f"{key}: say what body attacks it"
            query = {name: queries[name] for name, where in asked.items() if where == "query" and name in queries}
            found[key] = {"path": filled, "params": query, **({"json": bodies[key]} if key in bodies else {})}
    return found


async def test_no_route_shows_or_changes_what_is_anothers(app: App, acme: Tenant) -> None:
    rival = await tenant(app, "rival")
    await rival("PUT", "/v1/items/own-1", json={"title": "Own"})
    tried = await attacks(app, acme)
    before = rows_of(app[1], "acme")
    assert all(
        before[name] for name in ("events", "items", "users", "recommendations", "operations", "api_keys", "rules")
    )
    # Without `tenant` first: where naming a tenant is forbidden, not naming one may not help either.
    for order in (lambda params: {k: v for k, v in params.items() if k != "tenant"}, lambda params: params):
        for (method, path), request in tried.items():
            given = {name: value for name, value in request.items() if name != "path"}
            given["params"] = order(given["params"])
            answer = await rival(method, request["path"], **given)
            assert answer.status_code < 500 or path in {"/v1/models", "/v1/models/{model}"}, (method, path, answer.text)
            shown = answer.text.replace(f"{SECRET} film 1", "") if path == "/v1/chat/completions" else answer.text
            assert SECRET not in shown, (method, path, answer.text)
            leaked = [item.item_id for item in ITEMS if item.item_id in shown and item.item_id not in GUESSED]
            assert not leaked, (method, path, answer.text)
    await settle(app)
    assert rows_of(app[1], "acme") == before
    events = (await acme("GET", "/v1/users:export", params={"user_id": "ann"})).text
    assert "dislike" not in events and events.count('"kind":"event"') == 3


async def test_everything_that_only_the_whole_copys_operators_see_is_refused(app: App, acme: Tenant) -> None:
    for path in ("/metrics", "/v1/ops"):
        assert (await acme("GET", path)).status_code == 403
    assert (await acme("GET", "/v1/admin/keys", params={"tenant": "default"})).status_code == 403
    assert [key["tenant"] for key in (await acme("GET", "/v1/admin/keys")).json()["keys"]] == ["acme"]
    assert {entry["tenant"] for entry in (await acme("GET", "/v1/admin/audit")).json()["entries"]} == {"acme"}
    operator = (await app[0].get("/v1/admin/keys", params={"tenant": "acme"})).json()["keys"]
    assert [key["key_id"] for key in operator] == [acme.key_id]


async def test_a_tenant_without_a_version_gets_its_own_popular_and_newest_items(app: App, acme: Tenant) -> None:
    for path in ("/v1/recommendations?user_id=bob&n=50", "/v1/popular?n=50", "/v1/latest?n=50"):
        answer = (await acme("GET", path)).json()
        assert answer["model_version"] == "none"
        assert {item["item_id"] for item in answer["items"]} == {item.item_id for item in ITEMS}
    popular = (await acme("GET", "/v1/popular?n=3")).json()["items"]
    assert {item["item_id"] for item in popular} == {"acme-0", "acme-1", "acme-2"}
    similar = (await acme("GET", "/v1/similar?item_id=acme-1&n=50")).json()["items"]
    assert len(similar) == 7 and "acme-1" not in {item["item_id"] for item in similar}
    assert (await app[0].get("/v1/popular")).json()["model_version"] == "v1"


async def test_a_tenants_first_version_serves_it_and_nobody_else(app: App, acme: Tenant, shard: Shard) -> None:
    rival = await tenant(app, "rival")
    store = shard._opened()
    publish(store, app[1].settings.state_dir, "acme-v1", ITEMS, "acme")

    async def serves() -> bool:
        listed = (await acme("POST", "/v1/recommendations", json={"user_id": "bob", "n": 50})).json()
        return listed["model_version"] == "acme-v1" and {one["item_id"] for one in listed["items"]} == {
            item.item_id for item in ITEMS
        }

    await until(serves, 3.0)
    assert (await app[0].get("/v1/popular")).json()["model_version"] == "v1"
    assert (await rival("GET", "/v1/popular")).json() | {"recommendation_id": ""} == {
        "recommendation_id": "",
        "model_version": "none",
        "degraded": False,
        "items": [],
    }


async def test_one_id_is_two_people_in_two_tenants(app: App, acme: Tenant) -> None:
    rival = await tenant(app, "rival")
    for item in ITEMS:
        await rival("PUT", f"/v1/items/{item.item_id}", json={"title": f"Rival's {item.item_id}"})
    assert (
        await rival(
            "POST", "/v1/events", json={"event_id": "e1", "user_id": "ann", "item_id": "acme-7", "type": "like"}
        )
    ).json()["accepted"] == 1
    await settle(app)
    mine = (await rival("POST", "/v1/recommendations", json={"user_id": "ann", "n": 50, "include": ["title"]})).json()
    assert {one["item_id"] for one in mine["items"]} == {f"acme-{n}" for n in range(7)}
    assert SECRET not in json.dumps(mine)
    theirs = (await acme("POST", "/v1/recommendations", json={"user_id": "ann", "n": 50})).json()
    assert {one["item_id"] for one in theirs["items"]} == {f"acme-{n}" for n in range(3, 8)}
    erased = (await rival("DELETE", "/v1/users/ann")).json()["operation_id"]

    async def done() -> bool:
        return (await rival("GET", f"/v1/operations/{erased}")).json()["status"] == "done"

    await until(done, 5.0)
    assert (await acme("GET", f"/v1/operations/{erased}")).status_code == 404
    assert (await acme("GET", "/v1/users/ann")).json()["attributes"] == {"note": SECRET}

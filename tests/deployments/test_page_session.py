"""The page's session: a cookie for a key, its end, and what other sites cannot do with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from typing import Any

import httpx
import pytest

from cluster.config import Settings
from cluster.sessions.shard import Shard
from tests.deployments.conftest import KEY, running_app, until

COOKIE = "tailorbird_8000"
EVENT = {"user_id": "u", "item_id": "loud/1", "type": "click"}


@pytest.fixture
async def browser(client: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key, which keeps cookies."""
    async with httpx.AsyncClient(transport=client._transport, base_url="http://app") as browser:
        yield browser


async def sign_in(browser: httpx.AsyncClient, key: str = KEY, **headers: str) -> dict[str, Any]:
    answer = await browser.post("/v1/session", headers={"Authorization": f"Bearer {key}", **headers})
    assert answer.status_code == 201, answer.text
    begun: dict[str, Any] = answer.json()
    return begun


async def test_a_session_does_what_its_key_may_and_holds_no_key(browser: httpx.AsyncClient) -> None:
    assert (await browser.get("/v1/popular")).status_code == 401
    begun = await sign_in(browser)
    assert begun["scopes"] == ["admin", "read", "write"] and begun["tenant"] == "default"
    assert KEY not in str(browser.cookies.jar._cookies)  # type: ignore[attr-defined]
    assert (await browser.get("/v1/popular")).status_code == 200
    again = (await browser.get("/v1/session")).json()
    assert again["csrf_token"] == begun["csrf_token"]
    token = {"X-CSRF-Token": begun["csrf_token"]}
    assert (await browser.post("/v1/events", json=EVENT, headers=token)).status_code == 202
    assert (await browser.delete("/v1/session", headers=token)).status_code == 204
    assert (await browser.get("/v1/popular")).status_code == 401


@pytest.mark.parametrize(("proto", "secure"), [("http", False), ("https", True)])
async def test_the_cookie_is_closed_to_scripts_and_other_sites(
    browser: httpx.AsyncClient, proto: str, secure: bool
) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "X-Forwarded-Proto": proto}
    answer = await browser.post("/v1/session", headers=headers)
    cookies = {}
    for line in answer.headers.get_list("set-cookie"):
        cookies |= SimpleCookie(line)
    session, mark = cookies[COOKIE], cookies[f"{COOKIE}_open"]
    assert session["httponly"] and session["samesite"] == "strict" and session["path"] == "/"
    assert session["max-age"] == str(12 * 3600) and bool(session["secure"]) is secure
    assert mark.value == "1" and not mark["httponly"]


@pytest.mark.parametrize("token", [None, "", "0" * 40, "é"])
async def test_without_its_token_a_session_changes_nothing(browser: httpx.AsyncClient, token: str | None) -> None:
    await sign_in(browser)
    headers = {} if token is None else {b"X-CSRF-Token": token.encode()}
    for method, path in (
        ("POST", "/v1/events"),
        ("PUT", "/v1/items/x"),
        ("DELETE", "/v1/users/u"),
        ("POST", "/v1/admin/keys"),
    ):
        answer = await browser.request(method, path, json=EVENT, headers=headers)  # type: ignore[arg-type]
        assert answer.status_code == 403, (method, path)


async def test_anothers_token_does_not_help(browser: httpx.AsyncClient) -> None:
    first = await sign_in(browser)
    await sign_in(browser)
    answer = await browser.post("/v1/events", json=EVENT, headers={"X-CSRF-Token": first["csrf_token"]})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://app.evil.example"},
    ],
)
async def test_what_another_site_asks_for_is_refused(browser: httpx.AsyncClient, headers: dict[str, str]) -> None:
    begun = await sign_in(browser)
    headers = headers | {"X-CSRF-Token": begun["csrf_token"]}
    assert (await browser.get("/v1/popular", headers=headers)).status_code == 403
    assert (await browser.post("/v1/events", json=EVENT, headers=headers)).status_code == 403
    here = {"Sec-Fetch-Site": "same-origin", "Origin": "https://app", "X-CSRF-Token": begun["csrf_token"]}
    assert (await browser.post("/v1/events", json=EVENT, headers=here)).status_code == 202


async def test_a_session_ends_with_its_key(client: httpx.AsyncClient, browser: httpx.AsyncClient) -> None:
    created = (await client.post("/v1/admin/keys", json={"name": "page", "scopes": ["read"]})).json()

    async def known() -> bool:
        return (
            await client.get("/v1/session", headers={"Authorization": f"Bearer {created['key']}"})
        ).status_code == 200

    await until(known)
    begun = await sign_in(browser, created["key"])
    assert (await browser.get("/v1/popular")).status_code == 200
    answer = await browser.post("/v1/events", json=EVENT, headers={"X-CSRF-Token": begun["csrf_token"]})
    assert answer.status_code == 403 and "write" in answer.json()["detail"]
    await client.delete(f"/v1/admin/keys/{created['key_id']}")

    async def over() -> bool:
        return (await browser.get("/v1/popular")).status_code == 401

    await until(over)


@pytest.mark.parametrize(
    "change", [lambda v: v[:-1], lambda v: v + "A", lambda v: "x" + v, lambda v: "", lambda v: "." * 9000]
)
async def test_a_forged_cookie_opens_nothing(browser: httpx.AsyncClient, change: Any) -> None:
    await sign_in(browser)
    value = browser.cookies[COOKIE]
    browser.cookies.clear()
    answer = await browser.get("/v1/popular", headers={"Cookie": f"{COOKIE}={change(value)}"})
    assert answer.status_code == 401


async def test_a_session_ends_with_the_secret_and_survives_a_rotation_of_it(settings: Settings, shard: Shard) -> None:
    old, new = "old secret of at least 32 characters", "new secret of at least 32 characters"

    def secret(**secrets: str) -> Settings:
        return settings.model_validate(settings.model_dump() | secrets)

    def opened(client: httpx.AsyncClient, cookies: Any = None) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=client._transport, base_url="http://app", cookies=cookies)

    async with running_app(secret(secret_key=old), shard) as (client, _), opened(client) as browser:
        await sign_in(browser)
        cookies = dict(browser.cookies)
        created = (await client.post("/v1/admin/keys", json={"name": "shop"})).json()["key"]
    for secrets, status in (({"secret_key": new, "old_secret_key": old}, 200), ({"secret_key": new}, 401), ({}, 401)):
        async with running_app(secret(**secrets), shard) as (client, _), opened(client, cookies) as browser:
            headers = {"Authorization": f"Bearer {created}"}
            assert (await client.get("/v1/popular", headers=headers)).status_code == status
            assert (await browser.get("/v1/popular")).status_code == status

"""The gate and the problem documents, on a real FastAPI application, over ASGI."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, SecretStr
from starlette.responses import StreamingResponse

from cluster.api_keys import KeyTable
from cluster.config import Settings
from cluster.errors import InputError, NotFoundError, OverloadError
from deployments import problems
from deployments.access import Access
from deployments.limiter import Limiter
from deployments.middleware import Gate
from deployments.page_session import PageSessions

KEY = "test-key-0123456789"
TIMEOUT_S = 0.2


class Recorded:
    """Keeps what the gate measured."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, int]] = []
        self.in_work = 0

    def record(self, route: str, method: str, status: int, seconds: float) -> None:
        assert seconds >= 0
        self.rows.append((route, method, status))


class Thing(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    n: int
    x: float = 0.0


def access_of(folder: Path) -> Access:
    """Access by the bootstrap key alone."""
    settings = Settings(state_dir=folder, api_key=SecretStr(KEY))
    keys = KeyTable(settings)
    return Access(keys, settings.tenant, PageSessions(settings, keys), None, Limiter(settings.limits))


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture
async def client(recorded: Recorded, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    problems.install(app)

    @app.post("/v1/things")
    async def things(thing: Thing) -> dict[str, Any]:
        return thing.model_dump()

    @app.get("/v1/raise/{kind}")
    async def fail(kind: str) -> None:
        raise {
            "input": InputError("is wrong", "events.3.timestamp"),
            "missing": NotFoundError("no such item"),
            "full": OverloadError("full", 7.2),
            "bug": ValueError("secret internals"),
        }[kind]

    @app.get("/v1/slow")
    async def slow() -> str:
        await asyncio.sleep(5)
        return "late"

    @app.get("/v1/content")
    async def own_deadline() -> str:
        await asyncio.sleep(2 * TIMEOUT_S)
        return "in its own time"

    @app.get("/v1/streamed")
    async def streamed() -> StreamingResponse:
        async def chunks() -> AsyncIterator[str]:
            yield "begun"
            await asyncio.sleep(2 * TIMEOUT_S)
            yield " and ended"

        return StreamingResponse(chunks())

    @app.get("/v1/models")
    async def models() -> None:
        raise NotFoundError("no such model")

    @app.get("/healthz/live")
    async def live() -> str:
        return "live"

    app.add_middleware(
        Gate, access=access_of(tmp_path), max_body_bytes=2000, max_concurrent=4, metrics=recorded, timeout_s=TIMEOUT_S
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://app", headers=headers) as http:
        yield http


async def test_every_route_has_a_deadline(client: httpx.AsyncClient, recorded: Recorded) -> None:
    began = time.monotonic()
    answer = await client.get("/v1/slow")
    assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
    assert TIMEOUT_S <= time.monotonic() - began < TIMEOUT_S + 1
    assert recorded.rows[-1][2] == 503
    assert (await client.get("/v1/content")).json() == "in its own time"
    assert (await client.get("/v1/streamed")).text == "begun and ended", "what has begun is not cut off"


async def test_what_waits_for_something_that_is_away_leaves_its_place(tmp_path: Path, recorded: Recorded) -> None:
    app, parked = FastAPI(), [0]

    @app.get("/v1/models")
    async def models() -> str:
        return "answered"

    access = access_of(tmp_path)
    gate = Gate(app, access=access, max_body_bytes=2000, max_concurrent=4, metrics=recorded, parked=lambda: parked[0])
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url="http://app", headers=headers) as http:
        for in_work, waits, status in ((3, 0, 200), (4, 0, 429), (4, 1, 200), (9, 5, 429), (9, 6, 200)):
            recorded.in_work, parked[0] = in_work, waits
            answer = await http.get("/v1/models")
            assert answer.status_code == status, (in_work, waits)
            assert status == 200 or "retry-after" in answer.headers


@pytest.mark.parametrize(
    "headers", [{"Authorization": "Bearer wrong"}, {"Authorization": ""}, {"Authorization": f"Basic {KEY}"}]
)
async def test_without_the_key_nothing_but_health_answers(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    for path in ("/v1/raise/missing", "/openapi.json", "/nowhere"):
        answer = await client.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == "Bearer"
    assert (await client.get("/healthz/live", headers=headers)).status_code == 200


async def test_the_key_may_come_as_x_api_key(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/things", json={"n": 1}, headers={"Authorization": "", "X-API-Key": KEY})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "loc"),
    [
        (b'{"n": ', 400, None),
        (b"\xff\xfe", 400, None),
        (b"[" * 900, 400, None),
        (b'{"n": "many"}', 422, ["n"]),
        (b'{"n": 1, "m": 2}', 422, ["m"]),
        (b'{"n": 1, "x": NaN}', 422, ["x"]),
        (b"[]", 422, []),
        (b"", 422, []),
        (b'{"n": 1, "x": ' + b"1" * 3000 + b"}", 413, None),
    ],
)
async def test_bad_bodies_are_4xx_problems_with_their_place(
    client: httpx.AsyncClient, body: bytes, status: int, loc: list[str] | None
) -> None:
    answer = await client.post("/v1/things", content=body)
    assert answer.status_code == status
    document = answer.json()
    assert document["status"] == status
    assert document["instance"] == answer.headers["x-request-id"]
    if loc is not None:
        assert document["errors"][0]["loc"] == loc


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", ""])
async def test_a_body_is_json_whatever_curl_calls_it(client: httpx.AsyncClient, kind: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    assert (await client.post("/v1/things", content=b'{"n": 3}', headers=headers)).json()["n"] == 3


async def test_a_long_body_without_a_declared_length_is_413(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b" " * 100

    assert (await client.post("/v1/things", content=chunks())).status_code == 413


@pytest.mark.parametrize(("kind", "status"), [("input", 422), ("missing", 404), ("full", 429), ("bug", 500)])
async def test_errors_become_problems(client: httpx.AsyncClient, recorded: Recorded, kind: str, status: int) -> None:
    answer = await client.get(f"/v1/raise/{kind}")
    assert answer.status_code == status
    assert "internals" not in answer.text
    if kind == "full":
        assert answer.headers["retry-after"] == "7"
    if kind == "input":
        assert answer.json()["errors"] == [{"loc": ["events", "3", "timestamp"], "msg": "is wrong"}]
    assert recorded.rows == [("/v1/raise/{kind}", "GET", status)]


async def test_openai_routes_speak_openais_errors(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/models")).json()["error"]["type"] == "invalid_request_error"
    assert (await client.get("/v1/models", headers={"Authorization": ""})).json()["error"]["code"] == "invalid_api_key"


async def test_the_request_id_goes_in_and_out(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz/live", headers={"X-Request-Id": "abc-1"})).headers["x-request-id"] == "abc-1"
    made = (await client.get("/healthz/live", headers={"X-Request-Id": "a b\tc"})).headers["x-request-id"]
    assert len(made) == 32


async def test_unknown_routes_and_methods_are_problems(client: httpx.AsyncClient) -> None:
    for method, path, status, said in (
        ("GET", "/nowhere", 404, "is not a route"),
        ("DELETE", "/v1/things", 405, "the method is not allowed"),
    ):
        answer = await client.request(method, path)
        assert answer.status_code == status and said in answer.json()["detail"]
        assert answer.headers["content-type"] == "application/problem+json"


async def test_head_is_get_without_a_body_and_counts_as_head(client: httpx.AsyncClient, recorded: Recorded) -> None:
    assert (await client.head("/healthz/live")).status_code == 200
    assert (await client.head("/v1/raise/missing")).status_code == 404
    assert (await client.head("/v1/things")).status_code == 405
    assert [method for _, method, _ in recorded.rows] == ["HEAD"] * 3


async def test_methods_that_clients_make_up_are_one_in_the_figures(
    client: httpx.AsyncClient, recorded: Recorded
) -> None:
    for number in range(3):
        await client.request(f"BREW{number}", "/healthz/live")
    assert [method for _, method, _ in recorded.rows] == ["other"] * 3

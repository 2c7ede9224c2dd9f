"""What is taken off a request before Serve looks at it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from ray.serve._private.http_util import validate_http_proxy_callback_return
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Message

from cluster.config import Settings
from cluster.sections import IngressConfig, SessionsConfig
from deployments.edge import DETAIL, UntilDeadline, WithoutServeHeaders, middlewares


async def passed(scope: dict[str, Any]) -> dict[str, Any]:
    """What an application behind the middlewares gets."""
    seen: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope)

    async def receive() -> Message:
        raise AssertionError("nobody reads")

    async def send(message: Message) -> None:
        raise AssertionError("nobody writes")

    wrapped: Any = app
    for middleware in reversed(validate_http_proxy_callback_return(middlewares())):
        wrapped = middleware.cls(wrapped, *middleware.args, **middleware.kwargs)
    await wrapped(scope, receive, send)
    return seen


async def test_headers_by_which_a_client_would_overrule_deadlines_are_taken_off() -> None:
    kept = [(b"host", b"here"), (b"x-request-id", b"r1")]
    given = [kept[0], (b"x-request-timeout-seconds", b"0.001"), (b"x-request-disconnect-disabled", b"?1"), kept[1]]
    assert (await passed({"type": "http", "path": "/-/routes", "headers": given}))["headers"] == kept


async def test_of_two_request_ids_the_applications_stays() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"x-request-id", b"ours"), (b"a", b"b"), (b"x-request-id", b"serve's")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"c"})

    transport = httpx.ASGITransport(WithoutServeHeaders(app))
    async with httpx.AsyncClient(transport=transport, base_url="http://replica") as client:
        answer = await client.get("/")
    assert answer.headers.multi_items() == [("x-request-id", "ours"), ("a", "b")] and answer.text == "c"


async def test_everything_else_passes_untouched() -> None:
    headers = [(b"host", b"here")]
    assert (await passed({"type": "http", "path": "/-/routes", "headers": headers}))["headers"] is headers
    assert await passed({"type": "lifespan"}) == {"type": "lifespan"}


async def answered(app: Any, path: str, body: bytes) -> httpx.Response:
    """A request through `UntilDeadline`."""
    settings = Settings(sessions=SessionsConfig(timeout_s=0.2), ingress=IngressConfig(timeout_s=0.4))
    transport = httpx.ASGITransport(UntilDeadline(app, settings), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://proxy") as client:
        return await client.post(path, content=body, headers={"x-request-id": "r1"})


@pytest.mark.parametrize(
    ("path", "body", "limit_s"),
    [
        ("/v1/recommendations", b'{"timeout_ms": 100}', 0.1),
        ("/v1/recommendations", b'{"timeout_ms": 100.0}', 0.1),
        ("/v1/recommendations", b"not JSON", 0.4),
        ("/v1/recommendations", b'{"timeout_ms": "100"}', 0.4),
        ("/v1/events", b'{"timeout_ms": 100}', 0.2),
    ],
)
@pytest.mark.parametrize("says_something", [False, True])
async def test_what_waits_for_a_replica_waits_until_its_deadline(
    path: str, body: bytes, limit_s: float, says_something: bool
) -> None:
    async def waits(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            if not says_something:
                raise
            await PlainTextResponse("cancelled", 499)(scope, receive, send)  # as Serve's proxy does

    began = time.monotonic()
    answer = await answered(waits, path, body)
    assert limit_s <= time.monotonic() - began < limit_s + 0.15
    assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
    assert answer.json()["detail"] == DETAIL and answer.json()["instance"] == "r1"


async def test_an_answer_in_time_and_a_stream_beyond_the_deadline_pass() -> None:
    async def echo(scope: Any, receive: Any, send: Any) -> None:
        body = await Request(scope, receive).body()

        async def chunks() -> AsyncIterator[bytes]:
            yield body
            await asyncio.sleep(0.5)
            yield b"!"

        await StreamingResponse(chunks())(scope, receive, send)

    assert (await answered(echo, "/v1/content", b'{"timeout_ms": 100}')).content == b'{"timeout_ms": 100}!'

"""What every request passes before its route, as plain ASGI: id, measuring, errors, key, body size, concurrency.

One class, one pass: at thousands of requests a second each further layer would cost more than its work. The routes that
carry nearly all requests are called from here, past the framework's eight layers, which cost more than their work too.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cluster import tracing
from cluster.telemetry import REQUEST_ID, HttpMetrics
from deployments.problems import error_response, problem_response

log = logging.getLogger("tailorbird.http")

OPEN_PATHS = frozenset({"/", "/ops", "/healthz/live", "/healthz/ready", "/favicon.ico"})
OPEN_PREFIX = "/static/"
FORM = b"application/x-www-form-urlencoded"
_REQUEST_ID = re.compile(rb"^[\x21-\x7e]{1,128}$")


HotRoute = Callable[[bytes, str], Awaitable[Response]]
"""A route as a function of the body and the request's id. What it raises becomes the problem that it is anywhere."""


class Gate:
    """The way in. Wraps the application.

    Args:
        app: what to call when a request may pass.
        key: the API key that a request must carry, unless its path is open.
        max_body_bytes: a longer body is answered 413.
        max_concurrent: requests in work in this process; more are answered 429.
        metrics: where requests are counted and timed.
        hot: routes by method and path that are called without the framework.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        key: str,
        max_body_bytes: int,
        max_concurrent: int,
        metrics: HttpMetrics,
        hot: Mapping[tuple[str, str], HotRoute] | None = None,
    ) -> None:
        self._app = app
        self._key = key.encode()
        self._max_body_bytes = max_body_bytes
        self._max_concurrent = max_concurrent
        self._metrics = metrics
        self._hot = dict(hot or {})
        self._in_work = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event; only HTTP requests are looked at."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given if _REQUEST_ID.match(given) else uuid.uuid4().hex.encode()
        scope["request_id"] = request_id.decode("ascii")
        REQUEST_ID.set(scope["request_id"])
        span = tracing.begin_request(headers, scope["request_id"])
        hot = self._hot.get((scope["method"], scope["path"]))
        if hot is None and scope["path"].startswith("/v1/") and headers.get(b"content-type", FORM).startswith(FORM):
            # What `curl -d` sends when nothing is said. Every body here is JSON.
            others = [pair for pair in scope["headers"] if pair[0] != b"content-type"]
            scope["headers"] = [*others, (b"content-type", b"application/json")]
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        self._in_work += 1
        try:
            refusal = self._refusal(scope, headers)
            if refusal is not None:
                await self._refuse(scope, receive, send_marked, *refusal)
                return
            bounded = _BoundedBody(receive, self._max_body_bytes)
            try:
                if hot is None:
                    await self._app(scope, bounded, send_marked)
                else:
                    response = await hot(await _whole(bounded), scope["request_id"])
                    await response(scope, receive, send_marked)
            except asyncio.CancelledError:
                status = status or 499  # the client left
                raise
            except Exception as error:
                if status != 0:
                    raise  # the response has begun: only the connection can be broken off
                refused = error_response(scope["path"], error, scope["request_id"])
                await refused(scope, receive, send_marked)
        finally:
            self._in_work -= 1
            route = scope["path"] if hot is not None else getattr(scope.get("route"), "path", "other")
            self._metrics.record(route, scope["method"], status, time.perf_counter() - began)
            if span is not None:
                span.end(route, scope["method"], status)

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        path = scope["path"]
        is_open = path in OPEN_PATHS or path.startswith(OPEN_PREFIX)
        if not is_open and not self._has_key(headers):
            return 401, "send the API key as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
        if self._in_work > self._max_concurrent and not is_open:
            return 429, f"more than {self._max_concurrent} requests are in work"
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._max_body_bytes:
            return 413, BodyTooLargeError(self._max_body_bytes).detail
        return None

    def _has_key(self, headers: dict[bytes, bytes]) -> bool:
        given = headers.get(b"x-api-key")
        if given is None:
            scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer":
                return False
        return hmac.compare_digest(given.strip(), self._key)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, status: int, detail: str) -> None:
        response = problem_response(scope["path"], status, detail, Request(scope).scope["request_id"])
        await response(scope, receive, send)


async def _whole(receive: Receive) -> bytes:
    """The whole body."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body", False):
        message = await receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise asyncio.CancelledError("the client left before its body was whole")
    return body


class BodyTooLargeError(HTTPException):
    """A body without a declared length turned out longer than allowed.

    An HTTPException, because FastAPI turns any other error while it reads a body into a 400.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the body is longer than {limit} bytes")


class _BoundedBody:
    """Counts the bytes of a body as they come."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._left = limit

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise BodyTooLargeError(self._limit)
        return message

"""What every request passes before its route, as plain ASGI: id, measuring, errors, access, body size, concurrency.

One class, one pass: at thousands of requests a second each further layer would cost more than its work. The routes that
carry nearly all requests are called from here, past the framework's eight layers, which cost more than their work too.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cluster import tracing
from cluster.errors import DeadlineError, OverloadError
from cluster.ids import new_id
from cluster.telemetry import REQUEST_ID, HttpMetrics
from deployments.access import OPEN_PREFIX, Access, is_open
from deployments.problems import error_response

log = logging.getLogger("tailorbird.http")

_REQUEST_ID = re.compile(rb"^[\x21-\x7e]{1,128}$")


SAFE_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"x-frame-options", b"DENY"))
API_HEADERS = (
    *SAFE_HEADERS,
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
"""What an answer of the API carries: it is data of one client, and nothing that a browser shows or runs."""

OWN_DEADLINES = frozenset({"/v1/content", "/v1/chat/completions"})
"""Routes that take a `timeout_ms`, or end by themselves in the time that there is."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods that are told apart in figures; a client can make up others."""

HotRoute = Callable[[bytes, str, str], Awaitable[Response]]
"""A route as a function of the body, the request's id and the tenant. What it raises becomes the problem that it is
anywhere."""


class Gate:
    """The way in. Wraps the application.

    Args:
        app: what to call when a request may pass.
        access: who may do what, unless the path is open.
        max_body_bytes: a longer body is answered 413.
        body_timeout_s: a client that needs longer to send a body is answered 408.
        timeout_s: an answer that has not begun by then is 503; routes of `OWN_DEADLINES` see to that themselves.
        hsts_s: `max-age` of Strict-Transport-Security for what came by HTTPS; 0 sends none.
        max_concurrent: requests in work in this process; more are answered 429.
        metrics: where requests are counted and timed.
        hot: routes by method and path that are called without the framework.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: Access,
        max_body_bytes: int,
        max_concurrent: int,
        metrics: HttpMetrics,
        body_timeout_s: float = 30.0,
        timeout_s: float = 30.0,
        hsts_s: int = 0,
        hot: Mapping[tuple[str, str], HotRoute] | None = None,
    ) -> None:
        self._app = app
        self._access = access
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s
        self._timeout_s = timeout_s
        self._hsts = ((b"strict-transport-security", f"max-age={hsts_s}".encode()),) if hsts_s else ()
        self._max_concurrent = max_concurrent
        self._metrics = metrics
        self._hot = dict(hot or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event; only HTTP requests are looked at."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given if _REQUEST_ID.match(given) else new_id().encode()
        scope["request_id"] = request_id.decode("ascii")
        REQUEST_ID.set(scope["request_id"])
        span = tracing.begin_request(headers, scope["request_id"])
        hot = self._hot.get((scope["method"], scope["path"]))
        if hot is None and scope["path"].startswith("/v1/") and b"json" not in headers.get(b"content-type", b""):
            # Every body here is JSON, whatever `curl -d` (a form) or a browser's `fetch` (plain text) calls it.
            others = [pair for pair in scope["headers"] if pair[0] != b"content-type"]
            scope["headers"] = [*others, (b"content-type", b"application/json")]
        status = 0
        timer: asyncio.Timeout | None = None

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if timer is not None and not timer.expired():
                    timer.reschedule(None)
                safe = API_HEADERS if scope["path"].startswith("/v1/") else SAFE_HEADERS
                added = [*message["headers"], (b"x-request-id", request_id), *safe]
                if "extra_headers" in scope:
                    added += scope["extra_headers"]
                if self._hsts and headers.get(b"x-forwarded-proto") == b"https":
                    added += self._hsts
                message["headers"] = added
            await send(message)

        self._metrics.in_work += 1
        try:
            bounded = _BoundedBody(receive, self._max_body_bytes, self._body_timeout_s)
            try:
                if not is_open(scope["path"]):
                    scope["principal"] = await self._access.enter(scope, headers)
                    if self._metrics.in_work > self._max_concurrent:
                        raise OverloadError(f"more than {self._max_concurrent} requests are in work")
                length = headers.get(b"content-length", b"0")
                if length.isdigit() and int(length) > self._max_body_bytes:
                    raise BodyTooLargeError(self._max_body_bytes)
                if hot is None:
                    own = scope["path"] in OWN_DEADLINES
                    async with asyncio.timeout(None if own else self._timeout_s) as timer:
                        await self._app(scope, bounded, send_marked)
                else:
                    response = await hot(await _whole(bounded), scope["request_id"], scope["principal"].tenant)
                    await response(scope, receive, send_marked)
            except asyncio.CancelledError:
                status = status or 499  # the client left
                raise
            except Exception as error:
                if status != 0:
                    raise  # the response has begun: only the connection can be broken off
                is_late = timer is not None and timer.expired()
                late = DeadlineError(f"there was no answer within {self._timeout_s:g} s")
                refused = error_response(scope["path"], late if is_late else error, scope["request_id"])
                await refused(scope, receive, send_marked)
        finally:
            self._metrics.in_work -= 1
            route = scope["path"] if hot is not None else _route_of(scope)
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._metrics.record(route, method, status, time.perf_counter() - began)
            if span is not None:
                span.end(route, method, status)


def _route_of(scope: Scope) -> str:
    """The template of the route, never the path, which can hold ids."""
    other = OPEN_PREFIX if scope["path"].startswith(OPEN_PREFIX) else "other"
    return getattr(scope.get("route"), "path", other)


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


class BodyTooSlowError(HTTPException):
    """A client takes too long to send a body."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(408, f"the body did not come within {limit_s:g} s", {"Connection": "close"})


class _BoundedBody:
    """Counts the bytes of a body as they come, and the time until it is whole."""

    def __init__(self, receive: Receive, limit: int, timeout_s: float) -> None:
        self._receive = receive
        self._limit = limit
        self._left = limit
        self._timeout_s = timeout_s
        self._end_s = asyncio.get_running_loop().time() + timeout_s
        self._is_whole = False

    async def __call__(self) -> Message:
        if self._is_whole:
            return await self._receive()  # waits for the client to leave, however long an answer takes
        try:
            async with asyncio.timeout_at(self._end_s):
                message = await self._receive()
        except TimeoutError:
            raise BodyTooSlowError(self._timeout_s) from None
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)
            if self._left < 0:
                raise BodyTooLargeError(self._limit)
        return message

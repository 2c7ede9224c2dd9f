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
from functools import partial

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cluster import tracing
from cluster.api_keys import Principal
from cluster.deadlines import Deadlines
from cluster.errors import DeadlineError, OverloadError
from cluster.ids import new_id
from cluster.telemetry import REQUEST_ID, HttpMetrics
from deployments.access import OPEN_PREFIX, Access, is_open
from deployments.problems import METHODS, error_response

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

Answered = tuple[int, bytes]
"""Status and JSON."""
HotRoute = Callable[[bytes, str], Awaitable[Answered]]
"""A route as a function of the body and the tenant. What it raises becomes the problem that it is
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
        parked: how many of those only wait for something that is away; they have room elsewhere.
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
        parked: Callable[[], int] = lambda: 0,
    ) -> None:
        self._app = app
        self._access = access
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s
        self._timeout_s = timeout_s
        self._hsts = ((b"strict-transport-security", f"max-age={hsts_s}".encode()),) if hsts_s else ()
        self._max_concurrent = max_concurrent
        self._parked = parked
        self._metrics = metrics
        self._hot = dict(hot or {})
        self._deadlines = Deadlines()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event; only HTTP requests are looked at."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id")
        request_id = given if given and _REQUEST_ID.match(given) else new_id().encode()
        scope["request_id"] = request_id.decode("ascii")
        REQUEST_ID.set(scope["request_id"])
        span = tracing.begin_request(headers, scope["request_id"])
        method, path = scope["method"], scope["path"]
        if method == "HEAD":  # whatever answers GET; servers send no body to HEAD
            scope = {**scope, "method": "GET"}
        hot = self._hot.get((method, path))
        status, route = 0, path
        self._metrics.in_work += 1
        try:
            if hot is None:
                sender = _Marked(send, [(b"x-request-id", request_id), *self._marks(path, headers)], scope)
                try:
                    await self._pass(scope, receive, sender, headers)
                finally:
                    status, route = sender.status, _route_of(scope)
            else:
                status = await self._answer(hot, scope, receive, send, headers, request_id)
        except asyncio.CancelledError:
            status = status or 499  # the client left
            raise
        finally:
            self._metrics.in_work -= 1
            method = method if method in METHODS else "other"
            self._metrics.record(route, method, status, time.perf_counter() - began)
            if span is not None:
                span.end(route, method, status)

    async def _answer(
        self,
        hot: HotRoute,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers: Mapping[bytes, bytes],
        request_id: bytes,
    ) -> int:
        """Answer a request of a hot route; the status."""
        path, more = scope["path"], [(b"x-request-id", request_id), *self._marks(scope["path"], headers)]
        try:
            principal = scope["principal"] = await self._enter(scope, headers)
            self._check_length(headers)
            body = await _whole(_BoundedBody(receive, self._max_body_bytes, self._body_timeout_s, self._deadlines))
            status, content = await hot(body, principal.tenant)
            kind = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        except Exception as error:
            refused = error_response(path, error, scope["request_id"])
            status, content, kind = refused.status_code, bytes(refused.body), refused.raw_headers
        start = [*kind, *more, *scope.get("extra_headers", ())]
        await send({"type": "http.response.start", "status": status, "headers": start})
        await send({"type": "http.response.body", "body": content})
        return status

    async def _pass(self, scope: Scope, receive: Receive, sender: _Marked, headers: Mapping[bytes, bytes]) -> None:
        """Let the application answer a request that may pass."""
        path = scope["path"]
        if path.startswith("/v1/") and b"json" not in headers.get(b"content-type", b""):
            # Every body here is JSON, whatever `curl -d` (a form) or a browser's `fetch` (plain text) calls it.
            others = [pair for pair in scope["headers"] if pair[0] != b"content-type"]
            scope["headers"] = [*others, (b"content-type", b"application/json")]
        try:
            if not is_open(path):
                scope["principal"] = await self._enter(scope, headers)
            self._check_length(headers)
            bounded = _BoundedBody(receive, self._max_body_bytes, self._body_timeout_s, self._deadlines)
            async with asyncio.timeout(None if path in OWN_DEADLINES else self._timeout_s) as sender.timer:
                await self._app(scope, bounded, sender)
        except Exception as error:
            if sender.status != 0:
                raise  # the response has begun: only the connection can be broken off
            late = DeadlineError(f"there was no answer within {self._timeout_s:g} s")
            is_late = sender.timer is not None and sender.timer.expired()
            await error_response(path, late if is_late else error, scope["request_id"])(scope, receive, sender)

    async def _enter(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Principal:
        """Whoever sends a request that may pass."""
        principal = await self._access.enter(scope, headers)
        more = self._metrics.in_work - self._max_concurrent
        if more > 0 and more > self._parked():
            raise OverloadError(f"more than {self._max_concurrent} requests are in work")
        return principal

    def _check_length(self, headers: Mapping[bytes, bytes]) -> None:
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._max_body_bytes:
            raise BodyTooLargeError(self._max_body_bytes)

    def _marks(self, path: str, headers: Mapping[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
        """Headers that every answer to such a request carries."""
        safe = API_HEADERS if path.startswith("/v1/") else SAFE_HEADERS
        return (*safe, *self._hsts) if self._hsts and headers.get(b"x-forwarded-proto") == b"https" else safe


class _Marked:
    """Sends an answer with further headers, and notes how it began.

    Args:
        send: what sends. more: the headers. scope: where access may leave more of them.
    """

    def __init__(self, send: Send, more: list[tuple[bytes, bytes]], scope: Scope) -> None:
        self._send = send
        self._more = more
        self._scope = scope
        self.status = 0
        self.timer: asyncio.Timeout | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.timer is not None and not self.timer.expired():
                self.timer.reschedule(None)
            message["headers"] = [*message["headers"], *self._more, *self._scope.get("extra_headers", ())]
        await self._send(message)


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
    """Counts the bytes of a body as they come, and the time until it is whole.

    Args:
        receive: gives the parts. limit: bytes at most. timeout_s: until the last. deadlines: of this event loop.
    """

    def __init__(self, receive: Receive, limit: int, timeout_s: float, deadlines: Deadlines) -> None:
        self._receive = receive
        self._limit = limit
        self._left = limit
        self._timeout_s = timeout_s
        self._deadlines = deadlines
        self._end_s = asyncio.get_running_loop().time() + timeout_s
        self._is_whole = False
        self._is_late = False

    async def __call__(self) -> Message:
        if self._is_whole:
            return await self._receive()  # waits for the client to leave, however long an answer takes
        message = await self._in_time()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)
            if self._left < 0:
                raise BodyTooLargeError(self._limit)
        return message

    async def _in_time(self) -> Message:
        """What `asyncio.timeout_at` does, at a fraction of its cost for a body that is there already."""
        task = asyncio.current_task()
        assert task is not None
        came = self._deadlines.add(self._end_s - asyncio.get_running_loop().time(), partial(self._expire, task))
        try:
            return await self._receive()
        except asyncio.CancelledError:
            if self._is_late and task.uncancel() == 0:
                raise BodyTooSlowError(self._timeout_s) from None
            raise
        finally:
            came()

    def _expire(self, task: asyncio.Task[object]) -> None:
        self._is_late = True
        task.cancel()

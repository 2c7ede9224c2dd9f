"""The very edge: what a request passes in a replica or in Serve's own proxy, before Serve itself looks at it.

Serve puts `middlewares` around both because `RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH` names it (see
`cluster.launch.RAY_SWITCHES`).

- Serve's wrapper lets a client set a request's time limit (`x-request-timeout-seconds`, answered by a bare 408) and
  have it go on when the client leaves (`x-request-disconnect-disabled`). Deadlines are the application's (`timeout_ms`,
  `ingress.timeout_s`), so these headers are taken off.
- Serve adds `x-request-id` to answers that have the application's own: one stays, which is the one in the logs.
- Lists and events go past Serve's wrapper of each request, the short way (`deployments.short_way`).
- While no ingress replica is up HAProxy sends requests to Serve's proxy, which holds them until one is, however long
  that takes. Here they are held until their deadline, then answered 503 with `Retry-After`.
"""

from __future__ import annotations

import asyncio

import orjson
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cluster.config import Settings, load_settings
from cluster.haproxy import EVENTS, LISTS, TEXTS
from cluster.serve_app import INGRESS
from deployments.problems import problem_response
from deployments.short_way import shortened

SERVE_HEADERS = frozenset({b"x-request-timeout-seconds", b"x-request-disconnect-disabled"})
HOT = frozenset({("POST", LISTS), ("POST", EVENTS)})
"""Methods and paths of nearly all requests, which are done in milliseconds. They go on when their client leaves, and
end at their deadline in any case."""
TIMED_PATHS = frozenset({LISTS, TEXTS})
"""Routes whose body may name its own deadline."""
DETAIL = "no replica of the application was there in time"


class WithoutServeHeaders:
    """Takes off the headers by which a client could tell Serve's wrapper how long to wait, and when to stop; and from
    answers the request id that Serve adds to the application's.

    Args:
        app: what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything else on as it is."""
        if scope["type"] == "http":
            headers = scope["headers"]
            if not SERVE_HEADERS.isdisjoint([name for name, _ in headers]):
                scope["headers"] = [pair for pair in headers if pair[0] not in SERVE_HEADERS]

            async def sending(message: Message) -> None:
                if message["type"] == "http.response.start":
                    given = list(message["headers"])
                    places = [place for place, pair in enumerate(given) if pair[0] == b"x-request-id"]
                    if len(places) > 1:
                        message["headers"] = [pair for place, pair in enumerate(given) if place not in places[1:]]
                await send(message)

            await self._app(scope, receive, sending)
            return
        await self._app(scope, receive, send)


class UntilDeadline:
    """Ends a request that has no answer by its deadline, for Serve's proxy; in a replica the application does.

    Args:
        app: what answers.
        settings: where the default deadlines and the longest body stand.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"].startswith("/-/"):
            await self._app(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        messages: list[Message] = []
        begun = False

        async def again() -> Message:
            return messages.pop(0) if messages else await receive()

        async def sending(message: Message) -> None:
            nonlocal begun
            if not begun and timer.expired():
                return  # what Serve says about being cancelled
            begun = True
            timer.reschedule(None)
            await send(message)

        try:
            async with asyncio.timeout(self._settings.ingress.timeout_s) as timer:
                body = b""
                while True:
                    message = await receive()
                    messages.append(message)
                    body += message.get("body", b"")
                    if not message.get("more_body", False) or len(body) > self._settings.ingress.max_body_bytes:
                        break
                timer.reschedule(began + self._limit_s(scope["path"], body))
                await self._app(scope, again, sending)
        except TimeoutError:
            if begun or not timer.expired():
                raise
        if timer.expired() and not begun:
            headers = dict(scope["headers"])
            given = headers.get(b"x-request-id", b"").decode("latin-1")[:128]
            await problem_response(scope["path"], 503, DETAIL, given)(scope, receive, send)

    def _limit_s(self, path: str, body: bytes) -> float:
        if path == EVENTS:
            return self._settings.sessions.timeout_s
        if path in TIMED_PATHS:
            try:
                named = orjson.loads(body).get("timeout_ms")
            except (orjson.JSONDecodeError, AttributeError):
                named = None
            if isinstance(named, (int, float)) and named > 0:  # 3000.0 is a whole number in JSON, and to the routes too
                return min(named / 1000, 120.0)
        return self._settings.ingress.timeout_s


def middlewares() -> list[Middleware]:
    """What Serve puts around the HTTP servers of its replicas and proxies."""
    deployment = _deployment()
    for_all = Middleware(WithoutServeHeaders)
    if deployment is None:
        return [Middleware(UntilDeadline, settings=load_settings()), for_all]
    return [for_all, Middleware(shortened, hot=HOT)] if deployment == INGRESS else [for_all]


def _deployment() -> str | None:
    """The deployment that this process is a replica of; None in Serve's proxy."""
    from ray import serve
    from ray.serve.exceptions import RayServeException

    try:
        return serve.get_replica_context().deployment
    except RayServeException:
        return None

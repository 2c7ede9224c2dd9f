"""The very edge of a replica: what a request passes before Serve itself looks at it.

Serve's wrapper lets a client set a request's time limit (`x-request-timeout-seconds`, answered by a bare 408) and take
back that a request ends when its client leaves (`x-request-disconnect-disabled`). Deadlines are the application's
(`timeout_ms`, `ingress.timeout_s`), so these headers are taken off. Serve calls `middlewares` because
`RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH` names it (see `cluster.launch.RAY_SWITCHES`).
"""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

SERVE_HEADERS = frozenset({b"x-request-timeout-seconds", b"x-request-disconnect-disabled"})


class WithoutServeHeaders:
    """Takes off the headers by which a client could tell Serve's wrapper how long to wait, and when to stop."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything else on as it is."""
        if scope["type"] == "http":
            headers = scope["headers"]
            if not SERVE_HEADERS.isdisjoint([name for name, _ in headers]):
                scope["headers"] = [pair for pair in headers if pair[0] not in SERVE_HEADERS]
        await self._app(scope, receive, send)


def middlewares() -> list[Middleware]:
    """What Serve puts around the HTTP servers of its replicas and proxies."""
    return [Middleware(WithoutServeHeaders)]

"""Who may do what: from a request's credentials to a `Principal`, and from a route to the scope that it takes.

1. `X-API-Key` or `Authorization: Bearer`: an API key, or a token (JWT) of the issuer that the settings name.
2. Neither: the session cookie of the page (see `deployments.page_session`).
3. The route's scope must be among the principal's.
4. The principal's rates are counted (see `deployments.limiter`).

Everything but the first look at a token is done in memory, so that the hot routes pay microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Scope

from cluster.api_keys import KeyTable, Principal
from cluster.errors import AuthenticationError, ForbiddenError
from cluster.oidc import TokenVerifier
from deployments.limiter import Limiter
from deployments.page_session import PageSessions

OPEN_PATHS = frozenset({"/", "/ops", "/docs", "/healthz/live", "/healthz/ready", "/favicon.ico"})
OPEN_PREFIX = "/static/"
READING_POSTS = frozenset({"/v1/recommendations", "/v1/content", "/v1/chat/completions"})
"""Routes that change nothing, though they are asked by POST."""
ANY_SCOPE = "/v1/session"
ADMIN_PREFIXES = ("/v1/admin/", "/v1/ops", "/v1/users:export")
HOME_PATHS = frozenset({"/v1/ops", "/metrics"})
"""What shows the whole copy, and so is for its own tenant only."""

Headers = Mapping[bytes, bytes]


class Access:
    """See the module. Belongs to one event loop.

    Args:
        keys: the API keys.
        home: the copy's own tenant.
        sessions: the page's sessions.
        tokens: the issuer's tokens, if there is an issuer.
        limiter: what counts rates.
    """

    def __init__(
        self,
        keys: KeyTable,
        home: str,
        sessions: PageSessions,
        tokens: TokenVerifier | None,
        limiter: Limiter,
    ) -> None:
        self._keys = keys
        self._home = home
        self._sessions = sessions
        self._tokens = tokens
        self._limiter = limiter

    async def enter(self, scope: Scope, headers: Headers) -> Principal:
        """Whoever sends this request, when they may.

        Raises:
            AuthenticationError: nobody known sends it.
            ForbiddenError: they may not do this.
            OverloadError: they asked for more than their rate.
        """
        method, path = scope["method"], scope["path"]
        principal = await self._principal(method, headers)
        needed = scope_of(method, path)
        if needed is not None and needed not in principal.scopes:
            raise ForbiddenError(f"this takes the scope {needed!r}")
        if principal.tenant != self._home and path in HOME_PATHS:
            raise ForbiddenError("this is for the operators of the whole copy")
        if principal.limits:
            scope["extra_headers"] = []
            await self._limiter.admit(principal, scope["extra_headers"])
        return principal

    async def _principal(self, method: str, headers: Headers) -> Principal:
        given = headers.get(b"x-api-key")
        if given is None and (authorization := headers.get(b"authorization")):
            scheme, _, given = authorization.partition(b" ")
            if scheme.lower() != b"bearer":
                raise AuthenticationError(_HOW)
        if given is None:
            cookie = headers.get(b"cookie")
            if cookie is None or (principal := self._sessions.find(cookie, method, headers)) is None:
                raise AuthenticationError(_HOW)
            return principal
        given = given.strip()
        principal = self._keys.find(given)
        if principal is None and self._tokens is not None and given.count(b".") == 2:
            principal = await self._tokens.verify(given)
        if principal is None:
            raise AuthenticationError("the API key or token is not valid, or not any more")
        return principal


_HOW = "send the API key as `Authorization: Bearer KEY` or `X-API-Key: KEY`"


def is_open(path: str) -> bool:
    """Whether a path is answered without credentials: it shows nothing of anybody."""
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIX)


def scope_of(method: str, path: str) -> str | None:
    """The scope that a request takes; None: any. What is not listed above reads by GET and writes by all else."""
    if path == ANY_SCOPE:
        return None
    if path.startswith(ADMIN_PREFIXES):
        return "admin"
    if method in {"GET", "HEAD", "OPTIONS"} or (method == "POST" and path in READING_POSTS):
        return "read"
    return "write"

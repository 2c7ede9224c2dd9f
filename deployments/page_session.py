"""The page's session: a signed cookie instead of a key in the page.

Whoever signs in shows an API key once (`POST /v1/session`). The cookie then says which key that was, signed, HttpOnly
and SameSite=Strict: no script can read it and no other site can have it sent. It holds no secret, and is worth nothing
once the key is revoked, over, or another key.

Against requests that another site makes a browser send (CSRF), beside SameSite: what a browser says of the request's
origin must be this site, and all but GET and HEAD must carry the session's token in `X-CSRF-Token`, which only a page
of this origin can have read.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from itsdangerous import BadSignature, URLSafeTimedSerializer

from cluster.api_keys import KeyTable, Principal
from cluster.config import Settings
from cluster.errors import ForbiddenError
from cluster.keys import copy_secrets

SAFE_METHODS = frozenset({"GET", "HEAD"})
_FRIENDLY_SITES = frozenset({b"same-origin", b"none"})
_MAX_COOKIE_BYTES = 8192


class PageSessions:
    """Makes and reads session cookies. Stateless but for the keys; safe to share.

    Args:
        settings: the secrets, the port, `ingress.session_h`.
        keys: the keys that sessions are made from.
    """

    def __init__(self, settings: Settings, keys: KeyTable) -> None:
        self._keys = keys
        secrets_ = copy_secrets(settings, "page session")
        # The library signs with the last of a list, and reads what any of them has signed.
        self._signer = URLSafeTimedSerializer(list(reversed(secrets_)), salt="tailorbird")
        self._csrf_secret = copy_secrets(settings, "csrf token")[0]
        self.max_age_s = round(settings.ingress.session_h * 3600)
        self.cookie = f"tailorbird_{settings.port}"  # browsers share cookies between all ports of a host

    def begin(self, key_id: str) -> tuple[str, str, int]:
        """A session of a key that was shown: the cookie's value, the CSRF token, and when it ends (s since 1970)."""
        found = self._keys.by_id(key_id)
        if found is None:
            raise ForbiddenError("a session is made from an API key")
        session_id = secrets.token_urlsafe(16)
        value = self._signer.dumps([key_id, found[0][0].hex()[:32], session_id])
        return str(value), self._csrf(session_id), int(time.time()) + self.max_age_s

    def find(self, header: bytes, method: str, headers: Mapping[bytes, bytes]) -> Principal | None:
        """Whose session a cookie header holds; None when it holds none that counts.

        Raises:
            ForbiddenError: the session is good, and the request may have been made by another site.
        """
        read = self._read(header)
        if read is None:
            return None
        principal, session_id = read
        site = headers.get(b"sec-fetch-site")
        origin = headers.get(b"origin")
        if (site is not None and site not in _FRIENDLY_SITES) or (origin is not None and not _is_here(origin, headers)):
            raise ForbiddenError("a session counts for the page of this site only")
        if method not in SAFE_METHODS:
            given = headers.get(b"x-csrf-token", b"")
            if not hmac.compare_digest(given, self._csrf(session_id).encode()):
                raise ForbiddenError("send the session's token as `X-CSRF-Token`; `GET /v1/session` tells it")
        return principal

    def csrf_token(self, header: bytes | None) -> str | None:
        """The token of the session in a cookie header, if there is one."""
        read = None if header is None else self._read(header)
        return None if read is None else self._csrf(read[1])

    def _read(self, header: bytes) -> tuple[Principal, str] | None:
        if len(header) > _MAX_COOKIE_BYTES:
            return None
        try:
            morsel = SimpleCookie(header.decode("latin-1")).get(self.cookie)
            value: Any = None if morsel is None else self._signer.loads(morsel.value, max_age=self.max_age_s)
        except (BadSignature, CookieError):
            return None
        if value is None:
            return None
        key_id, fingerprint, session_id = value
        found = self._keys.by_id(key_id)
        if found is None or fingerprint not in {digest.hex()[:32] for digest in found[0]}:
            return None
        return found[1], session_id

    def _csrf(self, session_id: str) -> str:
        return hmac.new(self._csrf_secret, session_id.encode(), hashlib.sha256).hexdigest()[:40]


def _is_here(origin: bytes, headers: Mapping[bytes, bytes]) -> bool:
    """Whether an origin is the host that was asked. The scheme may differ: TLS may end at a proxy in front."""
    return urlsplit(origin.decode("latin-1")).netloc.encode("latin-1") == headers.get(b"host")

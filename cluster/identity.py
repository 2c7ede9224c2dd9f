"""The edge function for identity: the one place that turns a request's user id into what is stored.

With `pseudonymise_key` set, what is stored is `HMAC-SHA256(key, tenant, id)`, as 32 hexadecimal characters (128 bits),
so that pseudonymising is a setting and not a migration.
"""

from __future__ import annotations

import hashlib
import hmac


class Identity:
    """Turns outside user ids into stored ones. Stateless and safe to share."""

    def __init__(self, key: str | None = None) -> None:
        self._key = key.encode() if key else None

    def stored(self, tenant: str, user_id: str) -> str:
        """The id under which this person is stored."""
        if self._key is None:
            return user_id
        return hmac.new(self._key, f"{tenant}\0{user_id}".encode(), hashlib.sha256).hexdigest()[:32]

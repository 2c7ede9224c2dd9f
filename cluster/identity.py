"""The edge function for identity: the one place that turns a request's user id into what is stored.

With `pseudonymise: true` (or a `pseudonymise_key`) what is stored is `HMAC-SHA256(key, tenant, id)` as 32 hexadecimal
characters (128 bits), so that pseudonymising is a setting and not a migration.

Keys are rotated by chaining: under a second key the stored id is `p2.` and the HMAC of the first pseudonym, and so on.
So a pseudonym that is stored can be brought under a new key without knowing whose it is (`python -m jobs.rekey`), and
who got hold of an old key alone can connect nothing any more.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Self

from cluster.config import Settings
from cluster.errors import ConfigError
from cluster.keys import kept_secret

KEY_FILE = "pseudonymise_key"
_BARE = re.compile(r"[0-9a-f]{32}")
_MARKED = re.compile(r"p(\d{1,3})\.[0-9a-f]{32}")


class Identity:
    """Turns outside user ids into stored ones. Stateless and safe to share.

    Args:
        keys: the chain of keys, the oldest first; none: ids are stored as they come.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._keys = [key.encode() for key in keys]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings say.

        Raises:
            ConfigError: they ask for pseudonyms without a key that all nodes share, or for old keys without a new one.
        """
        newest = settings.pseudonymise_key.get_secret_value() if settings.pseudonymise_key else None
        if settings.pseudonymise is False or (newest is None and not settings.pseudonymise):
            if settings.pseudonymise_old_keys:
                raise ConfigError("setting 'pseudonymise_old_keys' is given without 'pseudonymise_key'")
            return cls()
        if newest is None:
            if not settings.uses_sqlite:
                raise ConfigError("with PostgreSQL the setting 'pseudonymise' takes a 'pseudonymise_key' for all nodes")
            newest = kept_secret(settings.state_dir / KEY_FILE)
        return cls([*(key.get_secret_value() for key in settings.pseudonymise_old_keys), newest])

    @property
    def generation(self) -> int:
        """How many keys are chained; 0: ids are stored as they come."""
        return len(self._keys)

    def stored(self, tenant: str, user_id: str) -> str:
        """The id under which this person is stored."""
        if not self._keys:
            return user_id
        return self._chained(tenant, _hmac(self._keys[0], tenant, user_id), 1)

    def renewed(self, tenant: str, stored_id: str) -> str | None:
        """The id that takes the place of one that fewer keys have made; None for one that all have made, or none."""
        marked = _MARKED.fullmatch(stored_id)
        made_by = int(marked[1]) if marked else 1 if _BARE.fullmatch(stored_id) else 0
        if not 0 < made_by < len(self._keys):
            return None
        return self._chained(tenant, stored_id.rpartition(".")[2], made_by)

    def _chained(self, tenant: str, pseudonym: str, made_by: int) -> str:
        for key in self._keys[made_by:]:
            pseudonym = _hmac(key, tenant, pseudonym)
        return pseudonym if len(self._keys) == 1 else f"p{len(self._keys)}.{pseudonym}"


def _hmac(key: bytes, tenant: str, text: str) -> str:
    return hmac.new(key, f"{tenant}\0{text}".encode(), hashlib.sha256).hexdigest()[:32]

"""API keys: what one looks like, how it is made and hashed, and who it lets in.

A key is `tb_ID_SECRET`. The id (16 hexadecimal characters) finds it, the secret (256 random bits) proves it. Stored is
the id with BLAKE2b of the whole key, keyed with the copy's own secret: whoever reads the database learns no key, and
whoever writes it cannot make one. A slow hash would add nothing, because such a secret cannot be guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from limits import RateLimitItem, parse_many

from cluster.config import Settings
from cluster.errors import ConfigError, InputError
from cluster.fields import format_time, optional_format
from cluster.keys import api_key, copy_secrets
from cluster.store.api_keys import StoredKey

SCOPES = ("read", "write", "admin")
TENANT_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
MAX_NAME_CHARS = 100
MAX_LIMITS = 5
BOOTSTRAP = "bootstrap"
"""The id of the key that the settings name, or that was made at first start: all scopes, the copy's own tenant."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `subject` names them in logs (`key:ID`, `jwt:SUBJECT`); `tenant` is whose data they may touch.

    `limits` are the rates that count for this subject. An operator administers all tenants, not only the own one.
    """

    subject: str
    tenant: str
    scopes: frozenset[str]
    limits: tuple[RateLimitItem, ...] = ()
    is_operator: bool = False


def principal_of(
    subject: str, tenant: str, scopes: Iterable[str], limits: tuple[RateLimitItem, ...], home: str
) -> Principal:
    """Somebody with these scopes in a tenant; an operator is who may administer the copy's own tenant, `home`."""
    granted = frozenset(scopes)
    return Principal(subject, tenant, granted, limits, is_operator=tenant == home and "admin" in granted)


class KeyHasher:
    """Digests of keys under the copy's secret, and under the one before it while secrets are being changed."""

    def __init__(self, secrets_: Sequence[bytes]) -> None:
        self._secrets = tuple(secrets_)

    def digest(self, key: bytes) -> bytes:
        """What is stored of a new key."""
        return _digest(key, self._secrets[0])

    def digests(self, key: bytes) -> tuple[bytes, ...]:
        """The digests under all secrets, that of a new key first."""
        return tuple(_digest(key, secret) for secret in self._secrets)

    def matches(self, key: bytes, digest: bytes) -> bool:
        """Whether this is the digest of the key, in a time that does not depend on how much of it is right."""
        found = [hmac.compare_digest(_digest(key, secret), digest) for secret in self._secrets]
        return True in found


class KeyTable:
    """All keys that open something now, by id. Swapped whole, so that any thread may ask."""

    def __init__(self, settings: Settings) -> None:
        self._home = settings.tenant
        self._defaults = tuple(settings.limits.per_key)
        self.hasher = KeyHasher(copy_secrets(settings, "api keys"))
        key = api_key(settings).encode()
        everything = principal_of(f"key:{BOOTSTRAP}", self._home, SCOPES, (), self._home)
        self._bootstrap_digests = self.hasher.digests(key)
        self._bootstrap = (self._bootstrap_digests[0], None, everything)
        self._keys: dict[str, tuple[bytes, int | None, Principal]] = {}

    def load(self, stored: Iterable[StoredKey]) -> None:
        """Know these keys from now on, and no others but the bootstrap key."""
        now_ms = time.time_ns() // 1_000_000
        self._keys = {
            key.key_id: (key.digest, key.expires_ms, self._principal(key)) for key in stored if key.is_valid(now_ms)
        }

    @property
    def valid(self) -> int:
        """How many keys there are, the bootstrap key not counted."""
        return len(self._keys)

    def find(self, key: bytes) -> Principal | None:
        """Whom a key belongs to; None when it opens nothing."""
        entry = self._keys.get(key_id_of(key) or "", self._bootstrap)
        digest, expires_ms, principal = entry
        if not self.hasher.matches(key, digest):
            return None
        return None if expires_ms is not None and expires_ms <= time.time() * 1000 else principal

    def by_id(self, key_id: str) -> tuple[tuple[bytes, ...], Principal] | None:
        """Digests and owner of a key that is valid now: for a session, which was made with the key once.

        The bootstrap key has a digest under each secret, a stored one the digest that is stored.
        """
        if key_id == BOOTSTRAP:
            return self._bootstrap_digests, self._bootstrap[2]
        entry = self._keys.get(key_id)
        if entry is None or (entry[1] is not None and entry[1] <= time.time() * 1000):
            return None
        return (entry[0],), entry[2]

    def _principal(self, key: StoredKey) -> Principal:
        rates = parse_limits(key.limits or self._defaults)
        return principal_of(f"key:{key.key_id}", key.tenant, key.scopes, rates, self._home)


def new_key(
    hasher: KeyHasher,
    tenant: str,
    name: str,
    scopes: Sequence[str],
    limits: Sequence[str] = (),
    expires_ms: int | None = None,
    replaces: str | None = None,
) -> tuple[str, StoredKey]:
    """A new key: the key itself, which is shown once and never again, and what is stored of it.

    Raises:
        InputError: the tenant, the name, a scope or a limit is malformed.
    """
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise InputError(f"scopes are some of {', '.join(SCOPES)}", "scopes")
    if not 0 < len(name) <= MAX_NAME_CHARS or not name.isprintable():
        raise InputError(f"a name has 1 to {MAX_NAME_CHARS} printable characters", "name")
    if len(limits) > MAX_LIMITS:
        raise InputError(f"at most {MAX_LIMITS} limits count for one key", "limits")
    now_ms = time.time_ns() // 1_000_000
    if expires_ms is not None and expires_ms <= now_ms:
        raise InputError("is in the past", "expires_at")
    parse_limits(limits)
    key_id = secrets.token_hex(8)
    key = f"tb_{key_id}_{secrets.token_urlsafe(32)}"
    ordered = tuple(scope for scope in SCOPES if scope in scopes)
    digest = hasher.digest(key.encode())
    return key, StoredKey(
        key_id, checked_tenant(tenant), name, ordered, digest, now_ms, tuple(limits), expires_ms, None, replaces
    )


def key_record(key: StoredKey) -> dict[str, Any]:
    """A key as people and clients see it, everywhere: never the key, nor its digest."""
    now_ms = time.time_ns() // 1_000_000
    return {
        "key_id": key.key_id,
        "tenant": key.tenant,
        "name": key.name,
        "scopes": list(key.scopes),
        "limits": list(key.limits),
        "is_valid": key.is_valid(now_ms),
        "created_at": format_time(key.created_ms),
        "expires_at": optional_format(key.expires_ms),
        "revoked_at": optional_format(key.revoked_ms),
        "replaces": key.replaces,
    }


def key_id_of(key: bytes) -> str | None:
    """The id inside a key that looks like one of ours."""
    if not key.startswith(b"tb_"):
        return None
    return key[3:19].decode("latin-1") if key[19:20] == b"_" else None


def checked_tenant(tenant: str) -> str:
    """The name of a tenant, which is also the name of a folder.

    Raises:
        InputError: it is none.
    """
    if re.match(TENANT_PATTERN, tenant) is None:
        raise InputError("a tenant is 1 to 64 of a-z, 0-9, _ and -, and begins with a letter or digit", "tenant")
    return tenant


def parse_limits(limits: Iterable[str]) -> tuple[RateLimitItem, ...]:
    """Rates such as `100/minute` or `5000/2 days`.

    Raises:
        InputError: one cannot be understood.
    """
    found: list[RateLimitItem] = []
    for text in limits:
        try:
            found += parse_many(text)
        except ValueError:
            raise InputError(f"{text[:50]!r} is not a rate such as 100/minute or 50000/day", "limits") from None
    return tuple(found)


def check_limits(limits: Iterable[str], setting: str) -> None:
    """The same for a setting. Raises ConfigError."""
    try:
        parse_limits(limits)
    except InputError as error:
        raise ConfigError(f"setting {setting!r}: {error.message}") from None


def _digest(key: bytes, secret: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=32, key=secret, person=b"tb-api-key").digest()

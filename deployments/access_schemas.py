"""Bodies and answers of administration: sessions of the page, API keys, the audit log."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from cluster.api_keys import MAX_LIMITS, MAX_NAME_CHARS, TENANT_PATTERN
from deployments.schemas import Answer, Body


class SessionResponse(Answer):
    """Who asks, and may do what."""

    subject: str
    """`key:ID` or `jwt:SUBJECT`."""
    tenant: str
    """Whose data it opens."""
    scopes: list[str]
    """What it may do: some of `read`, `write`, `admin`."""
    csrf_token: str | None
    """Of a session: what goes back as the header `X-CSRF-Token` with everything that is no `GET`."""
    expires_at: str | None = None
    """When a session that begins now ends by itself."""


class KeyRequest(Body):
    """An API key to be made."""

    name: str = Field(min_length=1, max_length=MAX_NAME_CHARS)
    """What it is for, for people."""
    scopes: list[Literal["read", "write", "admin"]] = Field(default=["read", "write"], min_length=1, max_length=3)
    """What it may do."""
    tenant: str | None = Field(default=None, pattern=TENANT_PATTERN)
    """Whose data it opens. Default: one's own tenant; another only for operators."""
    limits: list[Annotated[str, Field(max_length=50)]] = Field(default=[], max_length=MAX_LIMITS)
    """Rates such as `100/minute` and `50000/day`. Default: `limits.per_key` of the settings."""
    expires_at: str | float | None = None
    """ISO 8601, or seconds since 1970. Default: never."""


class RotateRequest(Body):
    """How a key is rotated."""

    grace_s: float = Field(default=86_400.0, ge=0, le=31_536_000)
    """How long the old key goes on counting."""


class KeyOut(Answer):
    """An API key, without the key."""

    key_id: str
    """Names the key, and opens nothing."""
    tenant: str
    """Whose data it opens."""
    name: str
    """What it is for."""
    scopes: list[str]
    """What it may do."""
    limits: list[str]
    """Its own rates; empty when those of the settings count."""
    is_valid: bool
    """Whether it opens something now."""
    created_at: str
    """When it was made."""
    expires_at: str | None
    """When it ends by itself."""
    revoked_at: str | None
    """When it was revoked."""
    replaces: str | None
    """The key that it was rotated from."""


class KeyCreated(KeyOut):
    """A new API key."""

    key: str
    """The key itself, shown here and never again."""


class KeyList(Answer):
    """API keys, the oldest first."""

    keys: list[KeyOut]
    """The keys."""


class AuditOut(Answer):
    """One act of administration."""

    at: str
    """When."""
    tenant: str
    """Whose data it was about."""
    actor: str
    """Who: `key:ID`, `jwt:SUBJECT`, `cli:USER` or `job:USER`."""
    action: str
    """What, such as `key.create` or `user.erase`."""
    target: str | None
    """To what: a key's id, or a keyed digest of a person."""
    detail: dict[str, Any]
    """What else is known of it."""
    request_id: str | None
    """By which request."""


class AuditPage(Answer):
    """Acts of administration."""

    entries: list[AuditOut]
    """The acts, the newest first."""
    next_before: int | None
    """What to send as `before` for the page that follows; null on the last."""

"""Bodies and answers of administration: sessions of the page, API keys, the audit log."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from cluster.api_keys import MAX_LIMITS, MAX_NAME_CHARS, TENANT_PATTERN
from deployments.schemas import Body


class SessionResponse(BaseModel):
    """Who asks, and may do what. `csrf_token` belongs to a session: it goes back as the header `X-CSRF-Token`."""

    subject: str
    tenant: str
    scopes: list[str]
    csrf_token: str | None
    expires_at: str | None = None


class KeyRequest(Body):
    """An API key to be made."""

    name: str = Field(min_length=1, max_length=MAX_NAME_CHARS)
    """What it is for, for people."""
    scopes: list[Literal["read", "write", "admin"]] = Field(default=["read", "write"], min_length=1, max_length=3)
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


class KeyOut(BaseModel):
    """An API key, without the key."""

    key_id: str
    tenant: str
    name: str
    scopes: list[str]
    limits: list[str]
    is_valid: bool
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    replaces: str | None


class KeyCreated(KeyOut):
    """A new API key. `key` is shown here and never again."""

    key: str


class KeyList(BaseModel):
    """API keys, the oldest first."""

    keys: list[KeyOut]


class AuditOut(BaseModel):
    """One act of administration."""

    at: str
    tenant: str
    actor: str
    action: str
    target: str | None
    detail: dict[str, Any]
    request_id: str | None


class AuditPage(BaseModel):
    """Acts, the newest first, and what to pass as `before` for the page that follows."""

    entries: list[AuditOut]
    next_before: int | None

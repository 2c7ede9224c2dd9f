"""Administration: API keys and the audit log. Takes the scope `admin`.

An admin key administers its own tenant; one of the copy's own tenant (`tenant` in the settings) administers all. What
is done here is in the audit log, in the same transaction.
"""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from cluster.api_keys import BOOTSTRAP, Principal, key_record, new_key
from cluster.errors import ForbiddenError, InputError
from cluster.fields import format_time, opaque_id, optional_time
from cluster.store import AuditEntry, StoredKey
from deployments.access_schemas import AuditPage, KeyCreated, KeyList, KeyRequest, RotateRequest
from deployments.problems import request_id_of
from deployments.routes.items import json_response
from deployments.services import Services, services_of

router = APIRouter(tags=["administration"])

ServicesDep = Annotated[Services, Depends(services_of)]
Tenant = Annotated[str | None, Query(max_length=64, description="Another tenant than one's own; operators only.")]


@router.post("/v1/admin/keys", status_code=201, response_model=KeyCreated)
async def create_key(body: KeyRequest, request: Request, services: ServicesDep) -> Response:
    """Make an API key. The answer is the only place where the key itself is ever shown."""
    tenant = tenant_of(request, body.tenant) or services.tenant
    expires_ms = optional_time(body.expires_at, "expires_at")
    key, stored = new_key(services.keys.hasher, tenant, body.name, body.scopes, body.limits, expires_ms)
    detail = {"name": stored.name, "scopes": list(stored.scopes), "limits": list(stored.limits)}
    await services.pool.write("api_keys", "add", stored, audit_entry(request, "key.create", stored, detail))
    services.meter.admin("key.create")
    return json_response(key_record(stored) | {"key": key}, 201)


@router.get("/v1/admin/keys", response_model=KeyList)
async def list_keys(request: Request, services: ServicesDep, tenant: Tenant = None) -> Response:
    """All keys of the tenant, those that are over too; of all tenants when an operator names none."""
    keys = await asyncio.to_thread(services.store.api_keys.all, tenant_of(request, tenant))
    return json_response({"keys": [key_record(key) for key in keys]})


@router.post("/v1/admin/keys:rotate/{key_id}", status_code=201, response_model=KeyCreated)
async def rotate_key(key_id: str, body: RotateRequest, request: Request, services: ServicesDep) -> Response:
    """Make a key that takes the place of another, which goes on counting for `grace_s`."""
    old = await _find(key_id, request, services)
    key, stored = new_key(services.keys.hasher, old.tenant, old.name, old.scopes, old.limits, replaces=old.key_id)
    ends_ms = time.time_ns() // 1_000_000 + round(body.grace_s * 1000)
    entry = audit_entry(request, "key.rotate", stored, {"replaces": old.key_id, "grace_s": body.grace_s})
    await services.pool.write("api_keys", "rotate", old.key_id, stored, ends_ms, entry)
    services.meter.admin("key.rotate")
    return json_response(key_record(stored) | {"key": key}, 201)


@router.delete("/v1/admin/keys/{key_id}", status_code=204, response_class=Response)
async def revoke_key(key_id: str, request: Request, services: ServicesDep) -> Response:
    """End a key: every replica refuses it within a second."""
    old = await _find(key_id, request, services)
    entry = audit_entry(request, "key.revoke", old, {"name": old.name})
    await services.pool.write("api_keys", "revoke", old.tenant, old.key_id, entry)
    services.meter.admin("key.revoke")
    return Response(status_code=204)


@router.get("/v1/admin/audit", response_model=AuditPage)
async def audit(
    request: Request,
    services: ServicesDep,
    tenant: Tenant = None,
    user_id: Annotated[str | None, Query(max_length=256, description="Only what was done to this person.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(ge=1, lt=2**63, description="`next_before` of the page before.")] = None,
) -> Response:
    """What was administered, the newest first: who, what, to what, and with which request."""
    whose = tenant_of(request, tenant)
    target = None
    if user_id is not None:
        owner = services.of(whose or services.tenant)
        target = owner.person_mark(owner.identity.stored(owner.tenant, opaque_id(user_id, "user_id")))
    entries = await asyncio.to_thread(services.store.audit.page, whose, before, limit + 1, target)
    following = entries[limit - 1].seq if len(entries) > limit else None
    shown = [_audit_record(entry) for entry in entries[:limit]]
    return json_response({"entries": shown, "next_before": following})


def audit_entry(request: Request, action: str, about: StoredKey, detail: dict[str, Any]) -> AuditEntry:
    """The audit log's entry for what is done to a key."""
    principal: Principal = request.scope["principal"]
    return AuditEntry(principal.subject, action, about.key_id, detail, request_id_of(request), about.tenant)


def tenant_of(request: Request, asked: str | None) -> str | None:
    """Whose things a request is about: its own tenant's, for an operator what it asks for (None: all)."""
    principal: Principal = request.scope["principal"]
    if principal.is_operator:
        return asked
    if asked is not None and asked != principal.tenant:
        raise ForbiddenError("only an operator administers other tenants")
    return principal.tenant


async def _find(key_id: str, request: Request, services: Services) -> StoredKey:
    if key_id == BOOTSTRAP:
        raise InputError("the bootstrap key is changed in the settings", "key_id")
    tenant = tenant_of(request, None)
    return await asyncio.to_thread(services.store.api_keys.get, tenant, opaque_id(key_id, "key_id"))


def _audit_record(entry: AuditEntry) -> dict[str, Any]:
    return {
        "at": format_time(entry.at_ms),
        "tenant": entry.tenant,
        "actor": entry.actor,
        "action": entry.action,
        "target": entry.target,
        "detail": dict(entry.detail),
        "request_id": entry.request_id,
    }

"""Rules of merchandising: pin, boost, bury, cap. Takes the scope `admin`.

A rule is on disk when its request is answered, and counts in every replica's lists within a second. What is done here
is in the audit log, in the same transaction.
"""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cluster.api_keys import Principal
from cluster.fields import opaque_id
from cluster.rules import parse_rule, rule_record
from cluster.store import AuditEntry
from deployments.list_schemas import RuleBody, RuleList, RuleOut
from deployments.problems import request_id_of
from deployments.routes.admin import Tenant, tenant_of
from deployments.routes.items import json_response
from deployments.services import Services, services_of

router = APIRouter(tags=["rules"])

ServicesDep = Annotated[Services, Depends(services_of)]


@router.get("/v1/admin/rules", response_model=RuleList, response_model_exclude_none=True)
async def list_rules(request: Request, services: ServicesDep, tenant: Tenant = None) -> Response:
    """All rules, by id: those too that do not count now."""
    rules = await asyncio.to_thread(services.store.rules.all, tenant_of(request, tenant) or services.tenant)
    return json_response({"rules": [rule_record(rule) for rule in rules]})


@router.put("/v1/admin/rules/{rule_id:id}", response_model=RuleOut, response_model_exclude_none=True)
async def put_rule(
    rule_id: str, body: RuleBody, request: Request, services: ServicesDep, tenant: Tenant = None
) -> Response:
    """Store a rule in place of what has its id."""
    whose = tenant_of(request, tenant) or services.tenant
    now_ms = time.time_ns() // 1_000_000
    rule = parse_rule(body.model_dump(exclude_none=True), now_ms=now_ms, tenant=whose, rule_id=rule_id)
    record = rule_record(rule)
    detail = {name: value for name, value in record.items() if name not in {"rule_id", "updated_at"}}
    await services.pool.write("rules", "put", _entry(request, "rule.put", whose, rule_id, detail), [rule])
    services.meter.admin("rule.put")
    return json_response(record)


@router.get("/v1/admin/rules/{rule_id:id}", response_model=RuleOut, response_model_exclude_none=True)
async def get_rule(rule_id: str, request: Request, services: ServicesDep, tenant: Tenant = None) -> Response:
    """One rule."""
    whose = tenant_of(request, tenant) or services.tenant
    rule = await asyncio.to_thread(services.store.rules.get, whose, opaque_id(rule_id, "rule_id"))
    return json_response(rule_record(rule))


@router.delete("/v1/admin/rules/{rule_id:id}", status_code=204, response_class=Response)
async def delete_rule(rule_id: str, request: Request, services: ServicesDep, tenant: Tenant = None) -> Response:
    """Delete a rule."""
    whose = tenant_of(request, tenant) or services.tenant
    entry = _entry(request, "rule.delete", whose, opaque_id(rule_id, "rule_id"), {})
    await services.pool.write("rules", "delete", whose, rule_id, entry)
    services.meter.admin("rule.delete")
    return Response(status_code=204)


def _entry(request: Request, action: str, tenant: str, rule_id: str, detail: dict[str, Any]) -> AuditEntry:
    principal: Principal = request.scope["principal"]
    return AuditEntry(principal.subject, action, rule_id, detail, request_id_of(request), tenant)

"""Users: `PUT GET PATCH DELETE /v1/users/{id}`, `POST /v1/users:import`, `GET /v1/users`.

A user's record holds what the owner told us of a person; nobody needs one to be recommended to. With `pseudonymise_key`
set, records are stored under the pseudonym, and a list of users shows pseudonyms: they cannot be turned back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import chain
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request
from starlette.concurrency import iterate_in_threadpool
from starlette.responses import Response, StreamingResponse

from cluster.api_keys import Principal
from cluster.fields import opaque_id
from cluster.messages import User
from cluster.records import parse_user, user_record
from cluster.store import AuditEntry
from deployments.documents import Documents
from deployments.listing import users_page
from deployments.openapi import body_of, import_of
from deployments.problems import request_id_of
from deployments.routes.items import Cursor, Filter, Limit, ServicesDep, TextQuery, json_response
from deployments.routes.operations import operation_record
from deployments.schemas import Id, ImportResponse, OperationResponse, UserBody, UserPage
from deployments.services import Services

router = APIRouter(tags=["users"])


@router.get("/v1/users", response_model=UserPage)
async def list_users(
    services: ServicesDep, filter: Filter = None, q: TextQuery = None, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """A page of the users' records by id. One request looks at 20,000 of them at most: follow `next_cursor`."""
    store, tenant = services.store, services.tenant
    page, following = await asyncio.to_thread(users_page, store, tenant, filter, q, limit, cursor)
    return json_response({"users": [user_record(user) for user in page], "next_cursor": following})


@router.post("/v1/users:import", response_model=ImportResponse, openapi_extra=import_of(UserBody))
async def import_users(request: Request, services: ServicesDep) -> Response:
    """Store many users: a JSON array or JSON Lines. Each bad record is named by its line and the good ones count; when
    there is no good one, 422 names the first fault."""
    return json_response(await _users(services).import_all(await request.body()))


@router.get(
    "/v1/users:export",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {}}, "description": "A JSON object on each line."}},
)
async def export_user(user_id: Annotated[Id, Query()], request: Request, services: ServicesDep) -> Response:
    """All that is stored of a person, as JSON Lines, each with its `kind`: user, event, feedback, recommendation.

    Takes the scope `admin`; that it was asked for is in the audit log.
    """
    tenant = services.tenant
    stored = services.identity.stored(tenant, opaque_id(user_id, "user_id"))
    await services.pool.write("audit", "add", person_entry(request, services, "user.export", stored))
    services.meter.admin("user.export")
    lines = _lines(services, stored, user_id)
    first = await asyncio.to_thread(next, lines, b"")  # what goes wrong at once is an answer, not half of one
    return StreamingResponse(iterate_in_threadpool(chain([first], lines)), media_type="application/x-ndjson")


@router.put("/v1/users/{user_id:id}", response_model=UserBody, openapi_extra=body_of(UserBody))
async def put_user(user_id: str, request: Request, services: ServicesDep) -> Response:
    """Store a user's record in place of the one before."""
    return json_response(await _users(services).put(user_id, await request.body()))


@router.get("/v1/users/{user_id:id}", response_model=UserBody)
async def get_user(user_id: str, services: ServicesDep) -> Response:
    """A user's record."""
    return json_response(await _users(services).get(user_id))


@router.patch(
    "/v1/users/{user_id:id}",
    response_model=UserBody,
    openapi_extra=body_of(UserBody, "application/merge-patch+json"),
)
async def patch_user(user_id: str, request: Request, services: ServicesDep) -> Response:
    """Change parts of a user's record by a JSON merge patch (RFC 7396)."""
    return json_response(await _users(services).patch(user_id, await request.body()))


@router.delete("/v1/users/{user_id:id}", status_code=202, response_model=OperationResponse)
async def delete_user(user_id: str, request: Request, services: ServicesDep) -> Response:
    """Erase a person everywhere: record, events, feedback, logged lists, sessions.

    The answer names an operation, which goes on until it succeeds, also through a restart. When it is `done` nothing of
    the person is left; that there was nothing to begin with is no error. What the person does afterwards counts anew.
    """
    stored = services.identity.stored(services.tenant, opaque_id(user_id, "user_id"))
    operation = await services.operations.erase_user(services.tenant, stored)
    await services.pool.write("audit", "add", person_entry(request, services, "user.erase", stored))
    services.meter.admin("user.erase")
    headers = {"Location": f"/v1/operations/{operation.operation_id}"}
    return json_response(operation_record(operation), 202, headers)


def person_entry(request: Request, services: Services, action: str, stored: str) -> AuditEntry:
    """The audit log's entry for what is done to a person, who stands in it as a keyed digest: it outlives them."""
    principal: Principal = request.scope["principal"]
    target = services.person_mark(stored)
    return AuditEntry(principal.subject, action, target, {}, request_id_of(request), services.tenant)


def _lines(services: Services, stored: str, user_id: str) -> Iterator[bytes]:
    for record in services.store.person.records(services.tenant, stored):
        if "user_id" in record:
            record["user_id"] = user_id  # as they are known outside, not as they are stored
        yield orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


def _users(services: Services) -> Documents[User]:
    tenant = services.tenant
    return Documents(
        "users",
        "user",
        parse_user,
        user_record,
        tenant,
        services.store,
        services.pool.write,
        lambda given: services.identity.stored(tenant, given),
    )

"""`POST /v1/events`: what people do, durable before it is acknowledged."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cluster import tracing
from cluster.errors import InputError
from cluster.messages import Event
from cluster.records import parse_event
from deployments.problems import MalformedError
from deployments.schemas import EventsResponse
from deployments.services import Services, services_of

router = APIRouter(tags=["events"])

MAX_EVENTS = 1000
_BATCH_FIELDS = {"events"}


@router.post(
    "/v1/events",
    status_code=202,
    response_model=EventsResponse,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "anyOf": [
                            {"$ref": "#/components/schemas/EventBatch"},
                            {"$ref": "#/components/schemas/EventBody"},
                            {
                                "type": "array",
                                "items": {"$ref": "#/components/schemas/EventBody"},
                                "minItems": 1,
                                "maxItems": MAX_EVENTS,
                            },
                        ]
                    }
                }
            },
        }
    },
)
async def post_events(request: Request, services: Annotated[Services, Depends(services_of)]) -> Response:
    """Take one event, a list of them, or `{"events": [...]}`.

    In a batch each bad event is named in `rejected` and the good ones count. A body that is one bad event, or no batch
    at all, is 422. The answer comes when the events are on disk; sending an `event_id` again changes nothing.
    """
    status, content = await take(await request.body(), services)
    return Response(content, status, media_type="application/json")


async def take(body: bytes, services: Services) -> tuple[int, bytes]:
    """The same from the bare body: a hot route."""
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"the body is not JSON: {error}") from None
    records, is_single = _records(raw)
    events, rejected = _parse(records, services, is_single)
    with tracing.step("session.append", events=len(events)):
        new = await services.pool.append(services.tenant, events) if events else []
    accepted = sum(new)
    answer = {"accepted": accepted, "duplicate": len(new) - accepted, "rejected": rejected}
    return 202, orjson.dumps(answer)


def _records(raw: Any) -> tuple[list[Any], bool]:
    """The events of a body, and whether the body is one bare event."""
    if isinstance(raw, dict):
        if "events" not in raw:
            return [raw], True
        unknown = sorted(set(raw) - _BATCH_FIELDS)
        if unknown:
            raise InputError("is not a field of a batch", unknown[0][:100])
        raw = raw["events"]
    if not isinstance(raw, list):
        raise InputError("a body is an event, a list of events, or an object with a list 'events'", "events")
    if not 1 <= len(raw) <= MAX_EVENTS:
        raise InputError(f"holds {len(raw)} events; 1 to {MAX_EVENTS} are taken at once", "events")
    return raw, False


def _parse(records: list[Any], services: Services, is_single: bool) -> tuple[list[Event], list[dict[str, Any]]]:
    settings = services.settings
    tenant, now_ms = services.tenant, round(time.time() * 1000)
    stored = services.identity.stored
    events: list[Event] = []
    rejected: list[dict[str, Any]] = []
    for index, record in enumerate(records):
        try:
            event = parse_event(record, now_ms=now_ms, config=settings.events, tenant=tenant)
        except InputError as error:
            if is_single:
                raise
            loc: list[str | int] = ["events", index, *filter(None, [error.place])]
            given = record.get("event_id") if isinstance(record, dict) else None
            shown = {"event_id": given[:256]} if isinstance(given, str) else {}
            rejected.append({"loc": loc, "msg": error.message, **shown})
            continue
        events.append(pseudonymised(event, stored(tenant, event.user_id)))
    return events, rejected


def pseudonymised(event: Event, stored_id: str) -> Event:
    """The event under the person's stored id."""
    if stored_id == event.user_id:
        return event
    return replace(event, user_id=stored_id)

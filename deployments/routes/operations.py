"""Health, metrics, and the state of operations that go on after their request."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends
from starlette.responses import PlainTextResponse, Response

from cluster.fields import format_time, opaque_id
from cluster.store import Operation
from deployments.ops_schemas import Health
from deployments.schemas import OperationResponse
from deployments.scrape import agent_urls, scrape
from deployments.services import Services, services_of

router = APIRouter(tags=["operations"])


@router.get("/healthz/live", response_model=Health)
async def live() -> Response:
    """This process answers."""
    return Response(b'{"status":"live"}', media_type="application/json")


@router.get("/healthz/ready", response_model=Health)
async def ready(services: Annotated[Services, Depends(services_of)]) -> Response:
    """This process has what it needs to serve: 200, else 503."""
    body = {"status": "ready" if services.ready else "starting"}
    return Response(orjson.dumps(body), 200 if services.ready else 503, media_type="application/json")


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics() -> Response:
    """What the Ray agent of this node exports, in Prometheus' text format: every actor and replica of the node."""
    (url,) = agent_urls(here_only=True)
    answer = await scrape(url)
    return Response(answer.content, media_type=answer.headers.get("content-type", "text/plain; version=0.0.4"))


@router.get("/v1/operations/{operation_id}", response_model=OperationResponse)
async def operation(operation_id: str, services: Annotated[Services, Depends(services_of)]) -> Response:
    """How an operation stands: `running`, or `done` with what it did."""
    record = operation_record(await services.operations.get(services.tenant, opaque_id(operation_id, "operation_id")))
    return Response(orjson.dumps(record), media_type="application/json")


def operation_record(operation: Operation) -> dict[str, Any]:
    """An operation as clients see it: never whom it is about."""
    record: dict[str, Any] = {
        "operation_id": operation.operation_id,
        "kind": operation.kind,
        "status": operation.status,
        "created_at": format_time(operation.created_ms),
        "result": dict(operation.result),
    }
    if operation.finished_ms is not None:
        record["finished_at"] = format_time(operation.finished_ms)
    return record

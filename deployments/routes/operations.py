"""Health and metrics."""

from __future__ import annotations

from typing import Annotated

import httpx
import orjson
from fastapi import APIRouter, Depends
from starlette.responses import Response

from cluster.errors import UnavailableError
from deployments.services import Services, services_of

router = APIRouter(tags=["operations"])

_SCRAPE_TIMEOUT_S = 10.0


@router.get("/healthz/live")
async def live() -> Response:
    """This process answers."""
    return Response(b'{"status":"live"}', media_type="application/json")


@router.get("/healthz/ready")
async def ready(services: Annotated[Services, Depends(services_of)]) -> Response:
    """This process has what it needs to serve: 200, else 503."""
    body = {"status": "ready" if services.ready else "starting"}
    return Response(orjson.dumps(body), 200 if services.ready else 503, media_type="application/json")


@router.get("/metrics")
async def metrics() -> Response:
    """What the Ray agent of this node exports, in Prometheus' text format: every actor and replica of the node."""
    url = _agent_url()
    try:
        async with httpx.AsyncClient(timeout=_SCRAPE_TIMEOUT_S, trust_env=False) as client:
            answer = await client.get(url)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise UnavailableError("the node's metrics agent does not answer") from error
    return Response(answer.content, media_type=answer.headers.get("content-type", "text/plain; version=0.0.4"))


def _agent_url() -> str:
    import ray

    here = ray.get_runtime_context().get_node_id()
    for node in ray.nodes():
        if node["NodeID"] == here:
            return f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    raise UnavailableError("this node is not known to Ray")

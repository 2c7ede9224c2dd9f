"""For operators, behind the page `/ops`: versions and their figures, load, replicas, shards, outcomes, the items' map.

Counters are totals since the processes began: who wants rates asks twice and divides.
"""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from cluster.errors import NotFoundError, TailorbirdError
from cluster.fields import format_time
from cluster.store.outcomes import Outcome
from deployments.ops_schemas import ItemMap, OutcomesResponse, Overview
from deployments.routes.items import json_response
from deployments.scrape import Figures, all_figures
from deployments.services import Services, services_of
from deployments.tenant_versions import BUNDLE

router = APIRouter(prefix="/v1/ops", tags=["operations"])

ServicesDep = Annotated[Services, Depends(services_of)]

_DAY_MS = 86_400_000
_HISTORY = 50


@router.get("", response_model=Overview)
async def overview(services: ServicesDep) -> Response:
    """How the whole copy stands now. What cannot be asked is null; `unreachable_nodes` counts nodes that are silent."""
    tenant = services.tenant
    figures, shards, replicas, versions = await asyncio.gather(
        _or_none(all_figures()),
        services.pool.stats(),
        _or_none(asyncio.to_thread(_replicas)),
        asyncio.to_thread(_versions, services, tenant),
    )
    load = None if figures is None else _load(figures[0])
    return json_response(
        {
            "time": format_time(time.time_ns() // 1_000_000),
            "model_version": await services.model_version(),
            **versions,
            "items": len(services.catalogue.items(tenant)),
            "shards": shards,
            "replicas": replicas,
            "unreachable_nodes": None if figures is None else figures[1],
            "load": load,
        }
    )


@router.get("/outcomes", response_model=OutcomesResponse)
async def outcomes(
    services: ServicesDep, days: Annotated[float, Query(gt=0, le=365, description="How far back.")] = 7.0
) -> Response:
    """Click-through, like rate and dwell by source, model version and kind of text, from the events of these days."""
    since_ms = time.time_ns() // 1_000_000 - round(days * _DAY_MS)
    found = await asyncio.to_thread(services.store.outcomes.of_lists, services.tenant, since_ms)
    groups = {
        name: [{"name": key, **_rates(outcome)} for key, outcome in sorted(group.items())]
        for name, group in found.items()
    }
    return json_response({"days": days, **groups})


@router.get("/map", response_model=ItemMap)
async def item_map(
    services: ServicesDep, n: Annotated[int, Query(ge=1, le=5000, description="How many items.")] = 1500
) -> Response:
    """The most popular items in the plane: similar ones lie together. Coordinates are from -1 to 1."""
    version, points = await services.recommender.item_map(services.tenant, n)
    if not points:
        raise NotFoundError("no version was published yet, so items have no place")
    shown = []
    for item_id, x, y in points:
        item = services.catalogue.get(services.tenant, item_id)
        category = item.categories[0] if item and item.categories else None
        shown.append({"item_id": item_id, "title": item and item.title, "category": category, "x": x, "y": y})
    return json_response({"model_version": version, "items": shown})


def _versions(services: Services, tenant: str) -> dict[str, Any]:
    registry = services.store.registry
    versions = registry.versions(tenant, BUNDLE)[:_HISTORY]
    live = registry.live(tenant, BUNDLE)
    return {
        "live": live.version if live is not None else None,
        "versions": [
            {"version": one.version, "created_at": format_time(one.created_ms), "metrics": dict(one.metrics)}
            for one in versions
        ],
        "moves": [
            {"from": move.from_version, "to": move.to_version, "at": format_time(move.moved_ms)}
            for move in registry.history(tenant, BUNDLE, _HISTORY)
        ],
    }


def _replicas() -> dict[str, dict[str, Any]]:
    """Replicas of each deployment by state, and what Serve says of it."""
    from ray import serve

    return {
        name: {
            "status": deployment.status,
            "message": deployment.message,
            "replicas": {str(state): count for state, count in deployment.replica_states.items()},
        }
        for application in serve.status().applications.values()
        for name, deployment in application.deployments.items()
    }


def _load(figures: Figures) -> dict[str, Any]:
    requests: dict[str, dict[str, float]] = {}
    for (route, code), count in figures.by("tailorbird_http_requests_total", "route", "code").items():
        requests.setdefault(route, {})[code] = count
    return {
        "requests": requests,
        "seconds": figures.histograms("tailorbird_http_request_seconds", "route"),
        "texts": figures.by("tailorbird_texts_total", "source"),
        "first_clause_seconds": figures.histograms("tailorbird_text_first_clause_seconds", "kind"),
        "tokens": figures.by("tailorbird_text_tokens_total", "direction"),
        "guard_rules": figures.by("tailorbird_guard_rules_total", "rule"),
        "cache": figures.by("tailorbird_content_cache_looks_total", "result"),
        "texts_running": figures.total("tailorbird_texts_running"),
        "texts_waiting": figures.total("tailorbird_texts_waiting"),
        "version_swaps": figures.total("tailorbird_version_swaps_total"),
        "version_failures": figures.total("tailorbird_version_failures_total"),
        "lists_degraded": figures.total("tailorbird_lists_degraded_total"),
        "lists_not_logged": figures.total("tailorbird_recommendation_log_lost_total"),
    }


def _rates(outcome: Outcome) -> dict[str, float | int | None]:
    return {
        "shown": outcome.shown,
        "clicked": outcome.clicked,
        "liked": outcome.liked,
        "click_through": outcome.clicked / outcome.shown if outcome.shown else None,
        "like_rate": outcome.liked / outcome.shown if outcome.shown else None,
        "dwell_s": outcome.dwell_s / outcome.dwells if outcome.dwells else None,
    }


async def _or_none(asked: Any) -> Any:
    try:
        return await asked
    except TailorbirdError:
        return None

"""Lists: recommendations, similar items, popular items, the latest items.

Every list has a `recommendation_id` and is logged (see `deployments.recommendation_log`). Events and feedback name it;
items that were really seen come back as events of type `impression`. Asking with it gives the next page.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from cluster.columns import as_json
from cluster.errors import InputError
from cluster.messages import Item, RankedItem, RankedList, RankQuery, SessionView
from cluster.records import item_record
from deployments.context import offer_texts, query_of, stored_view_of
from deployments.list_schemas import RecommendRequest, RecommendResponse
from deployments.paths import NO_PATHS, paths_of
from deployments.schemas import Id
from deployments.services import Services, services_of

router = APIRouter(tags=["recommendations"])

ServicesDep = Annotated[Services, Depends(services_of)]
ListLength = Annotated[int, Query(ge=1, le=500, description="How many items.")]

_LIST_FIELDS = ["title", "categories", "attributes"]


@router.post("/v1/recommendations", response_model=RecommendResponse)
async def recommend(request: RecommendRequest, services: ServicesDep) -> Response:
    """The list of a person, or of an anonymous session: best first, with the reasons."""
    return _json(await _recommend(request, services))


async def answer(body: bytes, services: Services) -> tuple[int, bytes]:
    """The same from the bare body: a hot route."""
    return 200, await _recommend(RecommendRequest.model_validate_json(body), services)


@router.get("/v1/recommendations", response_model=RecommendResponse)
async def recommend_get(services: ServicesDep, user_id: Annotated[Id, Query()], n: ListLength = 10) -> Response:
    """The list of a person, with what a page needs to show it."""
    request = RecommendRequest.model_validate({"user_id": user_id, "n": n, "include": _LIST_FIELDS})
    return _json(await _recommend(request, services))


@router.get("/v1/similar", response_model=RecommendResponse)
async def similar(services: ServicesDep, item_id: Annotated[Id, Query()], n: ListLength = 10) -> Response:
    """Items that are like this one, for those who like it."""
    found = await services.recommender.similar(services.tenant, item_id, n)
    return _json(_shown(services, found, False, _LIST_FIELDS))


@router.get("/v1/popular", response_model=RecommendResponse)
async def popular(services: ServicesDep, n: ListLength = 10) -> Response:
    """What is popular with everybody."""
    query = RankQuery(SessionView(None, tenant=services.tenant), n)
    found = await services.recommender.rank(query, services.settings.ingress.timeout_s)
    return _json(_shown(services, found, False, _LIST_FIELDS))


@router.get("/v1/latest", response_model=RecommendResponse)
async def latest(services: ServicesDep, n: ListLength = 10) -> Response:
    """The newest items: by when they became available, or when they were last stored. Scores are those times in s."""
    now_ms = time.time_ns() // 1_000_000
    newest = await asyncio.to_thread(services.catalogue.latest, services.tenant, n, now_ms)
    items = tuple(RankedItem(item.item_id, moment_ms / 1000, "latest") for item, moment_ms in newest)
    return _json(_shown(services, RankedList(items, await services.model_version()), False, _LIST_FIELDS))


async def _recommend(request: RecommendRequest, services: Services) -> bytes:
    settings = services.settings
    timeout_s = request.timeout_ms / 1000 if request.timeout_ms else settings.ingress.timeout_s
    end_s = time.monotonic() + timeout_s
    stored = None if request.user_id is None else services.identity.stored(services.tenant, request.user_id)
    before: tuple[str, ...] = ()
    if request.recommendation_id is not None:
        shown = await services.log.shown(services.tenant, request.recommendation_id)
        if stored is not None and shown.user_id is not None and stored != shown.user_id:
            raise InputError("is a list of somebody else", "recommendation_id")
        stored, before = stored or shown.user_id, shown.items
    with services.recommender.expected():
        # Half of the time: what is left is for the ranking.
        view = await stored_view_of(services, stored, request.session, timeout_s / 2)
    if view.degraded:
        services.meter.degraded()
    query = await query_of(services, request, view, before)
    found = await services.recommender.rank(query, end_s - time.monotonic())
    offer_texts(services, view, found)
    paths = await paths_of(services, found, stored) if request.explain == "path" else {}
    return _shown(services, found, view.degraded, request.include, stored, before, paths)


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")


def _shown(
    services: Services,
    found: RankedList,
    degraded: bool,
    include: list[Any],
    user_id: str | None = None,
    before: tuple[str, ...] = (),
    paths: Mapping[str, list[dict[str, Any]]] = NO_PATHS,
) -> bytes:
    """A list as JSON, and in the log."""
    tenant = services.tenant
    items = as_json(found)
    for place in items:
        item_id = place["item_id"]
        if item_id in paths:
            place["path"] = paths[item_id]
        if include:
            place["item"] = _fields(services.catalogue.get(tenant, item_id), include)
    body = {
        "recommendation_id": services.log.record(tenant, found, user_id, before),
        "model_version": found.model_version,
        "degraded": degraded,
        "items": items,
    }
    return orjson.dumps(body)


def _fields(item: Item | None, include: list[Any]) -> dict[str, Any]:
    if item is None:
        return {}
    record = item_record(item, with_vectors=False)
    return {field: record[field] for field in include if field in record}

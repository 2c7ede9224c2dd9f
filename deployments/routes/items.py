"""The catalogue: `PUT GET PATCH DELETE /v1/items/{id}`, `POST /v1/items:import`, `GET /v1/items`.

A change is on disk when its request is answered, and in every replica's lists well within a second.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from cluster.messages import Item
from cluster.records import item_record, parse_item
from deployments.documents import Documents
from deployments.listing import MAX_LIMIT, items_page
from deployments.openapi import body_of, import_of
from deployments.schemas import ImportResponse, ItemBody, ItemPage
from deployments.services import Services, services_of

router = APIRouter(tags=["catalogue"])

ServicesDep = Annotated[Services, Depends(services_of)]
Filter = Annotated[str | None, Query(max_length=2000, description='`genre == "Drama" and year >= 1990`')]
TextQuery = Annotated[
    str | None, Query(max_length=500, description="Words that all have to occur; the best come first.")
]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
Cursor = Annotated[str | None, Query(max_length=2000, description="`next_cursor` of the page before.")]


@router.get("/v1/items", response_model=ItemPage)
async def list_items(
    services: ServicesDep, filter: Filter = None, q: TextQuery = None, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """A page of the catalogue, hidden and expired items too: by id, or the best hits first when `q` is given."""
    catalogue, tenant = services.catalogue, services.tenant
    page, following = await asyncio.to_thread(items_page, catalogue, tenant, filter, q, limit, cursor)
    return json_response({"items": [item_record(item, with_vectors=False) for item in page], "next_cursor": following})


@router.post("/v1/items:import", response_model=ImportResponse, openapi_extra=import_of(ItemBody))
async def import_items(request: Request, services: ServicesDep) -> Response:
    """Store many items: a JSON array or JSON Lines. Each bad record is named by its line and the good ones count; when
    there is no good one, 422 names the first fault."""
    return json_response(await _items(services).import_all(await request.body()))


@router.put("/v1/items/{item_id:id}", response_model=ItemBody, openapi_extra=body_of(ItemBody))
async def put_item(item_id: str, request: Request, services: ServicesDep) -> Response:
    """Store an item in place of what has its id."""
    return json_response(await _items(services).put(item_id, await request.body()))


@router.get("/v1/items/{item_id:id}", response_model=ItemBody)
async def get_item(item_id: str, services: ServicesDep) -> Response:
    """An item, whether or not it may be shown now."""
    return json_response(await _items(services).get(item_id))


@router.patch(
    "/v1/items/{item_id:id}",
    response_model=ItemBody,
    openapi_extra=body_of(ItemBody, "application/merge-patch+json"),
)
async def patch_item(item_id: str, request: Request, services: ServicesDep) -> Response:
    """Change parts of an item by a JSON merge patch (RFC 7396): null removes a field, lists are replaced whole."""
    return json_response(await _items(services).patch(item_id, await request.body()))


@router.delete("/v1/items/{item_id:id}", status_code=204, response_class=Response)
async def delete_item(item_id: str, services: ServicesDep) -> Response:
    """Delete an item. What people did with it is kept."""
    await _items(services).delete(item_id)
    return Response(status_code=204)


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON response of plain values."""
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


def _items(services: Services) -> Documents[Item]:
    tenant = services.tenant
    return Documents("items", "item", parse_item, item_record, tenant, services.store, services.pool.write)

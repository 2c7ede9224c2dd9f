"""`POST /v1/feedback`: what a person says of a list or a text."""

from __future__ import annotations

import time

from fastapi import APIRouter
from starlette.responses import Response

from cluster.errors import NotFoundError
from cluster.ids import new_id
from cluster.store import Feedback
from deployments.routes.items import ServicesDep, json_response
from deployments.schemas import FeedbackRequest, FeedbackResponse
from deployments.services import Services

router = APIRouter(tags=["feedback"])


@router.post("/v1/feedback", status_code=201, response_model=FeedbackResponse)
async def give_feedback(body: FeedbackRequest, services: ServicesDep) -> Response:
    """Keep a verdict, a text, or both, on a list (`recommendation_id`) or a text (`content_id`).

    Without `user_id` it belongs to the person of the list, and is handed out and erased with everything of theirs.
    """
    tenant = services.tenant
    entry = Feedback(
        feedback_id=new_id(),
        created_ms=time.time_ns() // 1_000_000,
        user_id=await _person_of(body, services),
        recommendation_id=body.recommendation_id,
        content_id=body.content_id,
        item_id=body.item_id,
        rating=body.verdict,
        comment=body.text,
        tenant=tenant,
    )
    await services.pool.write("feedback", "add", [entry])
    return json_response({"feedback_id": entry.feedback_id}, 201)


async def _person_of(body: FeedbackRequest, services: Services) -> str | None:
    """The stored id of who is named, or of whose list it is; None where nobody is, or the list is not kept any more."""
    if body.user_id is not None:
        return services.identity.stored(services.tenant, body.user_id)
    if body.recommendation_id is None:
        return None
    try:
        return (await services.log.shown(services.tenant, body.recommendation_id)).user_id
    except NotFoundError:
        return None

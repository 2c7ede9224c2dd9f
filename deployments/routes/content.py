"""`POST /v1/content`: a text about an item for a person, whole or as server-sent events."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request
from sse_starlette import ServerSentEvent
from starlette.responses import Response

from cluster.ids import new_id
from cluster.messages import TextDone, TextPiece
from deployments.context import write_task
from deployments.problems import describe_error, problem, request_id_of
from deployments.services import Services, services_of
from deployments.streaming import event, peeked, sse_response
from deployments.writing import rests_on
from deployments.writing_schemas import ContentRequest, ContentResponse

router = APIRouter(tags=["content"])

_SUBJECT = re.compile(r"(?:Subject|主题)[:：]\s*")


@router.post(
    "/v1/content",
    response_model=ContentResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "The text, whole or as a stream."}},
)
async def content(
    body: ContentRequest, request: Request, services: Annotated[Services, Depends(services_of)]
) -> Response:
    """Write a text from the item's facts and the person's session.

    With `stream: true`: `start`, then `text` for each checked clause, then exactly one `done` (the whole answer) or
    `error` (a problem document). `source` says whether the text was generated, cached or is the template.
    """
    deadline_s = body.timeout_ms / 1000 if body.timeout_ms else services.settings.ingress.timeout_s
    request_id = request_id_of(request)
    task = await write_task(services, body, deadline_s, request_id)
    head = {"content_id": new_id(), "kind": body.kind, "item_id": task.items[0].item_id}
    if len(task.items) > 1:
        head["item_ids"] = [item.item_id for item in task.items]
    version = await services.model_version()
    frames = await peeked(services.writer.write(task))
    if body.stream:
        return sse_response(_events(frames, head, version, request_id))
    done = [frame async for frame in frames if isinstance(frame, TextDone)][-1]
    return Response(orjson.dumps(_answer(done, head, version)), media_type="application/json")


async def _events(
    frames: AsyncIterator[object], head: dict[str, Any], version: str, request_id: str
) -> AsyncIterator[ServerSentEvent]:
    yield _frame("start", head | {"model_version": version})
    try:
        async for frame in frames:
            if isinstance(frame, TextPiece):
                yield _frame("text", {"text": frame.text})
            elif isinstance(frame, TextDone):
                yield _frame("done", _answer(frame, head, version))
                return
        raise RuntimeError("the writer ended without a last frame")
    except Exception as error:
        status, detail, errors, _ = describe_error(error)
        yield _frame("error", problem(status, detail, request_id, errors))


def _answer(done: TextDone, head: dict[str, Any], version: str) -> dict[str, Any]:
    return head | {
        "text": done.text,
        **rests_on(done),
        "model_version": version,
        "parts": _parts(head["kind"], done.text),
        "finish_reason": done.finish_reason,
        "usage": {
            "prompt_tokens": done.prompt_tokens,
            "completion_tokens": done.completion_tokens,
            "total_tokens": done.prompt_tokens + done.completion_tokens,
        },
    }


def _parts(kind: str, text: str) -> list[dict[str, str]]:
    """An email's subject and body, which stand behind `Subject:` (or `主题：`) and below it; of all else the text."""
    first, gap, rest = text.partition("\n\n")
    label = _SUBJECT.match(first)
    if kind != "email" or not gap or label is None:
        return [{"type": "text", "text": text}]
    return [{"type": "subject", "text": first[label.end() :]}, {"type": "body", "text": rest}]


def _frame(name: str, data: dict[str, Any]) -> ServerSentEvent:
    return event(orjson.dumps(data), name)

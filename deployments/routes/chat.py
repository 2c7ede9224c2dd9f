"""OpenAI's routes: `POST /v1/chat/completions`, a conversational recommender, and `GET /v1/models`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request
from sse_starlette import ServerSentEvent
from starlette.responses import Response

from cluster.columns import as_json
from cluster.errors import InputError, NotFoundError, UnavailableError
from cluster.ids import new_id
from cluster.messages import RankedList, TextDone, TextPiece, WriteTask
from deployments.chat.lists import chat_list
from deployments.chat.questions import after, answer_to
from deployments.chat.retrieval import newest_message
from deployments.chat.small_talk import language_of, small_talk
from deployments.chat.wishes import Turns
from deployments.context import liked_items
from deployments.problems import describe_error, request_id_of
from deployments.services import Services, services_of
from deployments.streaming import event, peeked, sse_response
from deployments.writing import rests_on
from deployments.writing_schemas import ChatMessage, ChatRequest, ChatResponse, ModelList, ModelOut
from generation.phrasing_zh import is_chinese
from generation.prompts import CHINESE_TOKENS

router = APIRouter(tags=["chat"])

ServicesDep = Annotated[Services, Depends(services_of)]

MODEL_ID = "tailorbird"
_DEFAULT_TOKENS = 384
_MAX_STOPS = 4
_MAX_MESSAGE_CHARS = 8000


@router.get("/v1/models", response_model=ModelList)
async def models(services: ServicesDep) -> Response:
    """The model that answers, in OpenAI's form, with what it runs on."""
    try:
        engine: dict[str, Any] = asdict(await services.writer.info())
    except UnavailableError as error:
        engine = {"engine": "starting", "detail": str(error)}
    version = await services.model_version()
    state = {**engine, "model_version": version, "store": services.settings.resolved_database_url.split(":", 1)[0]}
    model = {"id": MODEL_ID, "object": "model", "created": 0, "owned_by": "tailorbird", **state}
    return _json({"object": "list", "data": [model], "tailorbird": state})


@router.get("/v1/models/{model}", response_model=ModelOut)
async def model(model: str, services: ServicesDep) -> Response:
    """One model, in OpenAI's form."""
    if model != MODEL_ID:
        raise NotFoundError(f"the model {model[:100]!r} does not exist; there is {MODEL_ID!r}")
    listed = orjson.loads((await models(services)).body)
    return _json(listed["data"][0])


@router.post(
    "/v1/chat/completions",
    response_model=ChatResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "The answer, whole or in chunks."}},
)
async def chat(body: ChatRequest, request: Request, services: ServicesDep) -> Response:
    """Answer a message by recommending items and writing about them; only retrieved items are named.

    The ids of the items come back in the field `tailorbird`, beside the text.
    """
    if body.stream and body.n > 1:
        raise InputError("is 1 when streaming", "n")
    messages = tuple((message.role, _text_of(message, index)) for index, message in enumerate(body.messages))
    newest = newest_message(messages)
    if not newest.strip():
        raise InputError("holds no message of the user with text", "messages")
    stops, language = _stops_of(body), language_of(newest)
    head = {"id": f"chatcmpl-{new_id()}", "created": int(time.time()), "model": MODEL_ID}
    writing: list[AsyncIterator[TextPiece | TextDone]]
    max_tokens = body.max_completion_tokens or body.max_tokens or _default_tokens(language)
    if (reply := small_talk(newest, language, max_tokens, stops)) is not None:
        extra = _extra(RankedList((), await services.model_version()))
        writing = [_given(reply) for _ in range(body.n)]
    else:
        tasks, ranked = await _tasks(body, messages, stops, max_tokens, language, services, request_id_of(request))
        extra = _extra(ranked)
        writing = [services.writer.write(task) for task in tasks]
        if len(tasks[0].items) == 1 and (fact := answer_to(newest, tasks[0].items[0], language)) is not None:
            writing = [after(fact, frames, language, max_tokens, stops) for frames in writing]
    if body.stream:
        frames = await peeked(writing[0])
        usage = body.stream_options is not None and body.stream_options.include_usage
        return sse_response(_chunks(frames, head, extra, usage, request_id_of(request)))
    choices = []
    totals = {"prompt_tokens": 0, "completion_tokens": 0}
    texts = await asyncio.gather(*map(_written, writing))
    for index, done in enumerate(texts):
        message = {"role": "assistant", "content": done.text, "refusal": None}
        choices.append({"index": index, "message": message, "finish_reason": done.finish_reason, "logprobs": None})
        totals["prompt_tokens"] += done.prompt_tokens
        totals["completion_tokens"] += done.completion_tokens
        extra |= {"source": done.source, "texts": [*extra.get("texts", ()), rests_on(done)]}
    answer = {**head, "object": "chat.completion", "choices": choices, "usage": _usage(totals), "tailorbird": extra}
    return _json(answer)


async def _written(frames: AsyncIterator[TextPiece | TextDone]) -> TextDone:
    return [frame async for frame in frames if isinstance(frame, TextDone)][-1]


async def _given(frames: tuple[TextPiece, TextDone]) -> AsyncIterator[TextPiece | TextDone]:
    for frame in frames:
        yield frame


async def _tasks(
    body: ChatRequest,
    messages: Turns,
    stops: tuple[str, ...],
    max_tokens: int,
    language: str,
    services: Services,
    request_id: str,
) -> tuple[list[WriteTask], RankedList]:
    """A writing task for each answer that is asked for, and the items that the answers are about."""
    end_s = time.monotonic() + services.settings.ingress.timeout_s
    wish, view, ranked = await chat_list(services, messages, body.user, end_s)
    found = (services.catalogue.get(services.tenant, entry.item_id) for entry in ranked.items)
    items = tuple(item for item in found if item is not None)
    reasons = ranked.items[0].reasons if ranked.items else ()
    seed = body.seed
    return [
        WriteTask(
            kind=wish.kind if items else "chat",
            items=items,
            liked=liked_items(services, view, reasons, frozenset(item.item_id for item in items)),
            reasons=reasons,
            language=language,
            max_tokens=max_tokens,
            temperature=body.temperature,
            seed=seed + copy if seed is not None else None,
            stop=stops,
            messages=tuple(messages) if wish.kind == "chat" else (),
            deadline_s=end_s - time.monotonic(),
            tenant=services.tenant,
            request_id=request_id,
        )
        for copy in range(body.n)
    ], ranked


def _default_tokens(language: str) -> int:
    return _DEFAULT_TOKENS * (CHINESE_TOKENS if is_chinese(language) else 1)


def _stops_of(body: ChatRequest) -> tuple[str, ...]:
    stops = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    if len(stops) > _MAX_STOPS or any(not stop or len(stop) > 256 for stop in stops):
        raise InputError(f"takes up to {_MAX_STOPS} strings of 1 to 256 characters", "stop")
    return stops


def _text_of(message: ChatMessage, index: int) -> str:
    if isinstance(message.content, list):
        parts = [part.get("text") for part in message.content if part.get("type") == "text"]
        text = "\n".join(part for part in parts if isinstance(part, str))
    else:
        text = message.content or ""
    if len(text) > _MAX_MESSAGE_CHARS:
        raise InputError(f"is longer than {_MAX_MESSAGE_CHARS} characters", f"messages.{index}.content")
    return text


async def _chunks(
    frames: AsyncIterator[object], head: dict[str, Any], extra: dict[str, Any], with_usage: bool, request_id: str
) -> AsyncIterator[ServerSentEvent]:
    """OpenAI's chunks: role, text, finish reason, usage if asked for, `[DONE]`."""
    head = {**head, "object": "chat.completion.chunk"}

    def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> ServerSentEvent:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        body = {**head, "choices": [choice], **({"usage": None} if with_usage else {}), **more}
        return event(orjson.dumps(body))

    yield chunk({"role": "assistant", "content": ""}, tailorbird=extra)
    try:
        async for frame in frames:
            if isinstance(frame, TextPiece):
                yield chunk({"content": frame.text})
            elif isinstance(frame, TextDone):
                yield chunk(
                    {}, frame.finish_reason, tailorbird={**extra, "source": frame.source, "texts": [rests_on(frame)]}
                )
                if with_usage:
                    totals = {"prompt_tokens": frame.prompt_tokens, "completion_tokens": frame.completion_tokens}
                    data = {**head, "choices": [], "usage": _usage(totals)}
                    yield event(orjson.dumps(data))
        yield event("[DONE]")
    except Exception as error:
        _, detail, _, _ = describe_error(error)
        failure = {"error": {"message": detail, "type": "server_error", "param": None, "code": request_id}}
        yield event(orjson.dumps(failure))


def _extra(ranked: RankedList) -> dict[str, Any]:
    return {
        "items": as_json(ranked),
        "item_ids": [entry.item_id for entry in ranked.items],
        "model_version": ranked.model_version,
    }


def _usage(totals: dict[str, int]) -> dict[str, int]:
    return {**totals, "total_tokens": sum(totals.values())}


def _json(body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")

"""Server-sent events: frames out, exactly one terminal frame, whatever happens on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse, ServerSentEvent

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_PING_S = 15


def event(data: bytes | str, name: str | None = None) -> ServerSentEvent:
    """One frame. Lines end with LF alone, which the simplest of clients can split."""
    return ServerSentEvent(data=data if isinstance(data, str) else data.decode(), event=name, sep="\n")


def sse_response(frames: AsyncIterator[ServerSentEvent]) -> EventSourceResponse:
    """The streaming response. When the client leaves, the iterator is closed, which frees the writer's slot."""
    return EventSourceResponse(frames, headers=HEADERS, ping=_PING_S, sep="\n")


async def peeked(frames: AsyncIterator[object]) -> AsyncIterator[object]:
    """The same frames, after the first one has been waited for: what goes wrong before it can still set the status."""
    iterator = aiter(frames)
    first = await anext(iterator)

    async def rest() -> AsyncIterator[object]:
        yield first
        async for frame in iterator:
            yield frame

    return rest()

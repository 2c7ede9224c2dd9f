"""`WriterClient`: texts through the Serve deployment `Writer`, whatever becomes of its replicas.

A replica that dies before the first clause is replaced by another try; when no replica can answer in time the written
template speaks. What was sent cannot be taken back: when a replica dies in the middle of a text, or is late with it,
the template writes the end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.serve.exceptions import RayServeException

from cluster import tracing
from cluster.errors import EngineError, InputError, OverloadError, TailorbirdError, UnavailableError
from cluster.messages import EngineInfo, TextDone, TextPiece, WriteTask
from generation.writer import template_text

log = logging.getLogger("tailorbird.writing")

_RETRY_PAUSE_S = 0.25
_MARGIN_S = 0.5
"""A writer is told to end a text this much before it is given up."""
_TEMPLATE_S = 0.1
"""A writer that hangs, or is not there, is given up this much before the deadline, so that the template is in time."""


class WriterClient:
    """What the routes see of the writers.

    Args:
        handle: the Serve handle of the deployment `Writer`.
    """

    def __init__(self, handle: Any) -> None:
        self._stream = handle.options(stream=True)
        self._handle = handle

    async def write(self, task: WriteTask) -> AsyncIterator[TextPiece | TextDone]:
        """Checked clauses, then exactly one `TextDone`.

        Raises:
            InputError: before the first piece: the task cannot be done, e.g. its dialogue is longer than the context.
            OverloadError: before the first piece: every writer's queue is full.
            EngineError, UnavailableError: of a text ahead only, which nobody waits for.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + task.deadline_s - min(_TEMPLATE_S, task.deadline_s / 10)
        while True:
            given = ""
            left_s = end - loop.time()
            margin_s = min(_MARGIN_S, left_s / 5)
            asked = replace(task, deadline_s=left_s - margin_s, traceparent=tracing.traceparent())
            answer: Any = None
            try:
                answer = self._stream.write.remote(asked)
                async for frame in _until(answer, end):
                    given += frame.text if isinstance(frame, TextPiece) else ""
                    yield frame
                answer = None
                return
            except RayTaskError as error:  # first: Ray's is one of the cause's class too, with a traceback as its text
                cause = error.cause
                if isinstance(cause, InputError | OverloadError) and not given:
                    raise cause from None
                if task.ahead:
                    raise EngineError("the writer failed") from error
                log.error("the writer failed: %s", cause)
                break
            except (InputError, OverloadError):
                raise
            except (RayActorError, RayServeException, RayError, EngineError, TimeoutError) as error:
                if task.ahead:
                    raise UnavailableError("no writer has time for a text ahead") from error
                log.warning("the writer was lost or is late: %s", error)
            finally:
                if answer is not None:  # the reader has left, or the text is late: its place is for others
                    answer.cancel()
            if given or loop.time() + _RETRY_PAUSE_S >= end:
                break
            await asyncio.sleep(_RETRY_PAUSE_S)
        for frame in template_text(task, given):
            yield frame

    async def info(self, timeout_s: float = 5.0) -> EngineInfo:
        """What the writers run on.

        Raises:
            UnavailableError: no writer answers in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                info: EngineInfo = await self._handle.info.remote()
        except TailorbirdError:
            raise
        except (TimeoutError, RayError, RayServeException) as error:
            raise UnavailableError("no writer is up yet") from error
        return info


async def _until(frames: AsyncIterator[TextPiece | TextDone], end_s: float) -> AsyncIterator[TextPiece | TextDone]:
    """The same frames; TimeoutError where the next one is not there by then (the loop's clock).

    Each is waited for by itself: a timeout around a `yield` would cancel the task that asked for the first frame, which
    for a stream is not the one that reads on, and break the connection without a last frame.
    """
    iterator = aiter(frames)
    while True:
        try:
            async with asyncio.timeout_at(end_s):
                frame = await anext(iterator)
        except StopAsyncIteration:
            return
        yield frame


def rests_on(done: TextDone) -> dict[str, Any]:
    """How a text was made and what it rests on, as every route that writes says it."""
    return {
        "source": done.source,
        "model": done.model,
        "prompt_version": done.prompt_version,
        "facts": dict(done.facts),
        "guard": {"passed": done.source != "template", "rules": list(done.rules)},
    }

"""What the client of the writers makes of their errors. Errors are wrapped as Ray wraps what crosses its processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
from ray.exceptions import RayTaskError

from cluster.errors import InputError, OverloadError, TailorbirdError
from cluster.messages import Item, TextDone, TextPiece, WriteTask
from deployments.streaming import peeked
from deployments.writing import WriterClient
from tests.deployments.conftest import Answer

TASK = WriteTask("pitch", (Item("1", title="Babe"),), deadline_s=0.2)


def client_of(
    write: Callable[[WriteTask], AsyncIterator[TextPiece]], answers: list[Answer] | None = None
) -> WriterClient:
    """The client of a writer that writes so; `answers` gets what each call gave."""
    kept = [] if answers is None else answers

    def remote(task: WriteTask) -> Answer:
        kept.append(Answer(write(task)))
        return kept[-1]

    return WriterClient(SimpleNamespace(options=lambda **_: SimpleNamespace(write=SimpleNamespace(remote=remote))))


def client(error: Exception, pieces: int = 0) -> WriterClient:
    """The client of a writer that fails after so many pieces."""

    async def write(task: WriteTask) -> AsyncIterator[TextPiece]:
        for _ in range(pieces):
            yield TextPiece("Babe")
        raise error

    return client_of(write)


def wrapped(cause: Exception) -> RayTaskError:
    return RayTaskError("write", "traceback", cause)


@pytest.mark.parametrize("wrap", [wrapped, lambda cause: cause, lambda cause: wrapped(cause).as_instanceof_cause()])
@pytest.mark.parametrize("cause", [InputError("is too long", "messages"), OverloadError("full", 3.0)])
async def test_what_the_request_has_to_answer_for_is_raised(wrap: object, cause: TailorbirdError) -> None:
    with pytest.raises(type(cause)) as raised:
        _ = [frame async for frame in client(wrap(cause)).write(TASK)]  # type: ignore[operator]
    assert str(raised.value) == str(cause)


async def test_what_it_has_not_ends_in_the_template() -> None:
    frames = [frame async for frame in client(wrapped(ValueError("secret"))).write(TASK)]
    assert isinstance(frames[-1], TextDone) and frames[-1].source == "template" and "Babe" in frames[-1].text


async def test_in_the_middle_of_a_text_the_template_writes_the_end() -> None:
    frames = [frame async for frame in client(wrapped(InputError("late")), pieces=1).write(TASK)]
    assert [type(frame) for frame in frames] == [TextPiece, TextPiece, TextDone]
    last = frames[-1]
    assert isinstance(last, TextDone) and last.source == "template" and last.text == "Babe."
    assert last.text == "".join(frame.text for frame in frames[:-1])


async def test_the_template_is_there_before_the_deadline() -> None:
    """At the deadline itself whoever waits in front of the application has given up, too."""

    async def write(task: WriteTask) -> AsyncIterator[TextPiece]:
        await asyncio.sleep(30)
        yield TextPiece("Babe")

    hung = client_of(write)
    async with asyncio.timeout(TASK.deadline_s):
        frames = [frame async for frame in hung.write(TASK)]
    assert isinstance(frames[-1], TextDone) and frames[-1].source == "template"


async def test_a_text_ahead_has_no_end_but_its_own() -> None:
    with pytest.raises(TailorbirdError):
        _ = [frame async for frame in client(wrapped(ValueError("x")), pieces=1).write(replace(TASK, ahead=True))]


async def test_a_text_that_is_late_in_another_task_than_it_began_in_is_ended_by_the_template() -> None:
    async def write(task: WriteTask) -> AsyncIterator[TextPiece]:
        yield TextPiece("Babe,")
        await asyncio.sleep(30)

    late = client_of(write)
    frames = await peeked(late.write(TASK))  # in this task, as a route does; the stream is read in one of its own

    async def rest() -> list[object]:
        return [frame async for frame in frames]

    read = await asyncio.wait_for(asyncio.create_task(rest()), timeout=5)
    assert isinstance(read[-1], TextDone) and read[-1].text == "Babe, well worth your time."


async def test_a_writer_is_told_when_its_reader_has_left_and_only_then() -> None:
    async def write(task: WriteTask) -> AsyncIterator[TextPiece]:
        for _ in range(3):
            yield TextPiece("Babe")

    answers: list[Answer] = []
    frames = client_of(write, answers).write(TASK)
    await anext(frames)
    await frames.aclose()  # type: ignore[attr-defined]
    assert [answer.cancelled for answer in answers] == [True]
    _ = [frame async for frame in client_of(write, answers).write(TASK)]
    assert [answer.cancelled for answer in answers] == [True, False]

"""What the client of the writers makes of their errors. Errors are wrapped as Ray wraps what crosses its processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
from ray.exceptions import RayTaskError

from cluster.errors import InputError, OverloadError, TailorbirdError
from cluster.messages import Item, TextDone, TextPiece, WriteTask
from deployments.streaming import peeked
from deployments.writing import WriterClient

TASK = WriteTask("pitch", (Item("1", title="Babe"),), deadline_s=0.2)


def client(error: Exception, pieces: int = 0) -> WriterClient:
    """The client of a writer that fails after so many pieces."""

    async def write(task: WriteTask) -> AsyncIterator[TextPiece]:
        for _ in range(pieces):
            yield TextPiece("Babe")
        raise error

    method = SimpleNamespace(remote=write)
    return WriterClient(SimpleNamespace(options=lambda **_: SimpleNamespace(write=method)))


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
    assert frames[-1].source == "template" and frames[-1].text == "Babe."
    assert frames[-1].text == "".join(frame.text for frame in frames[:-1])


async def test_the_template_is_there_before_the_deadline() -> None:
    """At the deadline itself whoever waits in front of the application has given up, too."""

    async def write(task: WriteTask) -> AsyncIterator[TextPiece]:
        await asyncio.sleep(30)
        yield TextPiece("Babe")

    method = SimpleNamespace(remote=write)
    hung = WriterClient(SimpleNamespace(options=lambda **_: SimpleNamespace(write=method)))
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

    method = SimpleNamespace(remote=write)
    late = WriterClient(SimpleNamespace(options=lambda **_: SimpleNamespace(write=method)))
    frames = await peeked(late.write(TASK))  # in this task, as a route does; the stream is read in one of its own

    async def rest() -> list[object]:
        return [frame async for frame in frames]

    read = await asyncio.wait_for(asyncio.create_task(rest()), timeout=5)
    assert isinstance(read[-1], TextDone) and read[-1].text == "Babe, well worth your time."

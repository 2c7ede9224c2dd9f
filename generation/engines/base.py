"""What every text engine promises.

An engine owns one model in one process. It is started once, streams many requests at a time, and every stream ends:
with a last chunk that carries `finish_reason`, or with an exception from `cluster.errors`. Leaving the iterator early
is a cancellation; the place of the request in the batch is free within one step.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Protocol

from cluster.errors import EngineError
from cluster.messages import EngineInfo
from generation.lexicon import Lexicon, Phrases


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """One text to write.

    `messages` are (role, content) pairs in the order of the dialogue; their first `shared_messages` repeat among
    requests, so that an engine may keep what it computed for them. `begun` is the start of the answer: the engine
    writes on from its last character, and does not repeat it. `lexicon`, when given, holds the only words or phrases
    that may be written; an engine that cannot constrain its decoding ignores it (see `Engine.constrains`). `deadline_s`
    counts from the submission, waiting included.
    """

    request_id: str
    messages: tuple[tuple[str, str], ...]
    max_tokens: int
    temperature: float = 0.7
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    begun: str = ""
    shared_messages: int = 0
    lexicon: Lexicon | Phrases | None = None
    deadline_s: float = 20.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of text as it is decoded. The last one of a stream has a `finish_reason`: stop or length.

    Token counts are those of the whole request so far.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str | None = None


@dataclass(slots=True)
class EngineCounts:
    """What an engine has done since it was started; numbers only grow, apart from `running` and `waiting`."""

    requests: int = 0
    cancelled: int = 0
    refused: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    prefix_tokens: int = 0
    completion_tokens: int = 0
    forced_tokens: int = 0
    """Of the completion, those that a lexicon left no choice about: no step of their own was computed for them."""
    steps: int = 0
    running: int = 0
    waiting: int = 0
    extra: dict[str, float] = field(default_factory=dict)


class Engine(Protocol):
    """The protocol. Methods are called from one event loop; heavy work happens elsewhere."""

    constrains: bool
    """Whether `EngineRequest.lexicon` is honoured while decoding."""

    async def start(self) -> None:
        """Load the model and be ready.

        Raises:
            EngineError: the model cannot be loaded.
        """

    def stream(self, request: EngineRequest) -> AsyncGenerator[Chunk]:
        """Write one text.

        Raises (at the first `anext`, or later):
            InputError: the request cannot be done, e.g. its prompt is longer than the context.
            OverloadError: the queue is full.
            DeadlineError: `deadline_s` is over.
            EngineError: the engine failed, or is not running.
        """
        ...

    def cancel(self, request_id: str) -> None:
        """End a request from outside; its stream ends with `EngineError`. Unknown ids are ignored."""

    def health(self) -> None:
        """Return when the engine works.

        Raises:
            EngineError: it was not started, its thread has ended, or a step hangs.
        """

    async def stop(self) -> None:
        """End every request and free the model. May be called twice."""

    def info(self) -> EngineInfo:
        """What runs here. Known after `start`."""
        ...

    def counts(self) -> EngineCounts:
        """What has been done so far."""
        ...

    def tokens_of(self, text: str) -> int:
        """How many tokens a text has by itself. Known after `start`."""
        ...


class EngineBase:
    """What every engine here keeps: its counts, and what it runs on once it was started."""

    def __init__(self) -> None:
        self._counts = EngineCounts()
        self._info: EngineInfo | None = None

    def info(self) -> EngineInfo:
        """See the protocol."""
        if self._info is None:
            raise EngineError("the engine was not started")
        return self._info

    def counts(self) -> EngineCounts:
        """See the protocol."""
        return self._counts

"""Continuous batching: texts join and leave between steps of one decode loop.

`Batch` is synchronous and owned by one thread. Each `step` is one call of the model for everybody: the next token of
every text that writes, and so many tokens of prompts as a chunk allows. A token that a lexicon leaves no choice about
is taken without asking the model; its keys are computed along with those of the next one.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from cluster.errors import DeadlineError, EngineError
from generation.engines.base import Chunk, EngineCounts
from generation.engines.prefixes import PIECE, Prefixes
from generation.engines.sampling import Sampler
from generation.engines.text import Detokenizer

log = logging.getLogger("tailorbird.generation")

STEP_S = 0.06
"""No more of the prompts is read in a step than takes about so long: who leaves, and who writes, waits for its end. It
is processor time, since smaller steps would make a machine that is busy with other things only busier."""

Emit = Callable[[Chunk | Exception], None]
"""Takes the pieces of a stream; called by the decode thread. An exception, or a chunk with a reason, is the last."""


class Part(NamedTuple):
    """New tokens of one row, the first of them at position `start`; at least one."""

    row: int
    start: int
    tokens: list[int]


class Backend(Protocol):
    """A model, and the keys and values of the texts in work, in rows. Used by the decode thread alone."""

    tokens: int
    """How many each row has room for."""
    per_token_bytes: int

    def step(self, parts: list[Part]) -> np.ndarray:
        """Compute new tokens of different rows; logits (parts, vocabulary), float32, after the last of each part."""
        ...

    def move(self, source: int, target: int, length: int) -> None:
        """The text of row `source` goes on in row `target`, whose own has ended."""

    def save(self, row: int, length: int) -> Any:
        """A copy of the first tokens of a row."""
        ...

    def load(self, row: int, saved: Any) -> None:
        """Write what `save` gave to the beginning of a row."""


@dataclass(eq=False, slots=True)
class Sequence:
    """One text in work. `length` counts the tokens whose keys are in the cache, of `prompt` and `written` together;
    `name` is for the log."""

    prompt: list[int]
    shared: int
    max_tokens: int
    sampler: Sampler
    detokenizer: Detokenizer
    emit: Emit
    deadline: float
    name: str = ""
    cancelled: bool = False
    length: int = 0
    written: list[int] = field(default_factory=list)

    @property
    def reads(self) -> bool:
        """Whether some of the prompt is to be read."""
        return self.length < len(self.prompt)

    def next_tokens(self, most: int) -> list[int]:
        """What the model has not seen yet. Of a prompt about so many, up to the end of a piece, none beyond what others
        share."""
        if not self.reads:
            return self.written[self.length - len(self.prompt) :]
        end = self.shared if self.length < self.shared else len(self.prompt)
        reach = self.length + most + PIECE // 2
        return self.prompt[self.length : end if end <= reach else reach // PIECE * PIECE]


class Batch:
    """The texts in work on one model. `running` are those that have a row, which is their place in the list."""

    def __init__(
        self,
        backend: Backend,
        end_tokens: frozenset[int],
        counts: EngineCounts,
        *,
        max_batch: int,
        chunk_tokens: int,
        prefix_bytes: int,
    ) -> None:
        self._backend = backend
        self._end_tokens = end_tokens
        self._counts = counts
        self._max_batch = max_batch
        self._chunk_tokens = chunk_tokens
        self._token_s = 0.0
        self._prefixes = Prefixes(backend, prefix_bytes)
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self._reading: deque[Sequence] = deque()

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.waiting or self.running)

    def step(self) -> None:
        """Do one piece of work for everybody."""
        self._drop_ended()
        while self.waiting and len(self.running) < self._max_batch:
            sequence = self.waiting.popleft()
            self.running.append(sequence)
            self._reading.append(sequence)
            self._counts.prompt_tokens += len(sequence.prompt)
        self._count()
        planned = self._plan()
        if planned:
            began = time.thread_time()
            logits = self._backend.step([part for _, part in planned])
            self._learn(sum(len(part.tokens) for _, part in planned), time.thread_time() - began)
            for sequence, part in planned:
                self._computed(sequence, part)
            for (sequence, _), values in zip(
                planned, logits, strict=True
            ):  # only now, since rows move when a text ends
                if not sequence.reads:
                    self._write(sequence, values)
        self._counts.steps += 1
        self._count()

    def _learn(self, tokens: int, took_s: float) -> None:
        """Note what a token costs in a step that reads prompts."""
        if tokens >= PIECE:
            self._token_s += 0.3 * (took_s / tokens - self._token_s) if self._token_s else took_s / tokens

    def _chunk(self) -> int:
        """How much of the prompts the next step reads."""
        if not self._token_s:
            return PIECE
        return max(PIECE, min(self._chunk_tokens, int(STEP_S / self._token_s)))

    def _count(self) -> None:
        self._counts.running = len(self.running)
        self._counts.waiting = len(self.waiting)

    def fail_all(self, error: Exception) -> None:
        """End every text with an error."""
        for sequence in (*self.waiting, *self.running):
            sequence.emit(error)
            self._counts.failed += 1
        self.waiting.clear()
        self.running.clear()
        self._reading.clear()
        self._count()

    def _drop_ended(self) -> None:
        now = time.monotonic()
        for sequence in (*self.waiting, *self.running):
            if sequence.cancelled:
                self._counts.cancelled += 1
                self._end(sequence, EngineError("the text was cancelled"))
                log.info("a text was left by its reader: its place is free", extra={"text": sequence.name})
            elif now >= sequence.deadline:
                self._counts.failed += 1
                self._end(sequence, DeadlineError("the time for this text is over"))

    def _end(self, sequence: Sequence, last: Chunk | Exception) -> None:
        """Give the last piece and free the row: the last row's text moves into it."""
        sequence.emit(last)
        if sequence in self.waiting:
            self.waiting.remove(sequence)
            return
        if sequence in self._reading:
            self._reading.remove(sequence)
        row, final = self.running.index(sequence), self.running.pop()
        if final is not sequence:
            self._backend.move(len(self.running), row, final.length)
            self.running[row] = final

    def _plan(self) -> list[tuple[Sequence, Part]]:
        """What this step computes: all that was written, and prompts in the order in which they came, one chunk.

        Of several prompts with the same new beginning one is read, and the others wait for it.
        """
        planned = [
            (sequence, Part(row, sequence.length, sequence.next_tokens(0)))
            for row, sequence in enumerate(self.running)
            if not sequence.reads
        ]
        budget, begun = self._chunk(), set[tuple[int, ...]]()
        for sequence in self._reading:
            row = self.running.index(sequence)
            beginning = tuple(sequence.prompt[: sequence.shared])
            if sequence.length == 0 and beginning not in begun:
                sequence.length = self._prefixes.load(row, beginning)
                self._counts.prefix_tokens += sequence.length
            if sequence.length < sequence.shared:
                if beginning in begun:
                    continue
                begun.add(beginning)
            if budget > 0 and (tokens := sequence.next_tokens(budget)):
                budget -= len(tokens)
                planned.append((sequence, Part(row, sequence.length, tokens)))
        return planned

    def _computed(self, sequence: Sequence, part: Part) -> None:
        sequence.length += len(part.tokens)
        if sequence.length == sequence.shared and part.start < sequence.shared:
            self._prefixes.keep(part.row, tuple(sequence.prompt[: sequence.shared]))
        if part.start < len(sequence.prompt) and not sequence.reads:
            self._reading.remove(sequence)

    def _write(self, sequence: Sequence, logits: np.ndarray) -> None:
        """Take the next token, and those after it that there is no choice about."""
        token: int | None = sequence.sampler.choose(logits)
        delta, reason = "", None
        while token is not None:
            sequence.written.append(token)
            self._counts.completion_tokens += 1
            if token in self._end_tokens:
                reason = "stop"
                break
            delta += sequence.detokenizer.add(token)
            known = len(sequence.prompt) + len(sequence.written)
            if sequence.detokenizer.stopped:
                reason = "stop"
                break
            if len(sequence.written) >= sequence.max_tokens or known >= self._backend.tokens:
                reason = "length"
                break
            token = sequence.sampler.forced()
            self._counts.forced_tokens += token is not None
        if reason is not None:
            delta += sequence.detokenizer.flush()
            self._end(sequence, Chunk(delta, len(sequence.prompt), len(sequence.written), reason))
        elif delta:
            sequence.emit(Chunk(delta, len(sequence.prompt), len(sequence.written)))

"""Continuous batching: texts join and leave between steps of one decode loop.

`Batch` is synchronous and owned by one thread. Each `step` reads at most one chunk's worth of tokens of new prompts,
then decodes one token of every running text. A text costs no more steps than its own tokens, whoever is beside it.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from cluster.errors import DeadlineError, EngineError
from generation.engines.base import Chunk, EngineCounts
from generation.engines.sampling import Sampler
from generation.engines.text import Detokenizer

Emit = Callable[[Chunk | Exception], None]
"""Takes the pieces of a stream; called by the decode thread. An exception, or a chunk with a reason, is the last."""


class Backend(Protocol):
    """A model, and the keys and values of the texts in work, in rows. Used by the decode thread alone."""

    tokens: int
    """How many each row has room for."""
    per_token_bytes: int

    def read(self, row: int, start: int, tokens: list[int]) -> np.ndarray:
        """Compute a row's next tokens, from position `start`; the logits (vocabulary,) after the last of them."""
        ...

    def decode(self, tokens: list[int], lengths: list[int]) -> np.ndarray:
        """One more token in each of the first rows, row i at position `lengths[i]`; logits (rows, vocabulary)."""
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
    """One text in work. `length` counts the tokens whose keys are in the cache."""

    prompt: list[int]
    shared: int
    max_tokens: int
    sampler: Sampler
    detokenizer: Detokenizer
    emit: Emit
    deadline: float
    cancelled: bool = False
    length: int = 0
    written: list[int] = field(default_factory=list)


class Batch:
    """The texts in work on one model."""

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
        self._prefix_bytes = prefix_bytes
        self._prefixes: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.reading: Sequence | None = None

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.waiting or self.running or self.reading)

    def step(self) -> None:
        """Do one piece of work for everybody."""
        self._drop_ended()
        self._admit()
        self._count()
        budget = self._chunk_tokens
        while self.reading is not None and budget > 0:
            budget -= self._read(self.reading, budget)
            self._admit()
        if self.running:
            self._decode()
        self._counts.steps += 1
        self._count()

    def _count(self) -> None:
        self._counts.running = len(self.running) + (self.reading is not None)
        self._counts.waiting = len(self.waiting)

    def fail_all(self, error: Exception) -> None:
        """End every text with an error."""
        for sequence in (*self.waiting, *self.running, *([self.reading] if self.reading else ())):
            sequence.emit(error)
            self._counts.failed += 1
        self.waiting.clear()
        self.running.clear()
        self.reading = None
        self._counts.running = self._counts.waiting = 0

    def _drop_ended(self) -> None:
        now = time.monotonic()
        for sequence in [s for s in (*self.waiting, *self.running, self.reading) if s is not None]:
            if sequence.cancelled:
                self._counts.cancelled += 1
                self._end(sequence, EngineError("the text was cancelled"))
            elif now >= sequence.deadline:
                self._counts.failed += 1
                self._end(sequence, DeadlineError("the time for this text is over"))

    def _end(self, sequence: Sequence, last: Chunk | Exception) -> None:
        """Give the last piece and free the row: the last running text moves into it, a reading one after that."""
        sequence.emit(last)
        if sequence in self.waiting:
            self.waiting.remove(sequence)
            return
        if sequence is self.reading:
            self.reading = None
            return
        row, final = self.running.index(sequence), len(self.running) - 1
        if row != final:
            self._backend.move(final, row, self.running[final].length)
            self.running[row] = self.running[final]
        self.running.pop()
        if self.reading is not None and self.reading.length:
            self._backend.move(final + 1, final, self.reading.length)

    def _admit(self) -> None:
        if self.reading is None and self.waiting and len(self.running) < self._max_batch:
            sequence = self.reading = self.waiting.popleft()
            self._counts.prompt_tokens += len(sequence.prompt)
            saved = self._prefixes.get(tuple(sequence.prompt[: sequence.shared])) if sequence.shared else None
            if saved is not None:
                self._prefixes.move_to_end(tuple(sequence.prompt[: sequence.shared]))
                self._backend.load(len(self.running), saved)
                sequence.length = sequence.shared
                self._counts.prefix_tokens += sequence.shared

    def _read(self, sequence: Sequence, most: int) -> int:
        """Compute the keys of the next tokens of a prompt, at most so many; how many they were."""
        row, start = len(self.running), sequence.length
        goal = sequence.shared if start < sequence.shared else len(sequence.prompt)
        upto = min(goal, start + most)
        logits = self._backend.read(row, start, sequence.prompt[start:upto])
        sequence.length = upto
        if upto == sequence.shared:
            self._keep_prefix(tuple(sequence.prompt[:upto]), row)
        if upto == len(sequence.prompt):
            self.reading = None
            self.running.append(sequence)
            self._take(sequence, logits)
        return upto - start

    def _decode(self) -> None:
        fresh = list(self.running)
        logits = self._backend.decode([s.written[-1] for s in fresh], [s.length for s in fresh])
        for row, sequence in enumerate(fresh):
            sequence.length += 1
            self._take(sequence, logits[row])

    def _take(self, sequence: Sequence, logits: np.ndarray) -> None:
        token = sequence.sampler.choose(logits)
        sequence.written.append(token)
        self._counts.completion_tokens += 1
        ended = token in self._end_tokens
        delta = "" if ended else sequence.detokenizer.add(token)
        reason = None
        if ended or sequence.detokenizer.stopped:
            reason = "stop"
        elif len(sequence.written) >= sequence.max_tokens or sequence.length + 1 >= self._backend.tokens:
            reason = "length"
        if reason is not None:
            delta += sequence.detokenizer.flush()
            self._end(sequence, Chunk(delta, len(sequence.prompt), len(sequence.written), reason))
        elif delta:
            sequence.emit(Chunk(delta, len(sequence.prompt), len(sequence.written)))

    def _keep_prefix(self, key: tuple[int, ...], row: int) -> None:
        size = len(key) * self._backend.per_token_bytes
        if size > self._prefix_bytes:
            return
        self._prefixes[key] = self._backend.save(row, len(key))
        while sum(map(len, self._prefixes)) * self._backend.per_token_bytes > self._prefix_bytes:
            self._prefixes.popitem(last=False)

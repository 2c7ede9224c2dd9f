"""Continuous batching: texts join and leave between steps of one decode loop.

`Batch` is synchronous and owned by one thread. Each `step` reads at most one chunk's worth of tokens of new prompts,
then decodes one token of every running text. A text costs no more steps than its own tokens, whoever is beside it.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from cluster.errors import DeadlineError, EngineError
from generation.engines.base import Chunk, EngineCounts
from generation.engines.sampling import Sampler
from generation.engines.slots import SlotCache
from generation.engines.text import Detokenizer
from generation.engines.threads import ThreadGovernor

Emit = Callable[[Chunk | Exception], None]
"""Takes the pieces of a stream; called by the decode thread. An exception, or a chunk with a reason, is the last."""


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
        model: Any,
        cache: SlotCache,
        end_tokens: frozenset[int],
        counts: EngineCounts,
        *,
        max_batch: int,
        chunk_tokens: int,
        prefix_bytes: int,
        governor: ThreadGovernor,
    ) -> None:
        self._model = model
        self._device = model.device
        self._cache = cache
        self._end_tokens = end_tokens
        self._counts = counts
        self._max_batch = max_batch
        self._chunk_tokens = chunk_tokens
        self._prefix_bytes = prefix_bytes
        self._governor = governor
        self._prefixes: OrderedDict[tuple[int, ...], torch.Tensor] = OrderedDict()
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.reading: Sequence | None = None

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.waiting or self.running or self.reading)

    @torch.inference_mode()
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
            self._cache.move(final, row, self.running[final].length)
            self.running[row] = self.running[final]
        self.running.pop()
        if self.reading is not None and self.reading.length:
            self._cache.move(final + 1, final, self.reading.length)

    def _admit(self) -> None:
        if self.reading is None and self.waiting and len(self.running) < self._max_batch:
            sequence = self.reading = self.waiting.popleft()
            self._counts.prompt_tokens += len(sequence.prompt)
            saved = self._prefixes.get(tuple(sequence.prompt[: sequence.shared])) if sequence.shared else None
            if saved is not None:
                self._prefixes.move_to_end(tuple(sequence.prompt[: sequence.shared]))
                self._cache.load(len(self.running), saved)
                sequence.length = sequence.shared
                self._counts.prefix_tokens += sequence.shared

    def _read(self, sequence: Sequence, most: int) -> int:
        """Compute the keys of the next tokens of a prompt, at most so many; how many they were."""
        row, start = len(self.running), sequence.length
        goal = sequence.shared if start < sequence.shared else len(sequence.prompt)
        upto = min(goal, start + most)
        tokens = torch.tensor([sequence.prompt[start:upto]], device=self._device)
        mask = self._cache.read_rows(row, start, upto - start)
        positions = torch.arange(start, upto, device=self._device)[None]
        logits = self._forward(tokens, positions, mask)
        sequence.length = upto
        if upto == sequence.shared:
            self._keep_prefix(tuple(sequence.prompt[:upto]), row)
        if upto == len(sequence.prompt):
            self.reading = None
            self.running.append(sequence)
            self._take(sequence, logits[0, -1].cpu())
        return upto - start

    def _decode(self) -> None:
        fresh = list(self.running)
        tokens = torch.tensor([[s.written[-1]] for s in fresh], device=self._device)
        positions, mask = self._cache.step_rows([s.length for s in fresh])
        with self._governor.step(len(fresh)):
            logits = self._forward(tokens, positions, mask)[:, -1].cpu()
        for row, sequence in enumerate(fresh):
            sequence.length += 1
            self._take(sequence, logits[row])

    def _forward(self, tokens: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        out = self._model(
            input_ids=tokens,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = out.logits
        return logits

    def _take(self, sequence: Sequence, logits: torch.Tensor) -> None:
        token = sequence.sampler.choose(logits)
        sequence.written.append(token)
        self._counts.completion_tokens += 1
        ended = token in self._end_tokens
        delta = "" if ended else sequence.detokenizer.add(token)
        reason = None
        if ended or sequence.detokenizer.stopped:
            reason = "stop"
        elif len(sequence.written) >= sequence.max_tokens or sequence.length + 1 >= self._cache.tokens:
            reason = "length"
        if reason is not None:
            delta += sequence.detokenizer.flush()
            self._end(sequence, Chunk(delta, len(sequence.prompt), len(sequence.written), reason))
        elif delta:
            sequence.emit(Chunk(delta, len(sequence.prompt), len(sequence.written)))

    def _keep_prefix(self, key: tuple[int, ...], row: int) -> None:
        size = len(key) * self._cache.per_token_bytes
        if size > self._prefix_bytes:
            return
        self._prefixes[key] = self._cache.save(row, len(key))
        while sum(map(len, self._prefixes)) * self._cache.per_token_bytes > self._prefix_bytes:
            self._prefixes.popitem(last=False)

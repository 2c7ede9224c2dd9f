"""What the engines that decode here have in common: a thread that owns the model, and a bounded queue to it.

Callers live on an event loop. An engine adds how its model is loaded (`LoopEngine.load`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from cluster.errors import EngineError, InputError, OverloadError
from cluster.messages import EngineInfo
from generation.config import GenerationConfig
from generation.engines.base import Chunk, EngineBase, EngineRequest
from generation.engines.constrain import Constrainer
from generation.engines.decode import Backend, Batch, Sequence
from generation.engines.sampling import Sampler
from generation.engines.text import Detokenizer

log = logging.getLogger("tailorbird.generation")

STALL_S = 60.0
"""A step that takes longer than this counts as a hang."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory. `tokenizer` is a transformers tokenizer; `end_tokens` end a text."""

    backend: Backend
    tokenizer: Any
    end_tokens: frozenset[int]
    info: EngineInfo


class LoopEngine(EngineBase):
    """See `generation.engines.base.Engine`."""

    constrains = True

    def __init__(self, model: str, config: GenerationConfig) -> None:
        super().__init__()
        self._name = model
        self._config = config
        self._lock = threading.Condition()
        self._inbox: list[Sequence] = []
        self._by_id: dict[str, Sequence] = {}
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._beat = 0.0

    def load(self) -> Loaded:
        """Load the model and warm it up; in a thread.

        Raises:
            OSError, ValueError, RuntimeError, ImportError: it cannot be loaded.
            ConfigError, EngineError: the same, with what to do about it.
        """
        raise NotImplementedError

    async def start(self) -> None:
        """Load the model, warm it up, begin the decode loop."""
        if self._thread is not None and self._thread.is_alive():
            return
        try:
            await asyncio.to_thread(self._load)
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            raise EngineError(f"the model {self._name!r} cannot be loaded: {error}") from error
        self._begin()

    def _begin(self) -> None:
        self._stopping = False
        self._beat = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="tailorbird-decode", daemon=True)
        self._thread.start()

    def _load(self) -> None:
        loaded, config = self.load(), self._config
        self._tokenizer = loaded.tokenizer
        self._constrainer = Constrainer(loaded.tokenizer, loaded.end_tokens)
        self._context = loaded.backend.tokens
        self._batch = Batch(
            loaded.backend,
            loaded.end_tokens,
            self._counts,
            max_batch=config.max_batch,
            chunk_tokens=config.prefill_chunk_tokens,
            prefix_bytes=config.prefix_bytes,
        )
        self._info = loaded.info

    async def stream(self, request: EngineRequest) -> AsyncGenerator[Chunk]:
        """See the protocol."""
        self.health()
        sequence, pieces = await asyncio.to_thread(self._prepare, request, asyncio.get_running_loop())
        self._submit(request.request_id, sequence)
        try:
            while True:
                piece = await pieces.get()
                if isinstance(piece, Exception):
                    raise piece
                yield piece
                if piece.finish_reason is not None:
                    return
        finally:
            with self._lock:
                sequence.cancelled = True  # has no effect on one that has ended
                self._by_id.pop(request.request_id, None)

    def _submit(self, request_id: str, sequence: Sequence) -> None:
        with self._lock:
            waiting = len(self._inbox) + len(self._batch.waiting)
            free = self._config.max_batch - len(self._batch.running)
            if waiting >= self._config.max_queue + max(free, 0):
                self._counts.refused += 1
                raise OverloadError(f"{waiting} texts are waiting", retry_after_s=1.0)
            self._counts.requests += 1
            self._inbox.append(sequence)
            self._by_id[request_id] = sequence
            self._lock.notify()

    def _prepare(self, request: EngineRequest, loop: asyncio.AbstractEventLoop) -> tuple[Sequence, asyncio.Queue[Any]]:
        """Check a request and turn it into tokens: nothing wrong may reach the decode thread."""
        if not request.messages:
            raise InputError("there is no message", "messages")
        if request.max_tokens < 1:
            raise InputError(f"max_tokens is {request.max_tokens}", "max_tokens")
        prompt, shared = self._tokens(request)
        if len(prompt) + 1 >= self._context:
            raise InputError(f"the prompt has {len(prompt)} tokens, the context {self._context}", "messages")
        pieces: asyncio.Queue[Any] = asyncio.Queue()

        def emit(piece: Chunk | Exception) -> None:
            try:
                loop.call_soon_threadsafe(pieces.put_nowait, piece)
            except RuntimeError:
                log.debug("the event loop of a text has closed before the text ended")

        walk = None if request.lexicon is None else self._constrainer.follow(request.lexicon, request.begun)
        sequence = Sequence(
            prompt=prompt,
            shared=shared,
            max_tokens=request.max_tokens,
            sampler=Sampler(request.temperature, request.top_p, request.seed, walk, request.max_tokens),
            detokenizer=Detokenizer(self._tokenizer, prompt, request.stop),
            emit=emit,
            deadline=time.monotonic() + request.deadline_s,
            name=request.request_id,
        )
        return sequence, pieces

    def _tokens(self, request: EngineRequest) -> tuple[list[int], int]:
        """The prompt, and how many of its first tokens belong to the shared messages."""
        messages = [{"role": role, "content": content} for role, content in request.messages]
        render = self._tokenizer.apply_chat_template
        text = render(messages, tokenize=False, add_generation_prompt=True) + request.begun
        prompt: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        shared = 0
        if 0 < request.shared_messages < len(messages):
            begin = render(messages[: request.shared_messages], tokenize=False, add_generation_prompt=False)
            if text.startswith(begin):
                tokens = self._tokenizer.encode(begin, add_special_tokens=False)
                shared = len(tokens) if prompt[: len(tokens)] == tokens else 0
        return prompt, shared

    def tokens_of(self, text: str) -> int:
        """See the protocol."""
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def cancel(self, request_id: str) -> None:
        """See the protocol."""
        with self._lock:
            if (sequence := self._by_id.get(request_id)) is not None:
                sequence.cancelled = True

    def health(self) -> None:
        """See the protocol."""
        if self._thread is None:
            raise EngineError("the engine was not started")
        if not self._thread.is_alive():
            raise EngineError("the decode thread has ended")
        if not self._batch.idle and time.monotonic() - self._beat > STALL_S:
            raise EngineError(f"a decode step takes longer than {STALL_S:.0f} s")

    async def stop(self) -> None:
        """See the protocol."""
        thread = self._thread
        if thread is None:
            return
        with self._lock:
            self._stopping = True
            self._lock.notify()
        await asyncio.to_thread(thread.join, STALL_S)

    def _run(self) -> None:
        while True:
            with self._lock:
                while not (self._inbox or self._stopping or not self._batch.idle):
                    self._lock.wait()
                self._batch.waiting.extend(self._inbox)
                self._inbox.clear()
                if self._stopping:
                    self._batch.fail_all(EngineError("the engine was stopped"))
                    return
            self._beat = time.monotonic()
            try:
                self._batch.step()
            except Exception:  # whatever a model raises: these texts fail, the next ones get a clean batch
                log.exception("a decode step failed")
                self._batch.fail_all(EngineError("a decode step failed"))


def end_tokens_of(tokenizer: Any, *configs: Any) -> frozenset[int]:
    """All tokens that end a text, by the tokenizer and by what a model's configurations say."""
    ends = [getattr(source, "eos_token_id", None) for source in (tokenizer, *configs)]
    flat = {token for end in ends for token in (end if isinstance(end, list) else [end])}
    return frozenset(token for token in flat if token is not None)

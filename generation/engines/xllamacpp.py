"""The engine `xllamacpp`: llama.cpp in this process, for GGUF files; fast on CPUs, several texts at a time.

llama.cpp's own server batches continuously and keeps prompt beginnings that repeat. Each text is one blocking call in a
thread of a bounded pool; a callback takes its pieces, and ends it by its return value. The library also opens an HTTP
port on 127.0.0.1: it is closed to others by a random key that nobody keeps.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from cluster.errors import ConfigError, DeadlineError, EngineError, InputError, OverloadError
from cluster.messages import EngineInfo
from generation.config import GenerationConfig
from generation.demo import DEMO, DEMO_NAME, demo_gguf
from generation.engines.base import Chunk, EngineCounts, EngineRequest
from generation.engines.gguf_file import GgufFacts
from generation.engines.grammar import grammar_of

log = logging.getLogger("tailorbird.generation")

STALL_S = 60.0
"""A text of which nothing is heard for so long counts as a hang."""
MIN_CONTEXT = 256
_STOP_BIAS = 1.0
"""So many logits a full stop gets in constrained texts: a grammar cannot say that a sentence should end in time."""


class XllamacppEngine:
    """See `generation.engines.base.Engine`."""

    constrains = True

    def __init__(self, model: str, config: GenerationConfig) -> None:
        self._name = model
        self._config = config
        self._counts = EngineCounts()
        self._lock = threading.Lock()
        self._server: Any = None
        self._pool: ThreadPoolExecutor | None = None
        self._texts: dict[str, _Text] = {}
        self._info: EngineInfo | None = None

    async def start(self) -> None:
        """Load the model. Call it on the loop that will stream."""
        if self._server is not None:
            return
        try:
            await asyncio.to_thread(self._load, _file_of(self._name))
        except (OSError, ValueError, RuntimeError, ImportError, KeyError) as error:
            raise EngineError(f"the model {self._name!r} cannot be loaded: {error}") from error
        self._pool = ThreadPoolExecutor(self._config.max_batch, "tailorbird-llama")

    def _load(self, path: Path) -> None:
        import xllamacpp

        config = self._config
        facts = GgufFacts(path)
        context = min(config.kv_bytes // config.max_batch // facts.bytes_per_token, facts.trained_tokens)
        context = max(MIN_CONTEXT, context // MIN_CONTEXT * MIN_CONTEXT)
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_parallel = config.max_batch
        params.n_ctx = context * config.max_batch
        gpus = [device for device in xllamacpp.get_device_info() if not device["type"].name.endswith("_CPU")]
        params.n_gpu_layers = -1 if gpus and config.device != "cpu" else 0
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = config.threads or _threads()
        params.cache_ram_mib = config.prefix_bytes >> 20
        params.prefill_assistant = True
        params.use_jinja = True
        params.verbosity = 0
        params.api_keys = [secrets.token_urlsafe(32)]
        params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = False
        self._server = xllamacpp.Server(params)
        self._info = EngineInfo(
            engine="xllamacpp",
            model=DEMO_NAME if self._name == DEMO else path.stem,
            quantization=facts.quantization,
            weight_bytes=path.stat().st_size,
            device="cpu" if params.n_gpu_layers == 0 else "gpu",
            context_tokens=context,
        )

    async def stream(self, request: EngineRequest) -> AsyncGenerator[Chunk]:
        """See the protocol."""
        self.health()
        assert self._pool is not None
        if not request.messages:
            raise InputError("there is no message", "messages")
        if request.max_tokens < 1:
            raise InputError(f"max_tokens is {request.max_tokens}", "max_tokens")
        if self._counts.running + self._counts.waiting >= self._config.max_batch + self._config.max_queue:
            self._counts.refused += 1
            raise OverloadError(f"{self._counts.waiting} texts are waiting", retry_after_s=1.0)
        self._counts.requests += 1
        loop = asyncio.get_running_loop()
        end = loop.time() + request.deadline_s
        text = _Text(loop)
        self._texts[request.request_id] = text
        body = self._body(request)
        self._count(waiting=1)
        work = self._pool.submit(self._run, body, text)
        ended = False
        try:
            async for chunk in self._chunks(text, end):
                ended = chunk.finish_reason is not None
                yield chunk
        except (DeadlineError, InputError, EngineError):
            ended = True
            self._counts.failed += 1
            raise
        finally:
            text.cancelled = True
            self._counts.cancelled += not ended
            if self._texts.get(request.request_id) is text:
                del self._texts[request.request_id]
            if work.cancel():  # it had not begun
                self._count(waiting=-1)

    async def _chunks(self, text: _Text, end: float) -> AsyncGenerator[Chunk]:
        while True:
            try:
                async with asyncio.timeout_at(end):
                    piece = await text.pieces.get()
            except TimeoutError:
                raise DeadlineError("the time for this text is over") from None
            if isinstance(piece, Exception):
                raise piece
            yield piece
            if piece.finish_reason is not None:
                return

    def _body(self, request: EngineRequest) -> dict[str, Any]:
        messages = [{"role": role, "content": content} for role, content in request.messages]
        if request.begun:
            messages.append({"role": "assistant", "content": request.begun})
        body: dict[str, Any] = {
            "messages": messages,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": 64,
            "min_p": 0.0,
            "seed": (request.seed if request.seed is not None else secrets.randbits(31)) % (1 << 32),
            "stop": list(request.stop),
            "stream": True,
            "stream_options": {"include_usage": True},
            "cache_prompt": True,
        }
        if request.lexicon is not None:
            body["grammar"] = grammar_of(request.lexicon, request.begun)
            body["logit_bias"] = [[".", _STOP_BIAS]]
            body |= {"dry_multiplier": 0.8, "dry_allowed_length": 2}
        return body

    def _run(self, body: dict[str, Any], text: _Text) -> None:
        """In a thread of the pool: one text from its first token to its last."""
        text.begun, text.heard = True, time.monotonic()
        self._count(waiting=-1, running=1)
        try:
            if not text.cancelled:
                self._server.handle_chat_completions(json.dumps(body), lambda piece: self._take(piece, text))
                if not text.ended:
                    text.emit(EngineError("the text was cancelled" if text.cancelled else "llama.cpp gave no end"))
        except Exception as error:
            log.exception("llama.cpp failed")
            text.emit(EngineError(f"llama.cpp failed: {type(error).__name__}"))
        finally:
            self._count(running=-1)

    def _count(self, **changes: int) -> None:
        with self._lock:  # several threads count
            for name, by in changes.items():
                setattr(self._counts, name, getattr(self._counts, name) + by)

    def _take(self, piece: str | dict[str, Any], text: _Text) -> bool:
        """Take one piece from llama.cpp; True ends the text."""
        data = json.loads(piece) if isinstance(piece, str | bytes) else piece
        text.heard = time.monotonic()
        if "error" in data:
            fault = data["error"]
            kind = str(fault.get("type", ""))
            wrong = "exceed_context" in kind
            message = str(fault.get("message", "unknown"))
            text.end(InputError(message, "messages") if wrong else EngineError(f"llama.cpp: {message}"))
            return True
        if usage := data.get("usage"):
            text.prompt_tokens, text.tokens = usage["prompt_tokens"], usage["completion_tokens"]
            cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
            self._count(prompt_tokens=text.prompt_tokens, prefix_tokens=cached, completion_tokens=text.tokens)
        for choice in data.get("choices", ()):
            delta = choice.get("delta", {}).get("content") or ""
            text.reason = choice.get("finish_reason") or text.reason
            if delta:
                text.tokens += 1
                text.emit(Chunk(delta, text.prompt_tokens, text.tokens))
        if text.reason is not None and usage:
            text.end(Chunk("", text.prompt_tokens, text.tokens, text.reason))
        return text.cancelled

    def cancel(self, request_id: str) -> None:
        """See the protocol."""
        if (text := self._texts.get(request_id)) is not None:
            text.cancelled = True

    def health(self) -> None:
        """See the protocol."""
        if self._server is None or self._pool is None:
            raise EngineError("the engine was not started")
        now = time.monotonic()
        if any(text.begun and not text.ended and now - text.heard > STALL_S for text in self._texts.values()):
            raise EngineError(f"nothing was heard of a text for {STALL_S:.0f} s")

    async def stop(self) -> None:
        """See the protocol."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        for text in list(self._texts.values()):
            text.cancelled = True
        await asyncio.to_thread(pool.shutdown, cancel_futures=True)
        server, self._server = [self._server], None
        await asyncio.to_thread(server.clear)  # its destructor waits for llama.cpp's own threads

    def info(self) -> EngineInfo:
        """See the protocol."""
        if self._info is None:
            raise EngineError("the engine was not started")
        return self._info

    def counts(self) -> EngineCounts:
        """See the protocol."""
        return self._counts


class _Text:
    """One text in work, between its thread and its reader."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.pieces: asyncio.Queue[Chunk | Exception] = asyncio.Queue()
        self.begun = self.ended = self.cancelled = False
        self.heard = time.monotonic()
        self.prompt_tokens = self.tokens = 0
        self.reason: str | None = None

    def emit(self, piece: Chunk | Exception) -> None:
        """Give a piece to the reader."""
        with suppress(RuntimeError):  # the reader's event loop may have closed
            self._loop.call_soon_threadsafe(self.pieces.put_nowait, piece)

    def end(self, piece: Chunk | Exception) -> None:
        """Give the last piece."""
        self.ended = True
        self.emit(piece)


def _threads() -> int:
    """Half of the cores: llama.cpp's threads spin while they wait for each other, so that one which shares its core
    with other work stops all of them. On two busy cores two threads were 12 times slower than one."""
    return max(1, len(os.sched_getaffinity(0)) // 2)


def _file_of(model: str) -> Path:
    if model == DEMO:
        return demo_gguf()
    path = Path(model).expanduser()
    if path.suffix != ".gguf" or not path.is_file():
        raise ConfigError(f"model is {model!r}: the engine xllamacpp reads GGUF files, and there is none of this name")
    return path

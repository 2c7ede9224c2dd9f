"""The engine `vllm`: vLLM's own asynchronous engine on CUDA, weights quantised by bitsandbytes as they are loaded.

vLLM is no dependency, since each release pins one torch. The last that quantises by bitsandbytes is 0.26 (torch 2.11);
later ones serve with `generation.quantization: none` what was quantised before. It batches, keeps prompt beginnings
that repeat, and holds a lexicon by a grammar (`engines.grammar`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cluster.errors import DeadlineError, EngineError, InputError, OverloadError
from cluster.messages import EngineInfo
from generation.config import GenerationConfig
from generation.demo import DEMO, DEMO_NAME, prepare_model
from generation.engines.base import Chunk, EngineBase, EngineRequest
from generation.engines.grammar import grammar_of


class VllmEngine(EngineBase):
    """See `generation.engines.base.Engine`."""

    constrains = True

    def __init__(self, model: str, config: GenerationConfig, models_dir: Path) -> None:
        super().__init__()
        self._name = model
        self._config = config
        self._models_dir = models_dir
        self._engine: Any = None
        self._tasks: dict[str, asyncio.Event] = {}

    async def start(self) -> None:
        """Load the model. Call it on the loop that will stream."""
        if self._engine is not None:
            return
        if self._config.quantization != "none" and not quantises():
            raise EngineError(
                "the engine vllm needs vLLM up to 0.26 for 4-bit weights, or generation.quantization none with a model "
                "that is quantised already"
            )
        source = str(await asyncio.to_thread(prepare_model, self._name, self._models_dir))
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        try:
            from vllm import AsyncEngineArgs, AsyncLLMEngine

            arguments = AsyncEngineArgs(
                model=source,
                dtype=self._config.compute_dtype,
                quantization=None if self._config.quantization == "none" else "bitsandbytes",
                max_num_seqs=self._config.max_batch,
                max_model_len=-1,  # as long as the memory for keys and values allows
                kv_cache_memory_bytes=self._config.kv_bytes,
                enable_prefix_caching=self._config.prefix_bytes > 0,
                trust_remote_code=self._config.trust_remote_code,
                enable_log_requests=False,
            )
            self._engine = AsyncLLMEngine.from_engine_args(arguments)
        except (ImportError, OSError, ValueError, RuntimeError) as error:
            raise EngineError(f"vLLM cannot load the model {self._name!r}: {error}") from error
        self._tokenizer = self._engine.get_tokenizer()
        self._context = int(self._engine.model_config.max_model_len)
        self._info = EngineInfo(
            engine="vllm",
            model=DEMO_NAME if self._name == DEMO else self._name,
            quantization="none" if self._config.quantization == "none" else "nf4",
            weight_bytes=await asyncio.to_thread(_weight_bytes, source),
            device="cuda",
            context_tokens=self._context,
        )

    async def stream(self, request: EngineRequest) -> AsyncGenerator[Chunk]:
        """See the protocol."""
        self.health()
        prompt = self._prompt(request)
        if self._counts.running >= self._config.max_batch + self._config.max_queue:
            self._counts.refused += 1
            raise OverloadError("the queue of the engine is full", retry_after_s=1.0)
        self._counts.requests += 1
        self._counts.running += 1
        self._counts.prompt_tokens += len(prompt)
        ended = False
        try:
            async with aclosing(self._chunks(request, prompt)) as chunks:
                async for chunk in chunks:
                    ended = chunk.finish_reason is not None
                    yield chunk
        except (DeadlineError, EngineError):
            ended = True
            self._counts.failed += 1
            raise
        finally:
            self._counts.running -= 1
            self._counts.cancelled += not ended
            self._tasks.pop(request.request_id, None)

    async def _chunks(self, request: EngineRequest, prompt: list[int]) -> AsyncGenerator[Chunk]:
        gone = self._tasks[request.request_id] = asyncio.Event()
        outputs = self._engine.generate({"prompt_token_ids": prompt}, self._sampling(request), request.request_id)
        end = asyncio.get_running_loop().time() + request.deadline_s
        written = 0
        async with aclosing(outputs):
            while True:
                try:
                    async with asyncio.timeout_at(end):
                        output = await anext(outputs)
                except TimeoutError:
                    raise DeadlineError("the time for this text is over") from None
                except StopAsyncIteration:
                    raise EngineError("vLLM gave no end") from None
                except Exception as error:  # vLLM has classes of its own for each of its troubles
                    raise EngineError(f"vLLM failed: {type(error).__name__}: {error}") from error
                if gone.is_set():
                    raise EngineError("the text was cancelled")
                part = output.outputs[0]
                written += len(part.token_ids)
                self._counts.completion_tokens += len(part.token_ids)
                reason = None if part.finish_reason is None else "length" if part.finish_reason == "length" else "stop"
                if part.finish_reason in ("abort", "error"):
                    raise EngineError(f"vLLM ended the text: {part.finish_reason}")
                if reason or part.text:
                    yield Chunk(part.text, len(prompt), written, reason)
                if reason:
                    self._counts.prefix_tokens += output.num_cached_tokens or 0
                    return

    def _prompt(self, request: EngineRequest) -> list[int]:
        if not request.messages:
            raise InputError("there is no message", "messages")
        if request.max_tokens < 1:
            raise InputError(f"max_tokens is {request.max_tokens}", "max_tokens")
        messages = [{"role": role, "content": content} for role, content in request.messages]
        text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        prompt: list[int] = self._tokenizer.encode(text + request.begun, add_special_tokens=False)
        if len(prompt) + 1 >= self._context:
            raise InputError(f"the prompt has {len(prompt)} tokens, the context {self._context}", "messages")
        return prompt

    def _sampling(self, request: EngineRequest) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        lexicon = request.lexicon
        return SamplingParams(
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed,
            stop=list(request.stop),
            output_kind=RequestOutputKind.DELTA,
            structured_outputs=None
            if lexicon is None
            else StructuredOutputsParams(grammar=grammar_of(lexicon, request.begun)),
        )

    def tokens_of(self, text: str) -> int:
        """See the protocol."""
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def cancel(self, request_id: str) -> None:
        """See the protocol."""
        if (gone := self._tasks.get(request_id)) is not None:
            gone.set()

    def health(self) -> None:
        """See the protocol."""
        if self._engine is None:
            raise EngineError("the engine was not started")
        if self._engine.errored:
            raise EngineError("vLLM's engine has ended")

    async def stop(self) -> None:
        """See the protocol."""
        engine, self._engine = self._engine, None
        for gone in self._tasks.values():
            gone.set()
        if engine is not None:
            await asyncio.to_thread(engine.shutdown)


def quantises() -> bool:
    """Whether a vLLM is installed, and one that quantises by bitsandbytes. Imports nothing of it."""
    spec = find_spec("vllm")
    folders = spec.submodule_search_locations or () if spec else ()
    return any((Path(folder) / "model_executor/layers/quantization/bitsandbytes.py").is_file() for folder in folders)


def _weight_bytes(source: str) -> int:
    """Size of the weights on disk; 0 where they come from the hub."""
    return sum(file.stat().st_size for file in Path(source).glob("*.safetensors"))

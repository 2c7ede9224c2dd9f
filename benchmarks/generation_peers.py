"""The peers in `benchmarks.generation`, each in process, on the weights of the demo model."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.generation_contest import InProcess, Text, Timed, flowing
from generation.config import GenerationConfig


class Peer(InProcess):
    """A peer by what it writes with: texts and how many at a time."""

    def __init__(self, write: Callable[[list[Text], int], Awaitable[list[Timed]]]) -> None:
        self._write = write

    async def write(self, texts: list[Text], streams: int) -> list[Timed]:
        """See `generation_contest.Writing`."""
        return await self._write(texts, streams)


def _transformers(asked: argparse.Namespace) -> Peer:
    """`generate` on the weights that our engine `bitsandbytes` loads: one static batch after the other."""
    import torch

    from generation.demo import prepare_model
    from generation.engines.loading import load

    torch.set_num_threads(asked.threads)
    model, tokenizer = load(str(prepare_model("demo", Path(asked.models_dir))), GenerationConfig(device="cpu"))
    model.set_attn_implementation("sdpa")
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token

    def write(texts: list[Text]) -> list[Timed]:
        first: list[float] = []

        def note(ids: Any, scores: Any) -> Any:
            first.append(time.perf_counter())
            return scores

        began = time.perf_counter()
        rendered = [_rendered(tokenizer, messages) for _, _, messages in texts]
        inputs = tokenizer(rendered, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.inference_mode():
            out = model.generate(
                **inputs, max_new_tokens=asked.tokens, do_sample=False, logits_processor=[note],
                pad_token_id=tokenizer.pad_token_id,
            )  # fmt: skip
        new = out[:, inputs["input_ids"].shape[1] :]
        ends = {tokenizer.eos_token_id, tokenizer.pad_token_id}
        written = [next((n + 1 for n, token in enumerate(row) if token in ends), len(row)) for row in new.tolist()]
        return [(tokens, first[0] - began) for tokens in written]

    async def batches(texts: list[Text], streams: int) -> list[Timed]:
        starts = range(0, len(texts), streams)
        return [timed for at in starts for timed in await asyncio.to_thread(write, texts[at : at + streams])]

    return Peer(batches)


def _llama(asked: argparse.Namespace) -> Peer:
    """llama.cpp's server as `xllamacpp` has it, called in process."""
    import xllamacpp

    from generation.demo import demo_gguf

    params = xllamacpp.CommonParams()
    params.model.path = str(demo_gguf())
    params.n_parallel, params.n_ctx = 16, 16 * 1024
    params.n_gpu_layers, params.verbosity = 0, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = asked.threads
    server, pool = xllamacpp.Server(params), ThreadPoolExecutor(16)

    def write(messages: list[dict[str, str]]) -> Timed:
        heard: list[float] = []
        used: list[int] = [0]

        def take(piece: str) -> bool:
            data = json.loads(piece)
            if any((choice.get("delta") or {}).get("content") for choice in data.get("choices", ())):
                heard.append(time.perf_counter())
            used[0] = (data.get("usage") or {}).get("completion_tokens", used[0])
            return False

        body = {"messages": messages, "max_tokens": asked.tokens, "temperature": 0, "stream": True}
        began = time.perf_counter()
        server.handle_chat_completions(json.dumps(body | {"stream_options": {"include_usage": True}}), take)
        return used[0] or len(heard), (heard or [time.perf_counter()])[0] - began

    async def one(text: Text) -> Timed:
        return await asyncio.get_running_loop().run_in_executor(pool, write, text[2])

    return Peer(partial(flowing, one))


def _openvino_genai(asked: argparse.Namespace) -> Peer:
    """OpenVINO GenAI's continuous batching with its prefix cache, on the weights that our engine `openvino` loads."""
    from transformers import AutoTokenizer

    from generation.demo import DEMO
    from generation.engines.openvino import prepare
    from generation.engines.openvino_runtime import genai, openvino

    openvino_genai = genai()
    folder = str(prepare(DEMO, Path(asked.models_dir)))
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size, scheduler.max_num_seqs, scheduler.enable_prefix_caching = 1, 16, True
    pipeline = openvino_genai.ContinuousBatchingPipeline(
        folder, scheduler, "CPU", {"INFERENCE_NUM_THREADS": asked.threads}
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens, config.do_sample, config.apply_chat_template = asked.tokens, False, False

    def write(texts: list[Text], streams: int) -> list[Timed]:
        rest, handles, timed = deque(texts), dict[int, tuple[Any, float]](), dict[int, Timed]()
        while rest or handles:
            while rest and len(handles) < streams:
                number, _, messages = rest.popleft()
                began, prompt = time.perf_counter(), _rendered(tokenizer, messages)
                ids = tokenizer(prompt, return_tensors="np", add_special_tokens=False)["input_ids"]
                handles[number] = (pipeline.add_request(number, openvino.Tensor(ids), config), began)
            pipeline.step()
            for number, (handle, began) in list(handles.items()):
                while handle.can_read():
                    tokens, first = timed.get(number, (0, time.perf_counter() - began))
                    timed[number] = (tokens + sum(len(part.generated_ids) for part in handle.read().values()), first)
                if handle.get_status() != openvino_genai.GenerationStatus.RUNNING:
                    del handles[number]
        return [timed[number] for number, _, _ in texts]

    async def all_of(texts: list[Text], streams: int) -> list[Timed]:
        return await asyncio.to_thread(write, texts, streams)

    return Peer(all_of)


def _rendered(tokenizer: Any, messages: list[dict[str, str]]) -> str:
    """The prompt, with the answer begun."""
    return (
        str(tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True))
        + (messages[-1]["content"])
    )


PEERS: dict[str, Callable[[argparse.Namespace], Peer]] = {
    "transformers": _transformers,
    "llama.cpp": _llama,
    "openvino-genai": _openvino_genai,
}

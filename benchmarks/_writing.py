"""The contestants of `benchmarks.generation`, each run in a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from cluster.messages import TextDone, WriteTask
from generation import prompts
from generation.config import GenerationConfig
from generation.engines import Engine, EngineRequest, make

SEED = 7
MAX_LIKED = 5
MIN_WORDS = 12
"""Shorter texts do not count in distinct-2."""

Timed = tuple[int, float]
"""One text: tokens written, seconds until its first."""
Batch = Callable[[list[tuple[list[dict[str, str]], int]]], Awaitable[list[Timed]]]
"""Writes texts at the same time: for each its messages (the last one begun by an assistant) and a number."""


def tasks(n: int) -> list[WriteTask]:
    """Pitches of random films for random people, with what they rated 4 or 5 last."""
    from jobs.movielens import dataset_folder, read_events, read_items

    folder = dataset_folder()
    items = {item.item_id: item for item in read_items(folder, 0)}
    liked: dict[str, list[str]] = {}
    seen: dict[str, set[str]] = {}
    for event in read_events(folder):
        seen.setdefault(event.user_id, set()).add(event.item_id)
        if (event.value or 0) >= 4:
            liked.setdefault(event.user_id, []).insert(0, event.item_id)
    source = random.Random(SEED)
    users, ids = sorted(liked), sorted(items)
    made = []
    for number in range(n):
        user = source.choice(users)
        item = source.choice([item for item in source.sample(ids, 400) if item not in seen[user]])
        own = tuple(items[one] for one in liked[user][:MAX_LIKED])
        made.append(WriteTask("pitch", (items[item],), own, request_id=str(number)))
    return made


def conversations(n: int) -> list[list[dict[str, str]]]:
    """The prompts of pitches, with how each begins as the last message."""
    found = []
    for task in tasks(n):
        prompt = prompts.build(task)
        turns = [{"role": role, "content": text} for role, text in prompt.messages]
        found.append([*turns, {"role": "assistant", "content": prompt.segments[0].begun}])
    return found


def measure(contestant: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Run one contestant."""
    kind, name = contestant.split(":", 1)
    result: dict[str, Any] = {}
    if kind == "engine":
        asyncio.run(_measure_engine(name, asked, result))
    else:
        batch = {"transformers": _transformers, "llama.cpp": _llama}[name](asked)
        asyncio.run(_streams(batch, asked, result))
    result["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return result


async def _measure_engine(name: str, asked: argparse.Namespace, result: dict[str, Any]) -> None:
    config = GenerationConfig(threads=asked.threads)
    engine = make(name, "demo", config, Path(asked.models_dir))
    await engine.start()

    async def one(messages: list[dict[str, str]], number: int) -> Timed:
        turns = tuple((turn["role"], turn["content"]) for turn in messages[:-1])
        request = EngineRequest(
            f"{number}", turns, asked.tokens, 0.0, begun=messages[-1]["content"], shared_messages=len(turns) - 1,
            deadline_s=300.0,
        )  # fmt: skip
        began, first, tokens = time.perf_counter(), 0.0, 0
        async for chunk in engine.stream(request):
            first = first or time.perf_counter() - began
            tokens = chunk.completion_tokens
        return tokens, first

    async def batch(texts: list[tuple[list[dict[str, str]], int]]) -> list[Timed]:
        return await asyncio.gather(*(one(messages, number) for messages, number in texts))

    await _streams(batch, asked, result)
    if asked.pitches:
        result["pitches"] = await _pitches(engine, config, asked.pitches)
    await engine.stop()


async def _streams(batch: Batch, asked: argparse.Namespace, result: dict[str, Any]) -> None:
    for streams in map(int, asked.streams.split(",")):
        rounds = max(1, asked.requests // streams)
        texts = [(messages, number) for number, messages in enumerate(conversations(streams * rounds))]
        await batch(texts[:1])
        timed: list[Timed] = []
        began = time.perf_counter()
        for start in range(0, len(texts), streams):
            timed += await batch(texts[start : start + streams])
        took = time.perf_counter() - began
        firsts = [first for _, first in timed]
        result[f"streams_{streams}"] = {
            "tokens_per_s": round(sum(tokens for tokens, _ in timed) / took, 1),
            "tokens": sum(tokens for tokens, _ in timed),
            "first_token_p50_s": round(float(np.percentile(firsts, 50)), 3),
            "first_token_p95_s": round(float(np.percentile(firsts, 95)), 3),
        }


async def _pitches(engine: Engine, config: GenerationConfig, n: int) -> dict[str, Any]:
    from generation.writer import TextWriter

    writer, places = TextWriter(engine, config), asyncio.Semaphore(config.max_batch)
    first: list[float] = []

    async def one(task: WriteTask) -> TextDone:
        async with places, aclosing(writer.write(task)) as frames:
            began = time.perf_counter()
            got = [(frame, time.perf_counter() - began) async for frame in frames]
        first.append(got[0][1])
        done = got[-1][0]
        assert isinstance(done, TextDone)
        return done

    began = time.perf_counter()
    texts = await asyncio.gather(*(one(task) for task in tasks(n)))
    took = time.perf_counter() - began
    long = [words for text in texts if len(words := text.text.lower().split()) >= MIN_WORDS]
    pairs = [pair for words in long for pair in pairwise(words)]
    return {
        "n": n,
        "texts_per_s": round(n / took, 2),
        "first_clause_p95_s": round(float(np.percentile(first, 95)), 2),
        "template_rate": round(sum(text.source == "template" for text in texts) / n, 4),
        "cut_off": sum(text.finish_reason == "length" for text in texts),
        "distinct_2": round(len(set(pairs)) / max(1, len(pairs)), 4),
        "different": len({text.text for text in texts}),
        "rules": dict(Counter(rule for text in texts for rule in text.rules)),
        "examples": [text.text for text in texts[:3]],
    }


def _transformers(asked: argparse.Namespace) -> Batch:
    """`generate` on the weights that our engine `bitsandbytes` loads: one static batch at a time."""
    import torch

    from generation.demo import prepare_model
    from generation.engines.loading import load

    torch.set_num_threads(asked.threads)
    model, tokenizer = load(str(prepare_model("demo", Path(asked.models_dir))), GenerationConfig(device="cpu"))
    model.set_attn_implementation("sdpa")
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token

    def write(texts: list[tuple[list[dict[str, str]], int]]) -> list[Timed]:
        first: list[float] = []

        def note(ids: Any, scores: Any) -> Any:
            first.append(time.perf_counter())
            return scores

        began = time.perf_counter()
        rendered = [
            tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
            + messages[-1]["content"]
            for messages, _ in texts
        ]
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

    async def batch(texts: list[tuple[list[dict[str, str]], int]]) -> list[Timed]:
        return await asyncio.to_thread(write, texts)

    return batch


def _llama(asked: argparse.Namespace) -> Batch:
    """llama.cpp's server as `xllamacpp` has it, called in process."""
    import xllamacpp

    from generation.demo import demo_gguf

    params = xllamacpp.CommonParams()
    params.model.path = str(demo_gguf())
    params.n_parallel, params.n_ctx = 8, 8 * 1024
    params.n_gpu_layers, params.verbosity = 0, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = asked.threads
    server, pool = xllamacpp.Server(params), ThreadPoolExecutor(8)

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

    async def batch(texts: list[tuple[list[dict[str, str]], int]]) -> list[Timed]:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(pool, write, messages) for messages, _ in texts))

    return batch

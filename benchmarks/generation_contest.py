"""What the contestants of `benchmarks.generation` write, how they are timed, and our engines among them."""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import time
from collections import Counter
from collections.abc import Awaitable, Callable
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
        from benchmarks.generation_peers import PEERS

        asyncio.run(timed_streams(PEERS[name](asked), asked, result))
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

    await timed_streams(batch, asked, result)
    if asked.pitches:
        result["pitches"] = await _pitches(engine, config, asked.pitches)
    await engine.stop()


async def timed_streams(batch: Batch, asked: argparse.Namespace, result: dict[str, Any]) -> None:
    """Write texts, so many at a time, and put tokens per second and the wait for the first token into `result`."""
    for streams in map(int, asked.streams.split(",")):
        rounds = max(1, asked.requests // streams)
        texts = [(messages, number) for number, messages in enumerate(conversations(streams * rounds))]
        await batch(texts[:1])
        timed: list[Timed] = []
        began = time.perf_counter()
        for start in range(0, len(texts), streams):
            timed += await batch(texts[start : start + streams])
        took = time.perf_counter() - began
        result[f"streams_{streams}"] = timings(timed, took)


def timings(timed: list[Timed], took_s: float) -> dict[str, Any]:
    """Tokens per second, and percentiles of the seconds until a first token."""
    tokens, firsts = sum(tokens for tokens, _ in timed), [first for _, first in timed]
    return {
        "tokens_per_s": round(tokens / took_s, 1),
        "tokens": tokens,
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

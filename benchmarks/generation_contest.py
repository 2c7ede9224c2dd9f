"""What the contestants of `benchmarks.generation` write, how they are timed, and our engines among them."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from cluster.messages import TextDone, WriteTask
from generation import prompts
from generation.config import GenerationConfig
from generation.engines import Engine, EngineRequest, make

SEED = 7
MAX_LIKED = 5
WARM = 8
"""Texts that each contestant writes before the first round."""
MIN_WORDS = 12
"""Shorter texts do not count in distinct-2."""

Timed = tuple[int, float]
"""One text: tokens written, seconds until its first."""
Text = tuple[int, WriteTask, list[dict[str, str]]]
"""A text to write: its number, its task, and its messages, of which the last is how the assistant begins."""


class Writing(Protocol):
    """A contestant that is ready to write."""

    async def write(self, texts: list[Text], streams: int) -> list[Timed]:
        """Write texts, so many at a time."""
        ...

    def cpu_s(self) -> float:
        """Processor time that it has used so far."""
        ...

    def note(self) -> dict[str, Any]:
        """What else there is to say of the texts since it was last asked."""
        ...

    async def stop(self) -> dict[str, Any]:
        """End; peak memory, and what else there is to say of the whole."""
        ...


class InProcess:
    """A contestant that runs in this process."""

    def cpu_s(self) -> float:
        """See `Writing`."""
        return time.process_time()

    def note(self) -> dict[str, Any]:
        """See `Writing`."""
        return {}

    async def stop(self) -> dict[str, Any]:
        """See `Writing`."""
        return {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10}


async def flowing(one: Callable[[Text], Awaitable[Timed]], texts: list[Text], streams: int) -> list[Timed]:
    """Write texts so that there are always so many in work."""
    places = asyncio.Semaphore(streams)

    async def placed(text: Text) -> Timed:
        async with places:
            return await one(text)

    return await asyncio.gather(*map(placed, texts))


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


def texts_of(n: int) -> list[Text]:
    """The texts of the contest, always the same."""
    found = []
    for number, task in enumerate(tasks(n)):
        prompt = prompts.build(task)
        turns = [{"role": role, "content": text} for role, text in prompt.messages]
        found.append((number, task, [*turns, {"role": "assistant", "content": prompt.segments[0].begun}]))
    return found


def contend(asked: argparse.Namespace) -> int:
    """Be a contestant: answer each line of standard input by one of standard output; an empty request is the last."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries print what they like
    asyncio.run(_contend(asked, answers))
    return 0


async def _contend(asked: argparse.Namespace, answers: IO[str]) -> None:
    contestant = await _contestant(asked)
    most = asked.rounds * sum(max(asked.requests, int(n)) for n in asked.streams.split(","))
    texts = texts_of(most + WARM)  # no prompt twice, since some contestants keep whole prompts
    await contestant.write(texts[most:], WARM)
    contestant.note()
    print("{}", file=answers)
    while order := json.loads(await asyncio.to_thread(sys.stdin.readline) or "{}"):
        began, cpu = time.perf_counter(), contestant.cpu_s()
        timed = await contestant.write(texts[order["first"] :][: order["n"]], order["streams"])
        answer = {
            "tokens": sum(tokens for tokens, _ in timed),
            "took_s": time.perf_counter() - began,
            "cpu_s": contestant.cpu_s() - cpu,
            "firsts_s": [first for _, first in timed],
        }
        print(json.dumps(answer | contestant.note()), file=answers)
    print(json.dumps(await contestant.stop()), file=answers)


async def _contestant(asked: argparse.Namespace) -> Writing:
    kind, _, name = asked.contestant.partition(":")
    if kind == "engine":
        config = GenerationConfig(threads=asked.threads)
        engine = make(name, "demo", config, Path(asked.models_dir))
        await engine.start()
        return OurEngine(engine, config, asked)
    if kind == "peer":
        from benchmarks.generation_peers import PEERS

        return PEERS[name](asked)
    from benchmarks.generation_http import OverHttp

    return OverHttp(asked)


class OurEngine(InProcess):
    """One of our engines."""

    def __init__(self, engine: Engine, config: GenerationConfig, asked: argparse.Namespace) -> None:
        self._engine, self._config, self._asked = engine, config, asked

    async def write(self, texts: list[Text], streams: int) -> list[Timed]:
        """See `Writing`."""
        return await flowing(self._one, texts, streams)

    async def _one(self, text: Text) -> Timed:
        number, _, messages = text
        turns = tuple((turn["role"], turn["content"]) for turn in messages[:-1])
        request = EngineRequest(
            f"{number}", turns, self._asked.tokens, 0.0, begun=messages[-1]["content"], shared_messages=len(turns) - 1,
            deadline_s=300.0,
        )  # fmt: skip
        began, first, tokens = time.perf_counter(), 0.0, 0
        async for chunk in self._engine.stream(request):
            first = first or time.perf_counter() - began
            tokens = chunk.completion_tokens
        return tokens, first

    async def stop(self) -> dict[str, Any]:
        """See `Writing`."""
        last = await super().stop()
        if self._asked.pitches:
            last["pitches"] = await _pitches(self._engine, self._config, self._asked.pitches)
        await self._engine.stop()
        return last


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

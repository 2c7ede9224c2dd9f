"""`python -m benchmarks.writing_trace`: what the content cache saves, and what it costs. Prints one JSON line.

    --requests 2000      of the trace: people and items by Zipf's law with exponent 1.0, fixed by a seed
    --plain 200          the first of them, written without a cache before and after; the faster counts
    --streams 8          requests at a time
    --pregenerate 0,0    popular items, and titles that each is written for, before the trace; its time counts
    --prefetch 0         the first of the popular items that are offered ahead for whoever asks; its time counts
    --rate 0             so many requests arrive in a second, at random; 0: the next as soon as one ends, which leaves
                         the writer no idle moment to write ahead in; with a rate believe processor time
    --engine openvino    with the demo model, in process

The cache is the one of the server (`deployments.content_cache`), from cold, with one shard in this process; people are
those of MovieLens with what they rated 4 or 5 last. Half-way twenty of the most asked-for items change their year.

`against_aim`: requests/s to 0.9 / (1 - hit rate) x the same without a cache; from 1.0 the aim is met. On a machine that
does other things too, believe `against_aim_by_processor`: the same by processor time, to the lesser of the plain runs.
`stale`: texts with the old year after that change. `personal`: of the texts for people with known likes, the share that
names a title which its reader likes, and the number that name one which the reader does not; how often an encoder
(all-MiniLM-L6-v2) finds the reader among 20 who asked for the same item; different texts per item among those.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.generation_contest import MAX_LIKED
from benchmarks.writing_checks import identified, taste_of, titles_of
from cluster.config import Settings
from cluster.messages import EngineInfo, Item, TextDone, TextPiece, WriteTask
from deployments.ahead import Ahead
from deployments.content_cache import CachedWriter, CacheShard
from deployments.prefetch import Prefetcher
from generation.config import GenerationConfig
from generation.engines import make
from generation.writer import TextWriter

CHANGED = 20
GROUP = 20
DEADLINE_S = 300.0


@dataclass
class Served:
    """One request that was answered."""

    number: int
    task: WriteTask
    done: TextDone


class Replica:
    """What `deployments.writer.Writer` is, without Serve: live texts first, texts ahead when there is time."""

    def __init__(self, writer: TextWriter, share: float, info: EngineInfo) -> None:
        self._writer, self._ahead, self._info = writer, Ahead(share), info
        self.written_ahead = 0

    async def write(self, task: WriteTask) -> AsyncGenerator[TextPiece | TextDone]:
        """See there."""
        if task.ahead:
            for frame in await self._ahead.write(self._writer.write(task)):
                yield frame
            self.written_ahead += 1
            return
        with self._ahead.live():
            async with aclosing(self._writer.write(task)) as frames:
                async for frame in frames:
                    yield frame

    async def info(self, timeout_s: float = 5.0) -> EngineInfo:
        """See there."""
        return self._info


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        prog="python -m benchmarks.writing_trace",
    )
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--plain", type=int, default=200)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--pregenerate", default="0,0")
    parser.add_argument("--prefetch", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--models-dir", type=Path, default=Path(tempfile.gettempdir()) / "tailorbird-bench-models")
    return parser.parse_args(arguments)


def trace(n: int) -> tuple[list[WriteTask], list[Item]]:
    """The requests, and all items, the most asked-for first."""
    from jobs.movielens import dataset_folder, read_events, read_items

    folder = dataset_folder()
    items = {item.item_id: item for item in read_items(folder, 0)}
    events = read_events(folder)
    order = [items[item_id] for item_id, _ in Counter(event.item_id for event in events).most_common()]
    liked: dict[str, list[str]] = defaultdict(list)
    for event in events:
        if (event.value or 0) >= 4:
            liked[event.user_id].insert(0, event.item_id)
    source = random.Random(17)
    users = sorted(liked)
    source.shuffle(users)
    made = []
    chances = {size: [1 / place for place in range(1, size + 1)] for size in (len(users), len(order))}
    for number in range(n):
        user = source.choices(users, chances[len(users)])[0]
        item = source.choices(order, chances[len(order)])[0]
        own = tuple(items[one] for one in liked[user] if one != item.item_id)[:MAX_LIKED]
        made.append(WriteTask("pitch", (item,), own, request_id=str(number), deadline_s=DEADLINE_S))
    return made, order


async def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Write the trace without and with the cache."""
    config = GenerationConfig(threads=asked.threads, deadline_s=DEADLINE_S, prefetch_items=asked.prefetch)
    engine = make(asked.engine, "demo", config, asked.models_dir)
    await engine.start()
    tasks, order = trace(asked.requests)
    texts = TextWriter(engine, config)
    await _serve(texts, tasks[-asked.streams :], asked.streams)  # a warm-up, of the prompt's beginnings too
    before = await _plain(texts, tasks, asked)

    settings = Settings(engine=asked.engine, generation=config.model_dump())
    replica = Replica(texts, config.prefetch_share, engine.info())
    cached = CachedWriter(replica, settings)
    await cached.start([CacheShard(config.cache_bytes)])
    prefetcher = Prefetcher(cached, asked.prefetch)
    prefetcher.start()
    written = engine.counts().requests
    began, cpu = time.perf_counter(), time.process_time()
    await _pregenerate(cached, order, asked)
    pregenerated_s = time.perf_counter() - began
    served = await _serve(cached, _changing(tasks, order), asked.streams, prefetcher, order, asked.rate)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    await prefetcher.stop()
    (stats,) = await cached.stats()
    await cached.stop()
    written = engine.counts().requests - written
    after = await _plain(texts, tasks, asked)
    plain, plain_cpu = max(before[0], after[0]), min(before[1], after[1])
    await engine.stop()
    hits = sum(one.done.source == "cached" for one in served) / len(served)
    return {
        "plain_requests_per_s": [round(before[0], 2), round(after[0], 2)],
        "requests_per_s": round(len(served) / took, 2),
        "hit_rate": round(hits, 4),
        "against_aim": round(len(served) / took / (0.9 / (1 - hits) * plain), 3),
        "against_aim_by_processor": round(plain_cpu * len(served) / cpu / (0.9 / (1 - hits)), 3),
        "cpu_ms_per_request": {"with": round(1000 * cpu / len(served), 2), "plain": round(1000 * plain_cpu, 2)},
        "pregenerated_s": round(pregenerated_s, 1),
        "engine_requests": written,
        "written_ahead": replica.written_ahead,
        "template_rate": round(sum(one.done.source == "template" for one in served) / len(served), 4),
        "stale": sum(_is_stale(one, len(tasks), order) for one in served),
        "changed_requests": sum(_changed(one.number, one.task, len(tasks), order) for one in served),
        "cache": stats,
        "personal": _personal(served),
    }


async def _plain(writer: TextWriter, tasks: list[WriteTask], asked: argparse.Namespace) -> tuple[float, float]:
    """Requests per second without a cache, and processor seconds per request."""
    began, cpu = time.perf_counter(), time.process_time()
    await _serve(writer, tasks[: asked.plain], asked.streams)
    return asked.plain / (time.perf_counter() - began), (time.process_time() - cpu) / asked.plain


async def _serve(
    writer: Any,
    tasks: list[WriteTask],
    streams: int,
    prefetcher: Prefetcher | None = None,
    order: list[Item] | None = None,
    rate: float = 0.0,
) -> list[Served]:
    places, served, source = asyncio.Semaphore(streams), [], random.Random(23)
    arrivals = list(accumulate(source.expovariate(rate) if rate else 0.0 for _ in tasks))

    async def one(number: int, task: WriteTask) -> None:
        await asyncio.sleep(arrivals[number])
        async with places:
            if prefetcher is not None and order is not None:
                for item in order[: prefetcher.items]:
                    ahead = replace(task, items=(item,), ahead=True)
                    prefetcher.offer(lambda made=ahead: made)  # type: ignore[misc]
            done = [frame async for frame in writer.write(task)][-1]
            served.append(Served(number, task, done))
            if len(served) % 200 == 0:
                print(f"{len(served)} of {len(tasks)} requests", file=sys.stderr, flush=True)

    await asyncio.gather(*(one(number, task) for number, task in enumerate(tasks)))
    return served


async def _pregenerate(cached: CachedWriter, order: list[Item], asked: argparse.Namespace) -> None:
    """What `jobs.pregenerate` does, through the engine that serves."""
    items, titles = map(int, asked.pregenerate.split(","))
    tasks = []
    for item in order[:items]:
        others = [other for other in order[: titles + 1] if other is not item][:titles]
        tasks += [WriteTask("pitch", (item,), one, deadline_s=DEADLINE_S) for one in [(), *((o,) for o in others)]]
    await _serve(cached, tasks, asked.streams)


def _changed(number: int, task: WriteTask, n: int, order: list[Item]) -> bool:
    return number >= n // 2 and task.items[0].item_id in {item.item_id for item in order[:CHANGED]}


def _changing(tasks: list[WriteTask], order: list[Item]) -> list[WriteTask]:
    """The trace, in whose second half the most asked-for items are from another year."""
    return [
        replace(task, items=(_newer(task.items[0]),)) if _changed(number, task, len(tasks), order) else task
        for number, task in enumerate(tasks)
    ]


def _newer(item: Item) -> Item:
    return replace(item, attributes={**item.attributes, "year": int(item.attributes.get("year", 1990)) + 20})


def _is_stale(one: Served, n: int, order: list[Item]) -> bool:
    old = {item.item_id: item for item in order[:CHANGED]}.get(one.task.items[0].item_id)
    if old is None or not _changed(one.number, one.task, n, order):
        return False
    return f"from {old.attributes.get('year')}" in one.done.text


def _personal(served: list[Served]) -> dict[str, Any]:
    known = [one for one in served if one.task.liked]
    everything = {item.item_id: item for one in served for item in one.task.liked}
    named = sum(any(_names(one, item) for item in one.task.liked) for one in known)
    foreign = 0
    for one in known:
        own = {item.item_id for item in (*one.task.liked, *one.task.items)}
        titles = " ".join(form for item in (*one.task.liked, *one.task.items) for form in titles_of(item))
        others = (item for item in everything.values() if item.item_id not in own and len(item.title) > 8)
        foreign += any(_names(one, item) and item.title not in titles for item in others)
    groups: dict[str, dict[frozenset[str], Served]] = defaultdict(dict)
    for one in known:
        people = groups[one.task.items[0].item_id]
        if len(people) < GROUP:
            people.setdefault(frozenset(item.item_id for item in one.task.liked), one)
    large = [list(people.values()) for people in groups.values() if len(people) == GROUP]
    found = [
        identified([taste_of(one.task.liked) for one in people], [one.done.text for one in people]) for people in large
    ]
    different = [len({one.done.text for one in people}) / GROUP for people in large]
    return {
        "names_a_like": round(named / max(1, len(known)), 4),
        "names_a_foreign_title": foreign,
        "items_with_20_readers": len(large),
        "taste_found": round(float(np.mean(found)), 3) if found else None,
        "times_chance": round(float(np.mean(found)) * GROUP, 1) if found else None,
        "different_texts_of_20": round(float(np.mean(different)) * GROUP, 1) if different else None,
    }


def _names(one: Served, item: Item) -> bool:
    return any(form in one.done.text for form in titles_of(item))


def main() -> int:
    """Measure and print; 1 when a stale text or a foreign title was served."""
    asked = parse()
    asked.models_dir.mkdir(parents=True, exist_ok=True)
    result = asyncio.run(measure(asked))
    options = {
        key: getattr(asked, key)
        for key in ("requests", "plain", "streams", "pregenerate", "prefetch", "rate", "threads")
    }
    print(json.dumps({"benchmark": "writing_trace", "setup": options, "results": result}))
    return 1 if result["stale"] or result["personal"]["names_a_foreign_title"] else 0


if __name__ == "__main__":
    sys.exit(main())

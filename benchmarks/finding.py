"""`python -m benchmarks.finding`: the catalogue by meaning, on one core. Prints one JSON line.

    --items 1682 200000   sizes of the catalogue
    --searches 300        of each
    --seed 0

Each size has a process of its own, in which the deployment `Finder` is made as Serve makes it: a store with made-up
items, whose vectors (random, of 384 dimensions) lie where a refresh would have stored them. `ready_s` is from its
constructor until every item can be found. `search_ms` is from a text to fifty items (median, 99th percentile), of which
`encode_ms` is the sentence encoder and `index_ms` the index (FAISS, exact); `search_cpu_ms` is processor time in the
mean, which another load does not change. `rss_mib` is what the process holds then, `rss_before_mib` what it held with
the store's and Ray's code only, `most_mib` the most it ever held. `new_item_ms` is from the commit of one new item
until it is found; `embed_per_s` how many texts of thirty words are embedded.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import asyncio
import json
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from cluster.config import Settings
from cluster.memory import trim
from cluster.messages import Item
from cluster.store import Store
from cluster.text_vectors import VectorFiles, digest_of
from deployments.finder import Finder
from graph.text import describe, find_encoder

DIM = 384
PAGE = 10_000
FOUND = 50
SUBJECTS = ("a sailor", "two thieves", "a chef", "an old robot", "a detective", "sisters", "a clown", "a wolf")
DEEDS = ("who is lost at sea", "in a haunted house", "who learns to dance", "on a long train ride", "at war")


def ms(taken: list[float]) -> dict[str, float]:
    """Median and 99th percentile."""
    return {"p50": round(float(np.median(taken)) * 1e3, 2), "p99": round(float(np.percentile(taken, 99)) * 1e3, 2)}


async def until(holds: Callable[[], bool]) -> float:
    """Seconds until something holds, from now on."""
    began = time.perf_counter()
    for _ in range(100_000):
        if holds():
            return time.perf_counter() - began
        await asyncio.sleep(0.005)
    raise SystemExit("nothing came of it")


def fill(store: Store, kept: VectorFiles, count: int, seed: int) -> None:
    """Made-up items and their vectors."""
    rng = np.random.default_rng(seed)
    for start in range(0, count, PAGE):
        numbers = range(start, min(start + PAGE, count))
        items = [Item(f"item-{n}", f"Title {n}", categories=(f"Kind {n % 20}",)) for n in numbers]
        vectors = rng.standard_normal((len(items), DIM), dtype=np.float32)
        kept.write(
            [digest_of(describe(item)) for item in items], vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        )
        store.items.put(items)


async def measure(count: int, searches: int, seed: int) -> dict[str, Any]:
    """All figures of one size."""
    process = psutil.Process()
    encoder = find_encoder("auto")
    if encoder is None:
        raise SystemExit("there is no sentence encoder here: see `make install`")
    with tempfile.TemporaryDirectory(prefix="tb-finding") as folder:
        settings = Settings(state_dir=Path(folder))
        kept = VectorFiles(settings.resolved_artifacts_url, encoder.name)
        with Store.open(settings) as store:
            store.migrate()
            await asyncio.to_thread(fill, store, kept, count, seed)
            trim()
            before = process.memory_info().rss
            finder = Finder.__new__(Finder)
            await finder.__init__(settings)  # type: ignore[misc]
            ready_s = await until(lambda: finder._meanings is not None and len(finder._meanings) == count)
            await asyncio.sleep(1.0)
            trim()
            figures = await _figures(finder, store, searches, seed)
            trim()
            figures |= {
                "items": count,
                "ready_s": round(ready_s, 1),
                "rss_before_mib": before >> 20,
                "rss_mib": process.memory_info().rss >> 20,
                "most_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
            }
            await finder.stop()
    return figures


async def _figures(finder: Finder, store: Store, searches: int, seed: int) -> dict[str, Any]:
    assert finder._meanings is not None
    meanings, tenant = finder._meanings, "default"
    rng = np.random.default_rng(seed)
    texts = [f"something about {rng.choice(SUBJECTS)} {rng.choice(DEEDS)} {n}" for n in range(searches)]
    whole, encode, index = list[float](), list[float](), list[float]()
    used_s = time.process_time()
    for text in texts:
        began = time.perf_counter()
        found = await finder.search(tenant, text, FOUND)
        whole.append(time.perf_counter() - began)
        assert len(found) == FOUND
    used_s = time.process_time() - used_s
    for text in texts:
        began = time.perf_counter()
        vector = meanings._encoder.encode([text])[0]
        encoded = time.perf_counter()
        meanings.ask(tenant).search(vector, FOUND)
        encode.append(encoded - began)
        index.append(time.perf_counter() - encoded)
    news = list[float]()
    for n in range(10):
        store.items.put([Item(f"new-{n}", f"A film about {SUBJECTS[n % 8]} in the year {n}")])
        item_id = f"new-{n}"
        news.append(await until(lambda item_id=item_id: meanings.ask(tenant).digest(item_id) is not None))
    words = " ".join([*SUBJECTS, *DEEDS])
    began = time.perf_counter()
    meanings._encoder.encode([f"{n} {words}" for n in range(256)], 16)
    took = time.perf_counter() - began
    return {
        "search_ms": ms(whole),
        "search_cpu_ms": round(used_s / len(texts) * 1e3, 2),
        "encode_ms": ms(encode),
        "index_ms": ms(index),
        "new_item_ms": {"p50": round(float(np.median(news)) * 1e3), "most": round(max(news) * 1e3)},
        "embed_per_s": round(256 / took),
    }


def one(count: int, searches: int, seed: int) -> dict[str, Any]:
    """In a process of its own."""
    return asyncio.run(measure(count, searches, seed))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[1682, 200_000])
    parser.add_argument("--searches", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    sizes = []
    for count in arguments.items:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            sizes.append(alone.submit(one, count, arguments.searches, arguments.seed).result())
    print(json.dumps({"benchmark": "finding", "sizes": sizes, "cpus": os.cpu_count(), "machine": platform.machine()}))


if __name__ == "__main__":
    main()

"""The whole copy as a contestant of `benchmarks.generation`: texts over HTTP, as server-sent events."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.chaos_copy import KEY, Copy
from benchmarks.generation_contest import tasks, timings
from cluster.messages import WriteTask


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Start a copy on the demo's data, untrained, and have it write the pitches of the contest."""
    folder = Path(tempfile.mkdtemp(prefix="tb-bench-"))
    state_dir = folder / "state"
    state_dir.mkdir()
    Path(asked.models_dir).mkdir(parents=True, exist_ok=True)
    (state_dir / "models").symlink_to(asked.models_dir)
    batch = max(map(int, asked.streams.split(",")))
    generation = json.dumps({"threads": asked.threads, "max_batch": max(8, batch)})
    copy = Copy(state_dir, engine=asked.http_engine, generation=generation)
    try:
        copy.prepare()
        copy.start()
        return asyncio.run(_streams(copy, asked))
    finally:
        copy.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _streams(copy: Copy, asked: argparse.Namespace) -> dict[str, Any]:
    result: dict[str, Any] = {}
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{copy.port}", headers=headers, timeout=120.0, trust_env=False
    ) as client:
        result["engine"] = (await client.get("/v1/model")).json().get("engine")
        for task in tasks(2):
            await _text(client, task)
        for streams in map(int, asked.streams.split(",")):
            wanted = tasks(streams * max(1, asked.requests // streams))
            places, sources = asyncio.Semaphore(streams), Counter[str]()

            async def one(task: WriteTask, places: asyncio.Semaphore, sources: Counter[str]) -> tuple[int, float]:
                async with places:
                    tokens, first, source = await _text(client, task)
                sources[source] += 1
                return tokens, first

            began = time.perf_counter()
            timed = await asyncio.gather(*(one(task, places, sources) for task in wanted))
            result[f"streams_{streams}"] = timings(timed, time.perf_counter() - began) | {"sources": dict(sources)}
    writers = [_peak_mib(process) for process in copy.processes("Writer")]
    return result | {"peak_mib": max(writers, default=0)}


async def _text(client: httpx.AsyncClient, task: WriteTask) -> tuple[int, float, str]:
    """One text: tokens, seconds until its first clause, source. A seed keeps the cache out."""
    body = {
        "kind": "pitch",
        "item_id": task.items[0].item_id,
        "session": [{"item_id": item.item_id, "type": "like"} for item in reversed(task.liked)],
        "stream": True,
        "seed": int(task.request_id),
    }
    began, first, done = time.perf_counter(), 0.0, {}
    async with client.stream("POST", "/v1/content", json=body) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if line == "event: text":
                first = first or time.perf_counter() - began
            elif line.startswith("data: "):
                done = json.loads(line.removeprefix("data: "))
    return int(done["usage"]["completion_tokens"]), first, str(done["source"])


def _peak_mib(process: psutil.Process) -> int:
    """The most memory that a process has had resident."""
    status = Path(f"/proc/{process.pid}/status").read_text().split("VmHWM:")
    return int(status[1].split()[0]) >> 10

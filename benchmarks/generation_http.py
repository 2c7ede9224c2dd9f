"""The whole copy as a contestant of `benchmarks.generation`: texts over HTTP, as server-sent events."""

from __future__ import annotations

import argparse
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
from benchmarks.generation_contest import Text, Timed, flowing
from cluster.messages import WriteTask


class OverHttp:
    """A copy on the demo's data, untrained. See `generation_contest.Writing`."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tb-bench-"))
        state_dir = self._folder / "state"
        state_dir.mkdir()
        Path(asked.models_dir).mkdir(parents=True, exist_ok=True)
        (state_dir / "models").symlink_to(asked.models_dir)
        batch = max(map(int, asked.streams.split(",")))
        generation = json.dumps({"threads": asked.threads, "max_batch": max(8, batch)})
        self._copy = Copy(state_dir, engine=asked.http_engine, generation=generation)
        self._sources = Counter[str]()
        try:
            self._copy.prepare()
            self._copy.start()
        except BaseException:
            self._end()
            raise
        self._client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self._copy.port}",
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=120.0,
            trust_env=False,
        )

    async def write(self, texts: list[Text], streams: int) -> list[Timed]:
        """See the protocol."""
        return await flowing(self._one, texts, streams)

    async def _one(self, text: Text) -> Timed:
        tokens, first, source = await _text(self._client, text[1])
        self._sources[source] += 1
        return tokens, first

    def cpu_s(self) -> float:
        """See the protocol: that of the writers."""
        return sum(sum(process.cpu_times()[:2]) for process in self._copy.processes("Writer"))

    def note(self) -> dict[str, Any]:
        """See the protocol: how many texts came from where."""
        sources, self._sources = dict(self._sources), Counter()
        return {"sources": sources}

    async def stop(self) -> dict[str, Any]:
        """See the protocol."""
        try:
            engine = (await self._client.get("/v1/model")).json().get("engine")
            await self._client.aclose()
            writers = [_peak_mib(process) for process in self._copy.processes("Writer")]
            return {"engine": engine, "peak_mib": max(writers, default=0)}
        finally:
            self._end()

    def _end(self) -> None:
        self._copy.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


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

"""One Ray of the benchmark's own, one application after the other at the same address, and the load on it."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from itertools import cycle
from typing import Any, TypeVar

import httpx
import numpy as np
import uvloop

from benchmarks.cpu import CpuMeter
from benchmarks.load import closed_loop, open_loop, request_bytes
from benchmarks.serving_data import SEED, person
from cluster.config import Settings
from cluster.keys import api_key
from cluster.launch import RayHead, RunInfo, dashboard_client
from cluster.serve_app import serve_config, wait_until_running

WARM_S = 1.0
FASTEST = 12_000
"""Requests a second that are made before a run, so that making them takes no time of it; beyond that they repeat."""

SETTLE_S = 60.0
IDLE_CORES = 0.3
"""What a copy that nobody asks takes at most: Serve's controller and Ray."""

BESIDE = "/noop"
"""Where the no-op stands that is there beside every application."""
LIST_BYTES = 4_600
"""What it answers: as much as a list of ten with reasons."""
NOTHING = b"xxxx"

Outcome = TypeVar("Outcome")


class Bench:
    """See the module.

    Args:
        people: how many people lists are of. items: ids that events name. seconds: of each run.
        turns: runs of each part, and as many of the no-op, in turn.
    """

    def __init__(
        self,
        settings: Settings,
        info: RunInfo,
        head: RayHead,
        people: int,
        items: list[str],
        seconds: float,
        turns: int,
    ) -> None:
        self.settings, self.info, self.head, self.seconds, self.turns = settings, info, head, seconds, turns
        self.people, self.items = people, items
        self.key = api_key(settings)
        self.turn = cycle(range(people))
        self.random = random.Random(SEED)

    def deploy(self, import_path: str, args: dict[str, Any]) -> None:
        """Put another application in place of the one that runs; the no-op beside it stays."""
        config = serve_config(self.settings)
        config["applications"][0] |= {"import_path": import_path, "args": args}
        beside = {"name": "noop", "route_prefix": BESIDE, "import_path": "benchmarks.serving_apps:noop"}
        config["applications"].append(beside | {"args": {"kind": "call", "size": LIST_BYTES}})
        with dashboard_client(self.info, 60) as client:
            client.put("/api/serve/applications/", json=config).raise_for_status()
        time.sleep(2)
        wait_until_running(self.info, self.head.alive, 180, lambda _: None)
        end = time.monotonic() + 60
        headers = {"Authorization": f"Bearer {self.key}"}
        while time.monotonic() < end:
            try:
                ready = f"{self.info.http_url}/healthz/ready", f"{self.info.http_url}{BESIDE}"
                if all(httpx.get(url, trust_env=False, headers=headers).status_code == 200 for url in ready):
                    break
            except httpx.HTTPError:
                pass
            time.sleep(0.2)
        self._settle()

    def _settle(self) -> None:
        """Wait until what replicas do when they start (embed texts, load models) is done: nobody is asked anything."""
        end = time.monotonic() + SETTLE_S
        while time.monotonic() < end:
            meter = CpuMeter(self.head)
            time.sleep(1)
            if sum(meter.seconds().values()) < IDLE_CORES:
                break

    def list_request(self, path: str = "/v1/recommendations") -> bytes:
        """A request for the list of the next person."""
        body = json.dumps({"user_id": person(next(self.turn)), "n": 10}).encode()
        return request_bytes("POST", path, body, self.key)

    def event_request(self) -> bytes:
        """A request with one fresh event."""
        return request_bytes("POST", "/v1/events", json.dumps(self.event()).encode(), self.key)

    def lists(self, path: str = "/v1/recommendations") -> Iterator[bytes]:
        """Requests for lists, one person after the other."""
        while True:
            yield self.list_request(path)

    def events(self) -> Iterator[bytes]:
        """Requests with one fresh event each."""
        while True:
            yield self.event_request()

    def mixed(self) -> Iterator[bytes]:
        """Four lists, then an event."""
        while True:
            for _ in range(4):
                yield self.list_request()
            yield self.event_request()

    def event(self, number: int | None = None) -> dict[str, Any]:
        """An event that is in no store."""
        number = self.random.randrange(self.people) if number is None else number
        item = self.random.choice(self.items)
        return {"event_id": uuid.uuid4().hex, "user_id": person(number), "item_id": item, "type": "view"}

    def change_everybody(self) -> None:
        """One event for each person."""
        with httpx.Client(base_url=self.info.http_url, trust_env=False, timeout=60) as client:
            for start in range(0, self.people, 1000):
                batch = [self.event(number) for number in range(start, min(start + 1000, self.people))]
                answer = client.post("/v1/events", json=batch, headers={"Authorization": f"Bearer {self.key}"})
                answer.raise_for_status()

    def in_turn(
        self, requests: Iterator[bytes], connections: int, marks: tuple[bytes, ...], fresh: bool
    ) -> dict[str, Any]:
        """The middle one of `turns` runs, with the no-op's requests/s (the median) and the median ratio to them.

        Before each run the no-op is asked as long, so that both meet the same machine. With `fresh` every person gets
        an event before each run, so that no list is of a session that was listed before.
        """
        rows, beside = [], []
        for _ in range(self.turns):
            beside.append(self.run(self.lists(BESIDE), connections, (NOTHING,))["per_s"])
            if fresh:
                self.change_everybody()
            rows.append(self.run(requests, connections, marks))
        ratios = [row["per_s"] / noop for row, noop in zip(rows, beside, strict=True)]
        middle = sorted(rows, key=lambda row: row["per_s"])[(len(rows) - 1) // 2]
        return {
            **middle,
            "noop_per_s": round(statistics.median(beside), 1),
            "of_noop": round(statistics.median(ratios), 3),
            "of_noop_each": [round(ratio, 3) for ratio in ratios],
        }

    def run(self, requests: Iterator[bytes], connections: int, marks: tuple[bytes, ...]) -> dict[str, Any]:
        """A closed-loop run; an answer is right when its body holds one of `marks`.

        Gives throughput, latencies, codes, the bytes of an answer, and microseconds of CPU a request by role.
        """

        def check(code: int, body: bytes) -> bool:
            return code in (200, 202) and any(mark in body for mark in marks)

        ready = [next(requests) for _ in range(int(FASTEST * (self.seconds + WARM_S)))]
        meter = CpuMeter(self.head)
        result = run_fast(
            lambda: closed_loop(self.settings.port, cycle(ready), connections, self.seconds, check, WARM_S, meter.start)
        )
        used, answered = meter.seconds(), max(len(result.latencies), 1)
        cpu = {role: round(seconds / answered * 1e6) for role, seconds in sorted(used.items())}
        return {**result.summary(), "bytes": result.bytes_last, "cpu_us": cpu | {"all": sum(cpu.values())}}


def run_fast(work: Callable[[], Coroutine[Any, Any, Outcome]]) -> Outcome:
    """Run a coroutine on uvloop: a load generator takes its time from the server on the same cores."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work())


async def effect(bench: Bench, per_second: float, seconds: float) -> dict[str, Any]:
    """From an acknowledged event to a list that reflects it, under an open-loop mix at `per_second`."""
    port = bench.settings.port

    def check(code: int, body: bytes) -> bool:
        return code in (200, 202)

    async def probe() -> list[float]:
        taken = []
        headers = {"Authorization": f"Bearer {bench.key}"}
        async with httpx.AsyncClient(base_url=bench.info.http_url, headers=headers, trust_env=False) as client:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                user = person(bench.random.randrange(bench.people))
                body = {"user_id": user, "n": 10, "explain": False}
                top = (await client.post("/v1/recommendations", json=body)).json()["items"][0]["item_id"]
                event = {"user_id": user, "item_id": top, "type": "view"}
                (await client.post("/v1/events", json=event)).raise_for_status()
                acknowledged = time.monotonic()
                while True:
                    now = (await client.post("/v1/recommendations", json=body)).json()["items"]
                    if top not in [entry["item_id"] for entry in now]:
                        break
                taken.append(time.monotonic() - acknowledged)
                await asyncio.sleep(0.01)
        return taken

    load, taken = await asyncio.gather(open_loop(port, bench.mixed(), per_second, seconds, check), probe())
    points = np.asarray(taken) * 1000
    return {
        "probes": len(taken),
        "load_per_s": round(load.per_second, 1),
        "load_codes": dict(load.codes),
        "p50_ms": round(float(np.percentile(points, 50)), 2),
        "p99_ms": round(float(np.percentile(points, 99)), 2),
    }

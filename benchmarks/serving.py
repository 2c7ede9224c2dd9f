"""`python -m benchmarks.serving`: how fast the online half is beside what Ray Serve itself can do. One JSON line.

All in one run and one Ray, same bodies, same response size, HAProxy in front of each:

    noop              reads the body, answers as many bytes as a list has
    shell             key, validation, session read, response, with a trivial ranker
    recommend         the default: ranker in the ingress, reasons on; `recommend_deployment`: the other binding
    events            durable ingest with fresh ids, one event a request
    mixed             80 % lists, 20 % events

Each at 1, 32 and 128 connections (closed loop, no pause), one after the other; the no-op is measured first and last and
its mean is what ratios are of. Before each run of lists every person gets an event, so no list is of a session
that was listed before. `effect` is from an acknowledged event to a list that reflects it, at half of the mixed peak.

    --state DIR     a state directory with a trained version (it is copied); default: ./.tailorbird, or if that has
                    none, the demo is loaded and trained first
    --rows N        events in the store before anything is timed (people with real sessions, repeated)
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.load import Result, closed_loop, open_loop, request_bytes
from cluster.config import Settings, load_settings
from cluster.keys import api_key
from cluster.launch import RayHead, RunInfo, dashboard_client
from cluster.ports import free_ports
from cluster.serve_app import serve_config, wait_until_running
from cluster.store import Store
from cluster.store.events import EventRow

PEOPLE = 5_000
SEED = 7
IS_LIST = (b'"model_version"',)


def clone(source: Path, target: Path) -> None:
    """A state directory with the same store, versions and models."""
    target.mkdir(parents=True)
    with sqlite3.connect(source / "tailorbird.db") as live, sqlite3.connect(target / "tailorbird.db") as copy:
        live.backup(copy)
    (target / "models").symlink_to((source / "models").resolve())


def prepare(state: Path) -> None:
    """Load the demo and train on it, for a machine where `make serve` never ran."""
    environment = os.environ | {"TAILORBIRD_STATE_DIR": str(state)}
    for job in ("demo", "refresh"):
        print(f"python -m jobs.{job} ...", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", f"jobs.{job}"], env=environment, check=True, stdout=subprocess.DEVNULL)


def fill(settings: Settings, rows: int) -> int:
    """Give `PEOPLE` invented people real sessions, then fill up with others to `rows`. Gives the rows in the store."""
    source = random.Random(SEED)
    with Store.open(settings) as store:
        store.migrate()
        sessions = store.events.of_users("default", [str(n) for n in range(1, 944)], 200)
        lists = [events for events in sessions.values() if events]
        batch: list[EventRow] = []
        count = store.events.count("default")

        def flush() -> int:
            added = len(batch)
            store.events.append_rows(batch)
            batch.clear()
            return added

        for person in itertools.count():
            if person >= PEOPLE and count + len(batch) >= rows:
                break
            for event in source.choice(lists)[-106:]:
                name = str(uuid.UUID(int=source.getrandbits(128)))
                value, stamp = event.value, event.timestamp_ms
                batch.append(("default", name, f"b{person}", event.item_id, event.type, value, stamp, None, None, None))
            if len(batch) >= 20_000:
                count += flush()
        return count + flush()


class Bench:
    """One Ray, one application after the other at the same address."""

    def __init__(self, settings: Settings, info: RunInfo, head: RayHead, seconds: float) -> None:
        self.settings, self.info, self.head, self.seconds = settings, info, head, seconds
        self.key = api_key(settings)
        self.people = itertools.cycle(range(PEOPLE))
        self.items = [str(number) for number in range(1, 1683)]
        self.random = random.Random(SEED)

    def deploy(self, import_path: str, args: dict[str, Any]) -> None:
        """Put another application in place of the one that runs."""
        config = serve_config(self.settings)
        config["applications"][0] |= {"import_path": import_path, "args": args}
        with dashboard_client(self.info, 60) as client:
            client.put("/api/serve/applications/", json=config).raise_for_status()
        time.sleep(2)
        wait_until_running(self.info, self.head.alive, 180, lambda _: None)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                if httpx.get(f"{self.info.http_url}/healthz/ready", trust_env=False).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            time.sleep(0.2)
        time.sleep(1)

    def lists(self) -> Iterator[bytes]:
        """Requests for lists of one person after the other."""
        while True:
            body = json.dumps({"user_id": f"b{next(self.people)}", "n": 10}).encode()
            yield request_bytes("POST", "/v1/recommendations", body, self.key)

    def events(self) -> Iterator[bytes]:
        """Requests with one fresh event each."""
        while True:
            yield request_bytes("POST", "/v1/events", json.dumps(self.event()).encode(), self.key)

    def event(self, person: int | None = None) -> dict[str, Any]:
        person = self.random.randrange(PEOPLE) if person is None else person
        item = self.random.choice(self.items)
        return {"event_id": uuid.uuid4().hex, "user_id": f"b{person}", "item_id": item, "type": "view"}

    def mixed(self) -> Iterator[bytes]:
        """Four lists, then an event."""
        lists, events = self.lists(), self.events()
        while True:
            for _ in range(4):
                yield next(lists)
            yield next(events)

    def change_everybody(self) -> None:
        """One event for each person."""
        with httpx.Client(base_url=self.info.http_url, trust_env=False, timeout=60) as client:
            for start in range(0, PEOPLE, 1000):
                batch = [self.event(person) for person in range(start, start + 1000)]
                answer = client.post("/v1/events", json=batch, headers={"Authorization": f"Bearer {self.key}"})
                answer.raise_for_status()

    def run(self, requests: Iterator[bytes], connections: int, marks: tuple[bytes, ...], status: int = 200) -> Result:
        """A closed-loop run; an answer is right when its status is, and its body holds one of `marks`."""

        def check(code: int, body: bytes) -> bool:
            return code in (status, 202) and any(mark in body for mark in marks)

        return asyncio.run(closed_loop(self.settings.port, requests, connections, self.seconds, check))


async def effect(bench: Bench, per_second: float, seconds: float) -> dict[str, float]:
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
                user = f"b{bench.random.randrange(PEOPLE)}"
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
        "load_codes": dict(load.codes),  # type: ignore[dict-item]
        "p50_ms": round(float(np.percentile(points, 50)), 2),
        "p99_ms": round(float(np.percentile(points, 99)), 2),
    }


def measure(bench: Bench, connections: list[int], rows: int) -> dict[str, Any]:
    """The whole comparison."""
    out: dict[str, Any] = {"people": PEOPLE, "rows_before": rows, "seconds": bench.seconds}
    size = 0

    def table(requests: Iterator[bytes], marks: tuple[bytes, ...], lists: bool) -> dict[str, Any]:
        nonlocal size
        rows_ = {}
        for count in connections:
            if lists:
                bench.change_everybody()
            result = bench.run(requests, count, marks)
            size = result.bytes_last if lists else size
            rows_[str(count)] = result.summary()
            print(f"  {count} connections: {rows_[str(count)]}", file=sys.stderr, flush=True)
        return rows_

    def say(name: str) -> None:
        print(name, file=sys.stderr, flush=True)

    say("recommend")
    bench.deploy("deployments.app:build", {})
    bench.run(bench.lists(), 32, IS_LIST)  # every session into memory
    out["recommend"] = table(bench.lists(), IS_LIST, lists=True)
    out["response_bytes"] = size
    say("events")
    out["events"] = table(bench.events(), (b'"accepted":1',), lists=False)
    say("mixed")
    out["mixed"] = table(bench.mixed(), (b'"model_version"', b'"accepted":1'), lists=True)
    say("effect")
    peak = max(row["per_s"] for row in out["mixed"].values())
    out["effect"] = asyncio.run(effect(bench, peak / 2, bench.seconds * 2))
    say("noop")
    bench.deploy("benchmarks.serving_apps:noop", {"size": size})
    out["noop"] = table(bench.lists(), (b"xxxx",), lists=False)
    say("shell")
    bench.deploy("benchmarks.serving_apps:shell", {})
    out["shell"] = table(bench.lists(), IS_LIST, lists=True)
    say("recommend_deployment")
    bench.deploy("deployments.app:build", {"config": str(bench.settings.state_dir / "deployment.yaml")})
    out["recommend_deployment"] = table(bench.lists(), IS_LIST, lists=True)
    say("noop again")
    bench.deploy("benchmarks.serving_apps:noop", {"size": size})
    out["noop_again"] = table(bench.lists(), (b"xxxx",), lists=False)
    return out


def ratios(out: dict[str, Any], connections: list[int]) -> dict[str, float]:
    """Throughput of each beside the no-op's, and the shell's median beside the no-op's, in milliseconds."""
    found: dict[str, float] = {}
    for count in map(str, connections):
        base = (out["noop"][count]["per_s"] + out["noop_again"][count]["per_s"]) / 2
        for name in ("shell", "recommend", "recommend_deployment", "events", "mixed"):
            found[f"{name}_vs_noop_at_{count}"] = round(out[name][count]["per_s"] / base, 3)
    first = str(connections[0])
    base = (out["noop"][first]["p50_ms"] + out["noop_again"][first]["p50_ms"]) / 2
    found["shell_median_minus_noop_ms"] = round(out["shell"][first]["p50_ms"] - base, 3)
    return found


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, default=Path(".tailorbird"))
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--connections", default="1,32,128")
    arguments = parser.parse_args()
    connections = [int(part) for part in arguments.connections.split(",")]
    with tempfile.TemporaryDirectory(prefix="tbb", dir="/tmp") as folder:
        state = Path(folder) / "s"
        if (arguments.state / "artifacts").exists():
            clone(arguments.state, state)
        else:
            prepare(state)
        (state / "deployment.yaml").write_text("recommender: {binding: deployment, max_replicas: 1}\n")
        (port,) = free_ports(1)
        os.environ |= {"TAILORBIRD_STATE_DIR": str(state), "TAILORBIRD_PORT": str(port)}
        settings = load_settings()
        rows = fill(settings, arguments.rows)
        head = RayHead(settings)
        try:
            bench = Bench(settings, head.start(), head, arguments.seconds)
            out = measure(bench, connections, rows)
        finally:
            head.stop()
            shutil.rmtree(head.temp_dir, ignore_errors=True)
    out["ratios"] = ratios(out, connections)
    print(json.dumps({"benchmark": "serving", "cores": os.cpu_count(), **out}))


if __name__ == "__main__":
    main()

"""`python -m benchmarks.serving`: how fast the online half is beside what Ray Serve itself can do. One JSON line.

All in one run and one Ray, same bodies, same key, same response size, HAProxy in front of each:

    noop_call         a deployment with `__call__(request)` that checks the key, reads the body and answers as many
                      bytes as a list has: Serve's own idiom, the no-op that ratios are of
    noop_fastapi      the same in FastAPI through `serve.ingress`
    noop_asgi         the same as a bare ASGI function: less than an application can be, and the harder measure
    shell             key, validation, session read, response, with a trivial ranker
    recommend         the default: ranker in the ingress, reasons on
    recommend_deployment  the other binding
    events            durable ingest with fresh ids, one event a request
    mixed             80 % lists, 20 % events

Each at 1, 32 and 128 connections (closed loop, no pause), one after the other. `noop_call` stands beside every
application, too, and each run of a part follows one of it: `of_noop` is the median ratio of such pairs, and holds on a
machine that is not still. Before each run of lists every person gets an event, so no list is of a session that an
earlier run listed; where a run makes more lists than there are people, they come again as they are. `effect` is from an
acknowledged event to a list that reflects it, at half of the mixed peak. `cpu_us` is CPU time a request, by process; on
few cores the sum decides.

    --state DIR     a state directory with a trained version (it is copied); default: ./.tailorbird, or if that has
                    none, the demo is loaded and trained first
    --rows N        events in the store before anything is timed (people with real sessions, repeated)
    --items N       an invented catalogue of N items instead, and `--users` people of 20 events each; without Finder,
                    which would first embed the titles
    --only A,B      these parts alone
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.serving_bench import LIST_BYTES, NOTHING, Bench, effect
from benchmarks.serving_data import clone, fill, invent, prepare
from cluster.config import load_settings
from cluster.launch import RayHead
from cluster.ports import free_ports
from jobs.common import heed_sigterm

NOOPS = ("noop_call", "noop_fastapi", "noop_asgi")
PARTS = ("recommend", "events", "mixed", "effect", *NOOPS, "shell", "recommend_deployment")
LIST, EVENT = b'"model_version"', b'"accepted":1'
REAL = "deployments.app:build"
EFFECT_S = 30.0
"""Seconds of `effect`: a 99th percentile of a hundred probes would be the slowest of them."""


def measure(bench: Bench, connections: list[int], parts: list[str]) -> dict[str, Any]:
    """The parts, in the order that needs the fewest deployments."""
    out: dict[str, Any] = {}
    size = LIST_BYTES
    deployed: tuple[str, str] | None = None

    def table(name: str, requests: Iterator[bytes], marks: tuple[bytes, ...]) -> None:
        nonlocal size
        print(name, file=sys.stderr, flush=True)
        out[name] = {}
        for count in connections:
            row = out[name][str(count)] = bench.in_turn(requests, count, marks, fresh=LIST in marks)
            print(f"  {count} connections: {row}", file=sys.stderr, flush=True)
            if name == "recommend":
                size = row["bytes"]

    def application(path: str, **args: Any) -> None:
        nonlocal deployed
        wanted = (path, json.dumps(args))
        if wanted != deployed:
            bench.deploy(path, args)
            deployed = wanted

    def loaded() -> None:
        bench.run(bench.lists(), 32, (LIST,))  # every session into memory

    def real(name: str, requests: Callable[[], Iterator[bytes]], *marks: bytes) -> None:
        first = deployed is None
        application(REAL)
        if first:
            loaded()
        table(name, requests(), marks)

    for name in parts:
        if name == "recommend":
            real(name, bench.lists, LIST)
        elif name == "events":
            real(name, bench.events, EVENT)
        elif name == "mixed":
            real(name, bench.mixed, LIST, EVENT)
        elif name == "effect":
            application(REAL)
            peak = max(row["per_s"] for row in out["mixed"].values())
            out[name] = asyncio.run(effect(bench, peak / 2, max(EFFECT_S, bench.seconds)))
        elif name == "shell":
            application("benchmarks.serving_apps:shell")
            loaded()
            table(name, bench.lists(), (LIST,))
        elif name == "recommend_deployment":
            application(REAL, config=str(bench.settings.state_dir / "deployment.yaml"))
            table(name, bench.lists(), (LIST,))
        else:
            application("benchmarks.serving_apps:noop", kind=name.removeprefix("noop_"), size=size)
            table(name, bench.lists(), (NOTHING,))
    return out


def ratios(out: dict[str, Any], connections: list[int]) -> dict[str, Any]:
    """Throughput of each part beside each no-op's, by connections; and the shell's median less theirs, in ms."""
    found: dict[str, Any] = {}
    there = [name for name in NOOPS if name in out]
    for base in there:
        found[base] = {
            name: {count: round(row["per_s"] / out[base][count]["per_s"], 3) for count, row in out[name].items()}
            for name in ("shell", "recommend", "recommend_deployment", "events", "mixed")
            if name in out
        }
        first = str(connections[0])
        if "shell" in out:
            more = out["shell"][first]["p50_ms"] - out[base][first]["p50_ms"]
            found[base]["shell_median_more_ms"] = round(more, 3)
    return found


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, default=Path(".tailorbird"))
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument(
        "--turns", type=int, default=3, help="runs of each part, of which the middle one is shown; default: 3"
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--items", type=int)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--people", type=int, default=10_000, help="people that lists are of; default: 10000")
    parser.add_argument("--connections", default="1,32,128")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    arguments = parser.parse_args()
    connections = [int(part) for part in arguments.connections.split(",")]
    wanted = arguments.only.split(",")
    if unknown := set(wanted) - set(PARTS):
        parser.error(f"--only: {', '.join(sorted(unknown))} is no part; there are {', '.join(PARTS)}")
    if "effect" in wanted and "mixed" not in wanted:
        parser.error("--only: effect needs mixed, whose peak it halves")
    heed_sigterm()
    with tempfile.TemporaryDirectory(prefix="tbb", dir="/tmp") as folder:
        state = Path(folder) / "s"
        if arguments.items:
            state.mkdir()
            os.environ["TAILORBIRD_FINDER__MAX_REPLICAS"] = "0"
        elif (arguments.state / "artifacts").exists():
            clone(arguments.state, state)
        else:
            prepare(state)
        (state / "deployment.yaml").write_text("recommender: {binding: deployment, max_replicas: 1}\n")
        (port,) = free_ports(1)
        os.environ |= {"TAILORBIRD_STATE_DIR": str(state), "TAILORBIRD_PORT": str(port)}
        settings = load_settings()
        if arguments.items:
            rows = invent(settings, arguments.items, max(arguments.users, arguments.people))
            items = [f"item-{number}" for number in range(arguments.items)]
        else:
            rows = fill(settings, arguments.rows, arguments.people)
            items = [str(number) for number in range(1, 1683)]
        head = RayHead(settings)
        try:
            bench = Bench(settings, head.start(), head, arguments.people, items, arguments.seconds, arguments.turns)
            out = measure(bench, connections, [name for name in PARTS if name in wanted])
        finally:
            head.stop()
            shutil.rmtree(head.temp_dir, ignore_errors=True)
    about = {"cores": os.cpu_count(), "items": len(items), "people": arguments.people}
    about |= {"rows_before": rows, "seconds": arguments.seconds}
    print(json.dumps({"benchmark": "serving", **about, **out, "ratios": ratios(out, connections)}))


if __name__ == "__main__":
    main()

"""`python -m benchmarks.chaos`: parts are killed, locked, filled up and moved under load; one JSON line a scenario.

The load is open-loop at half of what was measured just before (or `--rate`); see `chaos_load`. Each line says what was
answered by code, what failed in the ten seconds from the blow, how long healing took, and, from an export afterwards,
whether an acknowledged event is missing or stored twice, and which lists that were given are not in the log.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import psutil

from benchmarks import chaos_blows as blows
from benchmarks.chaos_copy import KEY, Copy, prepared_copy
from benchmarks.chaos_load import EVENT_SHARE, LIST_LENGTH, Answer, Load, check_event, check_list, now_s, summary
from benchmarks.chaos_overload import overload_steps
from benchmarks.chaos_soak import CACHE_BYTES, Watch
from benchmarks.load import closed_loop, request_bytes
from cluster.sections import SessionsConfig

BEFORE_S = 3.0
PEAK_S = 3.0
PEAK_CONNECTIONS = 32
SETTLE_S = 1.0
"""Longer than shards need to hear of what others have stored."""
EVENT_DEADLINE_S = SessionsConfig().timeout_s

Line = dict[str, Any]
Blow = Callable[[Copy], Line]
"""Does the damage, returns when it is done or undone, with what there is to say about it."""


def peak(port: int, seconds: float = PEAK_S) -> float:
    """Requests per second of the same mix that a closed loop gets through."""

    def requests() -> Iterator[bytes]:
        number = 0
        while True:
            number += 1
            user = str(random.randint(1, 900))
            if number % EVENT_SHARE == 0:
                body: Line = {"user_id": f"peak-{user}", "item_id": str(random.randint(1, 1600)), "type": "click"}
                yield request_bytes("POST", "/v1/events", orjson.dumps(body), KEY)
            else:
                body = {"user_id": user, "n": LIST_LENGTH}
                yield request_bytes("POST", "/v1/recommendations", orjson.dumps(body), KEY)

    def check(status: int, body: bytes) -> bool:
        return not (check_event if status == 202 else check_list)(status, body)

    return asyncio.run(closed_loop(port, requests(), PEAK_CONNECTIONS, seconds, check)).per_second


def under_load(
    copy: Copy,
    blow: Blow,
    seconds: float,
    rate: float | None,
    final: Blow | None = None,
    verdict: Callable[[list[Answer]], Line] | None = None,
) -> Line:
    """Measure the peak, load to half of it, strike, wait, and say what happened.

    Args:
        copy: what is struck.
        blow: how.
        seconds: of load from the blow, at least.
        rate: requests per second, instead of half of the peak.
        final: done when the load has ended.
        verdict: what more there is to say about the answers.
    """
    measured = None if rate else peak(copy.port)
    per_second = rate or max(20.0, (measured or 0) / 2)
    with Load(copy.port, KEY, per_second, EVENT_DEADLINE_S) as load:
        time.sleep(BEFORE_S)
        struck = now_s()
        said = blow(copy)
        time.sleep(max(0.0, struck + seconds - now_s()))
    said |= final(copy) if final else {}
    said |= verdict(load.answers) if verdict else {}
    line: Line = {"peak_per_s": measured and round(measured), "rate_per_s": round(per_second, 1)}
    if trace := os.environ.get("CHAOS_TRACE"):  # every request, for looking closer
        rows = [(round(answer.due_s - struck, 3), round(answer.took_s, 3), answer.code) for answer in load.answers]
        Path(trace).write_text("".join(json.dumps(row) + "\n" for row in rows))
    line["own_lag_s"] = round(load.lag_s, 2)
    return line | summary(load.answers, struck) | said | lost(copy, load)


def lost(copy: Copy, load: Load) -> Line:
    """What the export says about the events that were acknowledged, and the log about the lists that were given.

    Lists are logged a moment later: `within_s` is the time from the first to the last that was given and is missing.
    """
    stored = copy.exported()  # takes longer than lists wait to be logged
    logged = copy.logged()
    missing = [moment_s for moment_s, list_id in load.lists if list_id not in logged]
    return {
        "acknowledged": len(load.acknowledged),
        "missing": len(set(load.acknowledged) - set(stored)),
        "duplicates": sum(count > 1 for count in stored.values()),
        "lists": {
            "given": len(load.lists),
            "not_logged": len(missing),
            "within_s": round(max(missing, default=0.0) - min(missing, default=0.0), 2),
            "doubled": sum(count > 1 for count in logged.values()),
        },
    }


def shard(seconds: float, rate: float | None) -> Line:
    """The session shard, which writes the database, is killed."""
    with prepared_copy() as copy:
        return under_load(copy, lambda _: blows.kill_one(copy, "ray::SessionShard"), seconds, rate)


def shards(seconds: float, rate: float | None) -> Line:
    """Each of four shards on PostgreSQL is killed, one after the other."""
    with ExitStack() as stack:
        copy, _ = blows.on_postgres(stack, sessions__shards=4)
        return under_load(copy, lambda _: blows.kill_each(copy, "ray::SessionShard", 2.5), seconds, rate)


def ingress(seconds: float, rate: float | None) -> Line:
    """One of two ingress replicas is killed."""
    with prepared_copy(ingress__min_replicas=2, ingress__max_replicas=2) as copy:
        return under_load(copy, lambda _: blows.kill_one(copy, "Replica:tailorbird:Ingress"), seconds, rate)


def writer(seconds: float, rate: float | None) -> Line:
    """The writer is killed in the middle of texts, beside the load."""
    with prepared_copy(models=True) as copy, blows.Streams(copy, 2) as streams:
        streams.wait_for_text()
        return under_load(copy, lambda _: streams.strike(), seconds, rate, lambda _: streams.finish())


def locked(seconds: float, rate: float | None) -> Line:
    """The SQLite database is locked for five seconds by another process."""
    with prepared_copy() as copy:
        return under_load(copy, lambda _: blows.lock_database(copy, 5.0), seconds, rate)


def postgres(seconds: float, rate: float | None) -> Line:
    """PostgreSQL is restarted."""
    with ExitStack() as stack:
        copy, server = blows.on_postgres(stack, sessions__shards=2)
        return under_load(copy, lambda _: blows.restart_postgres(server), seconds, rate)


def disk(seconds: float, rate: float | None) -> Line:
    """The disk with the state directory is full for five seconds."""
    with (
        tempfile.TemporaryDirectory(prefix="ch", dir="/tmp") as folder,
        blows.small_disk(Path(folder), 96) as mounted,
        prepared_copy(mounted / "state") as copy,
    ):
        return under_load(copy, lambda _: blows.fill_disk(mounted, 5.0), seconds, rate)


def node(seconds: float, rate: float | None) -> Line:
    """One of two Ray nodes dies, with shards and ingress replicas on it."""
    with ExitStack() as stack:
        copy, _ = blows.on_postgres(
            stack, nodes=2, sessions__shards=4, ingress__min_replicas=2, ingress__max_replicas=2
        )
        return under_load(copy, lambda _: blows.kill_node(copy), seconds, rate)


def everything(seconds: float, rate: float | None) -> Line:
    """All processes are killed at once, and the copy is started again."""
    with prepared_copy() as copy:
        return under_load(copy, blows.kill_and_restart, seconds, rate)


def resize(seconds: float, rate: float | None) -> Line:
    """Shards are resized from 4 to 7 and back, while serving; sessions are compared before, between and after."""
    with ExitStack() as stack:
        copy, _ = blows.on_postgres(stack, sessions__shards=4, ingress__min_replicas=2, ingress__max_replicas=2)
        before = blows.sessions(copy, 4, quiet=True)

        def everybody(_: Copy) -> Line:
            time.sleep(SETTLE_S)
            return {"after": blows.sessions(copy, 4, quiet=False)}

        line = under_load(copy, lambda _: blows.resize(copy, (7, 4)), seconds, rate, everybody)
        found = line["sessions"] = {"before": before, **line["sessions"], "after": line.pop("after")}
        moved = [found[name]["digest"] != before["digest"] for name in ("at_7", "at_4")]
        return line | {"sessions_changed": sum(moved) + sum(part["differ"] for part in found.values())}


def redeploy(seconds: float, rate: float | None) -> Line:
    """Both ingress replicas are replaced by new ones, as in an upgrade, on a trained version."""
    with prepared_copy(train=True, ingress__min_replicas=2, ingress__max_replicas=2) as copy:
        return under_load(copy, blows.redeploy, seconds, rate)


def overload(seconds: float) -> Line:
    """One to three times the peak of one replica, on a trained version, then half of it."""
    with prepared_copy(train=True) as copy:
        peak(copy.port)  # the first seconds are slower
        measured = peak(copy.port)
        steps, loads = overload_steps(copy, measured, seconds, EVENT_DEADLINE_S)
        whole = loads[-1]
        for load in loads[:-1]:
            whole.acknowledged += load.acknowledged
            whole.lists += load.lists
        return {"peak_per_s": round(measured), "steps": steps} | lost(copy, whole)


def soak(seconds: float, rate: float | None, replicas: int = 1) -> Line:
    """Half load for long, on a trained version: the slopes of memory and of the 99th percentile."""
    sizes: Line = {"ingress__min_replicas": replicas, "ingress__max_replicas": replicas}
    with prepared_copy(train=True, store__sqlite_cache_bytes=CACHE_BYTES, **sizes) as copy:
        watch = Watch()
        return under_load(copy, lambda _: watch.sample(copy, seconds), seconds, rate, verdict=watch.verdict)


SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (shard, shards, ingress, writer, locked, postgres, disk, node, everything, resize, redeploy)
}


def main() -> int:
    """Run the scenarios that were asked for; 1 when one lost or doubled an event, or changed a session."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", action="append", choices=[*SCENARIOS, "overload", "soak"], help="may be repeated; default: all"
    )
    parser.add_argument("--seconds", type=float, default=15.0, help="of load after the blow")
    parser.add_argument("--soak", type=float, default=600.0, metavar="SECONDS")
    parser.add_argument("--replicas", type=int, default=1, help="ingress replicas in the soak")
    parser.add_argument("--rate", type=float, help="requests per second, instead of half of the measured peak")
    options = parser.parse_args()
    bad = 0
    for name in options.only or [*SCENARIOS, "overload", "soak"]:
        began = time.monotonic()
        line: Line = {"scenario": name}
        if name == "soak":
            line |= {"replicas": options.replicas} | soak(options.soak, options.rate, options.replicas)
        elif name == "overload":
            line |= overload(options.seconds)
        else:
            line |= SCENARIOS[name](options.seconds, options.rate)
        line |= {"took_s": round(time.monotonic() - began, 1), "machine_load": round(psutil.getloadavg()[0], 1)}
        print(json.dumps(line), flush=True)
        bad += bool(line["missing"] or line["duplicates"] or line.get("sessions_changed"))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

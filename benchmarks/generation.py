"""`python -m benchmarks.generation`: how fast texts are written. Prints one JSON line.

    --streams 1,8        texts at a time
    --requests 16        timed texts per contestant and number of streams, at least one per stream
    --tokens 32          longest text of the engines and peers
    --threads 1          of every contestant
    --engines a,b        our engines, in process
    --peers a,b          transformers' `generate` on the NF4 weights of our `bitsandbytes`, in static batches; llama.cpp
                         (`xllamacpp`) and OpenVINO GenAI on the GGUF file; all in process
    --http-engine auto   a whole copy with this engine, over HTTP and server-sent events; empty leaves it out
    --pitches 0          whole pitches with guard and templates by each of our engines; 0 leaves them out
    --models-dir DIR     where prepared models are kept

Every contestant runs in a process of its own, one after the other, on the same prompts, after a warm-up; engines and
peers write greedily. Over HTTP the texts are what a user gets: in the closed vocabulary, sampled, ended where their
sentence ends. Tokens are those written; their seconds include reading the prompts. Peak memory is the process's
resident maximum. `ratios` compare tokens per second: ours over HTTP with the best peer, `bitsandbytes` with `generate`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HTTP = "http"
PEERS = ("transformers", "llama.cpp", "openvino-genai")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--streams", default="1,8")
    parser.add_argument("--requests", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pitches", type=int, default=0)
    parser.add_argument("--engines", default="openvino,bitsandbytes")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--http-engine", default="auto")
    parser.add_argument("--models-dir", default=str(Path(tempfile.gettempdir()) / "tailorbird-bench-models"))
    parser.add_argument("--contestant", default="", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main() -> int:
    """Run every contestant; the exit code."""
    asked = parse()
    if asked.contestant:
        if asked.contestant == HTTP:
            from benchmarks.generation_http import measure as over_http

            print(json.dumps(over_http(asked)))
        else:
            from benchmarks.generation_contest import measure

            print(json.dumps(measure(asked.contestant, asked)))
        return 0
    results: dict[str, Any] = {}
    names = [f"engine:{name}" for name in asked.engines.split(",") if name]
    names += [f"peer:{name}" for name in asked.peers.split(",") if name]
    names += [HTTP] if asked.http_engine else []
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "benchmarks.generation", *sys.argv[1:], "--contestant", name]
        environment = os.environ | {"OMP_NUM_THREADS": str(asked.threads)}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        lines = done.stdout.splitlines()
        results[name] = json.loads(lines[-1]) if done.returncode == 0 and lines else {"failed": done.returncode}
    setup = {"cores": os.cpu_count(), "cpu": platform.processor() or platform.machine(), "load": os.getloadavg()[0]}
    options = {key: getattr(asked, key) for key in ("requests", "tokens", "threads", "pitches")}
    line = {"benchmark": "generation", "setup": setup | options, "results": results}
    print(json.dumps(line | {"ratios": ratios(results, asked.streams.split(","))}))
    return 1 if any("failed" in result for result in results.values()) else 0


def ratios(results: dict[str, Any], streams: list[str]) -> dict[str, float]:
    """What is compared, by name and number of streams; without those whose contestants are missing."""

    def speed(name: str, n: str) -> float | None:
        found: float | None = results.get(name, {}).get(f"streams_{n}", {}).get("tokens_per_s")
        return found

    found: dict[str, float] = {}
    for n in streams:
        peers = [value for name in PEERS if (value := speed(f"peer:{name}", n))]
        pairs = {"http/best_peer": (speed(HTTP, n), max(peers, default=None))}
        pairs["bitsandbytes/generate"] = (speed("engine:bitsandbytes", n), speed("peer:transformers", n))
        pairs["openvino/best_peer"] = (speed("engine:openvino", n), max(peers, default=None))
        found |= {f"{name} at {n}": round(a / b, 2) for name, (a, b) in pairs.items() if a and b}
    return found


if __name__ == "__main__":
    sys.exit(main())

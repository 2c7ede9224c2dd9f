"""`python -m benchmarks.generation`: how fast texts are written, and how often the model's own. Prints one JSON line.

    --streams 1,8        texts at a time
    --requests 8         timed texts per contestant and number of streams, at least one per stream
    --tokens 32          longest text
    --threads 1          of every contestant
    --pitches 200        whole pitches with guard and templates, for random people and items; 0 leaves them out
    --engines a,b        our engines; the peers are transformers' `generate` on the same NF4 weights, in static batches,
                         and llama.cpp as it comes (`xllamacpp`), both in process
    --models-dir DIR     where unpacked models are kept

Every contestant runs in a process of its own, one after the other, on the same prompts, greedily, after one warm-up.
Tokens are those written; their seconds include reading the prompts. Peak memory is the process's resident maximum.
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

PEERS = ("transformers", "llama.cpp")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--streams", default="1,8")
    parser.add_argument("--requests", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pitches", type=int, default=0)
    parser.add_argument("--engines", default="bitsandbytes,xllamacpp")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--models-dir", default=str(Path(tempfile.gettempdir()) / "tailorbird-bench-models"))
    parser.add_argument("--contestant", default="", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main() -> int:
    """Run every contestant; the exit code."""
    asked = parse()
    if asked.contestant:
        from benchmarks._writing import measure

        print(json.dumps(measure(asked.contestant, asked)))
        return 0
    results: dict[str, Any] = {}
    names = [f"engine:{name}" for name in asked.engines.split(",") if name]
    names += [f"peer:{name}" for name in asked.peers.split(",") if name]
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "benchmarks.generation", *sys.argv[1:], "--contestant", name]
        environment = os.environ | {"OMP_NUM_THREADS": str(asked.threads)}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        lines = done.stdout.splitlines()
        results[name] = json.loads(lines[-1]) if done.returncode == 0 and lines else {"failed": done.returncode}
    setup = {"cores": os.cpu_count(), "cpu": platform.processor() or platform.machine(), "load": os.getloadavg()[0]}
    options = {key: getattr(asked, key) for key in ("requests", "tokens", "threads", "pitches")}
    print(json.dumps({"benchmark": "generation", "setup": setup | options, "results": results}))
    return 1 if any("failed" in result for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())

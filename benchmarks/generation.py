"""`python -m benchmarks.generation`: how fast texts are written. Prints one JSON line.

    --streams 1,8        texts at a time
    --requests 16        timed texts per contestant, number of streams and round, at least one per stream
    --rounds 3           how often everybody is timed
    --tokens 32          longest text of the engines and peers
    --threads 1          of every contestant
    --engines a,b        our engines, in process
    --peers a,b          transformers' `generate` on the NF4 weights of our `bitsandbytes`, in static batches; llama.cpp
                         (`xllamacpp`) and OpenVINO GenAI on the GGUF file; all in process
    --http-engine auto   a whole copy with this engine, over HTTP and server-sent events; empty leaves it out
    --pitches 0          whole pitches with guard and templates by each of our engines; 0 leaves them out
    --models-dir DIR     where prepared models are kept

Every contestant is a process of its own. All are started and warmed up, then they take turns: a round is the same new
prompts for each, one contestant after the other, so that a machine with other work treats them alike. Engines and peers
write greedily. Over HTTP the texts are what a user gets: in the closed vocabulary, sampled, ended where their sentence
ends. Tokens are those written; their seconds include reading the prompts. `tokens_per_s` is the median of the rounds,
`cpu_ms_per_token` is processor time (over HTTP, that of the writer's process), peak memory the process's resident
maximum. `ratios` compare tokens per second, as the median of the rounds' own ratios: ours over HTTP with the best peer,
`bitsandbytes` with `generate`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

import numpy as np

HTTP = "http"
PEERS = ("transformers", "llama.cpp", "openvino-genai")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--streams", default="1,8")
    parser.add_argument("--requests", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
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
    """Have every contestant write; the exit code."""
    asked = parse()
    if asked.contestant:
        from benchmarks.generation_contest import contend

        return contend(asked)
    names = [f"engine:{name}" for name in asked.engines.split(",") if name]
    names += [f"peer:{name}" for name in asked.peers.split(",") if name]
    names += [HTTP] if asked.http_engine else []
    contestants = [Contestant(name, asked) for name in names]
    rounds: dict[str, dict[str, list[dict[str, Any]]]] = {name: {} for name in names}
    first = 0
    for streams in asked.streams.split(","):
        n = max(asked.requests, int(streams))
        for number in range(asked.rounds):
            for one in contestants:
                print(f"{one.name}: {streams} at a time, round {number + 1}", file=sys.stderr, flush=True)
                if (timed := one.ask({"streams": int(streams), "first": first, "n": n})) is not None:
                    rounds[one.name].setdefault(streams, []).append(timed)
            first += n
    results: dict[str, Any] = {}
    for one in contestants:
        last = one.ask({}) or {"failed": one.end()}
        one.end()
        results[one.name] = {f"streams_{n}": summary(timed) for n, timed in rounds[one.name].items()} | last
    setup = {"cores": os.cpu_count(), "cpu": platform.processor() or platform.machine(), "load": os.getloadavg()[0]}
    options = {key: getattr(asked, key) for key in ("requests", "rounds", "tokens", "threads", "pitches")}
    line = {"benchmark": "generation", "setup": setup | options, "results": results}
    print(json.dumps(line | {"ratios": ratios(rounds)}))
    return 1 if any("failed" in result for result in results.values()) else 0


class Contestant:
    """A process that writes when it is asked to. Ready once it is made, or failed."""

    def __init__(self, name: str, asked: argparse.Namespace) -> None:
        print(f"{name} is started", file=sys.stderr, flush=True)
        self.name = name
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.generation", *sys.argv[1:], "--contestant", name],
            env=os.environ | {"OMP_NUM_THREADS": str(asked.threads)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
        )  # fmt: skip
        self._answer()

    def ask(self, what: dict[str, Any]) -> dict[str, Any] | None:
        """Its answer; None when it has failed."""
        assert self._process.stdin is not None
        try:
            print(json.dumps(what), file=self._process.stdin, flush=True)
        except OSError:
            return None
        return self._answer()

    def _answer(self) -> dict[str, Any] | None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            print(f"{self.name} failed: {self._log.read()[-2000:].decode(errors='replace')}", file=sys.stderr)
            return None
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> int:
        """Wait for its end; the exit code."""
        return self._process.wait()


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of one contestant at one number of streams."""
    firsts = [first for timed in rounds for first in timed["firsts_s"]]
    tokens = sum(timed["tokens"] for timed in rounds)
    others = {key: value for key, value in rounds[-1].items() if key not in ("firsts_s", "tokens", "took_s", "cpu_s")}
    return others | {
        "tokens_per_s": round(statistics.median(map(_speed, rounds)), 1),
        "tokens": tokens,
        "first_token_p50_s": round(float(np.percentile(firsts, 50)), 3),
        "first_token_p95_s": round(float(np.percentile(firsts, 95)), 3),
        "cpu_ms_per_token": round(1000 * sum(timed["cpu_s"] for timed in rounds) / max(1, tokens), 2),
    }


def ratios(rounds: dict[str, dict[str, list[dict[str, Any]]]]) -> dict[str, float]:
    """What is compared, by name and number of streams; without those whose contestants are missing."""
    found: dict[str, float] = {}
    for n in sorted({n for timed in rounds.values() for n in timed}, key=int):
        speeds = {name: [_speed(timed) for timed in own[n]] for name, own in rounds.items() if own.get(n)}
        peers = [name for name in speeds if name.startswith("peer:")]
        best = max(peers, key=lambda name: statistics.median(speeds[name]), default="")
        pairs = {
            "http/best_peer": (HTTP, best),
            "openvino/best_peer": ("engine:openvino", best),
            "bitsandbytes/generate": ("engine:bitsandbytes", "peer:transformers"),
        }
        for label, (ours, theirs) in pairs.items():
            if ours in speeds and theirs in speeds:
                each = [a / b for a, b in zip(speeds[ours], speeds[theirs], strict=False)]
                found[f"{label} at {n}"] = round(statistics.median(each), 2)
    return found


def _speed(timed: dict[str, Any]) -> float:
    return float(timed["tokens"]) / float(timed["took_s"])


if __name__ == "__main__":
    sys.exit(main())

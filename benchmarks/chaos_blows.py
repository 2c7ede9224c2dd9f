"""What is done to a running copy: kills, locks, full disks, dead nodes, restarts, resizing, upgrades."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.chaos_copy import Copy, prepared_copy
from cluster import serve_app
from cluster.launch import RunInfo, dashboard_client, ray_temp_dir
from cluster.ports import free_ports

Line = dict[str, Any]
HEAL_S = 60.0
REPLICA = "Replica:tailorbird:Ingress"


def wait_until(holds: Callable[[], object], timeout_s: float = HEAL_S) -> float:
    """Seconds until `holds()`; at most `timeout_s`."""
    began = time.monotonic()
    while not holds() and time.monotonic() - began < timeout_s:
        time.sleep(0.1)
    return round(time.monotonic() - began, 2)


def kill_one(copy: Copy, title: str) -> Line:
    """SIGKILL for the first process with this title, until there are as many as before."""
    before = copy.processes(title)
    assert before, f"no process {title!r}"
    return _kill(copy, title, before[0], len(before))


def kill_each(copy: Copy, title: str, pause_s: float) -> Line:
    """One after the other."""
    victims = copy.processes(title)
    took = []
    for victim in victims:
        took.append(_kill(copy, title, victim, len(victims))["new_process_s"])
        time.sleep(pause_s)
    return {"killed": len(victims), "new_process_s": took}


def _kill(copy: Copy, title: str, victim: psutil.Process, count: int) -> Line:
    pid = victim.pid
    victim.kill()

    def back() -> bool:
        now = {process.pid for process in copy.processes(title)}
        return pid not in now and len(now) >= count

    return {"new_process_s": wait_until(back)}


def lock_database(copy: Copy, seconds: float) -> Line:
    """Another process begins a transaction and sits on it."""
    script = (
        "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10);"
        "c.execute('BEGIN IMMEDIATE'); time.sleep(float(sys.argv[2])); c.execute('ROLLBACK')"
    )
    command = [sys.executable, "-c", script, str(copy.state_dir / "tailorbird.db"), str(seconds)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return {"locked_s": seconds}


def restart_postgres(server: Any) -> Line:
    """Stop it as an operator does, and start it again."""
    began = time.monotonic()
    server.stop()
    server.start()
    return {"down_s": round(time.monotonic() - began, 2)}


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[Path]:
    """A file system of so many MiB; needs root."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_disk(mounted: Path, seconds: float) -> Line:
    """Write until nothing fits any more, again and again, since other files may shrink; make room at last."""
    filler = mounted / "filler"
    # SQLite's log has pages that it uses again: commits fail when those are used up.
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for size in (65_536, 4096):
            with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * size)
        time.sleep(0.1)
    filler.unlink()
    return {"full_s": seconds}


def kill_and_restart(copy: Copy) -> Line:
    """Everything at once, and the same command again."""
    killed = copy.kill_all()
    return {"killed": killed, "restart_s": round(copy.start(), 2)}


def on_postgres(stack: ExitStack, nodes: int = 1, **settings: Any) -> tuple[Copy, Any]:
    """A copy whose store is a PostgreSQL of its own, on one or two Ray nodes; and that server."""
    from tests.cluster.postgres import Postgres

    server = Postgres()
    stack.callback(server.remove)
    beside = second_node if nodes > 1 else None
    return stack.enter_context(prepared_copy(database_url=server.url, beside=beside, **settings)), server


def second_node(copy: Copy) -> subprocess.Popen[bytes]:
    """Join a second Ray node to the copy, with an address, ports and a proxy of its own."""
    info = copy.run_info
    environment = psutil.Process(info["ray_pid"]).environ()
    sockets = Path(f"{ray_temp_dir(copy.settings)}/n")
    sockets.mkdir(exist_ok=True)
    names = [name for name in environment if name.startswith("RAY_SERVE_HAPROXY") and "/h/" in environment[name]]
    environment |= {name: environment[name].replace("/h/", "/n/") for name in names}
    environment["RAY_SERVE_HAPROXY_SERVER_STATE_BASE"] = str(sockets)
    agent, agent_grpc, export, fallback, metrics, stats, env_agent = free_ports(7)
    environment |= {
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback),
    }
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
    command += [f"--address={info['ray_address']}", "--node-ip-address=127.0.0.2", "--num-cpus=2"]
    command += [f"--dashboard-agent-listen-port={agent}", f"--dashboard-agent-grpc-port={agent_grpc}"]
    command += [f"--metrics-export-port={export}", f"--runtime-env-agent-port={env_agent}"]
    command += ["--min-worker-port=30000", "--max-worker-port=31999", f"--object-store-memory={128 << 20}"]
    log_path = copy.state_dir.with_suffix(".node.log")
    with log_path.open("wb") as log:
        node = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    wait_until(lambda: b"Ray runtime started" in log_path.read_bytes() or node.poll() is not None, 60)
    assert node.poll() is None, log_path.read_text()[-1000:]
    return node


def kill_node(copy: Copy) -> Line:
    """Everything of the second node at once."""
    assert copy.beside is not None
    node = psutil.Process(copy.beside.pid)
    family = [node, *node.children(recursive=True)]
    lines = [" ".join(process.cmdline()) for process in family]
    assert any("SessionShard" in line for line in lines), "no shard was placed on the second node"
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    copy.beside.wait()
    kinds = ("SessionShard", REPLICA, "haproxy")
    killed = {kind: sum(kind in line for line in lines) for kind in kinds}

    def back() -> bool:
        now = len(copy.processes("ray::SessionShard")), len(copy.processes(REPLICA))
        return now >= (4, 2)

    return {"killed": killed, "new_processes_s": wait_until(back)}


def sessions(copy: Copy, shards: int, quiet: bool) -> Line:
    """See `benchmarks.chaos_sessions`."""
    return copy.job("benchmarks.chaos_sessions", "--shards", str(shards), *(["--quiet"] if quiet else []))


def resize(copy: Copy, sizes: tuple[int, ...]) -> Line:
    """Go over to other numbers of shards, one after the other, as `tailorbird resize` does; the quiet are compared."""
    info = RunInfo(**copy.run_info)
    took, found = [], {}
    for size in sizes:
        began = time.monotonic()
        serve_app.resize(info, copy.settings, size)
        time.sleep(1)
        wait_until(lambda: serve_app.application_state(info)[0] == "RUNNING", 120)
        took.append(round(time.monotonic() - began, 1))
        found[f"at_{size}"] = sessions(copy, size, quiet=True)
    return {"sizes": list(sizes), "resize_s": took, "sessions": found}


def redeploy(copy: Copy) -> Line:
    """Deploy the application anew, as an upgrade does: every replica is replaced, beside the load."""
    info = RunInfo(**copy.run_info)
    before = {process.pid for process in copy.processes(REPLICA)}
    config = serve_app.serve_config(copy.settings)
    config["http_options"]["port"] = copy.port
    config["applications"][0]["runtime_env"] = {"env_vars": {"CHAOS": str(before)}}  # another version, to Serve
    began = time.monotonic()
    with dashboard_client(info, timeout_s=60) as client:
        client.put("/api/serve/applications/", json=config).raise_for_status()
    time.sleep(1)
    wait_until(lambda: serve_app.application_state(info)[0] == "RUNNING", 120)
    left = before & {process.pid for process in copy.processes(REPLICA)}
    return {"replicas": len(before), "not_replaced": len(left), "redeploy_s": round(time.monotonic() - began, 1)}


class Streams:
    """Texts that are asked for one after the other, streamed, from a few threads; how each ended."""

    def __init__(self, copy: Copy, count: int) -> None:
        self._copy = copy
        self._stop = threading.Event()
        self._ends: Counter[str] = Counter()
        self._in_text: set[int] = set()
        self._slowest_s = 0.0
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(count)]

    def __enter__(self) -> Streams:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for_text(self) -> None:
        """Until a text was generated."""
        wait_until(lambda: self._ends["done generated"], 120)

    def strike(self) -> Line:
        """Kill the writer while a text of which a part has been sent is being written."""
        wait_until(lambda: self._in_text, 30)
        begun = len(self._in_text)
        return kill_one(self._copy, "Replica:tailorbird:Writer") | {"texts_begun": begun}

    def finish(self) -> Line:
        """End them; how many ended how. Each must have ended exactly once."""
        self.__exit__()
        return {"streams": dict(sorted(self._ends.items())), "slowest_stream_s": round(self._slowest_s, 1)}

    def _run(self, number: int) -> None:
        item = 50 + number
        with self._copy.client(timeout_s=60) as client:
            while not self._stop.is_set():
                item = item % 1600 + 2
                body = {"kind": "pitch", "user_id": "42", "item_id": str(item), "stream": True, "timeout_ms": 15_000}
                began = time.monotonic()
                try:
                    with client.stream("POST", "/v1/content", json=body) as answer:
                        self._ends[self._end(answer, number)] += 1
                except httpx.HTTPError as error:
                    self._ends[type(error).__name__] += 1
                self._slowest_s = max(self._slowest_s, time.monotonic() - began)
                time.sleep(0.2)

    def _end(self, answer: httpx.Response, number: int) -> str:
        if answer.status_code != 200:
            return str(answer.status_code)
        lines = []
        try:
            for line in answer.iter_lines():
                lines.append(line)
                if line == "event: text":
                    self._in_text.add(number)
                elif line in {"event: done", "event: error"}:
                    self._in_text.discard(number)
        finally:
            self._in_text.discard(number)
        ends = [line.removeprefix("event: ") for line in lines if line in {"event: done", "event: error"}]
        if len(ends) != 1:
            return f"{len(ends)} ends"
        source = next((word for word in ("generated", "cached", "template") if f'"source":"{word}"' in lines[-2]), "")
        return f"{ends[0]} {source}".strip()

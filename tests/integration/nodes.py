"""More Ray nodes on this machine: each with an address, ports, a proxy and a state directory of its own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from cluster.ports import free_ports

START_TIMEOUT_S = 60


def node_environment(
    environment: Mapping[str, str], number: int, temp_dir: Path, state_dir: Path, http: int
) -> dict[str, str]:
    """The head's environment with what two nodes of one machine may not share: HAProxy takes a port for itself."""
    sockets = temp_dir / f"n{number}"
    sockets.mkdir(parents=True, exist_ok=True)
    state_dir.mkdir(parents=True, exist_ok=True)
    fallback, metrics, stats = free_ports(3)
    return {
        **environment,
        "TAILORBIRD_STATE_DIR": str(state_dir),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(sockets / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(sockets / "a.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(sockets),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(sockets / "state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(sockets / "m.sock"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback),
        "RAY_SERVE_WORKER_PROXY_HTTP_PORT": str(http),
    }


def node_command(address: str, number: int, num_cpus: float, *more: str) -> list[str]:
    """`ray start` of the node 127.0.0.(number + 1), whose workers take ports that no other node's take."""
    agent, agent_grpc, export, env_agent = free_ports(4)
    first = 30_000 + 1000 * number
    return [
        *[sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"],
        *[f"--address={address}", f"--node-ip-address=127.0.0.{number + 1}", f"--num-cpus={num_cpus:g}"],
        *[f"--dashboard-agent-listen-port={agent}", f"--dashboard-agent-grpc-port={agent_grpc}"],
        *[f"--metrics-export-port={export}", f"--runtime-env-agent-port={env_agent}"],
        *[f"--min-worker-port={first}", f"--max-worker-port={first + 999}", f"--object-store-memory={80 << 20}"],
        *more,
    ]


class RayNode:
    """A worker node beside a head that runs.

    Args:
        ray_pid: the head's process, whose environment the node gets.
        number: 1, 2, ...: which address it has.
        own: what its environment has beside that.
    """

    def __init__(
        self,
        ray_pid: int,
        address: str,
        number: int,
        num_cpus: float,
        temp_dir: Path,
        folder: Path,
        own: Mapping[str, str] | None = None,
    ) -> None:
        environment = psutil.Process(ray_pid).environ() | dict(own or {})
        (http,) = free_ports(1)
        self.url = f"http://127.0.0.1:{http}"
        """Of the node's own proxy."""
        self.log = folder / f"node-{number}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                node_command(address, number, num_cpus),
                env=node_environment(environment, number, temp_dir, folder / f"node-{number}", http),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + START_TIMEOUT_S
        while b"Ray runtime started" not in self.log.read_bytes():
            if self.process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise RuntimeError(self.log.read_text()[-2000:])
            time.sleep(0.1)

    def family(self) -> list[psutil.Process]:
        """The node's processes."""
        return family(self.process.pid)

    def kill(self) -> None:
        """SIGKILL for all of it."""
        kill(self.family())
        self.process.wait()


def family(pid: int) -> list[psutil.Process]:
    """A process and its descendants."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def kill(processes: list[psutil.Process]) -> None:
    """SIGKILL for each, and wait."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=10)

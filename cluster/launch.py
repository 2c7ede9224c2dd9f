"""A Ray of our own: started, found again by its run file, and stopped, without touching any other Ray of the machine.

`ray start --head --block` runs as a child in a process group of its own, on ports and in a folder of its own, with
token authentication. The switches that make Serve fast must be in the environment before Ray starts (RAY_SWITCHES).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import psutil

from cluster import haproxy
from cluster.config import CONFIG_ENV, Settings
from cluster.errors import UnavailableError
from cluster.keys import ray_token_file
from cluster.ports import free_ports, free_range, is_free

NAMESPACE = "tailorbird"
RUN_FILE = "run.json"
ROOT = Path(__file__).resolve().parent.parent

RAY_SWITCHES: Mapping[str, str] = {
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "3",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    # A node that died is noticed after 3 s, not 15: until then its shards and replicas are not started elsewhere.
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    # Ray's workers are "nice" by default: on a busy machine replicas and shards would starve beside any other process.
    "RAY_worker_niceness": "0",
    # Of tasks and calls that ended the control store keeps this many in memory, for the dashboard (100,000 by default).
    "RAY_task_events_max_num_task_in_gcs": "10000",
    # Without a size what workers print, our log lines too, would grow for ever.
    "RAY_ROTATION_MAX_BYTES": str(64 << 20),
    "RAY_ROTATION_BACKUP_COUNT": "3",
    # Takes off what lets a client overrule the application's deadlines.
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deployments.edge:middlewares",
    # A replica that does not take a connection within a second is not busy but gone: another is tried.
    "RAY_SERVE_HAPROXY_TIMEOUT_CONNECT_S": "1",
    # Else HAProxy tells Serve of each request by a datagram, and Python reads it: a tenth of what a request costs.
    # Replicas count requests instead; those that no replica has seen are in HAProxy's own figures only.
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
    "DGLBACKEND": "pytorch",
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True)
class RunInfo:
    """Where a running copy can be reached. Written to `<state_dir>/run.json` while it runs."""

    pid: int
    ray_pid: int
    ray_address: str
    dashboard_url: str
    http_url: str
    token_path: str
    namespace: str = NAMESPACE


def read_run_file(settings: Settings) -> RunInfo | None:
    """The running copy of this state directory, or None when none runs."""
    try:
        info = RunInfo(**json.loads((settings.state_dir / RUN_FILE).read_text()))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None
    return info if _is_alive(info.ray_pid) else None


def end_orphan(settings: Settings) -> bool:
    """End a Ray whose `tailorbird serve` was killed and could not stop it; whether there was one."""
    info = read_run_file(settings)
    if info is None or _is_alive(info.pid):
        return False
    kill_family(info.ray_pid, ray_temp_dir(settings))
    (settings.state_dir / RUN_FILE).unlink(missing_ok=True)
    return True


def ray_temp_dir(settings: Settings) -> Path:
    """Ray's folder of this copy: short, because socket paths may not be longer than 107 bytes."""
    digest = hashlib.blake2b(str(settings.state_dir.resolve()).encode(), digest_size=4).hexdigest()
    return Path(settings.ray.temp_dir or f"/tmp/tb-{digest}")


def ray_family(ray_pid: int, temp_dir: Path) -> list[psutil.Process]:
    """A Ray's processes: its descendants, and those that left the tree but work in its temporary folder."""
    family: dict[int, psutil.Process] = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(ray_pid)
        family = {process.pid: process for process in [parent, *parent.children(recursive=True)]}
    marker = f"{temp_dir}/"
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid not in family and any(marker in part for part in process.cmdline()):
                family[process.pid] = process
    family.pop(os.getpid(), None)
    return list(family.values())


def kill_family(ray_pid: int, temp_dir: Path) -> None:
    """Kill what is left of a Ray. Looked up again until nothing is: HAProxy is started anew while Serve shuts down."""
    for _ in range(5):
        family = ray_family(ray_pid, temp_dir)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        _, left = psutil.wait_procs(family, timeout=5)
        if not family and not left:
            return


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def attach_ray(settings: Settings) -> None:
    """Connect this process to the running copy's Ray, unless it is connected already.

    Raises:
        UnavailableError: no copy runs in this state directory.
    """
    info = read_run_file(settings)
    if info is not None:
        # Ray reads these when it is imported, so they come before the import, or are read again.
        was_imported = "ray" in sys.modules
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN_PATH"] = info.token_path
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        if was_imported:
            from ray._raylet import Config  # type: ignore[attr-defined]

            Config.initialize("")
    import ray

    if ray.is_initialized():
        return
    if info is None:
        raise UnavailableError(f"no Tailorbird runs in the state directory {str(settings.state_dir)!r}")
    ray.init(address=info.ray_address, namespace=info.namespace, log_to_driver=False, logging_level=logging.WARNING)


def dashboard_client(info: RunInfo, timeout_s: float = 30.0) -> httpx.Client:
    """An HTTP client for the copy's dashboard (Serve's REST API), with its token."""
    token = Path(info.token_path).read_text().strip()
    return httpx.Client(
        base_url=info.dashboard_url, headers={"Authorization": f"Bearer {token}"}, timeout=timeout_s, trust_env=False
    )


def forget_old_sessions(temp_dir: Path) -> None:
    """Delete what earlier starts have left in Ray's folder, logs above all; the one before stays, for whoever looks."""
    earlier = sorted(temp_dir.glob("session_2*"))
    for session in earlier[:-1]:
        shutil.rmtree(session, ignore_errors=True)


class RayHead:
    """The Ray head process of one copy, from start to stop.

    Args:
        environment, options: what Ray's environment and the command `ray start` have beside the usual.
    """

    def __init__(
        self, settings: Settings, environment: Mapping[str, str] | None = None, options: Sequence[str] = ()
    ) -> None:
        self._settings = settings
        self._options = options
        self._extra = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        state = settings.state_dir.resolve()
        self.temp_dir = ray_temp_dir(settings)
        self.log_path = state / "logs" / "ray.log"
        self.info: RunInfo | None = None

    def start(self, timeout_s: float = 60.0) -> RunInfo:
        """Start Ray and wait until its dashboard answers.

        Raises:
            UnavailableError: the HTTP port is taken, or Ray did not come up.
        """
        settings = self._settings
        if not is_free(settings.port):
            raise UnavailableError(f"port {settings.port} is in use: choose another with TAILORBIRD_PORT")
        gcs, dashboard, agent, agent_grpc, client, export, fallback, metrics, stats, env_agent = free_ports(10)
        dashboard = settings.ray.dashboard_port or dashboard
        first, last = free_range(64)
        token = ray_token_file(settings)
        environment = self._environment(token)
        environment |= {
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback),
            "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first),
            "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(last),
        }
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
        command += [f"--port={gcs}", "--node-ip-address=127.0.0.1", f"--temp-dir={self.temp_dir}"]
        command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
        command += [f"--dashboard-agent-listen-port={agent}", f"--dashboard-agent-grpc-port={agent_grpc}"]
        command += [f"--ray-client-server-port={client}", f"--metrics-export-port={export}"]
        command += [f"--runtime-env-agent-port={env_agent}", f"--object-store-memory={settings.ray.object_store_bytes}"]
        if settings.ray.num_cpus is not None:
            command.append(f"--num-cpus={settings.ray.num_cpus}")
        command += self._options
        self.temp_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        forget_old_sessions(self.temp_dir)
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env=environment,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.info = RunInfo(
            pid=os.getpid(),
            ray_pid=self._process.pid,
            ray_address=f"127.0.0.1:{gcs}",
            dashboard_url=f"http://127.0.0.1:{dashboard}",
            http_url=f"http://{settings.host}:{settings.port}",
            token_path=str(token),
        )
        self._wait_for_dashboard(self.info, timeout_s)
        draft = settings.state_dir / f".{RUN_FILE}"
        draft.write_text(json.dumps(asdict(self.info), indent=2) + "\n")
        draft.replace(settings.state_dir / RUN_FILE)
        return self.info

    def alive(self) -> bool:
        """Whether the Ray head process runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End Ray and every process that it started, and no other, at once.

        What serves is to be ended in order before (`serve_app.undeploy`). Nothing that was acknowledged is lost in any
        case; `ray start` itself, asked to end, takes its time and then kills too.
        """
        with contextlib.suppress(FileNotFoundError):
            (self._settings.state_dir / RUN_FILE).unlink()
        if self._process is None:
            return
        kill_family(self._process.pid, self.temp_dir)
        self._process.wait()
        self._process = None

    def _environment(self, token: Path) -> dict[str, str]:
        """What Ray and all its workers see: our settings with absolute paths, and the switches."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        environment |= RAY_SWITCHES
        environment["RAY_AUTH_TOKEN_PATH"] = str(token)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment["TAILORBIRD_STATE_DIR"] = str(self._settings.state_dir.resolve())
        config = os.environ.get(CONFIG_ENV)
        if config:
            environment[CONFIG_ENV] = str(Path(config).resolve())
        sockets = self.temp_dir / "h"
        environment |= {
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(sockets / "haproxy.cfg"),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(sockets / "a.sock"),
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(sockets),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(sockets / "state"),
            "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(sockets / "m.sock"),
        }
        environment["RAY_SERVE_HAPROXY_BINARY_PATH"] = str(haproxy.SCRIPT)
        # More threads than cores wait for each other: on two busy cores four took up to three times the time of one.
        environment["RAY_SERVE_HAPROXY_NBTHREAD"] = str(min(4, max(1, (os.cpu_count() or 1) // 2)))
        environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        return environment | self._extra

    def _wait_for_dashboard(self, info: RunInfo, timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        with dashboard_client(info, timeout_s=5) as client:
            while time.monotonic() < end:
                if not self.alive():
                    break
                with contextlib.suppress(httpx.HTTPError):
                    if client.get("/api/serve/applications/").status_code == 200:
                        return
                time.sleep(0.2)
        tail = self.log_path.read_text(errors="replace").strip().splitlines()[-5:]
        self.stop()
        raise UnavailableError("Ray did not start; its last lines: " + " | ".join(tail))

"""A copy of Tailorbird to be mistreated: started as a user would start it, on the demo's data, without a training."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from cluster.config import Settings
from cluster.errors import UnavailableError
from cluster.launch import ROOT, ray_family, ray_temp_dir
from cluster.ports import free_ports
from cluster.store import Store

KEY = "chaos-benchmark-key"
START_TIMEOUT_S = 240
TRAIN_EPOCHS = 10
TAILORBIRD = str(Path(sys.executable).parent / "tailorbird")


class Copy:
    """One copy in a state directory; `start` and `stop` as often as needed. Settings are those of the environment."""

    def __init__(self, state_dir: Path, **settings: Any) -> None:
        (self.port,) = free_ports(1)
        self.state_dir = state_dir
        own = {name: value for name, value in os.environ.items() if not name.startswith(("TAILORBIRD_", "RAY_"))}
        own |= {"TAILORBIRD_STATE_DIR": str(state_dir), "TAILORBIRD_PORT": str(self.port), "TAILORBIRD_API_KEY": KEY}
        own |= {"TAILORBIRD_GRAPH": json.dumps({"encoder": {"epochs": TRAIN_EPOCHS}})}
        own |= {f"TAILORBIRD_{name.upper()}": str(value) for name, value in settings.items()}
        self.environment = own
        self.join: Callable[[Copy], subprocess.Popen[bytes]] | None = None
        """Called as soon as Ray runs, before the application is placed: starts another process, and waits for it."""
        self.beside: subprocess.Popen[bytes] | None = None
        """That process."""
        self._process: subprocess.Popen[bytes] | None = None
        self._log = state_dir.with_suffix(".log")

    @property
    def settings(self) -> Settings:
        """Settings that find this copy's store and run file."""
        return Settings(state_dir=self.state_dir)

    @property
    def run_info(self) -> dict[str, Any]:
        """The run file's content."""
        info: dict[str, Any] = json.loads((self.state_dir / "run.json").read_text())
        return info

    def client(self, timeout_s: float = 30.0) -> httpx.Client:
        """An HTTP client with the key."""
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=timeout_s,
            trust_env=False,
        )

    def prepare(self) -> None:
        """Load the demo's data, without its model."""
        self.job("jobs.demo", "--no-model")

    def train(self) -> None:
        """Publish a first version; few epochs, since how good its lists are matters to nobody here."""
        self.job("jobs.refresh")

    def start(self) -> float:
        """Start it and wait until it says that it is ready; the seconds that it took."""
        began = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [TAILORBIRD, "serve", "--no-demo", "--no-train"],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        while time.monotonic() - began < START_TIMEOUT_S:
            if self.join is not None and self.beside is None and (self.state_dir / "run.json").exists():
                self._process.send_signal(signal.SIGSTOP)  # nothing is placed before the other is there
                try:
                    self.beside = self.join(self)
                finally:
                    self._process.send_signal(signal.SIGCONT)  # a stopped process could not stop its Ray either
            if b"ready in" in self._log.read_bytes():
                return time.monotonic() - began
            if self._process.poll() is not None:
                break
            time.sleep(0.1)
        said = self._log.read_text(errors="replace")
        self.stop()
        raise UnavailableError(f"the copy did not start: {said[-2000:]}")

    def stop(self) -> None:
        """Stop it as an operator does."""
        if self.beside is not None and self.beside.poll() is None:
            self.beside.send_signal(signal.SIGTERM)
            self.beside.wait(30)
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    def kill_all(self) -> int:
        """SIGKILL for the command, Ray and everything that it started, at once; how many processes that were."""
        assert self._process is not None
        family = ray_family(self.run_info["ray_pid"], ray_temp_dir(self.settings))
        for process in [psutil.Process(self._process.pid), *family]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        psutil.wait_procs(family, timeout=10)
        return len(family) + 1

    def processes(self, title: str) -> list[psutil.Process]:
        """Its Ray processes whose title holds `title`."""
        found = []
        for process in ray_family(self.run_info["ray_pid"], ray_temp_dir(self.settings)):
            with contextlib.suppress(psutil.Error):
                if title in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def job(self, module: str, *arguments: str) -> dict[str, Any]:
        """Run `python -m MODULE` beside it; what its last line says."""
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise UnavailableError(f"{module} failed: {done.stderr[-2000:]}")
        said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return said

    def exported(self) -> Counter[str]:
        """How often each event id stands in the export."""
        out = self.state_dir.with_suffix(".events.jsonl")
        self.job("jobs.export", "--events", str(out))
        with out.open() as lines:
            counts = Counter(json.loads(line)["event_id"] for line in lines)
        out.unlink()
        return counts

    def logged(self) -> Counter[str]:
        """How often each list's id stands in the log of lists."""
        found: Counter[str] = Counter()
        address = self.environment.get("TAILORBIRD_DATABASE_URL")
        with Store.open(Settings(state_dir=self.state_dir, database_url=address), readonly=True) as store:
            after = 0
            while page := store.feedback.scan_log("default", after):
                found.update(entry.recommendation_id for _, entry in page)
                after = page[-1][0]
        return found

    def rss_mib(self) -> dict[str, float]:
        """Resident memory of each kind of process that serves."""
        kinds = ("SessionShard", "Ingress", "Writer", "ServeController", "haproxy", "raylet", "gcs_server", "dashboard")
        sums: dict[str, float] = {}
        for process in ray_family(self.run_info["ray_pid"], ray_temp_dir(self.settings)):
            with contextlib.suppress(psutil.Error):
                line = " ".join(process.cmdline())
                kind = next((kind for kind in kinds if kind in line), "other")
                sums[kind] = sums.get(kind, 0.0) + process.memory_info().rss / (1 << 20)
        return {kind: round(mib, 1) for kind, mib in sorted(sums.items())}


@contextmanager
def prepared_copy(
    folder: Path | None = None,
    models: bool = False,
    train: bool = False,
    beside: Callable[[Copy], subprocess.Popen[bytes]] | None = None,
    **settings: Any,
) -> Iterator[Copy]:
    """A copy with the demo's data that runs; stopped and removed afterwards.

    Args:
        folder: for its state; default: a new one.
        models: keep prepared language models where tests keep them, and have a writer; otherwise there is none.
        train: publish a version first; otherwise lists are by popularity.
        beside: starts a process beside it, once Ray runs.
    """
    base = Path(tempfile.mkdtemp(prefix="ch", dir="/tmp"))
    state_dir = folder or base / "state"
    state_dir.mkdir(exist_ok=True)
    if models:
        cache = Path(os.environ.get("TB_TEST_CACHE", Path.home() / ".cache" / "tailorbird-tests")) / "models"
        cache.mkdir(parents=True, exist_ok=True)
        (state_dir / "models").symlink_to(cache)
    else:
        settings.setdefault("writer__min_replicas", 0)
    copy = Copy(state_dir, **settings)
    copy.join = beside
    try:
        copy.prepare()
        if train:
            copy.train()
        copy.start()
        yield copy
    finally:
        copy.stop()
        shutil.rmtree(base, ignore_errors=True)
        shutil.rmtree(ray_temp_dir(copy.settings), ignore_errors=True)

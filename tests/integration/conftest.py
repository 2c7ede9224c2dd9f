"""One running copy for the whole test session: started as its user would start it, on real data and real models."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from cluster.config import Settings
from cluster.launch import ROOT, ray_family, ray_temp_dir
from cluster.ports import free_ports

START_TIMEOUT_S = 900
COMMAND = str(Path(sys.executable).parent / "tailorbird")
KEY = "integration-tests-key"


@dataclass
class Copy:
    """A Tailorbird that runs: how to reach it, and its processes."""

    url: str
    key: str
    state_dir: Path
    process: subprocess.Popen[str] | None
    environment: dict[str, str]
    printed: list[str] = field(default_factory=list)
    reader: threading.Thread | None = None

    @property
    def settings(self) -> Settings:
        """Settings that find this copy's store and run file."""
        return Settings(state_dir=self.state_dir)

    @property
    def headers(self) -> dict[str, str]:
        """The header with the key."""
        return {"Authorization": f"Bearer {self.key}"}

    def client(self, timeout_s: float = 30.0) -> httpx.Client:
        """An HTTP client with the key."""
        return httpx.Client(base_url=self.url, headers=self.headers, timeout=timeout_s, trust_env=False)

    def processes(self, title: str) -> list[psutil.Process]:
        """This copy's Ray processes whose title holds `title`."""
        run = json.loads((self.state_dir / "run.json").read_text())
        found = []
        for process in ray_family(run["ray_pid"], ray_temp_dir(self.settings)):
            try:
                if title in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def run(self, *arguments: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Run `python ARGUMENTS` in this copy's environment."""
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=timeout_s
        )

    def command(self, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        """Run `tailorbird ARGUMENTS` in this copy's environment."""
        command = [COMMAND, *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=timeout_s
        )


def start_copy(state_dir: Path, *arguments: str, **settings: Any) -> Copy:
    """Start `tailorbird serve` and wait until it says that it is ready."""
    (port,) = free_ports(1)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TAILORBIRD_", "RAY_"))}
    environment |= {"TAILORBIRD_STATE_DIR": str(state_dir), "TAILORBIRD_PORT": str(port), "TAILORBIRD_API_KEY": KEY}
    environment |= {f"TAILORBIRD_{name.upper()}": str(value) for name, value in settings.items()}
    process = subprocess.Popen(
        [COMMAND, "serve", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    copy = Copy(f"http://127.0.0.1:{port}", KEY, state_dir, process, environment)
    copy.reader = threading.Thread(target=_read, args=(copy,), daemon=True)
    copy.reader.start()
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end:
        if any(line.startswith("ready in") for line in list(copy.printed)):
            return copy
        if process.poll() is not None:
            break
        time.sleep(0.1)
    stop_copy(copy)
    raise RuntimeError("the copy did not start:\n" + "".join(copy.printed))


def stop_copy(copy: Copy, timeout_s: float = 60) -> None:
    """Stop it as Ctrl-C does, and wait."""
    if copy.process is not None and copy.process.poll() is None:
        copy.process.send_signal(signal.SIGINT)
        try:
            copy.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            copy.process.kill()
            copy.process.wait()
    if copy.reader is not None:
        copy.reader.join(10)


def _read(copy: Copy) -> None:
    assert copy.process is not None and copy.process.stdout is not None
    with copy.process.stdout as lines:
        for line in lines:
            copy.printed.append(line)


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """Where prepared models are kept between runs: dequantising the demo's takes a while."""
    default = Path.home() / ".cache" / "tailorbird-tests"
    folder = Path(os.environ.get("TB_TEST_CACHE", default)) / "models"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def running_copy(state_dir: Path) -> Copy:
    """A copy that runs already, for trying tests out without waiting for a training: TB_RUNNING=STATE_DIR."""
    run = json.loads((state_dir / "run.json").read_text())
    environment = os.environ | {
        "TAILORBIRD_STATE_DIR": str(state_dir),
        "TAILORBIRD_PORT": run["http_url"].rsplit(":", 1)[1],
    }
    return Copy(run["http_url"], (state_dir / "api_key").read_text().strip(), state_dir, None, environment)


@pytest.fixture(scope="session")
def server(models_dir: Path) -> Iterator[Copy]:
    """The demo, up and trained. Tests leave it running and healthy."""
    if "TB_RUNNING" in os.environ:
        yield running_copy(Path(os.environ["TB_RUNNING"]))
        return
    with tempfile.TemporaryDirectory(prefix="tb") as folder:
        state_dir = Path(folder) / "state"
        state_dir.mkdir()
        (state_dir / "models").symlink_to(models_dir)
        copy = start_copy(state_dir)
        try:
            yield copy
        finally:
            stop_copy(copy)


@pytest.fixture
def api(server: Copy) -> Iterator[httpx.Client]:
    """A client of the running copy, with the key."""
    with server.client() as client:
        yield client


@pytest.fixture
def openai_client(server: Copy) -> Iterator[openai.OpenAI]:
    """OpenAI's own client on the running copy, with the key."""
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0) as client:
        yield client

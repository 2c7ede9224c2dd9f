"""Settings with a state directory of their own, and jobs run as the processes that they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.config import Settings
from cluster.store import Store

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Ran:
    """How a job ended."""

    code: int
    result: dict[str, Any]
    stdout: str
    stderr: str


RunJob = Callable[..., Ran]


@pytest.fixture(autouse=True)
def _settings_of_the_shell_have_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment wins over values given in code: a TAILORBIRD_STATE_DIR of the shell would be used, and shared."""
    for name in os.environ:
        if name.startswith("TAILORBIRD_"):
            monkeypatch.delenv(name)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state")


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with Store.open(settings) as store:
        store.migrate()
        yield store


@pytest.fixture
def run_job(tmp_path: Path) -> RunJob:
    """Run `python -m jobs.NAME ARGS` in `tmp_path`; the last line of standard output is its result."""

    def run(module: str, *args: object, env: Mapping[str, str] | None = None) -> Ran:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TAILORBIRD_")}
        environment |= {"TAILORBIRD_STATE_DIR": str(tmp_path / "state"), "PYTHONPATH": str(ROOT)}
        environment |= env or {}
        done = subprocess.run(
            [sys.executable, "-m", module, *map(str, args)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=400,  # a busy machine starts a Ray slowly
            check=False,
        )
        lines = done.stdout.splitlines()
        return Ran(done.returncode, json.loads(lines[-1]) if lines else {}, done.stdout, done.stderr)

    return run

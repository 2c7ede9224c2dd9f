"""A real Redis (Debian's `redis-server`) that keeps nothing on disk."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cluster.ports import free_ports


@contextmanager
def redis_server() -> Iterator[str]:
    """Its address, HOST:PORT."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server here: `make services` installs Debian's")
    (port,) = free_ports(1)
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, cwd="/tmp")
    try:
        end = time.monotonic() + 20
        while not _listens(port):
            assert process.poll() is None and time.monotonic() < end, "redis-server did not start"
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

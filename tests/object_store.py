"""A real S3 server on the loopback interface: moto's, from an environment of its own (`make services`)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.ports import free_ports

PROGRAM = Path(os.environ.get("TB_MOTO_SERVER", Path(sys.prefix) / "s3" / "bin" / "moto_server"))


@contextmanager
def s3_server(bucket: str) -> Iterator[dict[str, str]]:
    """The environment by which pyarrow and Amazon's own clients find the server; the bucket exists."""
    if not PROGRAM.exists():
        pytest.skip(f"no S3 server: {PROGRAM} is made by `make services`")
    (port,) = free_ports(1)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen(
        [str(PROGRAM), "-H", "127.0.0.1", "-p", str(port)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    base = f"http://127.0.0.1:{port}"
    try:
        _make_bucket(base, bucket, process)
        yield {
            "AWS_ENDPOINT_URL": base,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    finally:
        process.terminate()
        process.wait(10)


def _make_bucket(base: str, bucket: str, process: subprocess.Popen[bytes]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + 60
    while True:
        try:
            opener.open(urllib.request.Request(f"{base}/{bucket}", method="PUT"), timeout=10).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.1)

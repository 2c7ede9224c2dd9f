"""Applications that `benchmarks.serving` compares with: three no-op ingresses, and the shell with a trivial ranker.

Each no-op reads the body, checks the key and answers as many bytes as a list has. They differ in what of Ray Serve and
its framework a request passes: `asgi` is a bare ASGI function, less than anybody writes; `call` is a deployment with
`__call__(request)`, Serve's own idiom; `fastapi` is a FastAPI application through `serve.ingress`.
"""

import hmac
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel
from ray import serve
from ray.serve import Application
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from cluster.config import load_settings
from cluster.keys import api_key
from cluster.messages import RankedItem, RankedList, RankQuery, Reason
from cluster.serve_app import INGRESS
from deployments.http_app import create_app
from deployments.recommender import RecommenderClient
from deployments.services import Services

REASONS = 6


class NoopArgs(BaseModel):
    """Which no-op, and how many bytes an answer has."""

    kind: str
    size: int


class Door:
    """What every no-op does."""

    def __init__(self, size: int) -> None:
        self._body = b"x" * size
        self._key = f"Bearer {api_key(load_settings())}"

    async def answer(self, request: Request) -> Response:
        if not hmac.compare_digest(request.headers.get("authorization", ""), self._key):
            raise HTTPException(401)
        await request.body()
        return Response(self._body, media_type="application/json")


class AsgiNoop:
    """A bare ASGI function."""

    def __init__(self, size: int) -> None:
        self._door = Door(size)

    def __serve_build_asgi_app__(self) -> Any:
        door = self._door

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                while (await receive())["type"] != "lifespan.shutdown":
                    await send({"type": "lifespan.startup.complete"})
                await send({"type": "lifespan.shutdown.complete"})
                return
            response = await door.answer(Request(scope, receive))
            await response(scope, receive, send)

        return app


class CallNoop:
    """Serve's own idiom."""

    def __init__(self, size: int) -> None:
        self._door = Door(size)

    async def __call__(self, request: Request) -> Response:
        return await self._door.answer(request)


class FastApiNoop:
    """FastAPI with one route, and a dependency that checks nothing: what a first version of a service looks like."""

    def __init__(self, size: int) -> None:
        self._door = Door(size)

    def __serve_build_asgi_app__(self) -> FastAPI:
        app = FastAPI()
        door = self._door

        async def the_door() -> Door:
            return door

        @app.post("/v1/recommendations")
        async def answer(request: Request, way_in: Annotated[Door, Depends(the_door)]) -> Response:
            return await way_in.answer(request)

        @app.get("/healthz/ready")
        async def ready() -> str:
            return "ready"

        return app


def noop(args: NoopArgs) -> Application:
    """One of the no-op applications."""
    args = NoopArgs.model_validate(args if isinstance(args, NoopArgs) else dict(args))
    bodies: dict[str, Any] = {
        "asgi": serve.ingress()(AsgiNoop),
        "call": CallNoop,
        "fastapi": serve.ingress()(FastApiNoop),
    }
    deployment = serve.deployment(bodies[args.kind])
    # Two stand side by side while `benchmarks.serving` asks one for itself, on as few as two cores.
    options = {"name": "Noop", "max_ongoing_requests": 1024, "ray_actor_options": {"num_cpus": 0.2}}
    return deployment.options(**options).bind(args.size)  # type: ignore[attr-defined]


class TrivialRanking:
    """The same list for everybody, with as many reasons as a real one."""

    def __init__(self) -> None:
        reasons = tuple(Reason("because_liked", 0.25 + place / 7, str(place)) for place in range(REASONS))
        self._items = tuple(RankedItem(str(place), 5.0 / (place + 1.3), "graph", reasons) for place in range(500))

    async def rank(self, queries: list[RankQuery]) -> list[RankedList]:
        return [RankedList(self._items[: query.n], "trivial") for query in queries]

    async def similar(self, tenant: str, item_id: str, n: int) -> RankedList:
        return RankedList(self._items[:n], "trivial")

    async def item_map(self, tenant: str, n: int) -> tuple[str, list[tuple[str, float, float]]]:
        return "trivial", []


class ShellServices(Services):
    """Everything of the real ones but the ranker."""

    async def start(self) -> None:
        await super().start()
        self.recommender = RecommenderClient(TrivialRanking(), 64, self.settings.sessions.max_queue)


class Shell:
    """The ingress, with those services."""

    def __init__(self, settings: Any, writer: Any) -> None:
        self._services = ShellServices(settings, writer, None)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return create_app(self._services)


class NoWriter:
    """Stands where the writers do; nothing is written here."""

    async def info(self) -> None:
        """Nothing."""


def shell(args: dict[str, Any]) -> Application:
    """The shell, with the settings of the environment, in the ingress's place."""
    settings = load_settings()
    writer = serve.deployment(NoWriter).options(name="NoWriter", ray_actor_options={"num_cpus": 0.1}).bind()  # type: ignore[attr-defined]
    options = {"name": INGRESS, "max_ongoing_requests": 1024, "ray_actor_options": {"num_cpus": 0.2}}
    return serve.deployment(serve.ingress()(Shell)).options(**options).bind(settings, writer)  # type: ignore[attr-defined]

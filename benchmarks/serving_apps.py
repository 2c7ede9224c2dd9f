"""Applications that `benchmarks.serving` compares with: a no-op ingress, and the whole shell with a trivial ranker."""

from typing import Any

from pydantic import BaseModel
from ray import serve
from ray.serve import Application
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cluster.config import Settings, load_settings
from cluster.messages import RankedItem, RankedList, RankQuery, Reason
from deployments.http_app import create_app
from deployments.middleware import Gate
from deployments.recommender import RecommenderClient
from deployments.services import Services

REASONS = 6


class NoopArgs(BaseModel):
    """How many bytes an answer has."""

    size: int


class Noop:
    """Reads the body, answers with as many bytes as a list has. No key, no session, no ranking."""

    def __init__(self, size: int) -> None:
        self._body = b"x" * size

    def __serve_build_asgi_app__(self) -> Any:
        body = self._body

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                while (await receive())["type"] != "lifespan.shutdown":
                    await send({"type": "lifespan.startup.complete"})
                await send({"type": "lifespan.shutdown.complete"})
                return
            await Request(scope, receive).body()
            await Response(body, media_type="application/json")(scope, receive, send)

        return app


def noop(args: NoopArgs) -> Application:
    """The no-op application."""
    args = NoopArgs.model_validate(args if isinstance(args, NoopArgs) else dict(args))
    return serve.deployment(serve.ingress()(Noop)).options(name="Noop", max_ongoing_requests=1024).bind(args.size)  # type: ignore[attr-defined]


class TrivialRanking:
    """The same list for everybody, with as many reasons as a real one."""

    def __init__(self) -> None:
        reasons = tuple(Reason("because_liked", 0.25 + place / 7, str(place)) for place in range(REASONS))
        self._items = tuple(RankedItem(str(place), 5.0 / (place + 1.3), "graph", reasons) for place in range(500))

    async def rank(self, queries: list[RankQuery]) -> list[RankedList]:
        return [RankedList(self._items[: query.n], "trivial") for query in queries]

    async def similar(self, tenant: str, item_id: str, n: int) -> RankedList:
        return RankedList(self._items[:n], "trivial")


class ShellServices(Services):
    """Everything of the real ones but the ranker."""

    async def start(self) -> None:
        await super().start()
        self.recommender = RecommenderClient(TrivialRanking(), 64, self.settings.sessions.max_queue)


class Shell:
    """The ingress, with those services."""

    def __init__(self, settings: Settings, writer: Any) -> None:
        self._services = ShellServices(settings, writer, None)

    def __serve_build_asgi_app__(self) -> Gate:
        return create_app(self._services)


class NoWriter:
    """Stands where the writers do; nothing is written here."""

    async def info(self) -> None:
        """Nothing."""


def shell(args: dict[str, Any]) -> Application:
    """The shell, with the settings of the environment."""
    settings = load_settings()
    writer = serve.deployment(NoWriter).options(name="NoWriter", ray_actor_options={"num_cpus": 0.1}).bind()  # type: ignore[attr-defined]
    options = {"name": "Shell", "max_ongoing_requests": 1024, "ray_actor_options": {"num_cpus": 0.2}}
    return serve.deployment(serve.ingress()(Shell)).options(**options).bind(settings, writer)  # type: ignore[attr-defined]

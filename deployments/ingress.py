"""`Ingress`: the Serve deployment that speaks HTTP. One replica holds one FastAPI application and its services."""

from __future__ import annotations

from typing import Any

from cluster.config import Settings
from deployments.http_app import create_app
from deployments.middleware import Gate
from deployments.services import Services


class Ingress:
    """Serve calls `__serve_build_asgi_app__` after the constructor; the app's lifespan starts the services.

    Args:
        settings: the application's settings.
        writer: handle of the deployment `Writer`.
        recommender: handle of the deployment `Recommender`, or None to rank in this process.
    """

    def __init__(self, settings: Settings, writer: Any, recommender: Any | None = None) -> None:
        self._services = Services(settings, writer, recommender)

    def __serve_build_asgi_app__(self) -> Gate:
        return create_app(self._services)

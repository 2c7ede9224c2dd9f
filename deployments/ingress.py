"""`Ingress`: the Serve deployment that speaks HTTP. One replica holds one FastAPI application and its services."""

from __future__ import annotations

import gc
import logging
from typing import Any

from starlette.types import ASGIApp

from cluster.config import Settings
from cluster.errors import ConfigError
from deployments.http_app import create_app
from deployments.services import Services

log = logging.getLogger("tailorbird.ingress")
_GARBAGE_AFTER = 5_000
"""Objects made before Python looks for rings of them that nobody holds. A list is made of some two hundred, and by
Python's own 700 an ingress that makes lists spends 2.6 % of its time on looking, with this 0.9 %."""


class Ingress:
    """Serve calls `__serve_build_asgi_app__` after the constructor; the app's lifespan starts the services.

    Args:
        settings: the application's settings.
        writer: handle of the deployment `Writer`.
        recommender: handle of the deployment `Recommender`, or None to rank in this process.
        finder: handle of the deployment `Finder`, or None where nothing is found by meaning.
    """

    def __init__(
        self, settings: Settings, writer: Any, recommender: Any | None = None, finder: Any | None = None
    ) -> None:
        gc.set_threshold(_GARBAGE_AFTER)
        self._services = Services(settings, writer, recommender, finder=finder)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return create_app(self._services)

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Called by Serve at the start and when `user_config` changes, while requests go on.

        `session_shards`: how many shards the session pool has. Serve says that the application is updating until all of
        them answer. A number that the database does not allow is logged, and changes nothing.
        """
        try:
            await self._services.pool.resize(int(user_config["session_shards"]))
        except ConfigError as error:
            log.error("user_config: %s", error)

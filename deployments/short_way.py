"""The short way: requests of hot routes go from a replica's HTTP server straight to the application.

Serve wraps each request in contexts, metadata and tasks of its own, which take longer than all that an event needs. One
thing it has to know of a request: that it is in work, since Serve scales by that and waits for it when a replica ends.
It is told, by its own counter. Everything else that the wrapper does for a request (a queue, a time limit, watching for
clients that leave, figures) the application does itself; Serve's own figures do not count these requests.

The counter is not part of Serve's public interface. Where it is not as the Ray that this was written for has it, all
requests take Serve's way, and the log says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

log = logging.getLogger("tailorbird.ingress")


class ServeCounts:
    """How Serve is told of requests that do not pass its wrapper.

    Args:
        replica: Serve's own object for the replica of this process.

    Raises:
        AttributeError, ImportError, TypeError: it is not as expected.
    """

    def __init__(self, replica: Any) -> None:
        from ray.serve._private.common import RequestMetadata, RequestProtocol

        manager = replica._metrics_manager
        self._begin: Callable[[Any], None] = manager.inc_num_ongoing_requests
        self._end: Callable[[Any], None] = manager.dec_num_ongoing_requests
        self._in_work: Callable[[], int] = manager.get_num_ongoing_requests
        self._any = RequestMetadata(
            request_id="",
            internal_request_id="",
            is_direct_ingress=True,
            _request_protocol=RequestProtocol.HTTP,
        )
        before = self._in_work()
        self._begin(self._any)
        self._end(self._any)
        if self._in_work() != before:
            raise TypeError("Serve does not count as it is told to")

    def begin(self) -> None:
        """A request is in work."""
        self._begin(self._any)

    def end(self) -> None:
        """It is answered."""
        self._end(self._any)


class ShortWay:
    """Sends requests of some routes past `app`, which is Serve's wrapper, to the application behind it.

    Args:
        app: Serve's wrapper.
        hot: methods and paths.
        counts: tells Serve.
        application: gives the application, once the replica has made it.
    """

    def __init__(
        self,
        app: ASGIApp,
        hot: frozenset[tuple[str, str]],
        counts: ServeCounts,
        application: Callable[[], ASGIApp],
    ) -> None:
        self._app = app
        self._hot = hot
        self._counts = counts
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection event."""
        if scope["type"] != "http" or (scope["method"], scope["path"]) not in self._hot:
            await self._app(scope, receive, send)
            return
        self._counts.begin()
        try:
            await self._application()(scope, receive, send)
        finally:
            self._counts.end()


def shortened(app: ASGIApp, hot: frozenset[tuple[str, str]]) -> ASGIApp:
    """`app`, which leads to the replica, with the short way before it for `hot`; as it is where there can be none."""
    try:
        replica = _replica_behind(app)
        counts = ServeCounts(replica)
        if not hasattr(replica, "_user_callable_asgi_app"):
            raise AttributeError("the replica does not tell its application")
    except (AttributeError, ImportError, TypeError) as error:
        log.warning("lists and events take Serve's own way, which is longer: %s", error)
        return app
    return ShortWay(app, hot, counts, lambda: replica._user_callable_asgi_app)


def _replica_behind(app: Any) -> Any:
    """Whose method is called at the end of what Serve puts around it."""
    while hasattr(app, "_app"):
        app = app._app
    return app.__self__

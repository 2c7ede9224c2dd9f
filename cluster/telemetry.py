"""Logs and metrics: our own roots, configured explicitly.

Metrics are made with `ray.util.metrics`, so that every actor and replica on every node is seen by the node's agent; all
names start with `tailorbird_` and no label holds a user's id. Logs are JSON lines under the logger `tailorbird`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from contextvars import ContextVar
from typing import Any

FLUSH_S = 1.0
"""How long requests are counted here before Ray is told."""
LATENCY_BOUNDS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that this task works for; each log line about it carries it."""

_RESERVED = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the request's id, and whatever was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for one record."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := REQUEST_ID.get():
            line["request_id"] = request_id
        line |= {name: value for name, value in vars(record).items() if name not in _RESERVED}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure_logging(level: str = "info") -> None:
    """Send the logger `tailorbird` to standard error as JSON lines, in this process, once.

    To the process's own standard error, which Ray keeps in a file: in a replica Serve puts a logger of its own in the
    place of `sys.stderr`, which holds lines back until there are many.
    """
    root = logging.getLogger("tailorbird")
    root.setLevel(level.upper())
    if not any(isinstance(handler.formatter, JsonFormatter) for handler in root.handlers):
        handler = logging.StreamHandler(sys.__stderr__)
        handler.setFormatter(JsonFormatter())
        root.addHandler(handler)
        root.propagate = False


class HttpMetrics:
    """Requests by route and code, and their seconds. Needs a connected Ray.

    `in_work` is how many requests this process works on; whoever lets them in keeps count.
    """

    def __init__(self) -> None:
        from ray.util.metrics import Counter, Histogram

        self.in_work = 0
        self._counts: dict[tuple[str, str, int], int] = {}
        self._requests = Counter(
            "tailorbird_http_requests", "Requests by route, method and status.", ("route", "method", "code")
        )
        self._seconds = Histogram(
            "tailorbird_http_request_seconds", "Seconds from request to last byte.", LATENCY_BOUNDS_S, ("route",)
        )

    def record(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one finished request, in an event loop. `status` 499 is a client that left."""
        counted = (route, method, status)
        if not self._counts:
            asyncio.get_running_loop().call_later(FLUSH_S, self.flush)
        self._counts[counted] = self._counts.get(counted, 0) + 1
        self._seconds.observe(seconds, {"route": route})

    def flush(self) -> None:
        """Hand over what was counted: one call to Ray costs as much as the rest of a request's metrics together."""
        counts, self._counts = self._counts, {}
        for (route, method, status), count in counts.items():
            self._requests.inc(count, {"route": route, "method": method, "code": str(status)})


class SwapMetrics:
    """Versions that came to serve, and versions that could not. Needs a connected Ray."""

    def __init__(self) -> None:
        from ray.util.metrics import Counter, Gauge

        self._swaps = Counter("tailorbird_version_swaps", "Versions that came to serve.")
        self._failures = Counter("tailorbird_version_failures", "Loads of a version that failed.")
        self._seconds = Gauge("tailorbird_version_load_seconds", "Seconds that the last load took.")
        self._age = Gauge(
            "tailorbird_version_age_seconds", "Seconds since the version that serves was made.", ("tenant",)
        )

    def swapped(self, seconds: float) -> None:
        """Another version serves, after this many seconds of loading."""
        self._swaps.inc()
        self._seconds.set(seconds)

    def age(self, tenant: str, seconds: float) -> None:
        """How old the version is that serves a tenant."""
        self._age.set(seconds, {"tenant": tenant})

    def failed(self) -> None:
        """A version could not be loaded."""
        self._failures.inc()

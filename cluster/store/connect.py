"""How a job, or anything else that is not a session shard, gets a store that can write.

PostgreSQL: opens it. SQLite has one writer process, and while a server runs that is session shard 0: writes go to it in
small chunks between the live requests, reads stay here. Without a server the caller becomes the writer.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from cluster.config import Settings
from cluster.errors import UnavailableError
from cluster.store.store import Store

GATEWAY_TIMEOUT_S = 60.0
START_WAIT_S = 10.0
"""How long a server that is starting, or a shard that is coming back, may take to answer."""


def connect_store(settings: Settings) -> Store:
    """A migrated store, open for writing by the way that is right now (see the module).

    Raises:
        UnavailableError: the database, or the process that has the right to write, does not answer.
    """
    if settings.uses_sqlite:
        give_up = time.monotonic() + START_WAIT_S
        while True:
            shard = _running_shard(settings)
            if shard is not None:
                return Store.open(settings, gateway=_Gateway(shard))
            try:
                store = Store.open(settings)
                break
            except UnavailableError:  # the writer is a job, or a server whose shard cannot be found yet
                if time.monotonic() >= give_up:
                    raise
                time.sleep(0.5)
    else:
        store = Store.open(settings)
    store.migrate()
    return store


class _Gateway:
    """Calls `write` of the shard and waits. Retries are safe: every write of the store can be repeated."""

    def __init__(self, shard: Any) -> None:
        self._shard = shard

    def __call__(self, part: str, method: str, args: tuple[Any, ...]) -> Any:
        import ray
        from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

        try:
            return ray.get(self._shard.write.remote(part, method, args), timeout=GATEWAY_TIMEOUT_S)
        except RayTaskError as error:
            raise error.cause from None  # our own errors, as they were raised
        except (RayActorError, GetTimeoutError) as error:
            raise UnavailableError(f"the session shard that writes the database does not answer: {error}") from error


def _running_shard(settings: Settings) -> Any | None:
    """Shard 0 of the server that uses these settings; None when there is no server."""
    from cluster.sessions.names import NAMESPACE, shard_name

    # Ray reads how to authenticate when it is imported, so `attach_ray` has to set that before anybody imports it.
    if "ray" not in sys.modules or not sys.modules["ray"].is_initialized():
        from cluster.launch import attach_ray, read_run_file

        if read_run_file(settings) is None:
            return None
        attach_ray(settings)
    import ray

    try:
        return ray.get_actor(shard_name(0), namespace=NAMESPACE)
    except ValueError:
        return None

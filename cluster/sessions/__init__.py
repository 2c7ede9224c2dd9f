"""The session pool: live sessions in Ray actors, in front of the event store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluster.sessions.actor import SessionShard
    from cluster.sessions.pool import SessionPool, view_of_events

__all__ = ["SessionPool", "SessionShard", "view_of_events"]


def __getattr__(name: str) -> Any:
    """Load on demand: `cluster.store` needs the names of the actors, and the shards need `cluster.store`."""
    if name == "SessionShard":
        from cluster.sessions.actor import SessionShard

        return SessionShard
    if name in {"SessionPool", "view_of_events"}:
        from cluster.sessions import pool

        return getattr(pool, name)
    raise AttributeError(name)

"""How the pool's actors are found, and which of them owns a person."""

from __future__ import annotations

from cluster.store.retention import user_digest

NAMESPACE = "tailorbird"


def shard_name(index: int) -> str:
    """The name of an actor in Ray."""
    return f"session-shard-{index}"


def owner(tenant: str, user_id: str, shards: int) -> int:
    """The index of the shard that owns a person: the same in every process and on every machine."""
    if shards == 1:
        return 0
    return int.from_bytes(user_digest(tenant, user_id)[:8], "little") % shards

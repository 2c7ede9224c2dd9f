"""How the pool's actors are found, and which of them owns a person."""

from __future__ import annotations

from cluster.store.retention import user_digest

NAMESPACE = "tailorbird"
_PREFIX = "session-shard-"


def shard_name(index: int) -> str:
    """The name of an actor in Ray."""
    return f"{_PREFIX}{index}"


def is_shard(name: str) -> bool:
    """Whether an actor of the namespace is a shard, of whatever pool."""
    return name.startswith(_PREFIX)


def owner(tenant: str, user_id: str, shards: int) -> int:
    """The index of the shard that owns a person: the same in every process and on every machine."""
    if shards == 1:
        return 0
    return int.from_bytes(user_digest(tenant, user_id)[:8], "little") % shards

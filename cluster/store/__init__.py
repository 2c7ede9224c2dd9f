"""The SQL store: events, catalogue, users, registry, feedback. SQLite by default, PostgreSQL by URL."""

from __future__ import annotations

from cluster.store.api_keys import StoredKey
from cluster.store.audit import AuditEntry
from cluster.store.connect import connect_store
from cluster.store.entities import Change
from cluster.store.feedback import Feedback, Recommendation
from cluster.store.operations import Operation
from cluster.store.registry import Move
from cluster.store.store import Store

__all__ = [
    "AuditEntry",
    "Change",
    "Feedback",
    "Move",
    "Operation",
    "Recommendation",
    "Store",
    "StoredKey",
    "connect_store",
]

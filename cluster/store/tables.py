"""The tables, as SQLAlchemy Core describes them. The migrations create them; nothing else does.

Every key starts with the tenant. Times are integers in milliseconds. JSON is kept as text, exactly as it was written,
so that an export of an import is equal byte for byte on both databases (JSONB would sort the keys).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

# SQLite gives out numbers only for a column of exactly the type INTEGER.
Sequence = BigInteger().with_variant(Integer(), "sqlite")
# Compared by bytes on both databases, whatever the locale of the server: pages and exports come in one order.
Key = Text(collation="C").with_variant(Text(), "sqlite")

events = Table(
    "events",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("tenant", Key, nullable=False),
    Column("event_id", Key, nullable=False),
    Column("user_id", Key, nullable=False),
    Column("item_id", Key, nullable=False),
    Column("type", Text, nullable=False),
    Column("value", Float(53)),
    Column("timestamp_ms", BigInteger, nullable=False),
    Column("session_id", Text),
    Column("recommendation_id", Key),
    Column("context", Text),
    UniqueConstraint("tenant", "event_id", name="uq_events_event_id"),
    Index("ix_events_user", "tenant", "user_id", "seq"),
    Index("ix_events_item", "tenant", "item_id"),
    sqlite_autoincrement=True,  # without it SQLite would give a deleted row's number out again
)


def _entity(name: str, id_column: str) -> Table:
    """A table of documents with a change feed: `seq` is that of the last change, a tombstone has no document."""
    return Table(
        name,
        metadata,
        Column("tenant", Key, nullable=False),
        Column(id_column, Key, nullable=False),
        Column("seq", BigInteger, nullable=False),
        Column("updated_ms", BigInteger, nullable=False),
        Column("document", Text),
        PrimaryKeyConstraint("tenant", id_column),
        Index(f"ix_{name}_seq", "seq", unique=True),
    )


items = _entity("items", "item_id")
users = _entity("users", "user_id")

counters = Table(
    "counters",
    metadata,
    Column("name", Key, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

versions = Table(
    "versions",
    metadata,
    Column("tenant", Key, nullable=False),
    Column("name", Key, nullable=False),
    Column("version", Key, nullable=False),
    Column("url", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("metrics", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "name", "version"),
)

pointers = Table(
    "pointers",
    metadata,
    Column("tenant", Key, nullable=False),
    Column("name", Key, nullable=False),
    Column("version", Key, nullable=False),
    Column("moved_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "name"),
)

moves = Table(
    "moves",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("tenant", Key, nullable=False),
    Column("name", Key, nullable=False),
    Column("from_version", Text),
    Column("to_version", Text, nullable=False),
    Column("moved_ms", BigInteger, nullable=False),
    Index("ix_moves_name", "tenant", "name", "seq"),
    sqlite_autoincrement=True,
)

feedback = Table(
    "feedback",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("tenant", Key, nullable=False),
    Column("feedback_id", Key, nullable=False),
    Column("user_id", Key),
    Column("recommendation_id", Key),
    Column("content_id", Text),
    Column("item_id", Key),
    Column("rating", Text),
    Column("comment", Text),
    Column("created_ms", BigInteger, nullable=False),
    UniqueConstraint("tenant", "feedback_id", name="uq_feedback_id"),
    Index("ix_feedback_user", "tenant", "user_id"),
    sqlite_autoincrement=True,
)

recommendations = Table(
    "recommendations",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("tenant", Key, nullable=False),
    Column("recommendation_id", Key, nullable=False),
    Column("user_id", Key),
    Column("model_version", Text, nullable=False),
    Column("variant", Text),
    Column("items", Text, nullable=False),
    Column("before", Text),
    Column("created_ms", BigInteger, nullable=False),
    UniqueConstraint("tenant", "recommendation_id", name="uq_recommendation_id"),
    Index("ix_recommendations_user", "tenant", "user_id"),
    sqlite_autoincrement=True,
)

operations = Table(
    "operations",
    metadata,
    Column("tenant", Key, nullable=False),
    Column("operation_id", Key, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("subject", Key),
    Column("result", Text),
    Column("created_ms", BigInteger, nullable=False),
    Column("finished_ms", BigInteger),
    PrimaryKeyConstraint("tenant", "operation_id"),
)

erasures = Table(
    "erasures",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("digest", LargeBinary, nullable=False),
    Column("erased_ms", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", Key, primary_key=True),
    Column("tenant", Key, nullable=False),
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("limits", Text),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    Column("replaces", Key),
    Index("ix_api_keys_tenant", "tenant"),
)

rules = Table(
    "rules",
    metadata,
    Column("tenant", Key, nullable=False),
    Column("rule_id", Key, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "rule_id"),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("tenant", Key, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text),
    Column("detail", Text),
    Column("request_id", Text),
    Index("ix_audit_tenant", "tenant", "seq"),
    sqlite_autoincrement=True,
)

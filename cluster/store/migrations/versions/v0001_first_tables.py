"""The first tables.

A migration is frozen history: it restates the types and imports nothing from `cluster.store.tables`, which goes on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")
SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "counters",
        sa.Column("name", KEY, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "erasures",
        sa.Column("seq", SEQUENCE, autoincrement=True, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("erased_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "events",
        sa.Column("seq", SEQUENCE, autoincrement=True, nullable=False),
        sa.Column("tenant", KEY, nullable=False),
        sa.Column("event_id", KEY, nullable=False),
        sa.Column("user_id", KEY, nullable=False),
        sa.Column("item_id", KEY, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(precision=53), nullable=True),
        sa.Column("timestamp_ms", sa.BigInteger(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("recommendation_id", KEY, nullable=True),
        sa.Column("context", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("tenant", "event_id", name="uq_events_event_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_item", "events", ["tenant", "item_id"], unique=False)
    op.create_index("ix_events_user", "events", ["tenant", "user_id", "seq"], unique=False)
    op.create_table(
        "feedback",
        sa.Column("seq", SEQUENCE, autoincrement=True, nullable=False),
        sa.Column("tenant", KEY, nullable=False),
        sa.Column("feedback_id", KEY, nullable=False),
        sa.Column("user_id", KEY, nullable=True),
        sa.Column("recommendation_id", KEY, nullable=True),
        sa.Column("content_id", sa.Text(), nullable=True),
        sa.Column("item_id", KEY, nullable=True),
        sa.Column("rating", sa.Text(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("tenant", "feedback_id", name="uq_feedback_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_feedback_user", "feedback", ["tenant", "user_id"], unique=False)
    op.create_table(
        "items",
        sa.Column("tenant", KEY, nullable=False),
        sa.Column("item_id", KEY, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "item_id"),
    )
    op.create_index("ix_items_seq", "items", ["seq"], unique=True)
    op.create_table(
        "moves",
        sa.Column("seq", SEQUENCE, autoincrement=True, nullable=False),
        sa.Column("tenant", KEY, nullable=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("from_version", sa.Text(), nullable=True),
        sa.Column("to_version", sa.Text(), nullable=False),
        sa.Column("moved_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_moves_name", "moves", ["tenant", "name", "seq"], unique=False)
    op.create_table(
        "pointers",
        sa.Column("tenant", KEY, nullable=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("version", KEY, nullable=False),
        sa.Column("moved_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name"),
    )
    op.create_table(
        "recommendations",
        sa.Column("seq", SEQUENCE, autoincrement=True, nullable=False),
        sa.Column("tenant", KEY, nullable=False),
        sa.Column("recommendation_id", KEY, nullable=False),
        sa.Column("user_id", KEY, nullable=True),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("variant", sa.Text(), nullable=True),
        sa.Column("items", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("tenant", "recommendation_id", name="uq_recommendation_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_recommendations_user", "recommendations", ["tenant", "user_id"], unique=False)
    op.create_table(
        "users",
        sa.Column("tenant", KEY, nullable=False),
        sa.Column("user_id", KEY, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "user_id"),
    )
    op.create_index("ix_users_seq", "users", ["seq"], unique=True)
    op.create_table(
        "versions",
        sa.Column("tenant", KEY, nullable=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("version", KEY, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", "version"),
    )
    counters = sa.table("counters", sa.column("name", sa.Text), sa.column("value", sa.BigInteger))
    op.bulk_insert(counters, [{"name": "items", "value": 0}, {"name": "users", "value": 0}])


def downgrade() -> None:
    op.drop_table("versions")
    op.drop_index("ix_users_seq", table_name="users")
    op.drop_table("users")
    op.drop_index("ix_recommendations_user", table_name="recommendations")
    op.drop_table("recommendations")
    op.drop_table("pointers")
    op.drop_index("ix_moves_name", table_name="moves")
    op.drop_table("moves")
    op.drop_index("ix_items_seq", table_name="items")
    op.drop_table("items")
    op.drop_index("ix_feedback_user", table_name="feedback")
    op.drop_table("feedback")
    op.drop_index("ix_events_user", table_name="events")
    op.drop_index("ix_events_item", table_name="events")
    op.drop_table("events")
    op.drop_table("erasures")
    op.drop_table("counters")

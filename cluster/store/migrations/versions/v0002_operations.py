"""Operations that go on after their request was answered; what a next page has to leave out.

A migration is frozen history: it restates the types and imports nothing from `cluster.store.tables`, which goes on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEY = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "operations",
        sa.Column("tenant", KEY, nullable=False),
        sa.Column("operation_id", KEY, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("subject", KEY, nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "operation_id"),
    )
    op.add_column("recommendations", sa.Column("before", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("recommendations", "before")
    op.drop_table("operations")

"""Alembic's entry: it finds the connection that `run.upgrade` left in the configuration."""

from __future__ import annotations

from alembic import context

from cluster.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    transaction_per_migration=False,
    render_as_batch=True,  # SQLite changes a table by copying it
)
with context.begin_transaction():
    context.run_migrations()

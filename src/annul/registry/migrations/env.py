"""Alembic's environment: run the migrations on the connection that `annul.registry.writing.store.migrate` hands in."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()

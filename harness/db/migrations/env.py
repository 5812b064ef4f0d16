"""Run migrations on the connection that harness.db.engine.upgrade hands over."""

from alembic import context

from fathom.harness.db.schema.runs import Table

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Table.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()

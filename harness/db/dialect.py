"""Write what SQLite and PostgreSQL spell differently from SQLAlchemy's common tongue."""

from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.dialects import postgresql, sqlite

from harness.db.models import Table


def insert_if_new(bind: Engine | Connection, table: type[Table]) -> Any:  # each dialect has an Insert of its own
    """Return an INSERT that passes over rows that break a unique constraint."""
    dialect = postgresql if bind.dialect.name == "postgresql" else sqlite
    return dialect.insert(table).on_conflict_do_nothing()

"""Write many rows at once: COPY on PostgreSQL, one prepared statement elsewhere."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection, text

from fathom.harness.db.schema.runs import Table
from fathom.harness.errors import StoreError

Row = tuple[Any, ...]  # one value a column, as the driver takes it: JSON as text, no dates

_AT_A_TIME = 20_000


def insert_into(connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Insert rows into a table by name, in the connection's transaction; the name must not come from a user.

    Raises:
        StoreError: PostgreSQL refused; errors of SQLAlchemy are not translated.
    """
    names = ", ".join(f'"{column}"' for column in columns)
    if connection.dialect.name == "postgresql":
        _copy(connection, f"COPY {table} ({names}) FROM STDIN", rows)
        return
    places = ", ".join("?" * len(columns))
    statement = f"INSERT INTO {table} ({names}) VALUES ({places})"  # noqa: S608  # our own names
    waiting = iter(rows)
    while some := list(islice(waiting, _AT_A_TIME)):
        connection.exec_driver_sql(statement, some)


def _copy(connection: Connection, statement: str, rows: Iterable[Row]) -> None:
    import psycopg  # needed where the database is PostgreSQL only

    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except psycopg.Error as error:
        raise StoreError(f"the database refused: {str(error).splitlines()[0]}") from error


def raise_counters(connection: Connection, tables: Iterable[type[Table]]) -> None:
    """Set PostgreSQL's counters to the highest ids, after rows with ids were inserted; SQLite needs nothing."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables:
        name = table.__tablename__
        counter = f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), max(id)) FROM {name}"  # noqa: S608  # ours
        connection.execute(text(counter))

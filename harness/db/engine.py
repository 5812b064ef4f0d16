"""Open a database by its URL, check its version, and upgrade its tables."""

import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Session

from fathom.harness.errors import BadDatabase, DiskFull, NewerDatabase, OlderDatabase, StoreError

log = logging.getLogger(__name__)

HEAD = "0013"
"""Newest migration; a test compares it with the files."""

_MIGRATION_LOCK = 0x666174686F6D
"""Number of PostgreSQL's advisory lock that a process holds while it changes the tables."""

_FULL = ("disk is full", "no space left", "disk i/o error", "could not extend file", "readonly database")


def parse_url(database: str) -> URL:
    """Read a database URL or the path of an SQLite file.

    Raises:
        BadDatabase: neither SQLite nor PostgreSQL, or not a URL at all.
    """
    if "://" not in database:
        return URL.create("sqlite", database=database)
    try:
        url = make_url(database)
        url.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise BadDatabase(_advice(database)) from error
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise BadDatabase(_advice(database))
    return url


def _advice(database: str) -> str:
    return (
        f"cannot use the database {_hide(database)}: give sqlite:///FILE, a file's path, or postgresql://USER@HOST/NAME"
    )


def _hide(database: str) -> str:
    try:
        return make_url(database).render_as_string(hide_password=True)
    except ArgumentError:
        return repr(database)


def open_database(database: str, *, create: bool) -> Engine:
    """Open a database whose tables are up to date.

    With `create`, a missing or empty database gets its tables; a stale one is never changed here.

    Raises:
        BadDatabase, NewerDatabase, OlderDatabase: see harness.errors.
    """
    url = parse_url(database)
    check_file(url, create)
    engine = make_engine(url)
    try:
        version = current_version(engine)
        if version is None and create:
            upgrade(engine)
            version = HEAD
        _check_version(url, version)
    except SQLAlchemyError as error:
        engine.dispose()
        raise unreadable(url, error) from error
    except StoreError:
        engine.dispose()
        raise
    return engine


def make_engine(url: URL) -> Engine:
    """Return an engine with a write-ahead log on SQLite and checked connections elsewhere."""
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": 30}, hide_parameters=True)
        event.listen(engine, "connect", _tune_sqlite)
        return engine
    return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10}, hide_parameters=True)


def _tune_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    for pragma in ("busy_timeout=30000", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    _use_wal(connection)


def _use_wal(connection: sqlite3.Connection, patience: float = 30.0) -> None:
    """Turn on the write-ahead log of a new file; SQLite refuses at once, without its busy timeout, if others do too."""
    began = time.monotonic()
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() - began > patience:
                raise
            time.sleep(0.02)


def current_version(engine: Engine) -> str | None:
    """Return the newest migration that the database has, or None for an empty database."""
    with engine.connect() as connection:
        return version_of(connection)


def version_of(connection: Connection) -> str | None:
    """Return the newest migration that the connection's transaction sees, or None for an empty database."""
    names = inspect(connection).get_table_names()
    if "alembic_version" not in names:
        if names:
            raise BadDatabase("this database holds other tables; give Fathom a database of its own")
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(engine: Engine) -> None:
    """Bring the tables up to date, all of them or none; a second call, also at the same time, changes nothing."""
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # sqlite3 begins no transaction before CREATE or ALTER
        else:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))  # held until the commit
        migrate(connection, HEAD)
    log.info("database is at version %s", HEAD)


def migrate(connection: Connection, revision: str) -> None:
    """Migrate the tables to a version, up or down, in the connection's transaction; `base` drops them all."""
    from alembic import command  # slow to import, and needed once a database
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    version = version_of(connection) or ""
    (command.downgrade if revision == "base" or revision < version else command.upgrade)(config, revision)


def check_file(url: URL, create: bool) -> None:
    """Make a missing SQLite file with `create`, readable by its owner alone: it holds people, tokens and seeds.

    Raises:
        BadDatabase: it does not exist, or cannot be created.
    """
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return
    path = Path(str(url.database))
    if not path.exists() and not create:
        raise BadDatabase(f"there is no database {path} yet: `fathom run` makes one, or give --db")
    if not path.parent.is_dir():
        raise BadDatabase(f"the folder {path.parent} for the database does not exist: make it, or give another --db")
    if not path.exists():
        with suppress(OSError):  # another process was faster, or SQLite says why it cannot be made
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _check_version(url: URL, version: str | None) -> None:
    shown = url.render_as_string(hide_password=True)
    if version is None:
        raise BadDatabase(f"the database {shown} is empty: `fathom run` or `fathom db upgrade` makes its tables")
    if version > HEAD:
        raise NewerDatabase(f"the database {shown} is of version {version}, this Fathom knows {HEAD}: update Fathom")
    if version < HEAD:
        raise OlderDatabase(f"the database {shown} is of version {version}: run `fathom db upgrade --db {shown}`")


def unreadable(url: URL, error: SQLAlchemyError) -> StoreError:
    """Return a short error that says why a database cannot be opened."""
    reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
    if _is_full(error):
        return DiskFull(f"cannot write the database: {reason}: free some space or give another --db")
    return BadDatabase(f"cannot open the database {url.render_as_string(hide_password=True)}: {reason}")


def _is_full(error: BaseException) -> bool:
    return any(sign in str(error).lower() for sign in _FULL)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise the driver's errors inside the block as StoreErrors that say what to do."""
    try:
        yield
    except OperationalError as error:
        if _is_full(error):
            raise DiskFull("the disk is full: free some space, then resume the run; nothing stored is lost") from error
        raise StoreError(f"the database refused: {str(error.orig).splitlines()[0]}") from error
    except DBAPIError as error:
        raise StoreError(f"the database refused: {str(error.orig).splitlines()[0]}") from error


@contextmanager
def writing(db: Engine) -> Iterator[Session]:
    """Open a transaction that writes; on SQLite it waits for other writers before its first statement."""
    with translate_errors(), Session(db) as session, session.begin():
        if db.dialect.name == "sqlite":
            session.execute(text("BEGIN IMMEDIATE"))
        yield session


def insert_if_new(
    bind: Engine | Connection, table: type[DeclarativeBase]
) -> Any:  # each dialect has an Insert of its own
    """Return an INSERT that skips rows which violate a unique constraint."""
    dialect = postgresql if bind.dialect.name == "postgresql" else sqlite
    return dialect.insert(table).on_conflict_do_nothing()

"""Restore a backup into an empty database, completely or not at all."""

import base64
import binascii
import datetime as dt
import gzip
import json
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, DateTime, func, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from fathom.harness.db.backup.backup import BACKUP_FORMAT, Dumped, all_tables
from fathom.harness.db.engine import (
    HEAD,
    check_file,
    make_engine,
    migrate,
    parse_url,
    translate_errors,
    unreadable,
    version_of,
)
from fathom.harness.db.schema.runs import Table
from fathom.harness.db.sql import Row, insert_into, raise_counters
from fathom.harness.errors import BadBackup, BadInput, NewerDatabase, StoreError

_AT_A_TIME = 1000
_LONGEST = 64 << 20
"""Longest line that is read, in bytes."""


@dataclass(frozen=True, slots=True)
class Restored:
    """Contents of the file, and of the database now."""

    dumped: Dumped
    rows: dict[str, int]
    """Number of rows by table of this version."""


def restore(file: Path, database: str) -> Restored:
    """Fill an empty database from a backup, in one transaction; a backup of an older version is upgraded.

    Raises:
        BadInput: no such file, or a database with rows.
        BadBackup: a file that is cut short, was changed, or is not a backup.
        NewerDatabase: written by a newer Fathom.
        StoreError: the database refused.
    """
    dumped = check_backup(file)
    url = parse_url(database)
    check_file(url, create=True)
    made = url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists()
    db = make_engine(url)
    try:
        with translate_errors(), db.connect() as connection:
            _begin(connection)
            _need_empty(connection)
            rows = _fill(connection, file, dumped)
            connection.commit()
        made = False
    except SQLAlchemyError as error:
        raise unreadable(url, error) from error
    finally:
        db.dispose()
        if made:
            _remove(Path(str(url.database)))
    return Restored(dumped, rows)


def _remove(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)


def _begin(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _need_empty(connection: Connection) -> None:
    """Refuse a database with rows; drop empty tables, to create those of the file's version."""
    version = version_of(connection)
    if version is None:
        return
    if version != HEAD:
        raise BadInput(f"the database is of version {version}: restore into a new one")
    for name in inspect(connection).get_table_names():
        if name != "alembic_version" and connection.execute(text(f'SELECT 1 FROM "{name}" LIMIT 1')).first():  # noqa: S608  # a table's name
            raise BadInput(f"the database holds rows already (table {name}): restore into a new, empty one")
    migrate(connection, "base")


def _fill(connection: Connection, file: Path, dumped: Dumped) -> dict[str, int]:
    migrate(connection, dumped.schema)
    with closing(_lines(file)) as lines:
        next(lines)
        for _ in dumped.rows:
            try:
                _load(connection, lines)
            except (ValueError, KeyError, TypeError) as error:
                raise _broken(file, "a value is not what its column says") from error
    # before the migrations, which may add rows
    tables = [one.class_ for one in Table.registry.mappers if one.local_table.name in dumped.rows]  # type: ignore[attr-defined]
    raise_counters(connection, [table for table in tables if _counts(table)])
    migrate(connection, HEAD)
    rows = {
        one.name: int(connection.execute(select(func.count()).select_from(one)).scalar_one()) for one in all_tables()
    }
    for table, n in dumped.rows.items():
        if dumped.schema == HEAD and rows.get(table) != n:
            raise StoreError(f"{table} holds {rows.get(table)} rows where the backup has {n}: nothing was restored")
    return rows


def _counts(table: type[Table]) -> bool:
    column = table.__table__.autoincrement_column  # type: ignore[attr-defined]  # a FromClause by its types, a Table here
    return column is not None and column.name == "id"


def _load(connection: Connection, lines: Iterator[bytes]) -> None:
    head = _dict(next(lines))
    table, columns = str(head["table"]), [(str(name), str(kind)) for name, kind in head["columns"]]
    known = {column["name"] for column in inspect(connection).get_columns(table)}
    if not {name for name, _ in columns} <= known:
        raise BadBackup(
            f"the backup's table {table} has columns that this version does not have: it is not a backup of Fathom"
        )
    turns = [_turn(kind, connection) for _, kind in columns]
    rows = _rows(lines, turns)
    while some := list(islice(rows, _AT_A_TIME)):
        insert_into(connection, table, [name for name, _ in columns], some)


def _rows(lines: Iterator[bytes], turns: Sequence[Callable[[Any], Any]]) -> Iterator[Row]:
    for line in lines:
        if not line.startswith(b"["):
            return
        values = json.loads(line)
        yield tuple(None if value is None else turn(value) for turn, value in zip(turns, values, strict=True))


def _turn(kind: str, connection: Connection) -> Callable[[Any], Any]:
    """Return a function from a written value to the driver's."""
    if kind == "bytes":
        return base64.b64decode
    if kind != "time":
        return lambda value: value
    bound = DateTime(timezone=True).bind_processor(connection.dialect)
    return lambda value: _instant(value) if bound is None else bound(_instant(value))


def _instant(value: str) -> dt.datetime:
    return dt.datetime.fromisoformat(value).astimezone(dt.UTC)


def check_backup(file: Path) -> Dumped:
    """Read a backup to its end and return its contents.

    Raises:
        BadInput: no such file.
        BadBackup, NewerDatabase: see `restore`.
    """
    try:
        with closing(_lines(file)) as lines:
            return _check(file, lines)
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise BadInput(f"cannot read {file}: {error.strerror}") from error
        raise _broken(file, "it is cut short, or is not compressed") from error
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration, binascii.Error) as error:
        raise _broken(file, "a line cannot be read, or is missing") from error


def _check(file: Path, lines: Iterator[bytes]) -> Dumped:
    first = next(lines)
    head, whole = _dict(first), sha256(first)
    if head["fathom-backup"] != BACKUP_FORMAT or head["schema"] > HEAD:
        raise NewerDatabase(f"{file} was written by a newer Fathom (version {head['schema']}): update Fathom")
    rows: dict[str, int] = {}
    for line in lines:
        known = _dict(line)
        if "complete" not in known:
            rows[known["table"]], end = _check_table(file, line, lines)
            whole.update(end)
            continue
        if (known["complete"], known["sha256"]) != (sum(rows.values()), whole.hexdigest()) or next(lines, None):
            raise _broken(file, "its last line does not fit the rest")
        return Dumped(str(head["schema"]), _instant(head["made_at"]), rows)
    raise _broken(file, "it is cut short")


def _check_table(file: Path, first: bytes, lines: Iterator[bytes]) -> tuple[int, bytes]:
    """Read a table to its end; return the number of its rows and its last line."""
    head = _dict(first)
    digest, width = sha256(first), len(head["columns"])
    for n, line in enumerate(lines):
        if not line.startswith(b"["):
            end = _dict(line)
            if (end["end"], end["rows"], end["sha256"]) != (head["table"], n, digest.hexdigest()):
                raise _broken(file, f"table {head['table']} was changed")
            return n, line
        if len(json.loads(line)) != width:
            raise _broken(file, f"a row of {head['table']} has another number of columns")
        digest.update(line)
    raise _broken(file, f"it is cut short in table {head['table']}")


def _lines(file: Path) -> Generator[bytes]:
    with gzip.open(file, "rb") as read:
        while line := read.readline(_LONGEST):
            if not line.endswith(b"\n"):
                raise EOFError
            yield line


def _dict(line: bytes) -> dict[str, Any]:  # JSON of a header or an end
    found = json.loads(line)
    if not isinstance(found, dict):
        raise ValueError(line[:80])
    return found


def _broken(file: Path, why: str) -> BadBackup:
    return BadBackup(f"{file} is not a complete backup: {why}; nothing was restored, so take another copy of it")

"""Back up a database to one portable file: compressed lines of JSON, with a checksum a table.

The first line is a header; each table is a line with its columns, its rows, and a line with their number and SHA-256;
the last line counts all rows, and has the SHA-256 of the header and of the tables' last lines. Both kinds of database
write the same lines: instants in UTC, bytes in base64, JSON as the stored text.
"""

import base64
import datetime as dt
import gzip
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Engine,
    Float,
    Integer,
    LargeBinary,
    Text,
    cast,
    select,
)
from sqlalchemy import Table as Columns
from sqlalchemy.types import TypeDecorator, TypeEngine

from fathom.harness.db.engine import HEAD, translate_errors
from fathom.harness.db.schema import laws, probes, service, task_samples  # noqa: F401  # their tables are in Table.metadata
from fathom.harness.db.schema.runs import Table
from fathom.harness.errors import BadInput, DiskFull

BACKUP_FORMAT = 1
"""Version of the format; a change that an older Fathom cannot read raises it."""

ColumnKind = Literal["int", "float", "bool", "time", "bytes", "json", "text"]
_Value = str | int | float | bool | None

_KINDS: tuple[tuple[type[TypeEngine[Any]], ColumnKind], ...] = (
    (JSON, "json"), (Boolean, "bool"), (DateTime, "time"), (LargeBinary, "bytes"), (Float, "float"),
    (BigInteger, "int"), (Integer, "int"), (Text, "text"),
)  # fmt: skip
_AT_A_TIME = 500


@dataclass(frozen=True, slots=True)
class Dumped:
    """Contents of a backup."""

    schema: str
    made_at: dt.datetime
    rows: Mapping[str, int]
    """Number of rows by table, in the order of the file."""


def all_tables() -> list[Columns]:
    """Return all tables, each after the tables of its foreign keys."""
    return Table.metadata.sorted_tables


def kind_of(column: Column[Any]) -> ColumnKind:
    """Return the form in which a column's values are written."""
    found: TypeEngine[Any] = column.type
    if isinstance(found, TypeDecorator):
        found = found.impl_instance
    return next(kind for known, kind in _KINDS if isinstance(found, known))


def back_up(db: Engine, file: Path) -> Dumped:
    """Write all rows, as of one instant, to a new file that only its owner may read.

    Other processes may write to the database meanwhile. The file appears complete or not at all.

    Raises:
        BadInput: the file exists already, or its folder does not.
        DiskFull, StoreError: see harness.errors.
    """
    if file.exists():
        raise BadInput(f"{file} exists already: name a new file")
    if not file.parent.is_dir():
        raise BadInput(f"the folder {file.parent} does not exist: make it, or name another file")
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with translate_errors(), _snapshot(db) as connection, _opened(unfinished) as out:
            dumped = _write(connection, out)
        unfinished.replace(file)
    except OSError as error:
        raise DiskFull(f"cannot write {file}: {error.strerror}: free some space or name another file") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return dumped


@contextmanager
def _snapshot(db: Engine) -> Iterator[Connection]:
    """Open a transaction that sees one state of the database while others write."""
    with db.connect() as connection:
        if db.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN")
        else:
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        yield connection
        connection.rollback()


@contextmanager
def _opened(path: Path) -> Iterator[gzip.GzipFile]:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as raw:
        with gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6) as out:
            yield out
        raw.flush()
        os.fsync(raw.fileno())


def _write(connection: Connection, out: gzip.GzipFile) -> Dumped:
    now, counts, whole = dt.datetime.now(dt.UTC), {}, sha256()
    out.write(head := _line({"fathom-backup": BACKUP_FORMAT, "schema": HEAD, "made_at": now.isoformat()}))
    whole.update(head)
    for table in all_tables():
        counts[table.name], end = _write_table(connection, table, out)
        whole.update(end)
    out.write(_line({"complete": sum(counts.values()), "sha256": whole.hexdigest()}))
    return Dumped(HEAD, now, counts)


def _write_table(connection: Connection, table: Columns, out: gzip.GzipFile) -> tuple[int, bytes]:
    """Write a table; return the number of its rows and its last line."""
    kinds = [kind_of(column) for column in table.columns]
    names = [[column.name, kind] for column, kind in zip(table.columns, kinds, strict=True)]
    out.write(head := _line({"table": table.name, "columns": names}))
    # a JSON column may hold SQL's NULL or JSON's: as text they differ
    wanted = select(*(cast(one, Text) if kind_of(one) == "json" else one for one in table.columns))
    wanted = wanted.order_by(*table.primary_key.columns)
    digest, n = sha256(head), 0
    for row in connection.execution_options(yield_per=_AT_A_TIME).execute(wanted):
        line = _line([_portable(value) for value in row])
        digest.update(line)
        out.write(line)
        n += 1
    out.write(end := _line({"end": table.name, "rows": n, "sha256": digest.hexdigest()}))
    return n, end


def _line(value: object) -> bytes:
    """Write one line of the file."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _portable(value: Any) -> _Value:  # whatever a column holds
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(value).decode()
    found: _Value = value
    return found

"""Turn rows of any number into CSV, JSON lines or Parquet, and into files that are whole or not there."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from errno import ENOSPC
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal
from uuid import uuid4

from harness.errors import BadInput, DiskFull

Row = Mapping[str, Any]  # texts, numbers, booleans, None; in JSON lines and Parquet lists and dicts of these as well
"""A line of a table; all rows of one have the same keys."""

Kind = Literal["text", "int", "float", "bool", "texts", "floats", "counts"]
"""What a column holds; `counts` are numbers by name. Any of them may be None."""

Format = Literal["jsonl", "parquet", "csv"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_ROW_GROUP = 2_000


def csv_lines(rows: Iterable[Row], columns: Sequence[str]) -> Iterator[str]:
    """Write RFC 4180 lines; a text that a spreadsheet would take for a formula gets a leading quote."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row[column]) for column in columns])
        if buffer.tell() > 1 << 16:
            yield _drain(buffer)
    yield _drain(buffer)


def _drain(buffer: io.StringIO) -> str:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text


def _cell(value: object) -> object:
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, str):
        return value
    text = value.replace("\0", "\ufffd")  # csv readers stop at NUL
    return f"'{text}" if text.startswith(_FORMULA) else text


def json_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Write one JSON object a line."""
    for row in rows:
        yield json.dumps(dict(row), ensure_ascii=False) + "\n"


def write_table(rows: Iterable[Row], columns: Mapping[str, Kind], kind: Format, out: BinaryIO) -> None:
    """Write a table as it is read, in memory that does not grow with it."""
    if kind == "parquet":
        _write_parquet(rows, columns, out)
        return
    ordered = ({name: row[name] for name in columns} for row in rows)
    for text in csv_lines(rows, list(columns)) if kind == "csv" else json_lines(ordered):
        out.write(text.encode())


def _write_parquet(rows: Iterable[Row], columns: Mapping[str, Kind], out: BinaryIO) -> None:
    import pyarrow as pa  # a quarter of a second to import, needed for this format only
    import pyarrow.parquet as pq

    types = {
        "text": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(),
        "texts": pa.list_(pa.string()), "floats": pa.list_(pa.float64()), "counts": pa.map_(pa.string(), pa.int64()),
    }  # fmt: skip
    schema = pa.schema([(name, types[column]) for name, column in columns.items()])
    waiting = iter(rows)
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        while some := list(islice(waiting, _ROW_GROUP)):
            made = {name: [_arrow(row[name]) for row in some] for name in columns}
            writer.write_table(pa.table(made, schema=schema))


def _arrow(value: object) -> object:
    return list(value.items()) if isinstance(value, dict) else value


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing under a name of its own; it gets its name when it is whole.

    Raises:
        BadInput, DiskFull: it cannot be written.
    """
    partial = path.with_name(f".partial-{uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as stream:
            yield stream
        partial.replace(path)
    except OSError as error:
        kind = DiskFull if error.errno == ENOSPC else BadInput
        raise kind(f"cannot write {path} ({error.strerror}): give another --out, or free some space") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)

"""Turn rows into files that people take along: CSV, JSON, JSON lines, Parquet."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from fastapi import Response
from fastapi.responses import StreamingResponse

Format = Literal["csv", "json", "parquet"]
Row = Mapping[str, Any]  # texts, numbers, None
"""A line of a table; all rows of one have the same keys."""

_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def download(rows: Sequence[Row], columns: Sequence[str], kind: Format, name: str) -> Response:
    """Answer with a table as a file; `columns` are named even where there is no row."""
    if kind == "json":
        body: str | bytes = json.dumps([dict(row) for row in rows], ensure_ascii=False, indent=1)
    elif kind == "csv":
        body = "".join(csv_lines(rows, columns))
    else:
        body = _parquet(rows, columns)
    return Response(body, media_type=_TYPES[kind], headers=_headers(f"{name}.{kind}"))


def stream(rows: Iterable[Row], columns: Sequence[str], kind: Literal["csv", "jsonl"], name: str) -> Response:
    """Answer with a table of any length, written as it is read."""
    lines = csv_lines(rows, columns) if kind == "csv" else _json_lines(rows)
    return StreamingResponse(lines, media_type=_TYPES[kind], headers=_headers(f"{name}.{kind}"))


def _headers(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}  # names are our own: words and hex digits


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
    if not isinstance(value, str):
        return value
    text = value.replace("\0", "\ufffd")  # csv readers stop at NUL
    return f"'{text}" if text.startswith(_FORMULA) else text


def _json_lines(rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(dict(row), ensure_ascii=False) + "\n"


def _parquet(rows: Sequence[Row], columns: Sequence[str]) -> bytes:
    import pyarrow as pa  # half a second to import, needed for this format only
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table({column: pa.array([row[column] for row in rows]) for column in columns}), buffer)
    return buffer.getvalue()

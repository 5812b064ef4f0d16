"""Turn rows into files that people take along: CSV, JSON, JSON lines, Parquet."""

import io
import json
from collections.abc import Iterable, Sequence
from typing import Literal

from fastapi import Response
from fastapi.responses import StreamingResponse

from harness.tabular import Row, csv_lines, json_lines

Format = Literal["csv", "json", "parquet"]
_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
}


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
    lines = csv_lines(rows, columns) if kind == "csv" else json_lines(rows)
    return StreamingResponse(lines, media_type=_TYPES[kind], headers=_headers(f"{name}.{kind}"))


def _headers(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}  # names are our own: words and hex digits


def _parquet(rows: Sequence[Row], columns: Sequence[str]) -> bytes:
    import pyarrow as pa  # half a second to import, needed for this format only
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table({column: pa.array([row[column] for row in rows]) for column in columns}), buffer)
    return buffer.getvalue()

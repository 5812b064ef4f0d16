"""Tables of a stored run for other tools: its samples and its cells as JSON lines, Parquet or CSV."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal
from uuid import uuid4

from sqlalchemy import Engine

from fathom.harness.db.find import shown_run
from fathom.harness.db.samples import StoredSample, stream_stored
from fathom.harness.errors import write_error
from fathom.harness.records import RunDetail
from fathom.harness.reports.found import found_json
from fathom.harness.reports.frames import FlatRow
from fathom.harness.runs.requests import shown_prompt
from fathom.harness.runs.run_settings import PromptSettings, prompt_settings_of
from fathom.harness.stats.scores import CellCounts, rung_of
from fathom.tasks.base import shown_candidates
from fathom.tasks.errors import TaskError
from fathom.tasks.registry import find_family
from fathom.tasks.suites import SuiteCell, item_at

ColumnType = Literal["text", "int", "float", "bool", "texts", "floats", "counts"]
"""Type of a column; `counts` are numbers by name. Any value may be None."""

SAMPLES: dict[str, ColumnType] = {
    "run": "text", "item": "text", "family": "text", "version": "int", "level": "text", "channel": "text",
    "style": "text", "seed": "text", "index": "int", "repeat": "int", "correct": "bool", "found": "text",
    "label": "text", "fault_at": "int", "note": "text", "parsed": "text", "gold": "text", "finish_reason": "text",
    "completion": "text",
    "candidates": "texts", "candidate_scores": "floats", "prompt_tokens": "int", "completion_tokens": "int",
    "milliseconds": "int", "error": "text", "question": "text",
}  # fmt: skip
"""Columns of the table of samples; question, gold and candidates are None where they cannot be made again.

`found`, and n_asked, n_unread and n_cut of cells, are None where a version graded them that did not store this.
"""

CELLS: dict[str, ColumnType] = {
    "run": "text", "model": "text", "family": "text", "version": "int", "level": "text", "channel": "text",
    "style": "text", "seed": "text", "hardness": "float", "chance": "float", "n_planned": "int", "n": "int", "k": "int",
    "n_errors": "int", "n_asked": "int", "n_unread": "int", "n_cut": "int", "low": "float", "high": "float",
    "labels": "counts",
}  # fmt: skip
"""Columns of the table of cells; low and high bound the 95% interval of k of n."""

TableFormat = Literal["jsonl", "parquet", "csv"]

TABLE_SUFFIXES: dict[str, TableFormat] = {".jsonl": "jsonl", ".parquet": "parquet", ".csv": "csv"}


def _sample_rows(db: Engine, detail: RunDetail) -> Iterator[FlatRow]:
    """Yield the rows of the table of samples, in the order of cells and indices, in constant memory."""
    asked = prompt_settings_of(detail.manifest)
    for planned, counted in zip(detail.suite.cells, detail.cells, strict=True):
        for one in stream_stored(db, counted.id):
            yield {**_sample_row(detail, planned, one), **_item_columns(planned, detail.suite.seed, one.index, asked)}


def _sample_row(detail: RunDetail, cell: SuiteCell, one: StoredSample) -> FlatRow:
    seed, done, verdict = detail.suite.seed, one.completion, one.verdict
    return {
        "run": detail.summary.run,
        "item": f"{cell.family}@{cell.version}/{cell.level}/{cell.channel}/{seed}/{one.index}",
        "family": cell.family, "version": cell.version, "level": cell.level, "channel": cell.channel,
        "style": cell.style, "seed": seed, "index": one.index, "repeat": one.repeat, "correct": verdict.correct,
        "found": verdict.found if one.knows_found else None,
        "label": verdict.label, "fault_at": verdict.at, "note": verdict.note, "parsed": verdict.parsed,
        "finish_reason": done.finish_reason, "completion": done.text,
        "candidate_scores": None if done.scores is None else list(done.scores), "prompt_tokens": done.prompt_tokens,
        "completion_tokens": done.completion_tokens, "milliseconds": round(done.seconds * 1000), "error": done.error,
    }  # fmt: skip


def _item_columns(cell: SuiteCell, seed: str, index: int, asked: PromptSettings) -> FlatRow:
    """Return the columns that come from the item and from how the run was asked."""
    try:
        family = find_family(cell.family)
        if family.version == cell.version:
            item = item_at(cell, seed, index)
            candidates = [one.strip() for one in shown_candidates(item, cell.style)] or None
            return {"gold": item.gold, "candidates": candidates, "question": shown_prompt(item, cell.style, asked)}
    except TaskError:
        pass
    return {"gold": None, "candidates": None, "question": None}


def _cell_rows(detail: RunDetail) -> Iterator[FlatRow]:
    """Yield the rows of the table of cells."""
    return (_cell_row(detail, cell) for cell in detail.cells)


def _cell_row(detail: RunDetail, cell: CellCounts) -> FlatRow:
    rung, interval = rung_of(cell), cell.interval
    return {
        "run": detail.summary.run, "model": detail.summary.model, "family": cell.family, "version": cell.version,
        "level": cell.level, "channel": cell.channel, "style": cell.style, "seed": detail.suite.seed,
        "hardness": rung.hardness if rung else None, "chance": rung.chance if rung else None,
        "n_planned": cell.n_planned, "n": cell.n, "k": cell.k, "n_errors": cell.n_errors, **found_json(cell.found),
        "low": interval.low, "high": interval.high, "labels": dict(cell.labels),
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class TableFiles:
    """Paths of a run's two tables."""

    samples: Path
    cells: Path


def export_tables(db: Engine, run: str, kind: TableFormat, out: Path) -> TableFiles:
    """Write the tables of a run's samples and cells, each to a file that is complete or absent.

    `out` is a folder, or the file for the samples; the file for the cells is written beside it.

    Raises:
        UnknownRun: no such run.
        SealedRun: its season has not ended.
        BadInput, DiskFull: a file cannot be written.
    """
    detail = shown_run(db, run)
    if out.suffix in TABLE_SUFFIXES and not out.is_dir():
        found = TableFiles(out, out.with_name(f"{out.stem}-cells{out.suffix}"))
    else:
        name = f"fathom-{detail.summary.run}"
        found = TableFiles(out / f"{name}-samples.{kind}", out / f"{name}-cells.{kind}")
    with whole_file(found.samples) as stream:
        write_rows(_sample_rows(db, detail), SAMPLES, kind, stream)
    with whole_file(found.cells) as stream:
        write_rows(_cell_rows(detail), CELLS, kind, stream)
    return found


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Beginnings that a spreadsheet takes for a formula; the last four are the wide forms of the first four."""

_ROW_GROUP = 2_000


def csv_lines(rows: Iterable[FlatRow], columns: Sequence[str]) -> Iterator[str]:
    """Yield CSV (RFC 4180) in pieces; a text that a spreadsheet would run as a formula gets a leading quote."""
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


def json_lines(rows: Iterable[FlatRow]) -> Iterator[str]:
    """Yield rows as JSON objects, one a line."""
    for row in rows:
        yield json.dumps(dict(row), ensure_ascii=False) + "\n"


def write_rows(rows: Iterable[FlatRow], columns: Mapping[str, ColumnType], kind: TableFormat, out: BinaryIO) -> None:
    """Write a table row by row, in constant memory."""
    if kind == "parquet":
        _write_parquet(rows, columns, out)
        return
    ordered = ({name: row[name] for name in columns} for row in rows)
    for text in csv_lines(rows, list(columns)) if kind == "csv" else json_lines(ordered):
        out.write(text.encode())


def _write_parquet(rows: Iterable[FlatRow], columns: Mapping[str, ColumnType], out: BinaryIO) -> None:
    import pyarrow as pa  # takes a quarter of a second, needed for this format only
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
    """Open a temporary file for writing, and rename it to `path` once it is complete.

    Raises:
        BadInput, DiskFull: the file cannot be written.
    """
    partial = path.with_name(f".partial-{uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as stream:
            yield stream
        partial.replace(path)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)

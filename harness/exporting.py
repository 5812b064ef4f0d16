"""Turn a stored run into files for other tools: its samples and its cells as JSON lines, Parquet or CSV."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from harness.db.read import CellCounts, RunDetail
from harness.db.record import Stored, stream_stored
from harness.meant import shown_run
from harness.scores import rung_of
from harness.suite import SuiteCell, item_at
from harness.tabular import Format, Kind, Row, whole_file, write_table
from tasks import TaskError, find_family, pose
from tasks.base import shown_candidates

SAMPLES: dict[str, Kind] = {
    "run": "text", "item": "text", "family": "text", "version": "int", "level": "text", "channel": "text",
    "style": "text", "seed": "text", "index": "int", "repeat": "int", "correct": "bool", "label": "text",
    "fault_at": "int", "note": "text", "parsed": "text", "gold": "text", "finish_reason": "text", "completion": "text",
    "candidates": "texts", "candidate_scores": "floats", "prompt_tokens": "int", "completion_tokens": "int",
    "milliseconds": "int", "error": "text", "question": "text",
}  # fmt: skip
"""Columns of the table of samples; question, gold and candidates are None where they cannot be made again."""

CELLS: dict[str, Kind] = {
    "run": "text", "model": "text", "family": "text", "version": "int", "level": "text", "channel": "text",
    "style": "text", "seed": "text", "hardness": "float", "chance": "float", "n_planned": "int", "n": "int", "k": "int",
    "n_errors": "int", "low": "float", "high": "float", "labels": "counts",
}  # fmt: skip
"""Columns of the table of cells; low and high bound the 95% interval of k of n."""

ENDINGS: dict[str, Format] = {".jsonl": "jsonl", ".parquet": "parquet", ".csv": "csv"}


def sample_rows(db: Engine, detail: RunDetail) -> Iterator[Row]:
    """Yield the rows of SAMPLES in the order of cells and indices, in constant memory."""
    for planned, counted in zip(detail.suite.cells, detail.cells, strict=True):
        for one in stream_stored(db, counted.id):
            yield _sample_row(detail, planned, one)


def _sample_row(detail: RunDetail, cell: SuiteCell, one: Stored) -> Row:
    seed, done, verdict = detail.suite.seed, one.completion, one.verdict
    return {
        "run": detail.summary.run,
        "item": f"{cell.family}@{cell.version}/{cell.level}/{cell.channel}/{seed}/{one.index}",
        "family": cell.family, "version": cell.version, "level": cell.level, "channel": cell.channel,
        "style": cell.style, "seed": seed, "index": one.index, "repeat": one.repeat, "correct": verdict.correct,
        "label": verdict.label, "fault_at": verdict.at, "note": verdict.note, "parsed": verdict.parsed,
        "finish_reason": done.finish_reason, "completion": done.text,
        "candidate_scores": None if done.scores is None else list(done.scores), "prompt_tokens": done.prompt_tokens,
        "completion_tokens": done.completion_tokens, "milliseconds": round(done.seconds * 1000), "error": done.error,
        **_asked(cell, seed, one.index),
    }  # fmt: skip


def _asked(cell: SuiteCell, seed: str, index: int) -> dict[str, Any]:  # the columns that tell of the item
    try:
        family = find_family(cell.family)
        if family.version == cell.version:
            item = item_at(cell, seed, index)
            candidates = [one.strip() for one in shown_candidates(item, cell.style)] or None
            return {"gold": item.gold, "candidates": candidates, "question": pose(family, item, cell.style)}
    except TaskError:
        pass
    return {"gold": None, "candidates": None, "question": None}


def cell_rows(detail: RunDetail) -> Iterator[Row]:
    """Yield the rows of CELLS."""
    return (_cell_row(detail, cell) for cell in detail.cells)


def _cell_row(detail: RunDetail, cell: CellCounts) -> Row:
    rung, interval = rung_of(cell), cell.interval
    return {
        "run": detail.summary.run, "model": detail.summary.model, "family": cell.family, "version": cell.version,
        "level": cell.level, "channel": cell.channel, "style": cell.style, "seed": detail.suite.seed,
        "hardness": rung.hardness if rung else None, "chance": rung.chance if rung else None,
        "n_planned": cell.n_planned, "n": cell.n, "k": cell.k, "n_errors": cell.n_errors, "low": interval.low,
        "high": interval.high, "labels": dict(cell.labels),
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tables:
    """Where a run's two tables were written."""

    samples: Path
    cells: Path


def export_tables(db: Engine, run: str, kind: Format, out: Path) -> Tables:
    """Write a run's samples and cells, each to a file that is whole or not there.

    `out` is a folder, or the file for the samples; that for the cells lies beside it.

    Raises:
        UnknownRun, SealedRun: see open_run.
        BadInput, DiskFull: a file cannot be written.
    """
    detail = shown_run(db, run)
    if out.suffix in ENDINGS and not out.is_dir():
        found = Tables(out, out.with_name(f"{out.stem}-cells{out.suffix}"))
    else:
        name = f"fathom-{detail.summary.run}"
        found = Tables(out / f"{name}-samples.{kind}", out / f"{name}-cells.{kind}")
    with whole_file(found.samples) as stream:
        write_table(sample_rows(db, detail), SAMPLES, kind, stream)
    with whole_file(found.cells) as stream:
        write_table(cell_rows(detail), CELLS, kind, stream)
    return found

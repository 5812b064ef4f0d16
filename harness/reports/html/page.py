"""A report about stored runs as one self-contained HTML file."""

import datetime as dt
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import Engine

from fathom.harness.errors import BadInput, write_error
from fathom.harness.format import count, instant, plural, visible
from fathom.harness.records import RunDetail
from fathom.harness.reports.figures.palettes import dark_rules
from fathom.harness.reports.figures.picture import one_line
from fathom.harness.reports.found import FOUND_COLUMNS, FOUND_LEGEND
from fathom.harness.reports.html.columns import ReportColumn, make_report_columns
from fathom.harness.reports.html.comparisons import compare_with_first, rank_columns
from fathom.harness.reports.html.examples import find_examples
from fathom.harness.reports.html.figures import draw_figures
from fathom.harness.reports.html.tables import (
    make_cell_rows,
    make_fact_rows,
    make_found_rows,
    make_ladder_rows,
    make_measure_tables,
    make_repeat_tables,
    make_score_rows,
)
from fathom.harness.reports.measures import MEASURES_LEGEND
from fathom.harness.reports.repeats import REPEATS_LEGEND
from fathom.tasks.published import PUBLISHED

MOST_RUNS = 12
"""Most runs in a report; more columns do not fit on a page."""

_TEMPLATES = Path(__file__).parent / "templates"

_Report = Callable[[str], None]
"""Called with the current step."""


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """Path and size of a report."""

    path: Path
    n_bytes: int


def write_report(
    db: Engine, details: Sequence[RunDetail], out: Path, now: dt.datetime, report: _Report = lambda _: None
) -> WrittenReport:
    """Write a report to a file; on an error an old file stays as it was.

    Raises:
        BadInput: too many runs, nothing graded, or the file cannot be written.
    """
    if not out.parent.is_dir() or out.is_dir():
        raise BadInput(f"cannot write {out}: give --out a file in a folder that exists")
    content = make_page(db, details, now, report).encode("utf-8", "replace")
    partial = out.with_name(f".partial-{os.getpid()}")
    try:
        partial.write_bytes(content)
        partial.replace(out)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise write_error(out, error) from error
    return WrittenReport(out, len(content))


def make_page(db: Engine, details: Sequence[RunDetail], now: dt.datetime, report: _Report = lambda _: None) -> str:
    """Return a report as HTML; all other runs are compared with the first.

    Raises:
        BadInput: no runs or too many, a run named twice, or nothing graded.
    """
    runs = [one.summary.run for one in details]
    if not 0 < len(runs) <= MOST_RUNS or len(set(runs)) < len(runs):
        raise BadInput(f"name 1 to {MOST_RUNS} runs, each named once")
    columns = make_report_columns(db, details)
    report("comparing")
    whole = [one for one in columns if one.detail.summary.layer != "adaptive"]  # whose scores can be compared
    several = len(whole) > 1
    values = {
        "columns": columns,
        "title": _title(columns),
        "made": f"Fathom {version('fathom')}, {instant(now)}",
        "facts": make_fact_rows(columns),
        "scores": make_score_rows(columns),
        "ladders": make_ladder_rows(columns),
        "found": make_found_rows(columns),
        "found_columns": FOUND_COLUMNS,
        "found_legend": FOUND_LEGEND,
        "repeats": make_repeat_tables(columns),
        "measures": make_measure_tables(db, columns),
        "measures_legend": MEASURES_LEGEND,
        "repeats_legend": REPEATS_LEGEND,
        "cells": make_cell_rows(columns),
        "published": tuple(dict.fromkeys(one for name in _families(columns) for one in PUBLISHED.get(name, ()))),
        "versus": compare_with_first(db, whole) if several else (),
        "ranking": rank_columns(db, whole) if several else None,
        "examples": find_examples(db, columns),
        "dark_rules": dark_rules(".drawing"),
    }
    report("drawing")
    return _environment().get_template("report.html.jinja").render(values, figures=draw_figures(columns))


def _families(columns: Sequence[ReportColumn]) -> tuple[str, ...]:
    """Return the families that any of the runs asks."""
    return tuple(dict.fromkeys(cell.family for one in columns for cell in one.detail.cells))


def _title(columns: Sequence[ReportColumn]) -> str:
    names = [one.label for one in columns]
    head = " and ".join(names) if len(names) < 3 else f"{names[0]} and {plural(len(names) - 1, 'other run')}"
    suites = dict.fromkeys(one.detail.summary.suite for one in columns)
    return f"{head} on {one_line(', '.join(suites))}"


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters.update(visible=visible, line=one_line, count=count)
    made.globals.update(plural=plural)
    return made

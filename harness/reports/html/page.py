"""Turn stored runs into one HTML file that needs nothing else."""

import datetime as dt
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import Engine

from fathom.harness.errors import BadInput
from fathom.harness.format import count, instant, plural, visible
from fathom.harness.records import RunDetail
from fathom.harness.reports.figures.palettes import dark_rules
from fathom.harness.reports.figures.picture import one_line
from fathom.harness.reports.html.columns import Column, make_columns
from fathom.harness.reports.html.examples import find_examples
from fathom.harness.reports.html.figures import draw_figures
from fathom.harness.reports.html.rivals import compare_with_first, rank_columns
from fathom.harness.reports.html.tables import (
    cell_lines,
    fact_rows,
    ladder_rows,
    measure_tables,
    repeat_tables,
    score_rows,
)
from fathom.harness.reports.measures import MEASURES_LEGEND
from fathom.harness.reports.repeats import REPEATS_LEGEND

MOST_RUNS = 12
"""Runs that stand beside each other; more would fit on no page."""

_TEMPLATES = Path(__file__).parent / "templates"

Tell = Callable[[str], None]
"""Called with what is being done."""


@dataclass(frozen=True, slots=True)
class Written:
    """A report that was written."""

    path: Path
    n_bytes: int


def write_report(
    db: Engine, details: Sequence[RunDetail], out: Path, now: dt.datetime, tell: Tell = lambda _: None
) -> Written:
    """Write the report of some runs to a file, whole or not at all.

    Raises:
        BadInput: too many runs, nothing graded, or nowhere to write.
    """
    if not out.parent.is_dir() or out.is_dir():
        raise BadInput(f"cannot write {out}: give --out a file in a folder that exists")
    content = make_page(db, details, now, tell).encode("utf-8", "replace")
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(out)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise BadInput(f"cannot write {out} ({error.strerror}): give another --out") from error
    return Written(out, len(content))


def make_page(db: Engine, details: Sequence[RunDetail], now: dt.datetime, tell: Tell = lambda _: None) -> str:
    """Return the report as HTML; the first run is what the others are compared with.

    Raises:
        BadInput: too many runs or none, one twice, or nothing graded.
    """
    runs = [one.summary.run for one in details]
    if not 0 < len(runs) <= MOST_RUNS or len(set(runs)) < len(runs):
        raise BadInput(f"a report is of 1 to {MOST_RUNS} runs, each named once")
    columns = make_columns(db, details)
    tell("comparing")
    several = len(columns) > 1
    values = {
        "columns": columns,
        "title": _title(columns),
        "made": f"Fathom {version('fathom')}, {instant(now)}",
        "facts": fact_rows(columns),
        "scores": score_rows(columns),
        "ladders": ladder_rows(columns),
        "repeats": repeat_tables(columns),
        "measures": measure_tables(db, columns),
        "measures_legend": MEASURES_LEGEND,
        "repeats_legend": REPEATS_LEGEND,
        "cells": cell_lines(columns),
        "versus": compare_with_first(db, columns) if several else (),
        "ranking": rank_columns(db, columns) if several else None,
        "examples": find_examples(db, columns),
        "dark_rules": dark_rules(".drawing"),
    }
    tell("drawing")
    return _environment().get_template("report.html.jinja").render(values, figures=draw_figures(columns))


def _title(columns: Sequence[Column]) -> str:
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

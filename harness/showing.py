"""Show what is stored: the list of runs, and one run, of Fathom's own suites or of lm-eval's tasks."""

import json
from collections.abc import Iterator

from sqlalchemy import Engine as Database

from harness.console import make_console, print_json
from harness.db.endings import count_cut
from harness.db.engine import open_database
from harness.db.read import list_runs
from harness.db.task_records import TaskRunDetail, list_task_runs, stream_task_samples
from harness.errors import BadInput
from harness.manner import cut_text
from harness.meant import any_run
from harness.measuring import measure_run
from harness.report import render_run, render_runs, run_json, summary_json
from harness.stock_report import render_task_run, render_task_runs, task_run_json, task_summary_json


def show_runs(database: str, only_tasks: bool, as_json: bool) -> None:
    """Print all runs, newest first; those of lm-eval's tasks stand in a table of their own."""
    db = open_database(database, create=False)
    if as_json:
        found = map(task_summary_json, list_task_runs(db)) if only_tasks else map(summary_json, list_runs(db))
        print_json(list(found))
        return
    console, own, foreign = make_console(), () if only_tasks else list_runs(db), list_task_runs(db)
    if own or not (foreign or only_tasks):
        console.print(render_runs(own))
    if foreign or only_tasks:
        console.print(render_task_runs(foreign))


def show_run(database: str, run: str, samples: bool, as_json: bool) -> None:
    """Print a run of either kind; `samples` prints those of a run of lm-eval's tasks as lm-eval logs them.

    Raises:
        UnknownRun: no run of either kind begins so.
        BadInput: samples of a run of Fathom's own.
    """
    db = open_database(database, create=False)
    detail = any_run(db, run)
    if isinstance(detail, TaskRunDetail):
        _show_task_run(db, detail, samples, as_json)
        return
    if samples:
        raise BadInput(f"--samples is for runs of lm-eval's tasks: `fathom export {run}` writes those of this one")
    if as_json:
        print_json(run_json(detail, measures=measure_run(db, detail)))
        return
    make_console().print(render_run(detail, measure_run(db, detail), whole=True))
    if cut := cut_text(count_cut(db, detail.summary.run)):
        make_console().print(cut, style="yellow", highlight=False)


def _show_task_run(db: Database, detail: TaskRunDetail, samples: bool, as_json: bool) -> None:
    if samples:
        for line in _sample_lines(db, detail):
            print(line)  # noqa: T201  # a command's output
    elif as_json:
        print_json(task_run_json(detail))
    else:
        make_console().print(render_task_run(detail))


def _sample_lines(db: Database, detail: TaskRunDetail) -> Iterator[str]:
    if detail.results is None:
        raise BadInput(f"run {detail.summary.run} is not scored yet: `fathom run --resume {detail.summary.run}`")
    for task in detail.results["n-samples"]:
        for sample in stream_task_samples(db, detail.summary.run, task):
            yield json.dumps({"task": task, **sample}, ensure_ascii=False)

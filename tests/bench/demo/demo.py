"""Fill an empty database with invented models and their runs, to look at the board or to measure it.

`python -m tests.bench.demo.demo --models 50 --samples 2000 --db demo.db`
"""

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Annotated

import numpy as np
import typer
from sqlalchemy import Engine

from fathom.harness.cli.options import Db, database_of
from fathom.harness.db.engine import (
    open_database,
    translate_errors,
)
from fathom.harness.db.leaderboard.landing import work_out
from fathom.harness.db.leaderboard.standings import rank_pool
from fathom.harness.db.read import count_runs
from fathom.harness.errors import BadInput
from fathom.harness.format import count, duration, plural
from fathom.harness.reports.console import make_console
from fathom.harness.stats.counts import CellCounts
from fathom.harness.stats.paired import Marks
from fathom.harness.stats.ranking import Array
from fathom.tasks.suites import Selection, Suite, SuiteCell, open_suite
from tests.bench.demo.demo_answers import make_bank
from tests.bench.demo.demo_models import Exam, Sheet, make_exam, sit
from tests.bench.demo.demo_rows import Paper, Sown, open_sower

_BLOCK = 100
"""Models written in one transaction."""


_MOST_MODELS = 20_000
"""Ranking compares every two models, and holds a byte for each such pair."""


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """What to invent: `n` items a cell; completions of whole runs until there are `samples` of them."""

    models: int
    suite: str
    n: int
    seed: str
    samples: int


Report = Callable[[str, Sown], None]
"""Called with what is going on, and how much has been written."""


def sow(db: Engine, plan: DemoPlan, report: Report, block: int = _BLOCK) -> Sown:
    """Write invented models, runs and samples, `block` models at a time, and rank them.

    The same plan writes the same, whatever the block.

    Raises:
        BadInput: the database holds runs already, or a number makes no sense.
        UnknownSuite, EmptySuite, BadSeed: see open_suite.
    """
    _check(db, plan)
    suite = open_suite(plan.suite, plan.seed, Selection(n=plan.n))
    report("making the items", Sown())
    bank = make_bank(suite)
    sower = open_sower(db, suite, bank)
    sown = Sown()
    blocks = [range(start, min(start + block, plan.models + 1)) for start in range(1, plan.models + 1, block)]
    for papers in _in_order(partial(_papers, make_exam(suite, bank), suite), blocks):
        sown = sower.write(papers, sown, plan.samples)
        report("writing", sown)
    report("ranking", sown)
    with translate_errors():
        rank_pool(db, suite.pool())
    return sown


def _check(db: Engine, plan: DemoPlan) -> None:
    if not 1 <= plan.models <= _MOST_MODELS:
        raise BadInput(f"cannot invent {plural(plan.models, 'model')}: give 1 to {count(_MOST_MODELS)}")
    if plan.samples < 0:
        raise BadInput(f"cannot store {plural(plan.samples, 'sample')}: give 0 or more")
    n_runs = count_runs(db)
    if n_runs:
        raise BadInput(
            f"this database holds {plural(n_runs, 'run')} already, and invented ones do not belong among them: "
            "name a new one with --db another.db"
        )


def _papers(exam: Exam, suite: Suite, numbers: range) -> list[Paper]:
    return [_paper(exam, suite, sheet) for number in numbers for sheet in sit(exam, number)]


def _paper(exam: Exam, suite: Suite, sheet: Sheet) -> Paper:
    cells = _count(exam, suite, sheet.answers)
    if sheet.state != "done":
        return Paper(sheet, cells, None)
    marks = Marks(sheet.answers == exam.first, sheet.answers != len(exam.labels) - 1)
    return Paper(sheet, cells, work_out(sheet.run, cells, marks))


def _count(exam: Exam, suite: Suite, answers: Array) -> tuple[CellCounts, ...]:
    """Count answers by cell and label, as the database does when a run ends."""
    n_labels = len(exam.label_names)
    places = exam.cell[: len(answers)] * n_labels + exam.labels[answers]
    table = np.bincount(places, minlength=len(suite.cells) * n_labels).reshape(-1, n_labels).tolist()
    return tuple(_counts(cell, exam.label_names, row) for cell, row in zip(suite.cells, table, strict=True))


def _counts(cell: SuiteCell, names: Sequence[str], row: Sequence[int]) -> CellCounts:
    labels = {name: n for name, n in zip(names, row, strict=True) if n}
    n_errors = labels.pop("engine_error", 0)
    return CellCounts(
        0, cell.family, cell.version, cell.level, cell.channel, cell.style, cell.n, sum(labels.values()),
        labels.get("correct", 0), n_errors, labels,
    )  # fmt: skip


def _in_order(work: Callable[[range], list[Paper]], blocks: Sequence[range]) -> Iterator[list[Paper]]:
    """Do the work on all cores, a few blocks ahead of the reader."""
    if len(blocks) == 1:
        yield work(blocks[0])
        return
    n_workers = min(os.cpu_count() or 1, len(blocks))
    waiting: deque[Future[list[Paper]]] = deque()
    with _one_thread_each(), ProcessPoolExecutor(n_workers, get_context("spawn"), _leave_interrupts) as pool:
        try:
            for numbers in blocks:
                waiting.append(pool.submit(work, numbers))
                if len(waiting) > n_workers + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Keep the workers' linear algebra, which reads this when it is loaded, from taking all cores each."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _leave_interrupts() -> None:
    """Leave Ctrl-C to the process that started the work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def main(
    models: Annotated[int, typer.Option(help="How many models to invent.")] = 5000,
    suite: Annotated[str, typer.Option(help="Suite of cells.")] = "quick",
    n: Annotated[int, typer.Option("--n", help="Items a cell.")] = 30,
    seed: Annotated[str, typer.Option(help="Whole number or hex; the same seed invents the same.")] = "2026",
    samples: Annotated[int, typer.Option(help="Completions to store, rounded up to whole runs.")] = 1_000_000,
    db: Db = None,
) -> None:
    """Fill an empty database with invented models, and say how many there are."""
    talk, began = make_console(), time.monotonic()
    database = open_database(database_of(db), create=True)
    plan = DemoPlan(models, suite, n, seed, samples)
    with talk.status("") as line:
        sown = sow(database, plan, lambda phase, now: line.update(f"{phase}: {_sown_text(now)}"))
    database.dispose()
    talk.print(f"invented {_sown_text(sown)} in {duration(time.monotonic() - began)}", soft_wrap=True)


def _sown_text(sown: Sown) -> str:
    return f"{plural(sown.models, 'model')}, {plural(sown.runs, 'run')}, {plural(sown.samples, 'sample')}"


if __name__ == "__main__":
    typer.run(main)

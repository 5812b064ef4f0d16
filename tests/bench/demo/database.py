"""Fill an empty database with invented models, their runs and samples."""

import os
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
from sqlalchemy import Engine

from fathom.harness.db.engine import translate_errors
from fathom.harness.db.leaderboard.standings import compute_results, rank_pool
from fathom.harness.db.read import count_runs
from fathom.harness.errors import BadInput
from fathom.harness.format import count, plural
from fathom.harness.records import NO_READING
from fathom.harness.stats.paired import RunVerdicts
from fathom.harness.stats.ranks import Array
from fathom.harness.stats.scores import CellCounts, FoundCounts
from fathom.tasks.suites import Selection, Suite, SuiteCell, open_suite
from tests.bench.demo.answers import make_bank
from tests.bench.demo.models import InventedRun, ItemTable, invent_runs, make_item_table
from tests.bench.demo.rows import CountedRun, Written, open_writer

_BLOCK = 100
"""Models written in one transaction."""

_MOST_MODELS = 20_000
"""Ranking compares every two models, and holds a byte for each such pair."""


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """What to invent: `n` items in each cell; samples of whole runs until there are `samples` of them."""

    models: int
    suite: str
    n: int
    seed: str
    samples: int


Report = Callable[[str, Written], None]
"""Called with the current phase, and how much has been written."""


def fill(db: Engine, plan: DemoPlan, report: Report, block: int = _BLOCK) -> Written:
    """Write invented models, runs and samples, `block` models at a time, and rank them.

    The same plan writes the same, for any `block`.

    Raises:
        BadInput: the database holds runs already, or a number makes no sense.
        UnknownSuite, EmptySuite, BadSeed: see open_suite.
    """
    _check(db, plan)
    suite = open_suite(plan.suite, plan.seed, Selection(n=plan.n))
    report("making the items", Written())
    bank = make_bank(suite)
    writer = open_writer(db, suite, bank)
    written = Written()
    blocks = [range(start, min(start + block, plan.models + 1)) for start in range(1, plan.models + 1, block)]
    for counted in _in_order(partial(_count_runs, make_item_table(suite, bank), suite), blocks):
        written = writer.write(counted, written, plan.samples)
        report("writing", written)
    report("ranking", written)
    with translate_errors():
        rank_pool(db, suite.pool())
    return written


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


def _count_runs(table: ItemTable, suite: Suite, numbers: range) -> list[CountedRun]:
    return [_count_run(table, suite, run) for number in numbers for run in invent_runs(table, number)]


def _count_run(table: ItemTable, suite: Suite, run: InventedRun) -> CountedRun:
    cells = _count(table, suite, run.answers)
    if run.state != "done":
        return CountedRun(run, cells, None)
    marks = RunVerdicts(run.answers == table.first, run.answers != len(table.labels) - 1)
    return CountedRun(run, cells, compute_results(run.id, cells, marks))


def _count(table: ItemTable, suite: Suite, answers: Array) -> tuple[CellCounts, ...]:
    """Count answers by cell and label, as the database does when a run ends."""
    n_labels = len(table.label_names)
    places = table.cell[: len(answers)] * n_labels + table.labels[answers]
    counts = np.bincount(places, minlength=len(suite.cells) * n_labels).reshape(-1, n_labels).tolist()
    return tuple(_counts(cell, table.label_names, row) for cell, row in zip(suite.cells, counts, strict=True))


def _counts(cell: SuiteCell, names: Sequence[tuple[str, str]], row: Sequence[int]) -> CellCounts:
    labels: Counter[str] = Counter()
    ways: Counter[str] = Counter()
    for (label, found), n in zip(names, row, strict=True):
        labels[label] += n
        ways[found if label not in NO_READING else label] += n
    n_errors, found = labels.pop("engine_error", 0), FoundCounts(ways["asked"], ways["none"], ways["cut_off"])
    return CellCounts(
        0, cell.family, cell.version, cell.level, cell.channel, cell.style, cell.n, sum(labels.values()),
        labels["correct"], n_errors, {label: n for label, n in labels.items() if n}, None, found,
    )  # fmt: skip


def _in_order(work: Callable[[range], list[CountedRun]], blocks: Sequence[range]) -> Iterator[list[CountedRun]]:
    """Work on all cores, a few blocks ahead of the consumer."""
    if len(blocks) == 1:
        yield work(blocks[0])
        return
    n_workers = min(os.cpu_count() or 1, len(blocks))
    waiting: deque[Future[list[CountedRun]]] = deque()
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
    """Limit the linear algebra of each worker to one core; it reads these variables when it is loaded."""
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

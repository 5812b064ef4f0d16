"""Evaluate a model on a suite: the whole pipeline on one screen."""

import logging
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine as Database

from harness.db import read, write
from harness.db.journal import journaled
from harness.db.landing import land_runs
from harness.engines.base import Completion, Engine, EngineSetup
from harness.engines.open import open_engine
from harness.errors import EngineFailed, FathomError, RunChanged, StoreError
from harness.model import ModelSource, model_facts
from harness.prompting import Decoding, Prompting
from harness.provenance import How, make_manifest
from harness.settings import quiet_lm_eval
from harness.suite import Suite

log = logging.getLogger(__name__)

_LOG_TAIL = 20_000
"""Characters of a failed run's log that are kept."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run; `resume` is the run to go on with."""

    model: ModelSource
    engine: str
    suite: Suite
    resume: str | None = None
    prompting: Prompting = field(default_factory=Prompting)
    decoding: Decoding = field(default_factory=Decoding)
    setup: EngineSetup = field(default_factory=EngineSetup)

    @property
    def how(self) -> How:
        """All but model and suite."""
        return How(self.engine, self.prompting, self.decoding, self.setup)


@dataclass(frozen=True, slots=True)
class Tick:
    """Progress: samples that are now stored, of how many, and tokens that came with the newest."""

    n_done: int
    n_items: int
    tokens: int
    cells: Mapping[int, int]
    """Samples stored by position of their cell, in the newest commit."""


Report = Callable[[str, Tick | None], None]
"""Called with a phase ("loading", "generating", "scoring") and, while generating, with progress."""


def _silent(_phase: str, _tick: Tick | None) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an evaluation ended, with its counters for this attempt."""

    run: str
    n_recalled: int
    n_generated: int
    seconds: float


@dataclass(slots=True)
class DatabaseJournal:
    """Keep completions in the database; each call of `record` is one transaction."""

    db: Database
    run: str
    cell_ids: Sequence[int]
    n_items: int
    known: dict[str, Completion]
    report: Report = _silent
    n_done: int = field(init=False)

    def __post_init__(self) -> None:
        """Count what is there."""
        self.n_done = len(self.known)

    def recall(self, key: str) -> Completion | None:
        """Return the completion of an earlier attempt, if there is one."""
        return self.known.get(key)

    def record(self, samples: Sequence[write.Sample]) -> None:
        """Commit samples, then report progress."""
        write.record_samples(self.db, self.run, self.cell_ids, samples)
        self.n_done += len(samples)
        cells: dict[int, int] = {}
        for sample in samples:
            cells[sample.cell] = cells.get(sample.cell, 0) + 1
        tokens = sum(one.completion.prompt_tokens + one.completion.completion_tokens for one in samples)
        self.report("generating", Tick(self.n_done, self.n_items, tokens, cells))


def evaluate(plan: Plan, db: Database, report: Report = _silent) -> Outcome:
    """Run a suite through lm-eval and store every sample; return the run's id and counters.

    A run that ends early is stored as failed or interrupted and can be resumed.

    Raises:
        RunChanged: the run to resume was started with something else.
        EngineFailed, StoreError, KeyboardInterrupt: after the state was stored.
    """
    manifest = make_manifest(plan.model, plan.suite, plan.how)
    facts = None if plan.model.path is None else model_facts(plan.model.path)
    new = write.NewRun(
        plan.model.name,
        plan.engine,
        plan.suite,
        manifest.decisive["suite"]["digest"],
        manifest.to_json(),
        manifest.digest(),
        facts.n_parameters if facts else None,
        facts.kind if facts else None,
    )
    run = _start(db, plan, new)
    began = time.monotonic()
    try:
        return _evaluate(plan, db, run, new.manifest_digest, report, began)
    except KeyboardInterrupt:
        _end(db, run, "interrupted", began, "stopped by the user")
        raise
    except StoreError as error:
        with suppress(StoreError):  # a full disk may refuse this as well; the samples are safe either way
            _end(db, run, "failed", began, str(error))
        raise
    except FathomError as error:
        _end(db, run, "failed", began, str(error))
        raise
    except Exception as error:
        _end(db, run, "failed", began, f"{type(error).__name__}: {error}")
        raise EngineFailed(f"the run stopped: {type(error).__name__}: {error}") from error


def _start(db: Database, plan: Plan, new: write.NewRun) -> str:
    if plan.resume is None:
        run = write.start_run(db, new)
        log.info("run %s: %s on %s, %d items", run, new.model, new.suite.name, new.suite.n_items)
        return run
    stored = read.get_run(db, plan.resume)
    if stored.manifest_digest != new.manifest_digest:
        raise RunChanged(_difference(stored, new))
    write.resume_run(db, stored.summary.run)
    return stored.summary.run


def _difference(stored: read.RunDetail, new: write.NewRun) -> str:
    before, now = stored.manifest["decisive"], new.manifest["decisive"]
    changed = ", ".join(name for name in now if before.get(name) != now[name])
    return (
        f"run {stored.summary.run} was started with another {changed}: its samples would not fit together; "
        "start a new run, or go back to what it was started with"
    )


def _evaluate(plan: Plan, db: Database, run: str, digest: str, report: Report, began: float) -> Outcome:
    detail = read.get_run(db, run)
    known = journaled(db, run)
    journal = DatabaseJournal(db, run, [cell.id for cell in detail.cells], plan.suite.n_items, known, report)
    opened: list[Engine] = []

    def engine() -> Engine:
        if not opened:
            report("loading", None)
            opened.append(open_engine(plan.engine, plan.model, plan.setup))
            write.note_engine(db, run, dict(opened[0].facts()))
        return opened[0]

    try:
        lm, results = _through_lm_eval(plan, engine, journal, digest, report)
    finally:
        for one in opened:
            one.close()
    seconds = time.monotonic() - began
    write.finish_run(db, run, write.Ending("done", seconds))
    land_runs(db)
    _check_against(results, read.get_run(db, run))
    log.info("run %s: done in %.1f s, %d generated, %d recalled", run, seconds, lm.n_generated, lm.n_recalled)
    return Outcome(run, lm.n_recalled, lm.n_generated, seconds)


def _through_lm_eval(
    plan: Plan, engine: Callable[[], Engine], journal: DatabaseJournal, digest: str, report: Report
) -> tuple[Any, Mapping[str, Mapping[str, Any]]]:  # lm-eval is untyped
    quiet_lm_eval()  # lm-eval's progress bars read the environment once, when they are imported
    from lm_eval.evaluator import evaluate as run_lm_eval

    from harness.lm import JournalLM
    from harness.lmeval import open_tasks, put

    report("building", None)
    tasks = open_tasks(plan.suite, plan.prompting, plan.decoding)
    lm = JournalLM(engine, journal, plan.suite, digest, (plan.prompting, plan.decoding))
    found = run_lm_eval(lm, {"tasks": tasks}, bootstrap_iters=0, log_samples=False, **put(plan.prompting))
    report("scoring", None)
    return lm, found["results"]


def _check_against(results: Mapping[str, Mapping[str, Any]], detail: read.RunDetail) -> None:
    """Compare our counts with lm-eval's accuracies: two ways to one number."""
    from harness.lmeval import task_name

    for cell, planned in zip(detail.cells, detail.suite.cells, strict=True):
        theirs = results[task_name(planned.cell)]["acc,none"]
        if abs(theirs * planned.n - cell.k) > 1e-6 * planned.n:
            raise StoreError(
                f"run {detail.summary.run}: lm-eval counts {theirs * planned.n:.0f} right answers in "
                f"{task_name(planned.cell)}, the database {cell.k}: please report this"
            )


def _end(db: Database, run: str, state: str, began: float, error: str) -> None:
    text = traceback.format_exc()[-_LOG_TAIL:]
    write.finish_run(db, run, write.Ending(state, time.monotonic() - began, error, text))

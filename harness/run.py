"""Evaluate a model on a suite: the whole pipeline on one screen."""

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine as Database

from harness.attempt import check_unchanged, recorded
from harness.db import read, write
from harness.db.journal import count_kept
from harness.db.landing import land_runs
from harness.engines.base import Engine, EngineSetup, Request, Shows
from harness.engines.open import open_engine
from harness.errors import StoreError
from harness.model import ModelSource, model_facts
from harness.prompting import Decoding, Prompting
from harness.provenance import How, known_suite_digest, make_manifest
from harness.settings import quiet_lm_eval
from harness.suite import Suite
from harness.ticks import Report, Tick

if TYPE_CHECKING:  # it brings lm-eval along
    from harness.conduct import Conductor

log = logging.getLogger(__name__)


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


def _silent(_phase: str, _tick: Tick | None) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an evaluation ended, with its counters for this attempt."""

    run: str
    n_recalled: int
    n_generated: int
    seconds: float
    n_prompt_tokens: int = 0
    n_cached_tokens: int = 0
    """Of those, how many the engine's prefix cache held."""


def evaluate(plan: Plan, db: Database, report: Report = _silent) -> Outcome:
    """Run a suite through lm-eval and store every sample; return the run's id and counters.

    A run that ends early is stored as failed or interrupted and can be resumed.

    Raises:
        BadInput: repeats of what is not sampled.
        RunChanged: the run to resume was started with something else.
        EngineFailed, StoreError, Interrupted: after the state was stored.
    """
    plan.decoding.check(cell.style for cell in plan.suite.cells)
    stored = None if plan.resume is None else read.get_run(db, plan.resume)
    known = known_suite_digest(stored.manifest) if stored and stored.suite == plan.suite else None
    manifest = make_manifest(plan.model, plan.suite, plan.how, known)
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
        layer="sampled" if plan.decoding.is_sampled else "main",
        n_repeats=plan.decoding.repeats,
    )
    if stored is not None:
        check_unchanged(stored.summary.run, stored, manifest)
    run = _start(db, stored, new)
    with recorded(run, lambda ending: write.finish_run(db, run, ending)):
        return _evaluate(plan, db, run, new.manifest_digest, report)


def _start(db: Database, stored: read.RunDetail | None, new: write.NewRun) -> str:
    if stored is None:
        run = write.start_run(db, new)
        log.info("run %s: %s on %s, %d items", run, new.model, new.suite.name, new.suite.n_items)
        return run
    write.resume_run(db, stored.summary.run)
    return stored.summary.run


def _evaluate(plan: Plan, db: Database, run: str, digest: str, report: Report) -> Outcome:
    began = time.monotonic()
    report("building", None)
    quiet_lm_eval()  # lm-eval's progress bars read the environment once, when they are imported
    from harness.conduct import Conductor, Ledger

    detail = read.get_run(db, run)
    ledger = Ledger(
        db,
        run,
        [cell.id for cell in detail.cells],
        detail.summary.n_samples,
        report,
        sum(count_kept(db, run).values()),
    )
    conductor = Conductor(plan.suite, (plan.prompting, plan.decoding), digest, ledger)
    opened: list[Engine] = []

    def engine() -> Engine:
        if not opened:
            report("loading", None)
            opened.append(open_engine(plan.engine, plan.model, plan.setup))
            write.note_engine(db, run, dict(opened[0].facts()), first_prompt(opened[0], conductor.first()))
            report("generating", None)
        return opened[0]

    try:
        conductor.conduct(engine)
        report("scoring", None)
        seconds = time.monotonic() - began
        write.finish_run(db, run, write.Ending("done", seconds))
        land_runs(db)
        _check_against(conductor, read.get_run(db, run))
    finally:  # last, for it may take a second
        for one in opened:
            one.close()
    log.info(
        "run %s: done in %.1f s, %d generated, %d recalled", run, seconds, conductor.n_generated, conductor.n_recalled
    )
    return Outcome(run, conductor.n_recalled, conductor.n_generated, seconds, ledger.n_prompt, ledger.n_cached)


def first_prompt(engine: Engine, request: Request | None) -> dict[str, Any]:  # JSON values
    """Return what the model reads of the first request that it gets, where the engine can tell."""
    if request is None or not isinstance(engine, Shows):
        return {}
    seen = engine.prompted(request)
    return {"item": request.item, "text": seen.text, "token_ids": list(seen.token_ids)}


def _check_against(conductor: "Conductor", detail: read.RunDetail) -> None:
    """Compare our counts with lm-eval's, for cells that it scored whole: two ways to one number."""
    for at, cell in enumerate(detail.cells):
        if conductor.scored[at] == cell.n_planned and conductor.right[at] != cell.k:
            raise StoreError(
                f"run {detail.summary.run}: lm-eval counts {conductor.right[at]} right answers in {cell.family} "
                f"{cell.level} {cell.channel} {cell.style}, the database {cell.k}: please report this"
            )

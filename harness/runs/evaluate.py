"""Evaluate a model on a suite: the whole pipeline on one screen."""

import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Engine as Database

from fathom.harness.db import read, write
from fathom.harness.db.leaderboard.landing import land_runs
from fathom.harness.db.samples import count_kept
from fathom.harness.db.write import Ending
from fathom.harness.engines.base import Engine, Request, Shows
from fathom.harness.engines.factory import open_engine
from fathom.harness.engines.model import model_facts
from fathom.harness.errors import EngineFailed, FathomError, Interrupted, RunChanged, StoreError
from fathom.harness.records import Report, RunDetail, Tick
from fathom.harness.runs.manifest import Manifest, known_suite_digest, make_manifest
from fathom.harness.runs.plan import Plan
from fathom.harness.settings import quiet_lm_eval

if TYPE_CHECKING:  # it brings lm-eval along
    from fathom.harness.runs.waves import Conductor

log = logging.getLogger(__name__)


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


def _start(db: Database, stored: RunDetail | None, new: write.NewRun) -> str:
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
    from fathom.harness.runs.waves import Conductor, Ledger

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


def _check_against(conductor: "Conductor", detail: RunDetail) -> None:
    """Compare our counts with lm-eval's, for cells that it scored whole: two ways to one number."""
    for at, cell in enumerate(detail.cells):
        if conductor.scored[at] == cell.n_planned and conductor.right[at] != cell.k:
            raise StoreError(
                f"run {detail.summary.run}: lm-eval counts {conductor.right[at]} right answers in {cell.family} "
                f"{cell.level} {cell.channel} {cell.style}, the database {cell.k}: please report this"
            )


LOG_TAIL = 20_000
"""Characters of a failed run's log that are kept."""


@contextmanager
def recorded(run: str, end: Callable[[Ending], None]) -> Iterator[None]:
    """Let `end` store an attempt that fails or is stopped; one that succeeds stores its end itself.

    Raises:
        Interrupted: the user stopped it.
        FathomError: as it came; anything else is an EngineFailed. Each knows the run.
    """
    began = time.monotonic()

    def store(state: str, said: str) -> None:
        with suppress(StoreError):  # a full disk may refuse this as well; the samples are safe either way
            end(Ending(state, time.monotonic() - began, said, traceback.format_exc()[-LOG_TAIL:]))

    try:
        yield
    except KeyboardInterrupt as stop:
        store("interrupted", "stopped by the user")
        raise Interrupted(run) from stop
    except FathomError as error:
        store("failed", str(error))
        error.run = run
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        store("failed", said)
        failed = EngineFailed(f"the run stopped: {said}")
        failed.run = run
        raise failed from error


class Stored(Protocol):
    """A stored run of either kind."""

    @property
    def manifest(self) -> Mapping[str, Any]:
        """JSON of a Manifest."""

    @property
    def manifest_digest(self) -> str:
        """Its digest."""


def check_unchanged(run: str, stored: Stored, now: Manifest) -> None:
    """Raise RunChanged unless a stored run was started with what decides the numbers now."""
    if stored.manifest_digest == now.digest():
        return
    before = stored.manifest["decisive"]
    changed = ", ".join(name for name, value in now.decisive.items() if before.get(name) != value)
    raise RunChanged(
        f"run {run} was started with another {changed}: its samples would not fit together; "
        "start a new run, or go back to what it was started with"
    )

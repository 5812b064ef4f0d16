"""Plan accepted submissions as runs and jobs, and put finished ones on the board.

The public functions are background tasks of the server: any number of processes may run them at once, and if one is
killed, the next round completes its work.
"""

import datetime as dt
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib.metadata import version

from sqlalchemy import Engine, func, insert, select
from sqlalchemy.orm import Session

from fathom.harness.db import audit
from fathom.harness.db.engine import translate_errors, writing
from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.db.schema.runs import RunRow
from fathom.harness.db.schema.service import JobRow, SubmissionRow
from fathom.harness.db.write import Clock, Ending, NewRun, Origin, add_run, end_run, sealed_seed, utc_now
from fathom.harness.engines.model import reference_models
from fathom.harness.errors import FathomError
from fathom.harness.records import Manifest
from fathom.harness.runs.manifest import fathom_commit
from fathom.harness.service.faults import fault_of
from fathom.harness.service.seasons.commitment import PRACTICE_SEED
from fathom.harness.service.seasons.store import items_of
from fathom.server.jobs import leases as jobs
from fathom.server.jobs.outcomes import ACTIVE, OVER, RUNNING_KINDS, end_runs, list_outdated, update_submission
from fathom.tasks.errors import EmptySuite, TaskError
from fathom.tasks.registry import find_family
from fathom.tasks.suites import Selection, Suite, SuiteCell, open_suite

_log = logging.getLogger(__name__)
SHARD_ITEMS = 512
"""Least items of a shard: loading a model must be worth it."""
_FRESH_DIVISOR, _FRESH_MINIMUM = 5, 5
"""The run on a fresh seed asks a fifth of the items, and at least five a cell."""
_GRACE = 30.0
"""Seconds after a start in which no lease expires: workers first get a chance to send a heartbeat."""
SeedOf = Callable[[Engine, str], str]
"""Returns the seed of a season; for the empty name, the practice seed."""
ResultCheck = Callable[[Engine, str], object]
"""Checks a submission, by id, whose runs are ranked."""


def plan_submissions(db: Engine, seed_of: SeedOf) -> int:
    """Create the runs and jobs of all accepted model submissions; return for how many."""
    n_planned = 0
    for asked in list_unplanned(db):
        try:
            runs = plan_runs(asked, seed_of(db, asked.season), items_of(db, asked.season))
        except (FathomError, TaskError) as error:
            _log.error("submission %s cannot be planned: %s", asked.id, error)
            _refuse_plan(db, asked.id, "engine_failed", f"it could not be planned: {error}")
            continue
        n_planned += store_plan(db, asked.id, runs)
    return n_planned


@dataclass(frozen=True, slots=True)
class UnplannedSubmission:
    """A model submission that waits to be planned."""

    id: str
    model: str
    revision: str
    sha: str
    dtype: str
    style: str
    chat_template: bool
    n_shots: int
    suite: str
    season: str
    engine: str
    folder: str
    n_parameters: int | None
    model_kind: str | None


def cut_into_shards(cells: Sequence[SuiteCell], at_least: int = SHARD_ITEMS) -> Iterator[tuple[int, ...]]:
    """Cut cells into groups of neighbours with at least `at_least` items; yield the positions of each group."""
    n_left = sum(cell.n for cell in cells)
    held: list[int] = []
    n_held = 0
    for at, cell in enumerate(cells):
        held.append(at)
        n_held += cell.n
        if n_held >= at_least and n_left - n_held >= at_least:
            yield tuple(held)
            n_left -= n_held
            held, n_held = [], 0
    if held:
        yield tuple(held)


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run to create, and its shards as positions of cells; `kind` is run or fresh."""

    kind: str
    new: NewRun
    shards: Sequence[Sequence[int]]


def plan_runs(asked: UnplannedSubmission, seed: str, n: int | None = None) -> list[PlannedRun]:
    """Return the run on the shared seed and the one on a fresh seed, each cut into shards.

    `n` overrides the suite's items per cell, for small seasons.

    Raises:
        UnknownSuite: there is no such suite.
        EmptySuite: the suite has no cell in this style.
    """
    shared = _narrowed(open_suite(asked.suite, seed, Selection(n=n)), asked.style)
    fresh = replace(open_suite(asked.suite, secrets.token_hex(16)), cells=_few(shared.cells))
    return [_planned(asked, shared, "run"), _planned(asked, fresh, "fresh")]


def count_items(suite: str, style: str, n: int | None = None) -> tuple[int, int]:
    """Return how many items the run on the shared seed asks, and how many the one on a fresh seed.

    Raises:
        UnknownSuite, EmptySuite: as `plan_runs`.
    """
    cells = _narrowed(open_suite(suite, PRACTICE_SEED, Selection(n=n)), style).cells
    return sum(cell.n for cell in cells), sum(cell.n for cell in _few(cells))


def _narrowed(suite: Suite, style: str) -> Suite:
    cells = tuple(cell for cell in suite.cells if style in ("", cell.style))
    if not cells:
        raise EmptySuite(f"the suite {suite.name} has no cells in the style {style!r}")
    return replace(suite, cells=cells)


def _few(cells: Sequence[SuiteCell]) -> tuple[SuiteCell, ...]:
    """Return the cells of the run on a fresh seed."""
    return tuple(replace(cell, n=max(_FRESH_MINIMUM, cell.n // _FRESH_DIVISOR)) for cell in cells)


def _planned(asked: UnplannedSubmission, suite: Suite, kind: str) -> PlannedRun:
    season = asked.season if kind == "run" else ""
    digest = _digest(suite)
    manifest = _manifest(asked, suite, digest, season)
    new = NewRun(
        asked.model, asked.engine, suite, digest, manifest.to_json(), manifest.digest(), asked.n_parameters,
        asked.model_kind, layer="main" if kind == "run" else "fresh", season=season, sealed=bool(season),
        origin=_origin(asked),
    )  # fmt: skip
    return PlannedRun(kind, new, tuple(cut_into_shards(suite.cells)))


def _origin(asked: UnplannedSubmission) -> Origin:
    """Return the folder whose files decide what model it is; of a model that comes with Fathom its name does."""
    if not asked.folder or asked.model in reference_models():
        return Origin()
    return Origin(model_path=asked.folder, model_digest=asked.sha)


@lru_cache(maxsize=16)  # seconds for a large suite, and most submissions ask the same one
def _digest(suite: Suite) -> str:
    return suite.digest()


def _manifest(asked: UnplannedSubmission, suite: Suite, digest: str, season: str) -> Manifest:
    """Describe a run before a worker starts it; for a season without seed and digest, which would reveal items."""
    about = {"name": suite.name, "version": suite.version, "seed": suite.seed, "digest": digest}
    if season:
        about |= {"seed": sealed_seed(season), "digest": "sealed", "season": season}
    decisive = {
        "model": {"name": asked.model, "digest": asked.sha, "revision": asked.revision},
        "engine": {"name": asked.engine, "packages": {}},  # a worker's are among engine_facts
        "suite": about,
        "families": {cell.family: find_family(cell.family).version for cell in suite.cells},
        "sampling": {
            "temperature": 0.0, "temperature_free": 1.0, "shots": asked.n_shots, "chat_template": asked.chat_template,
            "dtype": asked.dtype,
        },
    }  # fmt: skip
    context = {
        "fathom": {"version": version("fathom"), "commit": _commit()},
        "submission": asked.id,
        "cells": [asdict(cell) for cell in suite.cells],
    }
    return Manifest.read({"decisive": decisive, "context": context})


@lru_cache(maxsize=1)
def _commit() -> str:
    return fathom_commit()


def finish_submissions(db: Engine, checks: Sequence[ResultCheck] = ()) -> int:
    """Finish the submissions whose jobs are all done, and rank their runs; return how many."""
    for submission in list_outdated(db):
        update_submission(db, submission)
    _end_stopped_runs(db)
    generated = _list_generated(db)
    for submission in generated:
        _close_runs(db, submission)
    if generated:
        update_leaderboard(db)
    n_finished = 0
    for submission in generated:
        for check in checks:
            check(db, submission)
        n_finished += _finish_submission(db, submission)
    return n_finished


def lease_expiry(clock: Callable[[], float] = time.monotonic, grace: float = _GRACE) -> Callable[[Engine], int]:
    """Return the background task that takes back expired leases; it does nothing in the first `grace` seconds."""
    began = clock()
    return lambda db: jobs.expire_leases(db) if clock() - began >= grace else 0


def list_unplanned(db: Engine) -> list[UnplannedSubmission]:
    """Return the model submissions without jobs, oldest first."""
    columns = [getattr(SubmissionRow, name) for name in UnplannedSubmission.__slots__]
    waiting = select(*columns).where(SubmissionRow.state == "validating", SubmissionRow.kind == "model")
    with translate_errors(), Session(db) as session:
        return [
            UnplannedSubmission(*row)
            for row in session.execute(waiting.order_by(SubmissionRow.created_at, SubmissionRow.id))
        ]


def store_plan(db: Engine, submission: str, runs: Sequence[PlannedRun], now: Clock = utc_now) -> bool:
    """Store runs and jobs and queue the submission; False where another process did it, or it was cancelled."""
    at = now()
    with writing(db) as session:
        row = session.get(SubmissionRow, submission, with_for_update=True)
        if row is None or row.state != "validating":
            return False
        for planned in runs:
            run = add_run(session, planned.new, now)
            if planned.kind == "run":
                row.run_id = run
            else:
                row.fresh_run_id = run
            session.execute(
                insert(JobRow), [_job(row, planned, run, shard, at) for shard in range(len(planned.shards))]
            )
        row.state, row.changed_at = "queued", at
        return True


def _job(row: SubmissionRow, planned: PlannedRun, run: str, shard: int, at: dt.datetime) -> dict[str, object]:
    cells = list(planned.shards[shard])
    return {
        "submission_id": row.id, "owner_id": row.owner_id, "kind": planned.kind, "run_id": run, "shard": shard,
        "cells": cells, "state": "queued", "priority": row.priority, "not_before": at, "created_at": at,
        "progress_total": sum(planned.new.suite.cells[cell].n for cell in cells),
    }  # fmt: skip


def _refuse_plan(db: Engine, submission: str, code: str, tail: str, now: Clock = utc_now) -> None:
    """Store that a submission cannot be planned."""
    with writing(db) as session:
        row = session.get(SubmissionRow, submission, with_for_update=True)
        if row is None or row.state != "validating":
            return
        row.state, row.error_code, row.error_tail, row.fingerprint = "failed", code, tail[-8000:], None
        row.quota_returned = row.quota_returned or fault_of(code).ours
        row.changed_at = row.finished_at = now()
        audit.record(session, "system", "submission.failed", f"submission/{submission}", code=code)


def _list_generated(db: Engine) -> list[str]:
    """Return the model submissions whose jobs are all done, oldest first."""
    unfinished = select(JobRow.id).where(
        JobRow.submission_id == SubmissionRow.id, JobRow.kind.in_(RUNNING_KINDS), JobRow.state != "done"
    )
    waiting = select(SubmissionRow.id).where(SubmissionRow.kind == "model", SubmissionRow.state.in_(ACTIVE))
    with translate_errors(), Session(db) as session:
        return list(session.scalars(waiting.where(~unfinished.exists()).order_by(SubmissionRow.created_at)))


def _close_runs(db: Engine, submission: str, now: Clock = utc_now) -> None:
    """End the runs of a submission as done, and count their cells."""
    with writing(db) as session:
        row = session.get(SubmissionRow, submission, with_for_update=True)
        if row is None or row.state not in ACTIVE:
            return
        row.state = "scoring"
        spent = select(func.coalesce(func.sum(JobRow.seconds), 0.0))
        for run in (row.run_id, row.fresh_run_id):
            if run is not None and session.get_one(RunRow, run).state == "running":
                seconds = session.execute(spent.where(JobRow.run_id == run)).scalar_one()
                end_run(session, run, Ending("done", float(seconds)), now)


def _finish_submission(db: Engine, submission: str, now: Clock = utc_now) -> bool:
    """Mark a submission as finished; False where it was already."""
    with writing(db) as session:
        row = session.get(SubmissionRow, submission, with_for_update=True)
        if row is None or row.state != "scoring":
            return False
        row.state = "finished"
        row.changed_at = row.finished_at = now()
        audit.record(session, "system", "submission.finished", f"submission/{submission}", run=row.run_id)
        return True


def _end_stopped_runs(db: Engine, now: Clock = utc_now) -> int:
    """End the running runs of submissions that were cancelled, superseded or failed; return how many."""
    going = select(RunRow.id).where(RunRow.state == "running")
    stopped = select(SubmissionRow.id).where(
        SubmissionRow.state.in_(OVER), SubmissionRow.run_id.in_(going) | SubmissionRow.fresh_run_id.in_(going)
    )
    with translate_errors(), Session(db) as session:
        found = list(session.scalars(stopped))
    for submission in found:
        with writing(db) as session:
            row = session.get_one(SubmissionRow, submission, with_for_update=True)
            end_runs(session, row, Ending("interrupted", 0, f"the submission was {row.state}"), now())
    return len(found)

"""Delete a run with all that belongs to it."""

from dataclasses import dataclass

from sqlalchemy import Engine, delete, exists, func, select
from sqlalchemy.orm import Session

from fathom.harness.db import audit
from fathom.harness.db.engine import translate_errors, writing
from fathom.harness.db.leaderboard.standings import mark_pools_stale, update_leaderboard
from fathom.harness.db.liveness import check_free
from fathom.harness.db.read import any_run, count_samples
from fathom.harness.db.schema.probes import ProbeRow
from fathom.harness.db.schema.runs import ModelRow, PoolRow, RunRow, StandingRow, SuiteRow
from fathom.harness.db.schema.service import SubmissionRow
from fathom.harness.errors import Conflict
from fathom.harness.records import TaskRunDetail


@dataclass(frozen=True, slots=True)
class Removal:
    """What goes with a run."""

    run: str
    model: str
    asked: str
    """Suite and seed, or lm-eval's tasks."""
    state: str
    n_samples: int
    is_last_of_model: bool
    n_standings: int
    """Ranks on the board that this run gives its model; an older run of it may take them over."""


def removal_of(db: Engine, run: str) -> Removal:
    """Return what would go with a run, by its id or a unique prefix of it.

    Raises:
        UnknownRun: no run or several runs have this prefix.
        RunBusy: it is being run.
        Conflict: it belongs to a submission.
    """
    detail = any_run(db, run)
    if isinstance(detail, TaskRunDetail):
        one, asked, n = detail.summary, f"lm-eval's {', '.join(detail.summary.tasks)}", detail.summary.n_done
        name, whole, state = one.model, one.run, one.state
    else:
        name, whole, state = detail.summary.model, detail.summary.run, detail.summary.state
        asked, n = f"the {detail.summary.suite} suite, seed {detail.summary.seed}", count_samples(db, whole)
    with translate_errors(), Session(db) as session:
        _check(session, whole)
        mine = select(RunRow.model_id).where(RunRow.id == whole).scalar_subquery()
        n_runs = session.execute(select(func.count()).select_from(RunRow).where(RunRow.model_id == mine)).scalar_one()
        standing = select(func.count()).select_from(StandingRow).where(StandingRow.run_id == whole)
        return Removal(whole, name, asked, state, n, n_runs == 1, session.execute(standing).scalar_one())


def _check(session: Session, run: str) -> None:
    check_free(session, run)
    sent = (SubmissionRow.run_id == run) | (SubmissionRow.fresh_run_id == run)
    if session.execute(select(exists().where(sent))).scalar_one():
        raise Conflict(f"run {run} belongs to a submission, and stays with it: an admin can hide it on its page")


def delete_run(db: Engine, run: str) -> None:
    """Delete a run, by its whole id, with its samples and scores, and the model if that has no other run; rank again.

    Raises:
        RunBusy: it is being run.
        Conflict: it belongs to a submission.
    """
    with writing(db) as session:
        _check(session, run)
        model, suite = session.execute(select(RunRow.model_id, RunRow.suite_id).where(RunRow.id == run)).one()
        mark_pools_stale(session, [run])
        session.execute(delete(RunRow).where(RunRow.id == run))
        for table, used, key in ((ModelRow, RunRow.model_id, model), (SuiteRow, RunRow.suite_id, suite)):
            unused = [~exists().where(used == table.id)]
            if table is ModelRow:
                unused.append(~exists().where(ProbeRow.model_id == ModelRow.id))
            session.execute(delete(table).where(table.id == key, *unused))
        _drop_empty_pools(session)
        audit.record(session, "local", "run.deleted", f"run/{run}")
    update_leaderboard(db)


def _drop_empty_pools(session: Session) -> None:
    """Drop pools of which no run is left, so that the board offers no empty one."""
    used = exists().where(SuiteRow.pool == PoolRow.cells_of)
    session.execute(delete(PoolRow).where(~used).execution_options(synchronize_session=False))

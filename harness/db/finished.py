"""Read which finished runs of a model may be compared with others."""

from dataclasses import dataclass

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from harness.db.engine import translate_errors
from harness.db.models import ModelRow, RunRow, SuiteRow


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that is done, and what it was asked."""

    run: str
    suite: str
    seed: str
    pool: str
    n_items: int


def finished_runs(db: Engine, model: str) -> tuple[Finished, ...]:
    """Return a model's finished runs, first those that stand on the board: by tier, the newest first."""
    best_first = (RunRow.tier.desc(), RunRow.created_at.desc(), RunRow.id)
    wanted = (
        select(RunRow.id, SuiteRow.name, SuiteRow.seed, SuiteRow.pool, RunRow.n_items)
        .join(SuiteRow, SuiteRow.id == RunRow.suite_id)
        .join(ModelRow, ModelRow.id == RunRow.model_id)
        .where(ModelRow.name == model, RunRow.state == "done", RunRow.layer == "main", RunRow.hidden_at.is_(None))
        .order_by(*best_first)
    )
    with translate_errors(), Session(db) as session:
        return tuple(Finished(*row) for row in session.execute(wanted))


def model_names(db: Engine) -> tuple[str, ...]:
    """Return the names of all models that have a finished run."""
    wanted = select(ModelRow.name).where(ModelRow.id.in_(select(RunRow.model_id).where(RunRow.state == "done")))
    with translate_errors(), Session(db) as session:
        return tuple(session.scalars(wanted.order_by(ModelRow.name)))

"""Keep runs of lm-eval's own tasks in the table `runs`, beside those of suites; drop the equating of seasons."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_TIME = sa.DateTime(timezone=True)
_JSON = ("settings", "manifest")
_RUN_COLUMNS = (
    "id", "engine", "settings", "manifest", "manifest_digest", "state", "n_done", "n_generated", "attempts",
    "seconds", "error", "log", "created_at", "finished_at",
)  # fmt: skip
"""Columns of the same name and meaning in both tables."""


def upgrade() -> None:
    """Move runs of tasks into `runs`, with a row in `suites` for what they were asked, and scores in `results`."""
    op.execute("ALTER TABLE runs RENAME COLUMN kind TO model_kind")
    op.add_column("runs", sa.Column("kind", sa.Text(), nullable=False, server_default="suite"))
    op.add_column("runs", sa.Column("settings", sa.JSON()))
    _move_into_runs()
    _point_samples_to("runs")
    op.drop_index("ix_task_runs_created_at", "task_runs")
    op.drop_table("task_runs")
    op.drop_column("seasons", "equating")


def downgrade() -> None:
    """Move runs of tasks back into a table of their own; the column for equating comes back empty."""
    op.add_column("seasons", sa.Column("equating", sa.JSON()))
    _make_task_runs()
    _move_into_task_runs()
    _point_samples_to("task_runs")
    _remove_from_runs()
    op.drop_column("runs", "settings")
    op.drop_column("runs", "kind")
    op.execute("ALTER TABLE runs RENAME COLUMN model_kind TO kind")


def _table(name: str, *columns: str, json: tuple[str, ...] = ()) -> sa.TableClause:
    return sa.table(name, *map(sa.column, columns), *(sa.column(one, sa.JSON()) for one in json))


def _tables() -> tuple[sa.TableClause, ...]:
    own = [name for name in _RUN_COLUMNS if name not in _JSON]
    return (
        _table("runs", *own, "kind", "model_id", "suite_id", "n_items", json=_JSON),
        _table("task_runs", *own, "model", "n_requests", json=(*_JSON, "tasks", "results")),
        _table("models", "id", "name"),
        _table("suites", "id", "digest", "name", "version", "seed", "pool", json=("cells",)),
        _table("results", "run_id", json=("scores",)),
    )


def _asked_digest(run: sa.TableClause) -> Any:  # an SQL expression
    """Return the digest of a run's requests; where the manifest has none, the manifest's own digest stands for it."""
    return sa.func.coalesce(run.c.manifest[("decisive", "requests")].as_string(), run.c.manifest_digest)


def _insert(into: sa.TableClause, columns: tuple[str, ...], rows: Any) -> None:  # rows: a SELECT
    op.get_bind().execute(sa.insert(into).from_select(list(columns), rows))


def _move_into_runs() -> None:
    runs, old, models, suites, results = _tables()
    unknown = old.c.model.not_in(sa.select(models.c.name))
    _insert(models, ("name",), sa.select(old.c.model).where(unknown).distinct())
    version = old.c.manifest[("decisive", "lm_eval")].as_string()
    asked = sa.select(_asked_digest(old).label("digest"), version.label("version")).subquery()
    texts: list[Any] = [sa.literal_column(text) for text in ("'lm-eval'", "''", "''", "'[]'")]
    rows = sa.select(asked.c.digest, sa.func.coalesce(sa.func.min(asked.c.version), ""), *texts)
    _insert(suites, ("digest", "version", "name", "seed", "pool", "cells"), rows.group_by(asked.c.digest))
    same = [old.c[name] for name in _RUN_COLUMNS]
    moved = (
        sa.select(*same, old.c.n_requests, sa.literal_column("'tasks'"), models.c.id, suites.c.id)
        .join(models, models.c.name == old.c.model)
        .join(suites, suites.c.digest == _asked_digest(old))
    )
    _insert(runs, (*_RUN_COLUMNS, "n_items", "kind", "model_id", "suite_id"), moved)
    scored = (old.c.results.is_not(sa.null()), sa.cast(old.c.results, sa.Text) != "null")
    _insert(results, ("run_id", "scores"), sa.select(old.c.id, old.c.results).where(*scored))


def _move_into_task_runs() -> None:
    runs, old, models, _, results = _tables()
    same = [runs.c[name] for name in _RUN_COLUMNS]
    tasks = sa.func.coalesce(runs.c.settings["tasks"], sa.literal_column("'[]'"))
    moved = (
        sa.select(*same, runs.c.n_items, models.c.name, tasks, results.c.scores)
        .join(models, models.c.id == runs.c.model_id)
        .outerjoin(results, results.c.run_id == runs.c.id)
        .where(runs.c.kind == "tasks")
    )
    _insert(old, (*_RUN_COLUMNS, "n_requests", "model", "tasks", "results"), moved)


def _remove_from_runs() -> None:
    """Delete runs of tasks, and the models and suites that only they had."""
    runs, _, models, suites, _ = _tables()
    connection = op.get_bind()
    parents = ((models, runs.c.model_id), (suites, runs.c.suite_id))
    tasks = runs.c.kind == "tasks"
    used = [connection.execute(sa.select(column).where(tasks).distinct()).scalars().all() for _, column in parents]
    connection.execute(sa.delete(runs).where(tasks))
    for (table, column), ids in zip(parents, used, strict=True):
        connection.execute(sa.delete(table).where(table.c.id.in_(ids), table.c.id.not_in(sa.select(column))))


def _point_samples_to(parent: str) -> None:
    """Let samples and documents belong to another table; SQLite copies them for it, as they are no table's parents."""
    for name in ("task_samples", "task_docs"):
        op.execute(f"DELETE FROM {name} WHERE run_id NOT IN (SELECT id FROM {parent})")  # noqa: S608  # our own names
        key = f"fk_{name}_run_id"
        with op.batch_alter_table(name) as batch:
            batch.drop_constraint(key, type_="foreignkey")
            batch.create_foreign_key(key, parent, ["run_id"], ["id"], ondelete="CASCADE")


def _make_task_runs() -> None:
    texts = ("id", "model", "engine", "manifest_digest", "state")
    op.create_table(
        "task_runs",
        *(sa.Column(name, sa.Text(), nullable=False) for name in texts),
        *(sa.Column(name, sa.JSON(), nullable=False) for name in ("tasks", "settings", "manifest")),
        sa.Column("n_requests", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False, server_default="0") for name in ("n_done", "n_generated")),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("seconds", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("results", sa.JSON()),
        *(sa.Column(name, sa.Text()) for name in ("error", "log")),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME),
        sa.PrimaryKeyConstraint("id", name="pk_task_runs"),
    )
    op.create_index("ix_task_runs_created_at", "task_runs", ["created_at"])

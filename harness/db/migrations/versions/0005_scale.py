"""Keep what runs at scale need: answers asked again, what they tell of each cell, and runs of stock lm-eval tasks."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add columns and tables; runs that are there asked each question once."""
    op.add_column("runs", sa.Column("n_repeats", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("cells", sa.Column("spread", sa.JSON()))
    _make_task_runs()


def _make_task_runs() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "task_runs",
        *(_text(name) for name in ("id", "model", "engine")),
        *(_json(name) for name in ("tasks", "settings", "manifest")),
        _text("manifest_digest"),
        _text("state"),
        _number("n_requests"),
        *(_number(name, "0") for name in ("n_done", "n_generated")),
        _number("attempts", "1"),
        _number("seconds", "0"),
        _json("results", True),
        _text("error", True),
        _text("log", True),
        sa.Column("created_at", time, nullable=False),
        sa.Column("finished_at", time),
        sa.PrimaryKeyConstraint("id", name="pk_task_runs"),
    )
    op.create_index("ix_task_runs_created_at", "task_runs", ["created_at"])
    op.create_table(
        "task_samples",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        _text("run_id"),
        _text("task"),
        *(_number(name) for name in ("doc_id", "index", "repeat")),
        *(_text(name) for name in ("key", "kind", "prompt")),
        *(_json(name, True) for name in ("choices", "options")),
        _text("completion"),
        *(_json(name, True) for name in ("scores", "greedy")),
        _text("finish_reason"),
        *(_number(name) for name in ("prompt_tokens", "completion_tokens", "milliseconds")),
        _text("error", True),
        sa.PrimaryKeyConstraint("id", name="pk_task_samples"),
        _of_run("task_samples"),
        sa.UniqueConstraint("run_id", "task", "doc_id", "index", "repeat", name="uq_task_samples_run_id"),
    )
    op.create_table(
        "task_docs",
        _text("run_id"),
        _text("task"),
        _number("doc_id"),
        _json("doc"),
        _text("target"),
        _json("scored"),
        *(_text(name) for name in ("doc_hash", "prompt_hash", "target_hash")),
        sa.PrimaryKeyConstraint("run_id", "task", "doc_id", name="pk_task_docs"),
        _of_run("task_docs"),
    )


def _of_run(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["run_id"], ["task_runs.id"], name=f"fk_{table}_run_id", ondelete="CASCADE")


def _text(name: str, empty: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=empty)


def _json(name: str, empty: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.JSON(), nullable=empty)


def _number(name: str, default: str | None = None) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False, server_default=default)


def downgrade() -> None:
    """Take them away; what was asked again stays as samples, what stock tasks asked does not."""
    for table in ("task_docs", "task_samples", "task_runs"):
        op.drop_table(table)
    op.drop_column("cells", "spread")
    op.drop_column("runs", "n_repeats")

"""Keep which process runs a run and when it was last alive, and the digest that tells models of one name apart."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_UNKNOWN = "unknown"
"""Holder of runs that an older version left as running; see harness.db.liveness."""


def upgrade() -> None:
    """Add the columns; runs that no submission has and that are still running get a heartbeat of long ago."""
    op.add_column("models", sa.Column("digest", sa.Text()))
    op.create_index("ix_models_digest", "models", ["digest"], unique=True)
    op.add_column("runs", sa.Column("model_path", sa.Text()))
    op.add_column("runs", sa.Column("holder", sa.Text()))
    op.add_column("runs", sa.Column("heartbeat_at", sa.DateTime(timezone=True)))
    _hold_running()


def _hold_running() -> None:
    runs = sa.table("runs", *map(sa.column, ("id", "state", "layer", "holder", "heartbeat_at", "created_at")))
    submissions = sa.table("submissions", sa.column("run_id"), sa.column("fresh_run_id"))
    sent = sa.exists().where(sa.or_(submissions.c.run_id == runs.c.id, submissions.c.fresh_run_id == runs.c.id))
    left = (runs.c.state == "running", runs.c.layer != "upload", ~sent)
    op.get_bind().execute(sa.update(runs).where(*left).values(holder=_UNKNOWN, heartbeat_at=runs.c.created_at))


def downgrade() -> None:
    """Drop the columns."""
    for name in ("heartbeat_at", "holder", "model_path"):
        op.drop_column("runs", name)
    op.drop_index("ix_models_digest", "models")
    op.drop_column("models", "digest")

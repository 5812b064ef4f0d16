"""Keep laws over seeds: registrations, trainings, measures and verdicts."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_TIME = sa.DateTime(timezone=True)


def _text(name: str, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=null)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _real(name: str, null: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Float(), nullable=null)


def _key(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [to], name=f"fk_{table}_{column}", ondelete="CASCADE")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "laws",
        _number("id"), _text("digest"), _text("name"), _text("kind"), _text("scale"), _number("attempt"),
        sa.Column("design", sa.JSON(), nullable=False), sa.Column("registration", sa.JSON(), nullable=False),
        _number("n_seeds"), _text("state"), _text("verdict", True),
        *(_real(name, True) for name in ("effect", "low", "high", "sd", "p")),
        sa.Column("effects", sa.JSON()), sa.Column("gates", sa.JSON()), _real("cpu_seconds", True),
        sa.Column("created_at", _TIME, nullable=False), sa.Column("finished_at", _TIME),
        sa.PrimaryKeyConstraint("id", name="pk_laws"), sa.UniqueConstraint("digest", name="uq_laws_digest"),
    )  # fmt: skip
    op.create_index("ix_laws_name", "laws", ["name"])
    op.create_table(
        "law_trials",
        _number("id"), _number("law_id"), _text("condition"), _number("seed"), _text("weights"),
        _number("n_parameters"), _real("cpu_seconds"),
        _key("law_trials", "law_id", "laws.id"), sa.PrimaryKeyConstraint("id", name="pk_law_trials"),
        sa.UniqueConstraint("law_id", "condition", "seed", name="uq_law_trials_law_id"),
    )  # fmt: skip
    op.create_table(
        "law_measures",
        _number("id"), _number("trial_id"), _number("position"), _text("question"),
        *(_real(name) for name in ("value", "low", "high")), _number("n"),
        _key("law_measures", "trial_id", "law_trials.id"), sa.PrimaryKeyConstraint("id", name="pk_law_measures"),
        sa.UniqueConstraint("trial_id", "position", name="uq_law_measures_trial_id"),
    )  # fmt: skip


def downgrade() -> None:
    """Drop the tables."""
    for table in ("law_measures", "law_trials", "laws"):
        op.drop_table(table)

"""Keep probes: what is read in a model's hidden states, with all controls."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_TIME = sa.DateTime(timezone=True)


def _text(name: str, null: bool = False, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=null, server_default=default)


def _number(name: str, null: bool = False, default: str | None = None) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=null, server_default=default)


def _real(name: str, null: bool = True) -> sa.Column[float]:
    return sa.Column(name, sa.Float(), nullable=null)


def _key(table: str, column: str, to: str, ondelete: str | None = None) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [to], name=f"fk_{table}_{column}", ondelete=ondelete)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "probes",
        _text("id"), _number("model_id"), _text("seed"), sa.Column("manifest", sa.JSON(), nullable=False),
        _text("manifest_digest"), _text("state"), _text("dtype"), _text("device"), _number("n_layers"),
        _number("width"), _number("seconds", default="0"), sa.Column("created_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME),
        _key("probes", "model_id", "models.id"), sa.PrimaryKeyConstraint("id", name="pk_probes"),
        sa.UniqueConstraint("manifest_digest", name="uq_probes_manifest_digest"),
    )  # fmt: skip
    op.create_index("ix_probes_model_id", "probes", ["model_id"])
    op.create_index("ix_probes_created_at", "probes", ["created_at"])
    op.create_table(
        "probe_targets",
        _number("id"), _text("probe_id"), _number("position"), _text("name"), _number("version"),
        *(_text(name) for name in ("family", "level", "channel", "style", "kind", "about")),
        *(_number(name) for name in ("n_fit", "n_test", "n_items")),
        _real("chance", False), _real("entropy_bits", False), _text("items_digest", default=""),
        _number("answer_k", True), _number("answer_n", True),
        sa.Column("answer_right", sa.LargeBinary()), _text("note", default=""), sa.Column("patch", sa.JSON()),
        _key("probe_targets", "probe_id", "probes.id", "CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_probe_targets"),
        sa.UniqueConstraint("probe_id", "name", name="uq_probe_targets_probe_id"),
    )  # fmt: skip
    op.create_table(
        "probe_points",
        _number("id"), _number("target_id"), _text("place"), _number("layer"), _text("variant"), _real("value", False),
        *(_real(name) for name in ("low", "high", "bits", "penalty", "fit_value", "null_low", "null_high")),
        _text("control", True), *(_real(name) for name in ("control_value", "p_above", "p_below")), _number("n"),
        _key("probe_points", "target_id", "probe_targets.id", "CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_probe_points"),
        sa.UniqueConstraint("target_id", "place", "layer", "variant", name="uq_probe_points_target_id"),
    )  # fmt: skip
    op.create_table(
        "probe_marks",
        _number("point_id"), sa.Column("right", sa.LargeBinary(), nullable=False),
        _key("probe_marks", "point_id", "probe_points.id", "CASCADE"),
        sa.PrimaryKeyConstraint("point_id", name="pk_probe_marks"),
    )  # fmt: skip


def downgrade() -> None:
    """Drop the tables."""
    for name in ("probe_marks", "probe_points", "probe_targets", "probes"):
        op.drop_table(name)

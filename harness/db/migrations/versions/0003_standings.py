"""Keep what the board shows: marks, scores and standings of landed runs; pools of runs that were asked alike."""

import json
from hashlib import blake2b

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add columns and tables; `fathom.harness.db.leaderboard.standings.update_leaderboard` fills the tables."""
    op.add_column("suites", sa.Column("pool", sa.Text(), nullable=False, server_default=""))
    _name_pools()
    op.create_index("ix_suites_pool", "suites", ["pool"])
    for name in ("n_done", "k"):
        op.add_column("runs", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    for name, kind in (("n_parameters", sa.BigInteger()), ("dtype", sa.Text()), ("kind", sa.Text())):
        op.add_column("runs", sa.Column(name, kind))
    sums = "(SELECT COALESCE(SUM({}), 0) FROM cells WHERE cells.run_id = runs.id)"
    op.execute(f"UPDATE runs SET n_done = {sums.format('n + n_errors')}, k = {sums.format('k')}")  # noqa: S608  # no input
    _make_tables()


def _name_pools() -> None:
    """Write what Suite.pool makes of the stored cells, as it was at this version."""
    connection = op.get_bind()
    suites = sa.table("suites", *map(sa.column, ("id", "name", "version", "pool")), sa.column("cells", sa.JSON()))
    for row in connection.execute(sa.select(suites.c.id, suites.c.name, suites.c.version, suites.c.cells)).all():
        text = json.dumps([row.name, row.version, row.cells], sort_keys=True, separators=(",", ":"))
        digest = blake2b(text.encode(), digest_size=6).hexdigest()
        connection.execute(sa.update(suites).where(suites.c.id == row.id).values(pool=digest))


def _make_tables() -> None:
    op.create_table(
        "marks",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("right", sa.LargeBinary(), nullable=False),
        sa.Column("graded", sa.LargeBinary(), nullable=False),
        *_keys("marks", "run_id"),
    )
    op.create_table(
        "results",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("scores", sa.JSON(), nullable=False),
        *_keys("results", "run_id"),
    )
    op.create_table(
        "standings",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("run_id", "style", "pool")),
        sa.Column("model_id", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("name", "engine", "seed")),
        *(sa.Column(name, sa.Text()) for name in ("dtype", "kind")),
        sa.Column("n_parameters", sa.BigInteger()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("n_runs", "n_missing")),
        *(sa.Column(name, sa.Float(), nullable=False) for name in ("value", "half")),
        sa.Column("families", sa.JSON(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("rank", "rank_low", "rank_high", "tie")),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_standings_model_id"),
        *_keys("standings", "run_id", "style"),
    )
    op.create_index("ix_standings_pool_style_rank", "standings", ["pool", "style", "rank"])
    op.create_index("ix_standings_model_id", "standings", ["model_id"])
    op.create_table(
        "pools",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("id", "name", "version")),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("n_cells", "n_items", "n_models")),
        *(sa.Column(name, sa.JSON(), nullable=False) for name in ("asked", "facets")),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("landed", "ranked")),
        sa.PrimaryKeyConstraint("id", name="pk_pools"),
    )


def _keys(table: str, *primary: str) -> tuple[sa.Constraint, sa.Constraint]:
    return (
        sa.PrimaryKeyConstraint(*primary, name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=f"fk_{table}_run_id", ondelete="CASCADE"),
    )


def downgrade() -> None:
    """Drop them; nothing is lost that could not be made again."""
    for table in ("pools", "standings", "results", "marks"):
        op.drop_table(table)
    op.drop_index("ix_suites_pool", "suites")
    # not in a batch: on SQLite that drops the whole table for a moment, and with it all rows that point to it
    op.drop_column("suites", "pool")
    for name in ("kind", "dtype", "n_parameters", "k", "n_done"):
        op.drop_column("runs", name)

"""Keep how deep on its ladders a model gets, so that the board sorts by depth."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the column; all pools are ranked again."""
    op.add_column("standings", sa.Column("depth", sa.Float(), nullable=True))
    pools = sa.table("pools", sa.column("landed"))
    op.get_bind().execute(sa.update(pools).values(landed=pools.c.landed + 1))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("standings", "depth")

"""Keep what runs at scale need: answers asked again, and what they tell of each cell."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add columns; runs that are there asked each question once."""
    op.add_column("runs", sa.Column("n_repeats", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("cells", sa.Column("spread", sa.JSON()))


def downgrade() -> None:
    """Take them away; what was asked again stays as samples."""
    op.drop_column("cells", "spread")
    op.drop_column("runs", "n_repeats")

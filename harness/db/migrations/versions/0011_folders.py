"""Keep the folder of a model that was submitted from the board's own machine."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the column; submissions so far are of the hub."""
    op.add_column("submissions", sa.Column("folder", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("submissions", "folder")

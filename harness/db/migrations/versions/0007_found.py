"""Keep how each answer was found in its text, and the counts of it for each cell and run."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_COUNTED = ("n_asked", "n_unread", "n_cut")


def upgrade() -> None:
    """Add columns that are empty in rows that are there: `fathom regrade --all` fills them."""
    op.add_column("samples", sa.Column("found", sa.Text()))
    for table in ("cells", "runs"):
        for name in _COUNTED:
            op.add_column(table, sa.Column(name, sa.Integer()))


def downgrade() -> None:
    """Take them away."""
    for table in ("runs", "cells"):
        for name in _COUNTED:
            op.drop_column(table, name)
    op.drop_column("samples", "found")

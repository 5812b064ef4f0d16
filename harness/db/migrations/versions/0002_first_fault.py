"""Keep where the first fault of a wrong answer lies, and what a verdict says beside its label."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns; samples that are there have neither."""
    op.add_column("samples", sa.Column("fault_at", sa.Integer()))
    op.add_column("samples", sa.Column("note", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    """Drop the columns."""
    with op.batch_alter_table("samples") as batch:
        batch.drop_column("note")
        batch.drop_column("fault_at")

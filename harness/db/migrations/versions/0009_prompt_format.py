"""Keep how a run's model was asked, so that the board ranks a model once for each such prompt format."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_AT_A_TIME = 500


def upgrade() -> None:
    """Add the columns; runs get what their manifests say, and all pools are ranked again."""
    for table in ("runs", "standings"):
        op.add_column(table, sa.Column("prompt_format", sa.Text(), nullable=False, server_default=""))
    op.add_column("submissions", sa.Column("n_shots", sa.Integer(), nullable=False, server_default="0"))
    runs = sa.table("runs", *map(sa.column, ("id", "kind", "manifest", "prompt_format")))
    connection = op.get_bind()
    names = connection.scalars(sa.select(runs.c.id).where(runs.c.kind == "suite")).all()
    for at in range(0, len(names), _AT_A_TIME):
        some = sa.select(runs.c.id, runs.c.manifest).where(runs.c.id.in_(names[at : at + _AT_A_TIME]))
        for run, manifest in connection.execute(some).all():
            connection.execute(sa.update(runs).where(runs.c.id == run).values(prompt_format=_prompt_format(manifest)))
    pools = sa.table("pools", sa.column("landed"))
    connection.execute(sa.update(pools).values(landed=pools.c.landed + 1))


def _prompt_format(manifest: object) -> str:
    """Return chat/N or plain/N, where N is the number of demonstrations."""
    stored = json.loads(manifest) if isinstance(manifest, str) else manifest
    sampling = stored.get("decisive", {}).get("sampling", {}) if isinstance(stored, dict) else {}
    return f"{'chat' if sampling.get('chat_template') else 'plain'}/{sampling.get('shots', 0)}"


def downgrade() -> None:
    """Drop the columns."""
    op.drop_column("submissions", "n_shots")
    for table in ("standings", "runs"):
        op.drop_column(table, "prompt_format")

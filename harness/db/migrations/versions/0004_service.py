"""Keep what the service needs: people, submissions, jobs, seasons, an audit log; tiers and layers of runs."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add columns and tables; runs that are there were made by the operators, so they are of tier 3."""
    op.add_column("suites", sa.Column("season", sa.Text(), nullable=False, server_default=""))
    op.add_column("suites", sa.Column("sealed", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("runs", sa.Column("tier", sa.Integer(), nullable=False, server_default="3"))
    op.add_column("runs", sa.Column("layer", sa.Text(), nullable=False, server_default="main"))
    op.add_column("runs", sa.Column("hidden_at", _TIME))
    op.add_column("pools", sa.Column("tier", sa.Integer(), nullable=False, server_default="2"))
    op.add_column("pools", sa.Column("cells_of", sa.Text(), nullable=False, server_default=""))
    op.execute("UPDATE pools SET cells_of = id")
    _index("pools", "cells_of")
    _make_standings("run_id", "style", "pool", extra=(
        sa.Column("tier", sa.Integer(), nullable=False, server_default="3"),
        sa.Column("season", sa.Text(), nullable=False, server_default=""),
    ))  # fmt: skip
    _make_people()
    _make_seasons()
    _make_submissions()
    _make_jobs()
    _make_replays()
    _guard_audit()


def _make_standings(*primary: str, extra: tuple[sa.Column[object], ...] = ()) -> None:
    """Make the table anew, empty: its key changes, and its rows are worked out of the runs."""
    op.drop_table("standings")
    op.create_table(
        "standings",
        *(_text(name) for name in ("run_id", "style", "pool")),
        _number("model_id"),
        *(_text(name) for name in ("name", "engine", "seed")),
        *(_text(name, True) for name in ("dtype", "kind")),
        *extra,
        sa.Column("n_parameters", sa.BigInteger()),
        _time("created_at"),
        *(_number(name) for name in ("n_runs", "n_missing")),
        *(sa.Column(name, sa.Float(), nullable=False) for name in ("value", "half")),
        sa.Column("families", sa.JSON(), nullable=False),
        *(_number(name) for name in ("rank", "rank_low", "rank_high", "tie")),
        _key("standings", "model_id", "models.id"),
        _key("standings", "run_id", "runs.id", "CASCADE"),
        sa.PrimaryKeyConstraint(*primary, name="pk_standings"),
    )
    op.create_index("ix_standings_pool_style_rank", "standings", ["pool", "style", "rank"])
    op.create_index("ix_standings_model_id", "standings", ["model_id"])
    op.execute("UPDATE pools SET ranked = -1")  # stale: the next landing ranks them


def _make_people() -> None:
    op.create_table(
        "users", _number("id"), _text("subject"), _text("name"), _text("role"), _time("banned_at", True),
        _time("created_at"), sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("subject", name="uq_users_subject"),
    )  # fmt: skip
    op.create_table(
        "logins", _text("digest"), _number("user_id"), _time("created_at"), _time("expires_at"),
        sa.PrimaryKeyConstraint("digest", name="pk_logins"), _key("logins", "user_id", "users.id", "CASCADE"),
    )  # fmt: skip
    op.create_table(
        "tokens", _number("id"), _number("user_id"), _text("name"), _text("digest"), _json("scopes"),
        _time("created_at"), *(_time(name, True) for name in ("expires_at", "used_at", "revoked_at")),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"), _key("tokens", "user_id", "users.id", "CASCADE"),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
    )  # fmt: skip
    op.create_table(
        "limits", _text("key"), sa.Column("window", sa.BigInteger(), nullable=False), _number("n"),
        sa.PrimaryKeyConstraint("key", "window", name="pk_limits"),
    )  # fmt: skip
    op.create_table(
        "audit", sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False), _time("at"),
        _text("actor"), _text("action"), _text("subject"), _json("detail"),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )  # fmt: skip
    _index("logins", "user_id")
    _index("logins", "expires_at")
    _index("tokens", "user_id")
    _index("audit", "subject")


def _make_seasons() -> None:
    op.create_table(
        "seasons", _text("id"), _text("state"), _text("suite"), sa.Column("secret", sa.LargeBinary(), nullable=False),
        _json("terms"), *(_text(name, True) for name in ("commitment", "beacon", "beacon_source")),
        _text("practice_seed"), _text("suite_digest", True), _json("equating", True), _text("revealed", True),
        _time("created_at"),
        *(_time(name, True) for name in ("committed_at", "opened_at", "closed_at", "revealed_at")),
        sa.PrimaryKeyConstraint("id", name="pk_seasons"),
    )  # fmt: skip


def _make_submissions() -> None:
    op.create_table(
        "submissions", _text("id"), _text("kind"), _number("owner_id"), _text("fingerprint", True),
        *(_text(name) for name in ("model", "revision", "sha", "dtype", "style")), _flag("chat_template"),
        *(_text(name) for name in ("suite", "season", "engine", "note", "contact", "state")),
        _number("tier"), _number("priority"), sa.Column("n_parameters", sa.BigInteger()),
        sa.Column("n_bytes", sa.BigInteger()), _text("model_kind", True), _text("run_id", True),
        _text("fresh_run_id", True), _json("flags"), _text("error_code", True), _text("error_tail", True),
        _flag("quota_returned"), _time("created_at"), _time("changed_at"), _time("finished_at", True),
        sa.PrimaryKeyConstraint("id", name="pk_submissions"), _key("submissions", "owner_id", "users.id"),
        _key("submissions", "run_id", "runs.id"), _key("submissions", "fresh_run_id", "runs.id"),
        sa.UniqueConstraint("fingerprint", name="uq_submissions_fingerprint"),
    )  # fmt: skip
    for column in ("owner_id", "model", "state", "run_id", "fresh_run_id", "created_at"):
        _index("submissions", column)


def _make_jobs() -> None:
    op.create_table(
        "jobs", _number("id"), _text("submission_id"), _number("owner_id"), _text("kind"), _text("run_id", True),
        _number("shard"), _json("cells"), _text("state"),
        *(_number(name) for name in ("priority", "attempt", "max_attempts")), _time("not_before"),
        _text("lease_owner", True), _text("lease_token", True), _time("lease_expires_at", True),
        _time("heartbeat_at", True), _text("phase"), _number("progress_done"), _number("progress_total"),
        sa.Column("tokens", sa.BigInteger(), nullable=False), sa.Column("seconds", sa.Float(), nullable=False),
        _text("error_code", True), _text("error_tail", True), _time("created_at"), _time("finished_at", True),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"), _key("jobs", "submission_id", "submissions.id", "CASCADE"),
        _key("jobs", "owner_id", "users.id"), _key("jobs", "run_id", "runs.id", "CASCADE"),
        sa.UniqueConstraint("submission_id", "kind", "shard", name="uq_jobs_submission_id"),
    )  # fmt: skip
    op.create_index("ix_jobs_state_not_before", "jobs", ["state", "not_before"])
    _index("jobs", "owner_id")
    _index("jobs", "lease_expires_at")
    op.create_table(
        "workers", _text("name"), _text("engine"), _json("facts"), _time("first_seen_at"), _time("seen_at"),
        sa.PrimaryKeyConstraint("name", name="pk_workers"),
    )  # fmt: skip


def _make_replays() -> None:
    op.create_table(
        "replays", _text("submission_id"), _json("picks"), _json("outcome", True), _time("created_at"),
        _time("finished_at", True), sa.PrimaryKeyConstraint("submission_id", name="pk_replays"),
        _key("replays", "submission_id", "submissions.id", "CASCADE"),
    )  # fmt: skip
    op.create_table(
        "replayed", _text("submission_id"), _number("cell"), _number("index"), _text("finish_reason"),
        _text("completion"), sa.Column("correct", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("submission_id", "cell", "index", name="pk_replayed"),
        _key("replayed", "submission_id", "replays.submission_id", "CASCADE"),
    )  # fmt: skip


def _guard_audit() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$"
        )
        op.execute(
            "CREATE TRIGGER audit_stands BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()"
        )
        return
    for event in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_stands_{event.lower()} BEFORE {event} ON audit "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        )


def _text(name: str, empty: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=empty)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _json(name: str, empty: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.JSON(), nullable=empty)


def _time(name: str, empty: bool = False) -> sa.Column[object]:
    return sa.Column(name, _TIME, nullable=empty)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())


def _key(table: str, column: str, target: str, ondelete: str | None = None) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=f"fk_{table}_{column}", ondelete=ondelete)


def _index(table: str, column: str) -> None:
    op.create_index(f"ix_{table}_{column}", table, [column])


def downgrade() -> None:
    """Drop them. Runs that the old board would rank or show wrongly are deleted, those of secret seeds included."""
    op.execute("DROP TRIGGER IF EXISTS audit_stands ON audit" if _on_postgres() else "DROP TRIGGER audit_stands_delete")
    if _on_postgres():
        op.execute("DROP FUNCTION audit_is_append_only()")
    for table in (
        "replayed", "replays", "workers", "jobs", "submissions", "seasons", "audit", "limits", "tokens", "logins",
        "users",
    ):  # fmt: skip
        op.drop_table(table)
    op.execute("DELETE FROM runs WHERE tier < 2 OR layer <> 'main' OR hidden_at IS NOT NULL")
    op.execute("DELETE FROM runs WHERE suite_id IN (SELECT id FROM suites WHERE sealed)")
    op.execute("DELETE FROM suites WHERE sealed")  # their seeds went with the seasons
    op.execute("DELETE FROM pools WHERE tier < 2")
    _make_standings("run_id", "style")
    op.drop_index("ix_pools_cells_of", "pools")
    for name in ("cells_of", "tier"):
        op.drop_column("pools", name)
    for name in ("hidden_at", "layer", "tier"):
        op.drop_column("runs", name)
    for name in ("sealed", "season"):
        op.drop_column("suites", name)


def _on_postgres() -> bool:
    return op.get_bind().dialect.name == "postgresql"

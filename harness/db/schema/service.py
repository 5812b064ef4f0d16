"""Tables of the service beside runs: users, submissions, jobs, seasons and the audit log.

States of a submission: `validating` (accepted; its runs and jobs are being made) -> `queued` -> `leased` ->
`downloading` -> `loading` -> `generating` -> `scoring` -> `finished`, or `failed`, `cancelled`, `superseded`.
"""

import datetime as dt
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Float, ForeignKey, Index, LargeBinary, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from fathom.harness.db.schema.runs import BigId, Table, UtcTime


class UserRow(Table):
    """A user who has signed in. `subject` is issuer and subject of OpenID Connect, or `local`."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    """As the provider gives it: not unique, and untrusted text."""
    role: Mapped[str] = mapped_column(Text, default="user")
    """user or admin."""
    banned_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)
    created_at: Mapped[dt.datetime] = mapped_column(UtcTime)


class LoginRow(Table):
    """A signed-in browser; `digest` is the SHA-256 of its cookie, in hex."""

    __tablename__ = "logins"
    digest: Mapped[str] = mapped_column(Text, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[dt.datetime] = mapped_column(UtcTime)
    expires_at: Mapped[dt.datetime] = mapped_column(UtcTime, index=True)


class TokenRow(Table):
    """An API token; `digest` is its SHA-256, in hex. The token itself is not stored."""

    __tablename__ = "tokens"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(Text, unique=True)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    """Of read, submit, worker, admin."""
    created_at: Mapped[dt.datetime] = mapped_column(UtcTime)
    expires_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)
    used_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)
    revoked_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)


class LimitRow(Table):
    """Number of actions of one kind by an address or a user in a window of time."""

    __tablename__ = "limits"
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    """Action and actor, as in sign-in:203.0.113.7."""
    window: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    """Start of the window, in seconds since 1970."""
    n: Mapped[int]


class AuditRow(Table):
    """One action; triggers refuse to change or delete rows."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_subject", "subject"),)
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[dt.datetime] = mapped_column(UtcTime)
    actor: Mapped[str] = mapped_column(Text)
    """user/7, worker/name, operator (the command line), system."""
    action: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)
    """Object of the action, as in submission/1f3c or user/7."""
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)


class SeasonRow(Table):
    """A suite with a secret seed. States: new -> committed -> open -> closed -> revealed."""

    __tablename__ = "seasons"
    id: Mapped[str] = mapped_column(Text, primary_key=True)
    """Name: lower-case letters, digits and hyphens, as in 2026-winter."""
    state: Mapped[str] = mapped_column(Text)
    suite: Mapped[str] = mapped_column(Text)
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    """32 bytes, encrypted with the server's key."""
    terms: Mapped[dict[str, Any]] = mapped_column(JSON)
    """What the commitment covers, without the secret."""
    commitment: Mapped[str | None] = mapped_column(Text)
    beacon: Mapped[str | None] = mapped_column(Text)
    beacon_source: Mapped[str | None] = mapped_column(Text)
    practice_seed: Mapped[str] = mapped_column(Text)
    suite_digest: Mapped[str | None] = mapped_column(Text)
    revealed: Mapped[str | None] = mapped_column(Text)
    """The secret in hex, once it is public."""
    created_at: Mapped[dt.datetime] = mapped_column(UtcTime)
    committed_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)
    opened_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)
    closed_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)
    revealed_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)


class SubmissionRow(Table):
    """A model for our workers to run (kind `model`), or an uploaded run (kind `upload`)."""

    __tablename__ = "submissions"
    id: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    fingerprint: Mapped[str | None] = mapped_column(Text, unique=True)
    """Digest that refuses a second submission of the same; None once failed, cancelled, withdrawn or superseded."""
    model: Mapped[str] = mapped_column(Text, index=True)
    revision: Mapped[str] = mapped_column(Text, default="main")
    sha: Mapped[str] = mapped_column(Text, default="")
    """Commit of `revision` at the time of submission; empty for an upload of a folder."""
    folder: Mapped[str] = mapped_column(Text, default="", server_default="")
    """Folder of the model on the board's own machine, never shown; empty for a model of the hub. `sha` is then the
    digest of its files."""
    dtype: Mapped[str] = mapped_column(Text, default="auto")
    style: Mapped[str] = mapped_column(Text, default="")
    """One style of the suite, or empty for all."""
    chat_template: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    n_shots: Mapped[int] = mapped_column(default=0, server_default="0")
    """Demonstrations before each question."""
    suite: Mapped[str] = mapped_column(Text)
    season: Mapped[str] = mapped_column(Text, default="")
    """Name of a season, or empty: the board's practice seed."""
    engine: Mapped[str] = mapped_column(Text, default="vllm")
    note: Mapped[str] = mapped_column(Text, default="")
    contact: Mapped[str] = mapped_column(Text, default="")
    """Shown to the owner and to admins only."""
    state: Mapped[str] = mapped_column(Text, index=True)
    tier: Mapped[int] = mapped_column(default=3)
    """Tier of its run."""
    priority: Mapped[int] = mapped_column(default=0)
    n_parameters: Mapped[int | None] = mapped_column(BigInteger)
    n_bytes: Mapped[int | None] = mapped_column(BigInteger)
    """Size of the files with weights."""
    model_kind: Mapped[str | None] = mapped_column(Text)
    """chat or base, as in runs.model_kind."""
    run_id: Mapped[str | None] = mapped_column(ForeignKey("runs.id"), index=True)
    fresh_run_id: Mapped[str | None] = mapped_column(ForeignKey("runs.id"), index=True)
    """Run on a seed of its own, drawn after the sha was pinned."""
    flags: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    """Findings of admins or tests, by name, as in {"seed-overfit": {...}}."""
    error_code: Mapped[str | None] = mapped_column(Text)
    error_tail: Mapped[str | None] = mapped_column(Text)
    quota_returned: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    """Whether it no longer counts against its owner's quota."""
    created_at: Mapped[dt.datetime] = mapped_column(UtcTime, index=True)
    changed_at: Mapped[dt.datetime] = mapped_column(UtcTime)
    finished_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)


class JobRow(Table):
    """A shard of a submission's run: some cells, leased to one worker at a time.

    States: queued, leased, done, failed, cancelled.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("submission_id", "kind", "shard"),
        Index("ix_jobs_state_not_before", "state", "not_before"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    submission_id: Mapped[str] = mapped_column(ForeignKey("submissions.id", ondelete="CASCADE"))
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    kind: Mapped[str] = mapped_column(Text)
    """run, fresh or replay."""
    run_id: Mapped[str | None] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    """Run of its completions; None for a replay, which stores them in `replayed`."""
    shard: Mapped[int]
    cells: Mapped[list[int]] = mapped_column(JSON)
    """Positions of its cells in the suite."""
    state: Mapped[str] = mapped_column(Text)
    priority: Mapped[int] = mapped_column(default=0)
    attempt: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int] = mapped_column(default=3)
    not_before: Mapped[dt.datetime] = mapped_column(UtcTime)
    lease_owner: Mapped[str | None] = mapped_column(Text)
    lease_token: Mapped[str | None] = mapped_column(Text)
    """SHA-256 of the lease's token, in hex."""
    lease_expires_at: Mapped[dt.datetime | None] = mapped_column(UtcTime, index=True)
    heartbeat_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)
    phase: Mapped[str] = mapped_column(Text, default="queued")
    """queued, leased, downloading, loading, generating, done."""
    progress_done: Mapped[int] = mapped_column(default=0)
    progress_total: Mapped[int]
    tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    seconds: Mapped[float] = mapped_column(Float, default=0.0)
    """Seconds of generation, to compute tokens per second."""
    error_code: Mapped[str | None] = mapped_column(Text)
    error_tail: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[dt.datetime] = mapped_column(UtcTime)
    finished_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)


class WorkerRow(Table):
    """A worker that has asked for work."""

    __tablename__ = "workers"
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    engine: Mapped[str] = mapped_column(Text)
    facts: Mapped[dict[str, Any]] = mapped_column(JSON)
    """Versions and hardware, as the worker reports them."""
    first_seen_at: Mapped[dt.datetime] = mapped_column(UtcTime)
    seen_at: Mapped[dt.datetime] = mapped_column(UtcTime)


class ReplayRow(Table):
    """Random items of an upload that a worker answers again, and the result of the comparison."""

    __tablename__ = "replays"
    submission_id: Mapped[str] = mapped_column(ForeignKey("submissions.id", ondelete="CASCADE"), primary_key=True)
    picks: Mapped[list[list[int]]] = mapped_column(JSON)
    """Pairs (position of a cell, index)."""
    outcome: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """Counts, p values and the verdict; None until all items are answered."""
    created_at: Mapped[dt.datetime] = mapped_column(UtcTime)
    finished_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)


class ReplayedRow(Table):
    """One item of an upload as a worker answered it."""

    __tablename__ = "replayed"
    submission_id: Mapped[str] = mapped_column(
        ForeignKey("replays.submission_id", ondelete="CASCADE"), primary_key=True
    )
    cell: Mapped[int] = mapped_column(primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    finish_reason: Mapped[str] = mapped_column(Text)
    completion: Mapped[str] = mapped_column(Text)
    correct: Mapped[bool]

"""Tables of runs and of the leaderboard, one class a table.

`models` to `samples` hold counts and texts only. `marks`, `results`, `standings` and `pools` are computed from them
when a run is done, so that pages read and do not compute; harness.db.leaderboard.standings can compute them again.
"""

import datetime as dt
from typing import Any, Literal

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts rows by INTEGER only


class UtcTime(TypeDecorator[dt.datetime]):
    """An instant in UTC; SQLite stores no time zone, so reading adds it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Return the instant in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


class Table(DeclarativeBase):
    """Base of all tables; constraints are named so that migrations can address them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class ModelRow(Table):
    """A model under the name that is shown: reference/pebble, org/name, or a folder's name; see harness.db.models."""

    __tablename__ = "models"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    digest: Mapped[str | None] = mapped_column(Text, unique=True, index=True)
    """Of the files of a model in a folder, which decide what model it is; null where the name decides."""


class SuiteRow(Table):
    """What a run asks: a list of cells and a seed, or tasks of lm-eval, with neither.

    `digest` covers every prompt.
    """

    __tablename__ = "suites"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    seed: Mapped[str] = mapped_column(Text)
    cells: Mapped[list[dict[str, Any]]] = mapped_column(JSON)  # JSON of Suite.cells
    pool: Mapped[str] = mapped_column(Text, index=True, server_default="")
    """Digest of name, version and cells, without the seed: runs of one pool are ranked together."""
    season: Mapped[str] = mapped_column(Text, server_default="", default="")
    """Season whose seed this is, or empty."""
    sealed: Mapped[bool] = mapped_column(Boolean, server_default=false(), default=False)
    """Whether the seed is still secret: then `seed` holds a name for it, and no item may be shown."""


RunKind = Literal["suite", "tasks"]


class RunRow(Table):
    """One evaluation of one model, on a suite or on lm-eval's own tasks."""

    __tablename__ = "runs"
    id: Mapped[str] = mapped_column(Text, primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"), index=True)
    suite_id: Mapped[int] = mapped_column(ForeignKey("suites.id"), index=True)
    kind: Mapped[RunKind] = mapped_column(Text, default="suite", server_default="suite")
    """suite: has cells and samples, may be ranked; tasks: has task_samples and task_docs, is never ranked."""
    state: Mapped[str] = mapped_column(Text)
    engine: Mapped[str] = mapped_column(Text)
    settings: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """Of a run of tasks: which tasks, and how they are asked. None for a suite."""
    manifest: Mapped[dict[str, Any]] = mapped_column(JSON)  # JSON of harness.runs.manifest.Manifest
    manifest_digest: Mapped[str] = mapped_column(Text)
    n_items: Mapped[int]
    """Items of a suite; of tasks, requests to the engine, where the choices of one question are one request."""
    n_repeats: Mapped[int] = mapped_column(default=1, server_default="1")
    """Answers to each item; a whole run has n_items * n_repeats samples."""
    n_generated: Mapped[int] = mapped_column(default=0)
    """Completions that an engine made, over all attempts; more than the samples only after retried errors."""
    attempts: Mapped[int] = mapped_column(default=1)
    seconds: Mapped[int] = mapped_column(default=0)
    """Whole seconds of wall time with a loaded engine, over all attempts."""
    n_done: Mapped[int] = mapped_column(default=0, server_default="0")
    """Samples that are stored, with those on which the engine failed."""
    k: Mapped[int] = mapped_column(default=0, server_default="0")
    n_asked: Mapped[int | None]
    """Sum over its cells, as are n_unread and n_cut; null where one of them is not known."""
    n_unread: Mapped[int | None]
    n_cut: Mapped[int | None]
    n_parameters: Mapped[int | None] = mapped_column(BigInteger)
    dtype: Mapped[str | None] = mapped_column(Text)
    """Number format in which the engine ran the model."""
    model_kind: Mapped[str | None] = mapped_column(Text)
    """chat where the model has a chat template, base where it has none."""
    tier: Mapped[int] = mapped_column(server_default="3", default=3)
    """1: completions sent by a user; 2: the same, and a worker reproduced random items; 3: run by our own workers."""
    prompt_format: Mapped[str] = mapped_column(Text, server_default="", default="")
    """How the model is asked: chat/N or plain/N, with N demonstrations; see records.prompt_format_of."""
    layer: Mapped[str] = mapped_column(Text, server_default="main", default="main")
    """main: may be ranked; fresh: a submission's own seed; sampled: not decoded as ranked runs are, so not ranked;
    adaptive: on a suite that places its items as the run goes on, so not ranked either; upload: incomplete, and shown
    nowhere."""
    hidden_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)
    """When it was taken off the board; its page remains and says so."""
    error: Mapped[str | None] = mapped_column(Text)
    log: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[dt.datetime] = mapped_column(UtcTime, index=True)
    finished_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)
    model_path: Mapped[str | None] = mapped_column(Text)
    """Folder of the model's files on the machine that ran it, to resume the run; never shown."""
    holder: Mapped[str | None] = mapped_column(Text)
    """Process that runs it: the text of harness.db.liveness.Holder; null for runs of a board's workers."""
    heartbeat_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)
    """When that process was last seen alive, by the database's clock."""


class CellRow(Table):
    """Counts of one (family, level, channel, style) of a run."""

    __tablename__ = "cells"
    __table_args__ = (UniqueConstraint("run_id", "position"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    position: Mapped[int]
    family: Mapped[str] = mapped_column(Text)
    version: Mapped[int]
    level: Mapped[str] = mapped_column(Text)
    channel: Mapped[str] = mapped_column(Text)
    style: Mapped[str] = mapped_column(Text)
    n_planned: Mapped[int]
    """Items; each has runs.n_repeats samples."""
    n: Mapped[int] = mapped_column(default=0)
    """Graded samples; a request that the engine failed on is not graded."""
    k: Mapped[int] = mapped_column(default=0)
    n_errors: Mapped[int] = mapped_column(default=0)
    labels: Mapped[dict[str, int]] = mapped_column(JSON, default=dict)
    spread: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """JSON of harness.stats.repeats.Spread; null where each item is asked once."""
    n_asked: Mapped[int | None]
    """Graded samples with an answer in the form that was asked for; null, as the next two, if some were graded by a
    version that did not store how it found the answer."""
    n_unread: Mapped[int | None]
    """Graded samples in which no answer could be read, without those that were cut off or too long."""
    n_cut: Mapped[int | None]
    """Graded samples whose answer, or the thought before it, was cut by its token budget."""


class SampleRow(Table):
    """One completion and its verdict. The question is not stored: the item's id makes it again."""

    __tablename__ = "samples"
    __table_args__ = (
        UniqueConstraint("cell_id", "index", "repeat"),
        Index("ix_samples_cell_id_correct", "cell_id", "correct", "index"),
    )
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    cell_id: Mapped[int] = mapped_column(ForeignKey("cells.id", ondelete="CASCADE"))
    index: Mapped[int]
    repeat: Mapped[int]
    key: Mapped[str] = mapped_column(Text)
    """Digest of manifest, item, prompt, sampling and repeat: a resumed run recalls the completion by it."""
    finish_reason: Mapped[str] = mapped_column(Text)
    completion: Mapped[str] = mapped_column(Text)
    scores: Mapped[list[float] | None] = mapped_column(JSON)
    """Log-likelihood of each candidate, in nats; only for the style `choice`."""
    parsed: Mapped[str | None] = mapped_column(Text)
    label: Mapped[str] = mapped_column(Text)
    fault_at: Mapped[int | None]
    """Position of the first fault, counted from 1, where the label has one."""
    note: Mapped[str] = mapped_column(Text, default="", server_default="")
    correct: Mapped[bool]
    found: Mapped[str | None] = mapped_column(Text)
    """How the answer was found: asked, read or none; null in samples graded by a version that did not store it."""
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    milliseconds: Mapped[int]
    error: Mapped[str | None] = mapped_column(Text)


class MarkRow(Table):
    """Which items of a done run of a suite are right: eight a byte, in the order of cells and indices."""

    __tablename__ = "marks"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    right: Mapped[bytes] = mapped_column(LargeBinary)
    graded: Mapped[bytes] = mapped_column(LargeBinary)


class ResultRow(Table):
    """Scores of a done run.

    Of a suite, ladder scores and depths: JSON of harness.stats.scores.scores_json. Of tasks, the results of lm-eval's
    `evaluate`, without its samples.
    """

    __tablename__ = "results"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    scores: Mapped[dict[str, Any]] = mapped_column(JSON)


class StandingRow(Table):
    """Rank of a model's newest finished run in its pool, in one style, with all columns that the board shows.

    A model that was asked in several prompt formats is ranked once for each.
    A run of tier 2 or 3 may be ranked in two pools: among its own kind, and in the pool that ranks uploads as well.
    Models, runs and suites are copied, so that the board filters and sorts one table.
    """

    __tablename__ = "standings"
    __table_args__ = (Index("ix_standings_pool_style_rank", "pool", "style", "rank"),)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    style: Mapped[str] = mapped_column(Text, primary_key=True)
    pool: Mapped[str] = mapped_column(Text, primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"), index=True)
    name: Mapped[str] = mapped_column(Text)
    engine: Mapped[str] = mapped_column(Text)
    seed: Mapped[str] = mapped_column(Text)
    dtype: Mapped[str | None] = mapped_column(Text)
    kind: Mapped[str | None] = mapped_column(Text)
    """runs.model_kind."""
    tier: Mapped[int] = mapped_column(server_default="3")
    season: Mapped[str] = mapped_column(Text, server_default="")
    n_parameters: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[dt.datetime] = mapped_column(UtcTime)
    prompt_format: Mapped[str] = mapped_column(Text, server_default="")
    """runs.prompt_format."""
    n_runs: Mapped[int]
    """Finished runs of the model in the pool that were asked in this prompt format, this one included."""
    n_missing: Mapped[int]
    """Items of the suite that were not graded, over all styles."""
    value: Mapped[float] = mapped_column(Float)
    half: Mapped[float] = mapped_column(Float)
    """Half of the 95% interval of the value."""
    families: Mapped[dict[str, dict[str, Any]]] = mapped_column(JSON)
    """Value and half by family; also depth as text, and its share of the ladder, where two levels were asked."""
    depth: Mapped[float | None] = mapped_column(Float)
    """Mean of the families' shares."""
    rank: Mapped[int]
    rank_low: Mapped[int]
    rank_high: Mapped[int]
    tie: Mapped[int]
    """Number of the tie group, counted from 1."""


RANKED_TIER = 2
"""Lowest tier that is ranked by default."""

OWN_TIER = 3
"""Tier of a run whose answers were given here, by this installation or one of its workers."""

EVERY_TIER = "-all"
"""Suffix of the id of a pool that ranks runs of tier 1 as well; such a pool exists only where there are such runs."""


class PoolRow(Table):
    """Runs with the same cells, and the state of their ranking."""

    __tablename__ = "pools"
    id: Mapped[str] = mapped_column(Text, primary_key=True)
    """suites.pool, with the suffix EVERY_TIER where runs of tier 1 are ranked as well."""
    cells_of: Mapped[str] = mapped_column(Text, server_default="", index=True)
    """suites.pool of its runs."""
    tier: Mapped[int] = mapped_column(server_default="2", default=2)
    """Lowest tier that is ranked."""
    name: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    n_cells: Mapped[int]
    n_items: Mapped[int]
    n_models: Mapped[int] = mapped_column(default=0)
    asked: Mapped[dict[str, list[str]]] = mapped_column(JSON)
    """Families by style."""
    facets: Mapped[dict[str, list[str]]] = mapped_column(JSON)
    """Kinds, dtypes and engines of the runs that are ranked in it."""
    landed: Mapped[int] = mapped_column(default=0)
    """Version of its runs: each run whose results are stored adds one."""
    ranked: Mapped[int] = mapped_column(default=0)
    """Version that the standings were computed from; they are stale where `landed` is higher."""

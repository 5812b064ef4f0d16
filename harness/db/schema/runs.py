"""Say what is stored: one class a table.

Counts and texts only, from `models` to `samples`. What `marks`, `results`, `standings` and `pools`
hold is worked out of them when a run lands, so that pages need not; `harness.db.landing` can make it again.
"""

import datetime as dt
from typing import Any

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
    """An instant in UTC; SQLite keeps no time zone, so it is put back on reading."""

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
    """A model as people call it: reference/pebble, org/name, or a folder."""

    __tablename__ = "models"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)


class SuiteRow(Table):
    """A list of cells and a seed; `digest` stands for every prompt in it."""

    __tablename__ = "suites"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    seed: Mapped[str] = mapped_column(Text)
    cells: Mapped[list[dict[str, Any]]] = mapped_column(JSON)  # JSON of Suite.cells
    pool: Mapped[str] = mapped_column(Text, index=True, server_default="")
    """Digest of name, version and cells, without the seed: runs of one pool were asked alike."""
    season: Mapped[str] = mapped_column(Text, server_default="", default="")
    """Season whose seed this is, or empty."""
    sealed: Mapped[bool] = mapped_column(Boolean, server_default=false(), default=False)
    """Whether the seed is secret as yet: then `seed` holds a name for it, and no item may be shown."""


class RunRow(Table):
    """One evaluation of one model on one suite."""

    __tablename__ = "runs"
    id: Mapped[str] = mapped_column(Text, primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"), index=True)
    suite_id: Mapped[int] = mapped_column(ForeignKey("suites.id"), index=True)
    state: Mapped[str] = mapped_column(Text)
    engine: Mapped[str] = mapped_column(Text)
    manifest: Mapped[dict[str, Any]] = mapped_column(JSON)  # JSON of provenance.Manifest
    manifest_digest: Mapped[str] = mapped_column(Text)
    n_items: Mapped[int]
    n_repeats: Mapped[int] = mapped_column(default=1, server_default="1")
    """Answers to each item; samples are counted, so that there are n_items * n_repeats of them."""
    n_generated: Mapped[int] = mapped_column(default=0)
    """Completions asked of an engine, over all attempts; above the number of samples only after retried errors."""
    attempts: Mapped[int] = mapped_column(default=1)
    seconds: Mapped[int] = mapped_column(default=0)
    """Whole seconds of wall time with a loaded engine, over all attempts."""
    n_done: Mapped[int] = mapped_column(default=0, server_default="0")
    """Samples counted into the cells, those that the engine failed on included."""
    k: Mapped[int] = mapped_column(default=0, server_default="0")
    n_parameters: Mapped[int | None] = mapped_column(BigInteger)
    dtype: Mapped[str | None] = mapped_column(Text)
    """Number format in which the engine ran the model."""
    kind: Mapped[str | None] = mapped_column(Text)
    """chat where the model brings a chat template, base where it does not."""
    tier: Mapped[int] = mapped_column(server_default="3", default=3)
    """1: completions sent by a user; 2: those, and a worker got the same on random items; 3: run by our own workers."""
    layer: Mapped[str] = mapped_column(Text, server_default="main", default="main")
    """main: may be ranked; fresh: a submission's own seed; sampled: not decoded plainly, so that it is not ranked;
    upload: not whole yet, and shown nowhere."""
    hidden_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)
    """When it was taken off the board; its page remains, as a tombstone."""
    error: Mapped[str | None] = mapped_column(Text)
    log: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[dt.datetime] = mapped_column(UtcTime, index=True)
    finished_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)


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
    """JSON of harness.spread.Spread; null where each item is asked once."""


class SampleRow(Table):
    """One completion and its verdict. The question is made again from the item's id."""

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
    """Digest of manifest, item, prompt, sampling and repeat: what makes a completion reusable."""
    finish_reason: Mapped[str] = mapped_column(Text)
    completion: Mapped[str] = mapped_column(Text)
    scores: Mapped[list[float] | None] = mapped_column(JSON)
    """Log-likelihood of each candidate, in nats; only for the style `choice`."""
    parsed: Mapped[str | None] = mapped_column(Text)
    label: Mapped[str] = mapped_column(Text)
    fault_at: Mapped[int | None]
    """Place of the first fault, counted from 1, where the label has one."""
    note: Mapped[str] = mapped_column(Text, default="", server_default="")
    correct: Mapped[bool]
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    milliseconds: Mapped[int]
    error: Mapped[str | None] = mapped_column(Text)


class MarkRow(Table):
    """Which items of a landed run are right, packed eight to a byte, in the order of cells and indices."""

    __tablename__ = "marks"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    right: Mapped[bytes] = mapped_column(LargeBinary)
    graded: Mapped[bytes] = mapped_column(LargeBinary)


class ResultRow(Table):
    """Ladder scores and depths of a landed run, as JSON of harness.scores.scores_json."""

    __tablename__ = "results"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    scores: Mapped[dict[str, Any]] = mapped_column(JSON)


class StandingRow(Table):
    """Where a model's newest finished run stands in its pool, in one style; with all that the board shows of both.

    A run of tier 2 or 3 may stand in two pools: that of its own kind, and that which ranks uploads as well.
    Copied from models, runs and suites, so that the board filters and sorts one table.
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
    tier: Mapped[int] = mapped_column(server_default="3")
    season: Mapped[str] = mapped_column(Text, server_default="")
    n_parameters: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[dt.datetime] = mapped_column(UtcTime)
    n_runs: Mapped[int]
    """Finished runs of the model in the pool, this one included."""
    n_missing: Mapped[int]
    """Items of the suite that were not graded, over all styles."""
    value: Mapped[float] = mapped_column(Float)
    half: Mapped[float] = mapped_column(Float)
    """Half of the 95% interval of the value."""
    families: Mapped[dict[str, dict[str, float]]] = mapped_column(JSON)
    """Value and half by family."""
    rank: Mapped[int]
    rank_low: Mapped[int]
    rank_high: Mapped[int]
    tie: Mapped[int]
    """Number of the tie group, counted from 1."""


RANKED_TIER = 2
"""Least tier that is ranked where nothing else is asked for."""

EVERY_TIER = "-all"
"""End of the id of a pool that ranks runs of tier 1 as well; it is there only where there are such runs."""


class PoolRow(Table):
    """Runs that were asked the same cells, and how far they are ranked."""

    __tablename__ = "pools"
    id: Mapped[str] = mapped_column(Text, primary_key=True)
    """suites.pool; with EVERY_TIER behind it where runs of tier 1 are ranked as well."""
    cells_of: Mapped[str] = mapped_column(Text, server_default="", index=True)
    """suites.pool of its runs."""
    tier: Mapped[int] = mapped_column(server_default="2", default=2)
    """Least tier that is ranked."""
    name: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    n_cells: Mapped[int]
    n_items: Mapped[int]
    n_models: Mapped[int] = mapped_column(default=0)
    asked: Mapped[dict[str, list[str]]] = mapped_column(JSON)
    """Families by style."""
    facets: Mapped[dict[str, list[str]]] = mapped_column(JSON)
    """Kinds, dtypes and engines of the runs that stand in it."""
    landed: Mapped[int] = mapped_column(default=0)
    """Goes up by one with each run that lands."""
    ranked: Mapped[int] = mapped_column(default=0)
    """What `landed` was when the standings were made; behind it, they are stale."""

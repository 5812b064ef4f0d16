"""Tables of laws over seeds: registrations with their verdicts, trainings, and what each model got."""

import datetime as dt
from typing import Any

from sqlalchemy import JSON, Float, ForeignKey, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fathom.harness.db.schema.runs import Table, UtcTime


class LawRow(Table):
    """A registered run of a law; its results are written once, and never replaced."""

    __tablename__ = "laws"
    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(Text, unique=True)
    """Of the registration: seeds, rule, margin, gates, recipes and code."""
    name: Mapped[str] = mapped_column(Text, index=True)
    kind: Mapped[str] = mapped_column(Text)
    """confirming or exploratory."""
    scale: Mapped[str] = mapped_column(Text)
    attempt: Mapped[int]
    """1 for the first confirming registration of this law here; one more for each other one. 0: exploratory."""
    design: Mapped[dict[str, Any]] = mapped_column(JSON)  # JSON of a TokenLaw without its code
    registration: Mapped[dict[str, Any]] = mapped_column(JSON)
    n_seeds: Mapped[int]
    state: Mapped[str] = mapped_column(Text)
    """registered or done."""
    verdict: Mapped[str | None] = mapped_column(Text)
    effect: Mapped[float | None] = mapped_column(Float)
    """Mean over seeds, in the unit of the design; as are low, high and sd."""
    low: Mapped[float | None] = mapped_column(Float)
    high: Mapped[float | None] = mapped_column(Float)
    sd: Mapped[float | None] = mapped_column(Float)
    p: Mapped[float | None] = mapped_column(Float)
    """Of the one-sided sign-flip test."""
    effects: Mapped[list[float] | None] = mapped_column(JSON(none_as_null=True))
    """One a seed, in the order of the registration's seeds."""
    gates: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))
    cpu_seconds: Mapped[float | None] = mapped_column(Float)
    created_at: Mapped[dt.datetime] = mapped_column(UtcTime)
    finished_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)


class LawTrialRow(Table):
    """One training: a condition with a seed."""

    __tablename__ = "law_trials"
    __table_args__ = (UniqueConstraint("law_id", "condition", "seed"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    law_id: Mapped[int] = mapped_column(ForeignKey("laws.id", ondelete="CASCADE"))
    condition: Mapped[str] = mapped_column(Text)
    seed: Mapped[int]
    weights: Mapped[str] = mapped_column(Text)
    """Digest of the trained weights."""
    n_parameters: Mapped[int]
    cpu_seconds: Mapped[float] = mapped_column(Float)


class LawMeasureRow(Table):
    """What one model got in one question; the interval covers its items, not another training."""

    __tablename__ = "law_measures"
    __table_args__ = (UniqueConstraint("trial_id", "position"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    trial_id: Mapped[int] = mapped_column(ForeignKey("law_trials.id", ondelete="CASCADE"))
    position: Mapped[int]
    """Among the questions of its training, from 0."""
    question: Mapped[str] = mapped_column(Text)
    value: Mapped[float] = mapped_column(Float)
    low: Mapped[float] = mapped_column(Float)
    high: Mapped[float] = mapped_column(Float)
    n: Mapped[int]

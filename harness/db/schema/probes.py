"""Tables of probes: what is read in a model's hidden states, point by point."""

import datetime as dt
from typing import Any

from sqlalchemy import JSON, Float, ForeignKey, LargeBinary, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fathom.harness.db.schema.runs import Table, UtcTime


class ProbeRow(Table):
    """A probe of one model: which targets, with which items and controls."""

    __tablename__ = "probes"
    id: Mapped[str] = mapped_column(Text, primary_key=True)
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"), index=True)
    seed: Mapped[str] = mapped_column(Text)
    manifest: Mapped[dict[str, Any]] = mapped_column(JSON)  # JSON of harness.probing.plan.ProbePlan
    manifest_digest: Mapped[str] = mapped_column(Text, unique=True)
    """Of everything that decides the numbers: the same probe is resumed, never made twice."""
    state: Mapped[str] = mapped_column(Text)
    """running or done; a probe whose process was killed stays running, and the same command goes on with it."""
    dtype: Mapped[str] = mapped_column(Text)
    device: Mapped[str] = mapped_column(Text)
    n_layers: Mapped[int]
    """Blocks; layers are counted from 0, the input of the first."""
    width: Mapped[int]
    seconds: Mapped[int] = mapped_column(default=0, server_default="0")
    """Whole seconds of wall time, over all attempts."""
    created_at: Mapped[dt.datetime] = mapped_column(UtcTime, index=True)
    finished_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)


class ProbeTargetRow(Table):
    """One hidden variable of a probe, in all layers and places."""

    __tablename__ = "probe_targets"
    __table_args__ = (UniqueConstraint("probe_id", "name"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    probe_id: Mapped[str] = mapped_column(ForeignKey("probes.id", ondelete="CASCADE"))
    position: Mapped[int]
    name: Mapped[str] = mapped_column(Text)
    version: Mapped[int]
    """Of the family."""
    family: Mapped[str] = mapped_column(Text)
    level: Mapped[str] = mapped_column(Text)
    channel: Mapped[str] = mapped_column(Text)
    style: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    about: Mapped[str] = mapped_column(Text)
    n_fit: Mapped[int] = mapped_column(default=0)
    """Readings at the first place, as are n_test and n_items."""
    n_test: Mapped[int] = mapped_column(default=0)
    n_items: Mapped[int] = mapped_column(default=0)
    """Groups of readings to test that are independent."""
    chance: Mapped[float] = mapped_column(Float, default=0.0)
    entropy_bits: Mapped[float] = mapped_column(Float, default=0.0)
    items_digest: Mapped[str] = mapped_column(Text, default="", server_default="")
    """Of the texts that were tested: targets with the same one were tested on the same items."""
    answer_k: Mapped[int | None]
    """Test items whose answer was this variable's value; null where it cannot be said."""
    answer_n: Mapped[int | None]
    answer_right: Mapped[bytes | None] = mapped_column(LargeBinary)
    note: Mapped[str] = mapped_column(Text, default="", server_default="")
    """Why it was left out; empty where it was probed."""
    patch: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """JSON of harness.probing.patch.PatchResult; null where the causal check was not made."""


class ProbePointRow(Table):
    """A fitted probe at one layer and place, or one of its controls."""

    __tablename__ = "probe_points"
    __table_args__ = (UniqueConstraint("target_id", "place", "layer", "variant"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    target_id: Mapped[int] = mapped_column(ForeignKey("probe_targets.id", ondelete="CASCADE"))
    place: Mapped[str] = mapped_column(Text)
    layer: Mapped[int]
    """-1 for controls that read no state: surface and output."""
    variant: Mapped[str] = mapped_column(Text)
    """trained; random: weights before training; words: random labels by word; surface: the text; output: next token."""
    value: Mapped[float] = mapped_column(Float)
    """Accuracy on the test readings; AUC for yes-no."""
    low: Mapped[float | None] = mapped_column(Float)
    high: Mapped[float | None] = mapped_column(Float)
    bits: Mapped[float | None] = mapped_column(Float)
    """V-information, in bits."""
    penalty: Mapped[float | None] = mapped_column(Float)
    fit_value: Mapped[float | None] = mapped_column(Float)
    """The measure on the check readings among those to fit, by which a layer is chosen."""
    null_low: Mapped[float | None] = mapped_column(Float)
    null_high: Mapped[float | None] = mapped_column(Float)
    """Least and greatest measure with shuffled labels."""
    control: Mapped[str | None] = mapped_column(Text)
    """The strongest control."""
    control_value: Mapped[float | None] = mapped_column(Float)
    p_above: Mapped[float | None] = mapped_column(Float)
    p_below: Mapped[float | None] = mapped_column(Float)
    """See harness.stats.presence.Bar; a verdict is computed from them, over all points of a target."""
    n: Mapped[int]


class ProbeMarkRow(Table):
    """Which test readings of a trained point are right: eight a byte, in the order of items."""

    __tablename__ = "probe_marks"
    point_id: Mapped[int] = mapped_column(ForeignKey("probe_points.id", ondelete="CASCADE"), primary_key=True)
    right: Mapped[bytes] = mapped_column(LargeBinary)

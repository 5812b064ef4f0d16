"""Probes: written point by point, so that a kill loses one fit at most, and read as frozen values."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, func, insert, select, update
from sqlalchemy.orm import Session

from fathom.harness.db.engine import insert_if_new, translate_errors, writing
from fathom.harness.db.models import model_id
from fathom.harness.db.schema.probes import ProbeMarkRow, ProbePointRow, ProbeRow, ProbeTargetRow
from fathom.harness.db.schema.runs import ModelRow
from fathom.harness.db.write import Origin, utc_now
from fathom.harness.errors import UnknownModel, UnknownRun
from fathom.harness.stats.presence import Presence, presence_of_all, presences

Bools = NDArray[np.bool_]

_HEX = "0123456789abcdef"


@dataclass(frozen=True, slots=True)
class NewProbe:
    """A probe before it starts."""

    model: str
    manifest: Mapping[str, Any]  # JSON of harness.probing.plan.ProbePlan
    manifest_digest: str
    seed: str
    dtype: str
    device: str
    n_layers: int
    width: int
    origin: Origin = field(default_factory=Origin)


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """What is known of a target before its first point."""

    name: str
    position: int
    version: int
    cell: tuple[str, str, str, str]
    """Family, level, channel and style."""
    kind: str
    about: str
    n_fit: int = 0
    n_test: int = 0
    n_items: int = 0
    chance: float = 0.0
    entropy_bits: float = 0.0
    items_digest: str = ""
    said: Bools | None = field(default=None, compare=False)
    """Which test readings of the first place the model's answers give the value of; None where none can."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class ProbePoint:
    """A row of `probe_points`; what is None is not defined for its variant."""

    place: str
    layer: int
    variant: str
    value: float
    n: int
    low: float | None = None
    high: float | None = None
    bits: float | None = None
    penalty: float | None = None
    fit_value: float | None = None
    null_low: float | None = None
    null_high: float | None = None
    control: str | None = None
    control_value: float | None = None
    p_above: float | None = None
    p_below: float | None = None
    right: Bools | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ProbedTarget:
    """A target with its points; verdicts are computed over the trained ones."""

    id: int
    facts: TargetFacts
    answer_k: int | None
    answer_n: int | None
    patch: Mapping[str, Any] | None  # JSON of harness.probing.patch.PatchResult
    points: tuple[ProbePoint, ...]
    verdicts: Mapping[tuple[str, int], Presence]
    """By place and layer."""

    @property
    def places(self) -> tuple[str, ...]:
        """Places in the order of reading."""
        return tuple(dict.fromkeys(point.place for point in self.points))

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers with a trained point."""
        return tuple(sorted({point.layer for point in self.points if point.variant == "trained"}))

    def at(self, place: str, layer: int, variant: str = "trained") -> ProbePoint | None:
        """Return a point, or None."""
        wanted = (place, layer, variant)
        return next((one for one in self.points if (one.place, one.layer, one.variant) == wanted), None)

    @property
    def verdict(self) -> Presence:
        """Present somewhere, absent everywhere, or unclear."""
        return presence_of_all(list(self.verdicts.values()))

    @property
    def best(self) -> ProbePoint | None:
        """The trained point that is best on the check readings, chosen by no test reading; of equals the first."""
        trained = [one for one in self.points if one.variant == "trained"]
        return max(trained, key=lambda one: one.fit_value or 0.0, default=None)

    @property
    def first_layer(self) -> int | None:
        """The first layer where the variable is present at any place."""
        return min((layer for (_, layer), said in self.verdicts.items() if said == "present"), default=None)


@dataclass(frozen=True, slots=True)
class ProbeSummary:
    """A probe in short."""

    id: str
    model: str
    model_id: int
    seed: str
    state: str
    dtype: str
    device: str
    n_layers: int
    width: int
    seconds: int
    created_at: dt.datetime
    manifest: Mapping[str, Any] = field(hash=False)  # JSON of harness.probing.plan.ProbePlan


@dataclass(frozen=True, slots=True)
class ProbeDetail:
    """A probe with its targets."""

    summary: ProbeSummary
    targets: tuple[ProbedTarget, ...]


def start_probe(db: Engine, new: NewProbe, now: Callable[[], dt.datetime] = utc_now) -> str:
    """Store a probe and return its id; or return that of the same probe, whether it is done or was cut off."""
    with writing(db) as session:
        known = select(ProbeRow.id).where(ProbeRow.manifest_digest == new.manifest_digest)
        if (found := session.scalars(known).first()) is not None:
            return found
        model = model_id(
            session,
            new.model,
            new.origin.model_digest,
            str(new.origin.model_digest or ""),
            is_named=new.origin.is_named,
        )
        row = {
            "id": uuid4().hex[:12], "model_id": model, "seed": new.seed, "manifest": dict(new.manifest),
            "manifest_digest": new.manifest_digest, "state": "running", "dtype": new.dtype, "device": new.device,
            "n_layers": new.n_layers, "width": new.width, "created_at": now(),
        }  # fmt: skip
        session.execute(insert(ProbeRow), [row])
        return str(row["id"])


def add_target(db: Engine, probe: str, facts: TargetFacts) -> int:
    """Store a target, unless it is there, and return its id."""
    family, level, channel, style = facts.cell
    said = facts.said
    with writing(db) as session:
        session.execute(
            insert_if_new(session.get_bind(), ProbeTargetRow).values(
                probe_id=probe, position=facts.position, name=facts.name, version=facts.version, family=family,
                level=level, channel=channel, style=style, kind=facts.kind, about=facts.about, n_fit=facts.n_fit,
                n_test=facts.n_test, n_items=facts.n_items, chance=facts.chance, entropy_bits=facts.entropy_bits,
                items_digest=facts.items_digest, answer_k=None if said is None else int(said.sum()),
                answer_n=None if said is None else len(said), note=facts.note,
                answer_right=None if said is None else np.packbits(said).tobytes(),
            )
        )  # fmt: skip
        wanted = select(ProbeTargetRow.id).where(ProbeTargetRow.probe_id == probe, ProbeTargetRow.name == facts.name)
        return session.scalars(wanted).one()


def add_points(db: Engine, target: int, points: Sequence[ProbePoint]) -> None:
    """Store a fit and its controls in one transaction; points that are there stay as they are."""
    with writing(db) as session:
        for one in points:
            values = {name: getattr(one, name) for name in ProbePoint.__dataclass_fields__ if name != "right"}
            session.execute(insert_if_new(session.get_bind(), ProbePointRow).values(target_id=target, **values))
            if one.right is None:
                continue
            at = (ProbePointRow.place == one.place, ProbePointRow.layer == one.layer)
            wanted = select(ProbePointRow.id).where(
                ProbePointRow.target_id == target, *at, ProbePointRow.variant == one.variant
            )
            packed = np.packbits(one.right).tobytes()
            session.execute(
                insert_if_new(session.get_bind(), ProbeMarkRow).values(
                    point_id=session.scalars(wanted).one(), right=packed
                )
            )


def add_patch(db: Engine, target: int, result: Mapping[str, Any]) -> None:  # JSON of PatchResult
    """Store the outcome of the causal check of a target."""
    with writing(db) as session:
        session.execute(update(ProbeTargetRow).where(ProbeTargetRow.id == target).values(patch=dict(result)))


def end_probe(
    db: Engine, probe: str, seconds: float, *, is_done: bool, now: Callable[[], dt.datetime] = utc_now
) -> None:
    """Add the time of an attempt; a finished probe is done."""
    ended: dict[str, Any] = {"state": "done", "finished_at": now()} if is_done else {}
    with writing(db) as session:
        spent = ProbeRow.seconds + round(seconds)
        session.execute(update(ProbeRow).where(ProbeRow.id == probe).values(seconds=spent, **ended))


_SUMMARY = (
    ProbeRow.id, ModelRow.name, ProbeRow.model_id, ProbeRow.seed, ProbeRow.state, ProbeRow.dtype, ProbeRow.device,
    ProbeRow.n_layers, ProbeRow.width, ProbeRow.seconds, ProbeRow.created_at, ProbeRow.manifest,
)  # fmt: skip


def list_probes(db: Engine, model: int | None = None, limit: int = 100) -> tuple[ProbeSummary, ...]:
    """Return probes, newest first; of one model, or of all."""
    wanted = select(*_SUMMARY).join(ModelRow, ModelRow.id == ProbeRow.model_id)
    if model is not None:
        wanted = wanted.where(ProbeRow.model_id == model)
    wanted = wanted.order_by(ProbeRow.created_at.desc(), ProbeRow.id).limit(limit)
    with translate_errors(), Session(db) as session:
        return tuple(ProbeSummary(*row) for row in session.execute(wanted))


def count_probes(db: Engine, model: int) -> int:
    """Return how many probes a model has."""
    wanted = select(func.count()).select_from(ProbeRow).where(ProbeRow.model_id == model)
    with translate_errors(), Session(db) as session:
        return session.execute(wanted).scalar_one()


def probes_beginning(db: Engine, word: str) -> tuple[str, ...]:
    """Return the ids of at most two probes that begin with a text of hex digits."""
    start = word.lower()
    if not start or any(char not in _HEX for char in start):
        return ()
    wanted = select(ProbeRow.id).where(ProbeRow.id >= start, ProbeRow.id < start + "g").limit(2)
    with translate_errors(), Session(db) as session:
        return tuple(session.scalars(wanted))


def get_probe(db: Engine, probe: str) -> ProbeDetail:
    """Return a probe by its id or a unique prefix of it, in three statements.

    Raises:
        UnknownRun: no probe or several probes have this prefix.
    """
    found = probes_beginning(db, probe)
    if len(found) != 1:
        what = "no probe" if not found else "more than one probe"
        raise UnknownRun(f"{what} begins with {probe[:40]!r}: `fathom probe` prints the id when it ends")
    summary = select(*_SUMMARY).join(ModelRow, ModelRow.id == ProbeRow.model_id).where(ProbeRow.id == found[0])
    targets = select(ProbeTargetRow).where(ProbeTargetRow.probe_id == found[0]).order_by(ProbeTargetRow.position)
    points = (
        select(ProbePointRow, ProbeMarkRow.right)
        .outerjoin(ProbeMarkRow, ProbeMarkRow.point_id == ProbePointRow.id)
        .join(ProbeTargetRow, ProbeTargetRow.id == ProbePointRow.target_id)
        .where(ProbeTargetRow.probe_id == found[0])
        .order_by(ProbePointRow.id)
    )
    with translate_errors(), Session(db) as session:
        row = session.execute(summary).one()
        of_target: dict[int, list[ProbePoint]] = {}
        for point, right in session.execute(points):
            of_target.setdefault(point.target_id, []).append(_point(point, right))
        made = tuple(_target(one, of_target.get(one.id, [])) for one in session.scalars(targets))
    return ProbeDetail(ProbeSummary(*row), made)


def _point(row: ProbePointRow, right: bytes | None) -> ProbePoint:
    values = {name: getattr(row, name) for name in ProbePoint.__dataclass_fields__ if name != "right"}
    return ProbePoint(**values, right=None if right is None else _unpack(right, row.n))


def _unpack(packed: bytes, n: int) -> Bools:
    return np.unpackbits(np.frombuffer(packed, np.uint8), count=n).astype(bool)


def _target(row: ProbeTargetRow, points: Sequence[ProbePoint]) -> ProbedTarget:
    said = None if row.answer_right is None else _unpack(row.answer_right, row.answer_n or 0)
    cell = (row.family, row.level, row.channel, row.style)
    facts = TargetFacts(
        row.name, row.position, row.version, cell, row.kind, row.about, row.n_fit, row.n_test, row.n_items, row.chance,
        row.entropy_bits, row.items_digest, said, row.note,
    )  # fmt: skip
    trained = [one for one in points if one.variant == "trained" and one.p_above is not None]
    said_of = presences([(one.p_above or 0.0, one.p_below or 0.0) for one in trained])
    verdicts = {(one.place, one.layer): said for one, said in zip(trained, said_of, strict=True)}
    return ProbedTarget(row.id, facts, row.answer_k, row.answer_n, row.patch, tuple(points), verdicts)


def model_with_probes(db: Engine, name: str) -> tuple[int, str]:
    """Return id and name of a model that was probed, by its name or by ~ and its number.

    Raises:
        UnknownModel: there is none.
    """
    number = name.removeprefix("~")
    same = ModelRow.id == int(number) if name.startswith("~") and number.isdecimal() and len(number) < 10 else (
        ModelRow.name == name
    )  # fmt: skip
    probed = select(ModelRow.id, ModelRow.name).join(ProbeRow, ProbeRow.model_id == ModelRow.id).where(same).limit(1)
    with translate_errors(), Session(db) as session:
        found = session.execute(probed).first()
    if found is None:
        raise UnknownModel(f"no model {name[:80]!r} was probed: `fathom probe --model` looks inside one")
    return found[0], found[1]

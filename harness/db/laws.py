"""Laws over seeds: registered before a training, written once when done, and read as frozen values."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, and_, func, insert, select, update
from sqlalchemy.orm import Session

from fathom.harness.db.engine import translate_errors, writing
from fathom.harness.db.schema.laws import LawMeasureRow, LawRow, LawTrialRow
from fathom.harness.engines.decoder_shape import PLAIN
from fathom.harness.errors import UnknownLaw


@dataclass(frozen=True, slots=True)
class NewLaw:
    """A run of a law before its first training."""

    digest: str
    name: str
    kind: str
    scale: str
    n_seeds: int
    design: Mapping[str, Any]  # JSON of harness.training.token_laws.record.design_json
    registration: Mapping[str, Any]  # JSON of harness.training.token_laws.registration.Registration
    registered: dt.datetime


@dataclass(frozen=True, slots=True)
class LawMeasure:
    """What one model got in one question, with an interval over items."""

    question: str
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class LawTrial:
    """One training and what its model got."""

    condition: str
    seed: int
    weights: str
    n_parameters: int
    cpu_seconds: float
    measures: tuple[LawMeasure, ...]


@dataclass(frozen=True, slots=True)
class LawResult:
    """The outcome of a run of a law, in the unit of its design."""

    verdict: str
    effect: float
    low: float
    high: float
    sd: float
    p: float
    effects: tuple[float, ...]
    """One a seed."""
    gates: Sequence[Mapping[str, Any]]  # JSON of harness.training.token_laws.record.gate_json
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class StoredLaw:
    """A registered run of a law."""

    id: int
    digest: str
    name: str
    kind: str
    scale: str
    attempt: int
    n_attempts: int
    """Confirming registrations of this law in this shape here, with this one."""
    design: Mapping[str, Any]
    registration: Mapping[str, Any]
    n_seeds: int
    registered: dt.datetime
    finished: dt.datetime | None
    result: LawResult | None
    """None until all seeds are trained."""

    @property
    def shape(self) -> str:
        """Shape of all its models, as in `engines.decoder_shape.SHAPES`."""
        return str(self.registration.get("shape", PLAIN))


_shape_of_row = func.coalesce(LawRow.registration["shape"].as_string(), PLAIN)
"""Registrations of before there were shapes have none; their models had what is now the plain one."""


def register_law(db: Engine, law: NewLaw) -> int:
    """Store a registration, unless it is there; return its number among the confirming ones of law and shape.

    An exploratory one has the number 0.
    """
    with writing(db) as session:
        known = session.scalars(select(LawRow.attempt).where(LawRow.digest == law.digest)).first()
        if known is not None:
            return known
        attempt = 0
        if law.kind == "confirming":
            shape = str(law.registration.get("shape", PLAIN))
            earlier = select(func.count()).where(LawRow.name == law.name, LawRow.kind == "confirming")
            earlier = earlier.where(_shape_of_row == shape)
            attempt = 1 + (session.scalar(earlier) or 0)
        row = LawRow(
            digest=law.digest, name=law.name, kind=law.kind, scale=law.scale, attempt=attempt, design=dict(law.design),
            registration=dict(law.registration), n_seeds=law.n_seeds, state="registered", created_at=law.registered,
        )  # fmt: skip
        session.add(row)
        return attempt


def finish_law(db: Engine, digest: str, result: LawResult, trials: Sequence[LawTrial], when: dt.datetime) -> bool:
    """Store the outcome of a registered run and all its trainings; False if it has one, which then stands.

    Raises:
        UnknownLaw: it is not registered here.
    """
    with writing(db) as session:
        row = session.scalars(select(LawRow).where(LawRow.digest == digest)).first()
        if row is None:
            raise UnknownLaw(f"no law is registered as {digest} in this database")
        if row.state == "done":
            return False
        for trial in trials:
            values = {name: getattr(trial, name) for name in _TRIAL}
            made = session.execute(insert(LawTrialRow).values(law_id=row.id, **values).returning(LawTrialRow.id))
            trial_id = made.scalar_one()
            rows = [
                {"trial_id": trial_id, "position": at, **{name: getattr(one, name) for name in _MEASURE}}
                for at, one in enumerate(trial.measures)
            ]
            session.execute(insert(LawMeasureRow), rows)
        outcome = {name: getattr(result, name) for name in _RESULT}
        outcome |= {"effects": list(result.effects), "gates": [dict(one) for one in result.gates]}
        done = update(LawRow).where(LawRow.id == row.id)
        session.execute(done.values(state="done", finished_at=when, **outcome))
        return True


_TRIAL = ("condition", "seed", "weights", "n_parameters", "cpu_seconds")
_MEASURE = ("question", "value", "low", "high", "n")
_RESULT = ("verdict", "effect", "low", "high", "sd", "p", "effects", "gates", "cpu_seconds")


def list_laws(db: Engine, name: str | None = None) -> list[StoredLaw]:
    """Return registered runs, of one law or of all, by name, the newest confirming ones first; one statement."""
    confirming = select(LawRow.name, _shape_of_row.label("shape")).where(LawRow.kind == "confirming").subquery()
    same = confirming.c.name, confirming.c.shape
    counted = select(*same, func.count().label("n")).group_by(*same).subquery()
    wanted = select(LawRow, counted.c.n).outerjoin(
        counted, and_(counted.c.name == LawRow.name, counted.c.shape == _shape_of_row)
    )
    if name is not None:
        wanted = wanted.where(LawRow.name == name)
    order = LawRow.name, LawRow.kind, LawRow.created_at.desc(), LawRow.id.desc()
    with translate_errors(), Session(db) as session:
        return [_stored(row, n or 0) for row, n in session.execute(wanted.order_by(*order).limit(_MOST))]


def newest_by_shape(laws: Sequence[StoredLaw]) -> dict[str, dict[str, StoredLaw]]:
    """Return the newest run of each law in each shape: law -> shape -> run, of runs in the order of `list_laws`."""
    found: dict[str, dict[str, StoredLaw]] = {}
    for one in laws:
        found.setdefault(one.name, {}).setdefault(one.shape, one)
    return found


_MOST = 500
"""Registered runs that a page lists."""


def trials_of(db: Engine, law_id: int) -> list[LawTrial]:
    """Return the trainings of a run in the order in which they were made, in two statements."""
    with translate_errors(), Session(db) as session:
        rows = session.scalars(select(LawTrialRow).where(LawTrialRow.law_id == law_id).order_by(LawTrialRow.id)).all()
        measured = session.scalars(
            select(LawMeasureRow)
            .join(LawTrialRow, LawTrialRow.id == LawMeasureRow.trial_id)
            .where(LawTrialRow.law_id == law_id)
            .order_by(LawMeasureRow.trial_id, LawMeasureRow.position)
        )
        by_trial: dict[int, list[LawMeasure]] = {}
        for one in measured:
            by_trial.setdefault(one.trial_id, []).append(LawMeasure(*(getattr(one, name) for name in _MEASURE)))
        return [
            LawTrial(**{name: getattr(row, name) for name in _TRIAL}, measures=tuple(by_trial.get(row.id, ())))
            for row in rows
        ]


def _stored(row: LawRow, n_attempts: int) -> StoredLaw:
    return StoredLaw(
        row.id, row.digest, row.name, row.kind, row.scale, row.attempt, n_attempts, row.design, row.registration,
        row.n_seeds, row.created_at, row.finished_at, _result(row),
    )  # fmt: skip


def _result(row: LawRow) -> LawResult | None:
    if row.state != "done":
        return None
    values = {name: getattr(row, name) for name in _RESULT}
    return LawResult(**(values | {"effects": tuple(row.effects or ())}))

"""A run of a law as values: registered in the database, judged, stored, and written to OUT/law.json."""

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from fathom.harness.db.laws import LawMeasure, LawResult, LawTrial, NewLaw, finish_law, register_law
from fathom.harness.errors import BadInput
from fathom.harness.training.token_laws.design import TokenLaw
from fathom.harness.training.token_laws.experiment import OnProgress, run_trials, store_registration
from fathom.harness.training.token_laws.judge import Conclusion, GateResult, Trial, judge
from fathom.harness.training.token_laws.registration import Registration


@dataclass(frozen=True, slots=True)
class Record:
    """A finished run of a law."""

    law: TokenLaw
    registration: Registration
    registered: str
    """When, in ISO 8601."""
    attempt: int
    """Number among the confirming registrations of this law in the database; 0 for an exploratory run."""
    trials: tuple[Trial, ...]
    conclusion: Conclusion

    @property
    def verdict(self) -> str:
        """The verdict of a confirming run, else `exploratory`."""
        return self.conclusion.verdict if self.registration.kind == "confirming" else "exploratory"

    @property
    def cpu_seconds(self) -> float:
        """Of all trainings with their questions."""
        return sum(one.cpu_seconds for one in self.trials)


@dataclass(frozen=True, slots=True)
class Registered:
    """A registration that is stored, before anything is trained."""

    registration: Registration
    when: dt.datetime
    attempt: int


def store_law(law: TokenLaw, registration: Registration, out: Path, db: Engine) -> Registered:
    """Store a registration in OUT and in the database.

    Raises:
        BadRecipe: OUT is registered for something else.
        BadInput: OUT cannot be written.
        StoreError: the database refused.
    """
    stored = store_registration(registration, out, dt.datetime.now(dt.UTC))
    when = dt.datetime.fromisoformat(stored["registered"])
    new = NewLaw(
        registration.digest, law.name, registration.kind, registration.scale, len(registration.seeds), design_json(law),
        asdict(registration), when,
    )  # fmt: skip
    return Registered(registration, when, register_law(db, new))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run of a law keeps its files and its result, and how many processes train."""

    out: Path
    db: Engine
    processes: int = 1


def run_token_law(law: TokenLaw, registered: Registered, place: Place, report: OnProgress) -> Record:
    """Train, judge, store the result, and write OUT/law.json; what is trained already is not trained again.

    Raises:
        BadInput, StoreError: a file or the database cannot be written.
        Diverged, WorkerLost: a training failed or was killed; another call continues.
    """
    registration = registered.registration
    trials = run_trials(law, registration, place.out, place.processes, report)
    conclusion = judge(law, trials)
    when = registered.when.isoformat(timespec="seconds")
    record = Record(law, registration, when, registered.attempt, trials, conclusion)
    finish_law(place.db, registration.digest, _result(record), _stored_trials(trials), dt.datetime.now(dt.UTC))
    try:
        text = json.dumps(record_json(record), indent=1, ensure_ascii=False) + "\n"
        (place.out / "law.json").write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot write {place.out / 'law.json'}: {error.strerror or error}") from error
    return record


def _result(record: Record) -> LawResult:
    conclusion, effect = record.conclusion, record.conclusion.effect
    return LawResult(
        record.verdict, effect.mean, effect.interval.low, effect.interval.high, effect.sd, conclusion.p, effect.values,
        [_gate_json(one) for one in conclusion.gates], record.cpu_seconds,
    )  # fmt: skip


def _stored_trials(trials: Sequence[Trial]) -> list[LawTrial]:
    return [
        LawTrial(
            one.condition, one.seed, one.weights, one.n_parameters, one.cpu_seconds,
            tuple(LawMeasure(**asdict(measure)) for measure in one.measures),
        )
        for one in trials
    ]  # fmt: skip


def _gate_json(result: GateResult) -> dict[str, Any]:
    gate = result.gate
    return {"about": gate.about, "question": gate.question, "conditions": list(gate.conditions), "least": gate.least,
            "lowest": result.lowest, "passed": result.passed}  # fmt: skip


def design_json(law: TokenLaw) -> dict[str, Any]:
    """Return what a law is as JSON values: claim, rule, source, conditions with recipes, gates."""
    return {
        "claim": law.claim, "rule_text": law.rule_text, "reference": law.reference, "rule": asdict(law.rule),
        "conditions": [
            {"name": one.name, "title": one.title, "after": one.after, "recipe": asdict(one.recipe)}
            for one in law.conditions
        ],
        "gates": [asdict(one) for one in law.gates],
    }  # fmt: skip


def record_json(record: Record) -> dict[str, Any]:
    """Return a record as JSON values, as in law.json."""
    law, conclusion, registration = record.law, record.conclusion, record.registration
    effect = conclusion.effect
    return {
        "law": law.name, **design_json(law), "verdict": record.verdict, "attempt": record.attempt,
        "registration": {**asdict(registration), "digest": registration.digest, "registered": record.registered},
        "effect": {
            "mean": effect.mean, "low": effect.interval.low, "high": effect.interval.high, "sd": effect.sd,
            "p": conclusion.p, "by_seed": list(effect.values),
        },
        "gates": [_gate_json(one) for one in conclusion.gates],
        "groups_of_five": list(conclusion.groups), "cpu_seconds": round(record.cpu_seconds, 1),
        "trials": [asdict(one) for one in record.trials],
    }  # fmt: skip

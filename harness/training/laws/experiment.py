"""Turn a law into trained models, their runs and a finding: resumable at any point, each step done once."""

import json
import platform
import time
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

from fathom.harness.errors import BadInput, BadRecipe
from fathom.harness.format import duration
from fathom.harness.reports.frames import Store
from fathom.harness.runs.manifest import versions
from fathom.harness.training.laws.base import Finding, Law, Scale
from fathom.harness.training.laws.examine import Candidate, ask, measure
from fathom.harness.training.laws.measures import Measure, Results
from fathom.harness.training.recipe import Recipe, read_recipe

_DONE = "trained.json"
_PACKAGES = ("torch", "transformers", "tokenizers", "numpy")


class Teller(Protocol):
    """What is told while a law is run."""

    def train(self, recipe: Recipe) -> Any:  # a context manager that gives a harness.pretrain.Report
        """Open the display of a training."""

    def ask(self, candidate: Candidate) -> Any:  # a context manager that gives a harness.run.Report
        """Open the display of an evaluation."""

    def say(self, line: str) -> None:
        """Print a line."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a law is run: folder of models and record, database of runs, engine that answers."""

    out: Path
    store: Store
    engine: str = "hf"


@dataclass(frozen=True, slots=True)
class Trial:
    """What was done with one condition."""

    condition: str
    recipe: str
    """Hash of all that the recipe says."""
    model: str
    run: str
    n_parameters: int
    train_seconds: float
    ask_seconds: float


@dataclass(frozen=True, slots=True)
class Record:
    """A law that was run to its end."""

    law: Law
    scale: Scale
    trials: tuple[Trial, ...]
    measures: tuple[Measure, ...]
    finding: Finding


def run_law(law: Law, scale: Scale, place: Place, teller: Teller) -> Record:
    """Train and ask each condition, unless that is done already; judge, and write OUT/law.json.

    Raises:
        BadRecipe: OUT holds models of other recipes.
        BadInput: OUT cannot be written.
        EngineFailed, StoreError, Interrupted: a part failed or was stopped; another call goes on from there.
    """
    recipes = {one.name: read_recipe(str(law.recipe(one.name, scale))) for one in law.conditions}  # all, before any
    trials: list[Trial] = []
    measures: list[Measure] = []
    for condition in law.conditions:
        recipe = recipes[condition.name]
        model, seconds = train(recipe, place.out / condition.name, teller)
        candidate = Candidate(law.name, condition.name, model, recipe.seed, law.asked(scale, condition.name))
        began = time.monotonic()
        with teller.ask(candidate) as report:
            run = ask(candidate, place.store, place.engine, report)
        asking = time.monotonic() - began
        facts = candidate.n_parameters, seconds, asking
        trials.append(Trial(condition.name, digest(recipe), recipe.name, run, *facts))
        measures += measure(candidate, run, place.store)
        teller.say(f"{condition.title}: trained in {duration(seconds)}, run {run}")
    record = Record(law, scale, tuple(trials), tuple(measures), law.judge(Results(tuple(measures))))
    _write(place.out / "law.json", record_json(record))
    return record


def train(recipe: Recipe, folder: Path, teller: Teller) -> tuple[Path, float]:
    """Return a recipe's model and the seconds that its training took; go on where it was cut off.

    Raises:
        BadRecipe: the folder holds another recipe's model, or a damaged record of its training.
    """
    model, done = folder / recipe.name, folder / _DONE
    if done.exists() and (model / "config.json").exists():
        return model, _check_trained(done, recipe)
    from fathom.harness.training.pretrain.train import pretrain  # torch and transformers

    seconds = 0.0
    with teller.train(recipe) as shown:

        def report(progress: Any) -> None:  # a harness.pretrain.Progress
            nonlocal seconds
            seconds = progress.seconds
            shown(progress)

        pretrain(recipe, folder, report)
    _write(done, {"recipe": digest(recipe), "seconds": round(seconds, 1)})
    return model, seconds


def _check_trained(done: Path, recipe: Recipe) -> float:
    """Return the seconds that a finished training took, or raise BadRecipe."""
    try:
        said = json.loads(done.read_text(encoding="utf-8"))
        of, seconds = said["recipe"], float(said["seconds"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BadRecipe(f"{done} is damaged: give another --out, or remove {done.parent}") from error
    if of != digest(recipe):
        raise BadRecipe(f"{done.parent} holds a model of another recipe: give another --out, or remove it")
    return seconds


def digest(recipe: Recipe) -> str:
    """Hash all that a recipe says; 16 hex digits."""
    return blake2b(recipe.model_dump_json().encode(), digest_size=8).hexdigest()


def record_json(record: Record) -> dict[str, Any]:
    """Return all that is to be kept of a record, as JSON values."""
    law, finding = record.law, record.finding
    return {
        "law": law.name, "scale": record.scale, "claim": law.claim, "rule": law.rule, "reference": law.reference,
        "verdict": finding.verdict, "sentence": finding.sentence,
        "effect": finding.effect and {
            "of": finding.of, "value": finding.effect.value, **_interval(finding.effect.interval),
        },
        "conditions": [
            {"name": one.condition, "recipe": one.recipe, "model": one.model, "run": one.run,
             "n_parameters": one.n_parameters, "train_seconds": round(one.train_seconds, 1),
             "ask_seconds": round(one.ask_seconds, 1)}
            for one in record.trials
        ],
        "measures": [
            {"condition": one.condition, "question": one.question, "k": one.k, "n": one.n, "chance": one.chance,
             "value": one.estimate.value, **_interval(one.estimate.interval)}
            for one in record.measures
        ],
        "versions": {"python": platform.python_version(), **versions(_PACKAGES)},
    }  # fmt: skip


def _interval(interval: Any) -> dict[str, float]:  # a harness.stats.Interval
    return {"low": interval.low, "high": interval.high}


def _write(path: Path, values: object) -> None:
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror or error}; give another --out") from error

"""The experiment behind a law: train, evaluate and judge. Each step is done once; another call resumes."""

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
from fathom.harness.stats.intervals import Interval
from fathom.harness.training.laws.base import Conclusion, Law, Scale
from fathom.harness.training.laws.evaluation import TrainedModel, evaluate_model, observe_run
from fathom.harness.training.laws.results import ExperimentResults, Observation
from fathom.harness.training.recipe import Recipe

EXPLORATORY = "exploratory: one training a condition, so another seed may turn the verdict"
"""What is said of every result here; `fathom law` with the scale cpu judges over seeds."""

_DONE = "trained.json"
_PACKAGES = ("torch", "transformers", "tokenizers", "numpy")


class LawDisplay(Protocol):
    """Display of an experiment's progress."""

    def train(self, recipe: Recipe) -> Any:  # a context manager that gives an OnTrainingProgress
        """Open the display of a training."""

    def evaluate(self, trained: TrainedModel) -> Any:  # a context manager that gives a ProgressReport
        """Open the display of an evaluation."""

    def say(self, line: str) -> None:
        """Print a line."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where an experiment keeps its models, record and runs, and the engine that evaluates the models."""

    out: Path
    store: Store
    engine: str = "hf"


@dataclass(frozen=True, slots=True)
class Trial:
    """The training and the run of one condition."""

    condition: str
    recipe: str
    """Digest of the recipe."""
    model: str
    run: str
    n_parameters: int
    train_seconds: float
    ask_seconds: float


@dataclass(frozen=True, slots=True)
class LawRecord:
    """A finished experiment."""

    law: Law
    scale: Scale
    trials: tuple[Trial, ...]
    observations: tuple[Observation, ...]
    conclusion: Conclusion


def run_law(law: Law, scale: Scale, workspace: Workspace, display: LawDisplay) -> LawRecord:
    """Train and evaluate the model of each condition, unless that is done; judge, and write OUT/law.json.

    Raises:
        BadRecipe: OUT contains models of other recipes.
        BadInput: OUT cannot be written.
        EngineFailed, StoreError, Interrupted: a step failed or was stopped; another call resumes there.
    """
    recipes = {one.name: law.recipe(one.name, scale) for one in law.conditions}  # all are checked before any is trained
    trials: list[Trial] = []
    observations: list[Observation] = []
    for condition in law.conditions:
        recipe = recipes[condition.name]
        model, seconds = _train_condition(recipe, workspace.out / condition.name, display)
        trained = TrainedModel(law.name, condition.name, model, recipe.seed, law.questions_for(condition.name, scale))
        began = time.monotonic()
        with display.evaluate(trained) as report:
            run = evaluate_model(trained, workspace.store, workspace.engine, report)
        spent = trained.n_parameters, seconds, time.monotonic() - began
        trials.append(Trial(condition.name, recipe_digest(recipe), recipe.name, run, *spent))
        observations += observe_run(trained, run, workspace.store)
        display.say(f"{condition.title}: trained in {duration(seconds)}, run {run}")
    results = ExperimentResults(tuple(observations))
    record = LawRecord(law, scale, tuple(trials), results.observations, law.judge(results))
    _write(workspace.out / "law.json", record_json(record))
    return record


def _train_condition(recipe: Recipe, folder: Path, display: LawDisplay) -> tuple[Path, float]:
    """Train a recipe, resuming from its last checkpoint; return the model and the seconds of its training.

    Raises:
        BadRecipe: the folder contains another recipe's model, or a damaged record of its training.
    """
    model, done = folder / recipe.name, folder / _DONE
    if done.exists() and (model / "config.json").exists():
        return model, _check_trained(done, recipe)
    from fathom.harness.training.pretrain.trainer import pretrain  # torch and transformers

    seconds = 0.0
    with display.train(recipe) as shown:

        def report(progress: Any) -> None:  # a TrainingProgress
            nonlocal seconds
            seconds = progress.seconds
            shown(progress)

        pretrain(recipe, folder, report)
    _write(done, {"recipe": recipe_digest(recipe), "seconds": round(seconds, 1)})
    return model, seconds


def _check_trained(done: Path, recipe: Recipe) -> float:
    """Return the seconds that a finished training took, or raise BadRecipe."""
    try:
        stored = json.loads(done.read_text(encoding="utf-8"))
        digest, seconds = stored["recipe"], float(stored["seconds"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BadRecipe(f"{done} is damaged: give another --out, or remove {done.parent}") from error
    if digest != recipe_digest(recipe):
        raise BadRecipe(f"{done.parent} contains a model of another recipe: give another --out, or remove it")
    return seconds


def recipe_digest(recipe: Recipe) -> str:
    """Return a digest of all values of a recipe; 16 hex digits."""
    return blake2b(recipe.whole_json().encode(), digest_size=8).hexdigest()


def record_json(record: LawRecord) -> dict[str, Any]:
    """Return a record as JSON values, as in law.json."""
    law, conclusion = record.law, record.conclusion
    return {
        "law": law.name, "scale": record.scale, "claim": law.claim, "rule": law.rule, "reference": law.reference,
        "status": EXPLORATORY, "verdict": conclusion.verdict, "sentence": conclusion.sentence,
        "effect": conclusion.effect and {
            "of": conclusion.of, "value": conclusion.effect.value, **_interval(conclusion.effect.interval),
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
            for one in record.observations
        ],
        "versions": {"python": platform.python_version(), **versions(_PACKAGES)},
    }  # fmt: skip


def _interval(interval: Interval) -> dict[str, float]:
    return {"low": interval.low, "high": interval.high}


def _write(path: Path, values: object) -> None:
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror or error}; give another --out") from error

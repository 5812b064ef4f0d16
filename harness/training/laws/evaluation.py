"""Evaluation of a law's trained models: their questions as a stored run, and the run as observations."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fathom.harness.db import read
from fathom.harness.db.samples import stream_samples
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import inspect_model
from fathom.harness.records import ProgressReport, SampleFilter, SampleView
from fathom.harness.reports.frames import Store
from fathom.harness.reports.questions import make_sample_question
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.manifest import make_manifest
from fathom.harness.runs.plan import Plan, add_thinking, resolve_model, resume_plan
from fathom.harness.runs.run_settings import RunSettings
from fathom.harness.stats.cell_measures import truth_nats
from fathom.harness.stats.learned_bits import FactScore, sum_fact_scores
from fathom.harness.training.laws.base import LawQuestion
from fathom.harness.training.laws.results import Observation
from fathom.tasks.base import level_of
from fathom.tasks.registry import find_family, instance_from_id
from fathom.tasks.stream import canonical_seed
from fathom.tasks.suite_tables import SUITE_VERSION
from fathom.tasks.suites import Suite, SuiteCell


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A trained model of a law and the questions that it is asked."""

    law: str
    condition: str
    model: Path
    seed: str
    """Of the recipe. It also determines the population, so that the model is asked about people it read of."""
    questions: tuple[LawQuestion, ...]

    @property
    def n_parameters(self) -> int:
        """Number of the model's parameters."""
        return inspect_model(self.model).n_parameters or 0  # known, as nothing is packed here

    @property
    def suite(self) -> Suite:
        """The questions as a suite."""
        cells = tuple(
            SuiteCell(one.family, find_family(one.family).version, one.level, one.channel, one.style, one.n)
            for one in self.questions
        )
        return Suite(f"law-{self.law}", SUITE_VERSION, canonical_seed(self.seed), cells)


def evaluate_model(trained: TrainedModel, store: Store, engine: str, report: ProgressReport) -> str:
    """Return the id of a model's finished run: a stored one, one that is resumed, or a new one.

    Raises:
        EngineFailed, StoreError, Interrupted: the run stopped; another call resumes it.
    """
    plan = _plan(trained, engine)
    digest = make_manifest(plan.model, plan.suite, plan.settings).digest()
    with store.opened(create=True) as db:
        for one in read.list_runs(db):
            if one.model != plan.model.name:
                continue
            detail = read.get_run(db, one.run)
            if detail.manifest_digest == digest:
                if one.state == "done":
                    return one.run
                plan = resume_plan(detail, plan.settings.engine)
                break
        return evaluate(plan, db, report).run


def _plan(trained: TrainedModel, engine: str) -> Plan:
    settings = RunSettings(engine=EngineSettings(engine))
    model = resolve_model(str(trained.model), settings.engine)
    return Plan(model, trained.suite, add_thinking(model, settings))


def observe_run(trained: TrainedModel, run: str, store: Store) -> tuple[Observation, ...]:
    """Return one observation a question from a run's samples; an item that was drawn twice counts once."""
    with store.opened() as db:
        samples = list(stream_samples(db, read.get_run(db, run), SampleFilter()))
    found = []
    for question in trained.questions:
        mine = _distinct([one for one in samples if _is_sample_of(one, question)])
        family = find_family(question.family)
        chance = family.chance(level_of(family, question.level), question.style)
        right = sum(one.correct for one in mine)
        measured = Observation(trained.condition, question.name, right, len(mine), chance)
        if question.unit == "bits":
            scale = question.people / trained.n_parameters
            measured = replace(measured, chance=None, learned=sum_fact_scores(map(_fact_score, mine)), scale=scale)
        found.append(measured)
    return tuple(found)


def _is_sample_of(sample: SampleView, question: LawQuestion) -> bool:
    family, level, channel, *_ = sample.item.split("/")
    asked = question.family, question.level, question.channel, question.style
    return (family.partition("@")[0], level, channel, sample.style) == asked


def _distinct(samples: Sequence[SampleView]) -> list[SampleView]:
    """Drop samples that repeat a question; in the style free each answer is new, so all of one item are kept once."""
    kept: dict[object, SampleView] = {}
    for one in samples:
        made = make_sample_question(one)
        kept.setdefault(one.item if made is None or one.style == "free" else (made.text, made.gold), one)
    return list(kept.values())


def _fact_score(sample: SampleView) -> FactScore:
    """Return the score of the fact that a sample asks for; without log-likelihoods, that of a uniform guess."""
    nats, facts = truth_nats(sample.scores), instance_from_id(sample.item).facts
    above_guess = 0.0 if nats is None else nats - facts["nats"]["guessed"]
    return FactScore(facts["person"], facts["attribute"], above_guess)

"""Turn a trained model of a law into a stored run, and the run into measures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fathom.harness.db import read
from fathom.harness.db.samples import stream_samples
from fathom.harness.engines.base import EngineSetup
from fathom.harness.engines.model import find_model, model_facts
from fathom.harness.records import Report, SampleFilter, SampleView
from fathom.harness.reports.frames import Store
from fathom.harness.reports.questions import make_question
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.manifest import make_manifest
from fathom.harness.runs.plan import Plan, plan_again
from fathom.harness.runs.prompting import Decoding, Prompting, settle
from fathom.harness.stats.measures import Gain, gather, nats_of
from fathom.harness.training.laws.base import Question
from fathom.harness.training.laws.measures import Measure
from fathom.tasks.base import level_of
from fathom.tasks.registry import find_family, instance_from_id
from fathom.tasks.stream import canonical_seed
from fathom.tasks.suites import VERSION, Suite, SuiteCell


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trained model and what it is to be asked; `name` is that of the law."""

    name: str
    condition: str
    model: Path
    seed: str
    """That of the recipe: the model is asked about the people of whom it read."""
    questions: tuple[Question, ...]

    @property
    def n_parameters(self) -> int:
        """Numbers that the model's weights hold."""
        return model_facts(self.model).n_parameters

    @property
    def suite(self) -> Suite:
        """The questions as a suite of their own."""
        cells = tuple(
            SuiteCell(one.family, find_family(one.family).version, one.level, one.channel, one.style, one.n)
            for one in self.questions
        )
        return Suite(f"law-{self.name}", VERSION, canonical_seed(self.seed), cells)


def ask(candidate: Candidate, store: Store, engine: str, report: Report) -> str:
    """Return the finished run of a candidate: one that is stored already, one that goes on, or a new one.

    Raises:
        EngineFailed, StoreError, Interrupted: see harness.run.evaluate; another call goes on.
    """
    plan = _plan(candidate, engine)
    digest = make_manifest(plan.model, plan.suite, plan.how).digest()
    with store.opened(create=True) as db:
        for one in read.list_runs(db):
            if one.model != plan.model.name:
                continue
            detail = read.get_run(db, one.run)
            if detail.manifest_digest == digest:
                if one.state == "done":
                    return one.run
                plan = plan_again(detail, plan.setup)
                break
        return evaluate(plan, db, report).run


def _plan(candidate: Candidate, engine: str) -> Plan:
    model, prompting = find_model(str(candidate.model)), Prompting()
    return Plan(model, engine, candidate.suite, None, prompting, settle(model, prompting, Decoding()), EngineSetup())


def measure(candidate: Candidate, run: str, store: Store) -> tuple[Measure, ...]:
    """Read a run's samples; an item that was drawn again counts once."""
    with store.opened() as db:
        samples = list(stream_samples(db, read.get_run(db, run), SampleFilter()))
    found = []
    for question in candidate.questions:
        mine = _distinct([one for one in samples if _is_of(one, question)])
        family = find_family(question.family)
        chance = family.chance(level_of(family, question.level), question.style)
        right = sum(one.correct for one in mine)
        measured = Measure(candidate.condition, question.name, right, len(mine), chance)
        if question.unit == "bits":
            scale = question.people / candidate.n_parameters
            measured = replace(measured, chance=None, gains=gather(map(_gain, mine)), scale=scale)
        found.append(measured)
    return tuple(found)


def _is_of(sample: SampleView, question: Question) -> bool:
    family, level, channel, *_ = sample.item.split("/")
    asked = question.family, question.level, question.channel, question.style
    return (family.partition("@")[0], level, channel, sample.style) == asked


def _distinct(samples: Sequence[SampleView]) -> list[SampleView]:
    """Leave out what asks the same again; whoever is to write freely writes something new each time."""
    kept: dict[object, SampleView] = {}
    for one in samples:
        made = make_question(one)
        kept.setdefault(one.item if made is None or one.style == "free" else (made.text, made.gold), one)
    return list(kept.values())


def _gain(sample: SampleView) -> Gain:
    """Return what a sample tells of a fact: without scores, as much as a uniform guesser would."""
    nats, facts = nats_of(sample.scores), instance_from_id(sample.item).facts
    gained = 0.0 if nats is None else nats - facts["nats"]["guessed"]
    return Gain(facts["person"], facts["attribute"], gained)

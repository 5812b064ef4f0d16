"""What a law is: the conditions to compare, the questions to ask, and the rule that decides."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from fathom.harness.format import percent
from fathom.harness.stats.intervals import Estimate
from fathom.harness.training.laws.recipes import LAW_RECIPES_FOLDER, read_law_recipe
from fathom.harness.training.laws.results import ExperimentResults, newcombe
from fathom.harness.training.recipe import Recipe

Scale = Literal["text", "gpu"]
SCALES: tuple[Scale, ...] = get_args(Scale)
"""Of natural text. text: about 15 minutes on two cores. gpu: sized for about 10 minutes on one H200."""

LawVerdict = Literal["shown", "not shown", "reversed"]
"""reversed: the effect is significant and has the opposite sign."""

_MARGIN = 0.1
"""A difference of shares is shown where its whole 95% interval lies above this."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One of the models that a law compares."""

    name: str
    """As in the recipe's file, `[conditions.NAME]`, and in the recipe's name, law-LAW-NAME-SCALE."""
    title: str
    """For tables and pictures."""


@dataclass(frozen=True, slots=True)
class LawQuestion:
    """A cell and the number of its items that a model is asked; items that are drawn twice count once."""

    name: str
    family: str
    level: str
    channel: str
    style: str
    n: int
    conditions: tuple[str, ...] = ()
    """Conditions whose models are asked; empty for all."""
    unit: str = "right"
    """right: the share of right answers; bits: learned bits a parameter of the model."""
    people: int = 0
    """For bits: the size of the population, by which the bits of one person are multiplied."""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The outcome of an experiment: the verdict, a sentence, and the effect that decided."""

    verdict: LawVerdict
    sentence: str
    of: str
    """What the effect measures."""
    effect: Estimate | None
    """None for a ratio whose denominator is 0."""


@dataclass(frozen=True, slots=True)
class Law:
    """A claim about training that a small controlled experiment can confirm or not."""

    name: str
    claim: str
    rule: str
    """When it counts as shown. Change it only before a run, never after one."""
    reference: str
    conditions: tuple[Condition, ...]
    differs: tuple[str, ...]
    """Keys in which the recipes of two conditions may differ, as in `corpus.0.options.wordings`."""
    questions: Mapping[Scale, tuple[LawQuestion, ...]]
    judge: Callable[[ExperimentResults], Conclusion]
    folder: Path = LAW_RECIPES_FOLDER
    """Holds NAME.toml, the recipes of all conditions and scales."""

    def questions_for(self, condition: str, scale: Scale) -> tuple[LawQuestion, ...]:
        """Return the questions that the model of a condition is asked."""
        return tuple(one for one in self.questions[scale] if not one.conditions or condition in one.conditions)

    def recipe(self, condition: str, scale: Scale) -> Recipe:
        """Return the recipe of a condition, or raise BadRecipe."""
        return read_law_recipe(self.folder / f"{self.name}.toml", condition, scale)


@dataclass(frozen=True, slots=True)
class LeadJudge:
    """The simplest rule: one condition gets more of a question right than another, by more than a margin."""

    question: str
    behind: Condition
    ahead: Condition
    summary: str
    """A sentence with {behind} and {ahead} in place of their shares."""
    explanations: Mapping[LawVerdict, str]
    """What each verdict means for this law."""
    margin: float = _MARGIN

    def __call__(self, results: ExperimentResults) -> Conclusion:
        """Judge by Newcombe's 95% interval of the difference."""
        behind, ahead = (results.find(condition.name, self.question) for condition in (self.behind, self.ahead))
        lead = newcombe(ahead, behind)
        verdict = lead_verdict(lead, self.margin)
        summary = self.summary.format(behind=percent(behind.estimate.value), ahead=percent(ahead.estimate.value))
        of = f"{self.question}: {self.ahead.name} less {self.behind.name}"
        return Conclusion(verdict, f"{summary}: {self.explanations[verdict]}.", of, lead)


def lead_verdict(lead: Estimate, margin: float = _MARGIN) -> LawVerdict:
    """Return shown if the whole interval lies above the margin, reversed if below 0, else not shown."""
    if lead.interval.low > margin:
        return "shown"
    return "reversed" if lead.interval.high < 0 else "not shown"

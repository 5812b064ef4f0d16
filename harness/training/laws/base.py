"""Say what a law is: what is held against what, what is asked of both, and what decides."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from fathom.harness.format import percent
from fathom.harness.stats.intervals import Estimate
from fathom.harness.training.laws.measures import Results, newcombe
from fathom.harness.training.recipe import RECIPES

Scale = Literal["cpu", "gpu"]
SCALES: tuple[Scale, ...] = get_args(Scale)
"""cpu: about 15 minutes on two cores. gpu: meant for about 10 minutes on one H200."""

Verdict = Literal["shown", "not shown", "reversed"]
"""reversed: the effect is there beyond doubt, and points the other way."""

MARGIN = 0.1
"""A difference of shares is shown where the whole of its 95% interval is above this."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One model of the experiment."""

    name: str
    """As in the recipe's file: LAW-NAME-SCALE.toml."""
    title: str
    """For tables and pictures."""


@dataclass(frozen=True, slots=True)
class Question:
    """A cell, and how many items of it a model is asked; of items that are drawn twice, one counts."""

    name: str
    family: str
    level: str
    channel: str
    style: str
    n: int
    conditions: tuple[str, ...] = ()
    """Who is asked; empty: all."""
    unit: str = "right"
    """right: a share of items; bits: what was learnt of them, a parameter of the model."""
    people: int = 0
    """People that there are, for bits: what is learnt of one times this, divided by the parameters."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of an experiment: the verdict, in words, and the number that decided."""

    verdict: Verdict
    sentence: str
    of: str
    """What the effect is."""
    effect: Estimate | None
    """None where there is none: a ratio to nothing."""


@dataclass(frozen=True, slots=True)
class Law:
    """A claim about training that a small controlled experiment can bear out or not."""

    name: str
    claim: str
    rule: str
    """When it counts as shown: change it only before a run, never after one."""
    reference: str
    conditions: tuple[Condition, ...]
    differs: tuple[str, ...]
    """Keys in which the recipes of two conditions may differ, as in `corpus.0.options.wordings`."""
    questions: Mapping[Scale, tuple[Question, ...]]
    judge: Callable[[Results], Finding]
    folder: Path = RECIPES / "laws"
    """Where the recipes are."""

    def asked(self, scale: Scale, condition: str) -> tuple[Question, ...]:
        """Return the questions that a condition's model is asked."""
        return tuple(one for one in self.questions[scale] if not one.conditions or condition in one.conditions)

    def recipe(self, condition: str, scale: Scale) -> Path:
        """Return the recipe's file."""
        return self.folder / f"{self.name}-{condition}-{scale}.toml"


@dataclass(frozen=True, slots=True)
class Ahead:
    """The plainest judge: whether one condition gets more of a question right than another, beyond a margin."""

    question: str
    behind: Condition
    ahead: Condition
    found: str
    """What came of it, with {behind} and {ahead} where their shares stand."""
    words: Mapping[Verdict, str]
    """What each verdict means here."""
    margin: float = MARGIN

    def __call__(self, results: Results) -> Finding:
        """Judge by the whole of Newcombe's 95% interval."""
        one, other = (results.of(condition.name, self.question) for condition in (self.behind, self.ahead))
        gap = newcombe(other, one)
        verdict = weigh_gap(gap, self.margin)
        found = self.found.format(behind=percent(one.estimate.value), ahead=percent(other.estimate.value))
        of = f"{self.question}: {self.ahead.name} less {self.behind.name}"
        return Finding(verdict, f"{found}: {self.words[verdict]}.", of, gap)


def weigh_gap(gap: Estimate, margin: float = MARGIN) -> Verdict:
    """Judge how far one condition is ahead of another: beyond the margin, not beyond doubt, or behind."""
    if gap.interval.low > margin:
        return "shown"
    return "reversed" if gap.interval.high < 0 else "not shown"

"""What a law over seeds is: conditions with their recipes, gates, and the rule on the effect."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from fathom.harness.engines.decoder_shape import SHAPES
from fathom.harness.errors import BadInput
from fathom.harness.training.token_laws.decoder import Decoder, TokenRecipe

PILOT_SEEDS = tuple(range(1, 10))
"""For trying recipes; no confirming run uses them."""
CONFIRMING_SEEDS = tuple(range(101, 301))
"""A run of n seeds uses the first n; no recipe that is committed was tried on them."""
FEWEST_SEEDS = 5
"""Of a confirming run: with fewer, no sign-flip test can fall below 5%."""

RuleKind = Literal["lead", "alike"]
"""lead: one condition is ahead by more than the margin. alike: both lie within the margin."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What one model got in one question; the interval covers items or people, not another training."""

    question: str
    value: float
    low: float
    high: float
    n: int
    """Items or people."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One of the models that a law compares."""

    name: str
    title: str
    recipe: TokenRecipe
    after: str = ""
    """The condition whose model of the same seed this training starts from; empty: random weights."""
    seed_shift: int = 0
    """Added to the seed, for a condition that differs in the seed alone."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What must hold in every seed before a comparison means anything."""

    question: str
    conditions: tuple[str, ...]
    least: float
    about: str


@dataclass(frozen=True, slots=True)
class Rule:
    """How the effect over seeds decides; see `harness.stats.seed_effects.weigh`."""

    kind: RuleKind
    question: str
    ahead: str
    """A condition; the effect is its measure less that of `behind`."""
    behind: str
    margin: float
    unit: Literal["share", "bits", "log2 ratio"]
    """log2 ratio: the effect of a seed is log2 of `ahead` by `behind`, and the margin too."""


@dataclass(frozen=True, slots=True)
class TrainedDecoder:
    """A trained model and what it got."""

    model: Decoder
    measures: tuple[Measure, ...]


Weights = Mapping[str, Tensor]
Trainer = Callable[[TokenRecipe, int, Weights | None], TrainedDecoder]
"""From a recipe, a seed and the weights to start from to a trained model with its measures."""


@dataclass(frozen=True, slots=True)
class TokenLaw:
    """A claim about training that several small trainings a condition can confirm or not."""

    name: str
    claim: str
    rule_text: str
    reference: str
    conditions: tuple[Condition, ...]
    gates: tuple[Gate, ...]
    rule: Rule
    train: Trainer

    def condition(self, name: str) -> Condition:
        """Return a condition, or raise KeyError."""
        return next((one for one in self.conditions if one.name == name), None) or _missing(name)


def in_shape(law: TokenLaw, shape: str) -> TokenLaw:
    """Return a law whose models all have a shape of SHAPES; all else stays, also the learning rate.

    Raises:
        BadInput: no such shape, or the law compares shapes itself.
    """
    if shape not in SHAPES:
        raise BadInput(f"no shape {shape!r}; known: {', '.join(SHAPES)}")
    if len({(one.recipe.positions, one.recipe.convolutions) for one in law.conditions}) > 1:
        raise BadInput(f"{law.name} compares shapes itself: test another law across them")
    positions, convolutions = SHAPES[shape]
    changed = (replace(one.recipe, positions=positions, convolutions=convolutions) for one in law.conditions)
    conditions = (replace(one, recipe=recipe) for one, recipe in zip(law.conditions, changed, strict=True))
    return replace(law, conditions=tuple(conditions))


def _missing(name: str) -> Condition:
    raise KeyError(name)

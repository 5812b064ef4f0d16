"""From the measures of all seeds to a verdict: gates first, then the rule."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

from fathom.harness.stats.seed_effects import SeedEffect, SeedVerdict, average, sign_flip_p, verdicts_of_groups, weigh
from fathom.harness.training.token_laws.design import FEWEST_SEEDS, Gate, Measure, Rule, TokenLaw


@dataclass(frozen=True, slots=True)
class Trial:
    """A finished training and what its model got."""

    condition: str
    seed: int
    n_parameters: int
    weights: str
    """Digest of the trained weights."""
    cpu_seconds: float
    measures: tuple[Measure, ...]

    def value(self, question: str) -> float:
        """Return the measure of a question, or raise KeyError."""
        return {one.question: one.value for one in self.measures}[question]


@dataclass(frozen=True, slots=True)
class GateResult:
    """The lowest measure of a gate over its conditions and all seeds, and whether it was enough."""

    gate: Gate
    lowest: float
    passed: bool


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What the seeds say; the effect is in the rule's unit."""

    verdict: SeedVerdict
    effect: SeedEffect
    p: float
    """One-sided sign-flip p-value of an effect above 0, or below it where the mean is below."""
    gates: tuple[GateResult, ...]
    groups: tuple[SeedVerdict, ...]
    """Where there are two groups of five seeds or more: what each would have said alone."""


def judge(law: TokenLaw, trials: Sequence[Trial]) -> Conclusion:
    """Judge by gates and rule over the seeds of the trials.

    Raises:
        KeyError: a condition or question is missing.
    """
    gates = tuple(_check_gate(gate, trials) for gate in law.gates)
    seeds = list(dict.fromkeys(one.seed for one in trials))
    rule, alike = law.rule, law.rule.kind == "alike"
    values = [_effect_of(rule, trials, seed) for seed in seeds]
    effect = average(values)
    passed = all(one.passed for one in gates)
    verdict = weigh(effect, rule.margin, alike=alike) if passed else "void"
    p = sign_flip_p(values if effect.mean >= 0 else [-one for one in values], 0.0)
    several = passed and len(values) >= 2 * FEWEST_SEEDS
    groups = verdicts_of_groups(values, FEWEST_SEEDS, rule.margin, alike=alike) if several else ()
    return Conclusion(verdict, effect, p, gates, tuple(groups))


def _check_gate(gate: Gate, trials: Sequence[Trial]) -> GateResult:
    lowest = min(one.value(gate.question) for one in trials if one.condition in gate.conditions)
    return GateResult(gate, lowest, lowest >= gate.least)


def _effect_of(rule: Rule, trials: Sequence[Trial], seed: int) -> float:
    """Return a seed's effect; a ratio to a model that kept nothing, or of one, counts as a thousandfold difference."""
    found = {one.condition: one.value(rule.question) for one in trials if one.seed == seed and one.condition in
             (rule.ahead, rule.behind)}  # fmt: skip
    ahead, behind = found[rule.ahead], found[rule.behind]
    if rule.unit == "log2 ratio":
        return log2(max(ahead, 1e-3)) - log2(max(behind, 1e-3))
    return ahead - behind

"""Scores of a run: of each ladder, each family, and overall."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf, isfinite
from typing import Any

from fathom.harness.stats.depth import Fit, check_fit, depth50
from fathom.harness.stats.intervals import (
    Estimate,
    Interval,
    Rung,
    Threshold,
    depth_text,
    ladder_mean,
    mean_of,
    style_gap,
    wilson,
)
from fathom.harness.stats.repeats import Spread
from fathom.tasks.base import Family, Level
from fathom.tasks.registry import find_family, get_family


@dataclass(frozen=True, slots=True)
class FoundCounts:
    """How graded answers were found. The others were read from another form, or their prompt was too long."""

    n_asked: int
    """Answers in the form that was asked for."""
    n_unread: int
    """Texts in which no answer could be read."""
    n_cut: int
    """Answers, or thoughts before them, that their token budget cut off."""


@dataclass(frozen=True, slots=True)
class CellCounts:
    """Counts of one cell of a run."""

    id: int
    family: str
    version: int
    level: str
    channel: str
    style: str
    n_planned: int
    """Items of the cell."""
    n: int
    """Graded samples: one an item and repeat."""
    k: int
    """Right answers among them."""
    n_errors: int
    """Samples on which the engine failed; they are not graded."""
    labels: Mapping[str, int]
    """Samples by label: correct, or the kind of mistake."""
    spread: Spread | None = None
    """Set where each item was asked several times."""
    found: FoundCounts | None = None
    """None where samples were graded by a version that did not store how it found their answers."""

    @property
    def interval(self) -> Interval:
        """Wilson's 95% interval of k of n, clustered by item where items were asked several times."""
        effect = 1.0 if self.spread is None else self.spread.effect
        return wilson(self.k / effect, self.n / effect)


@dataclass(frozen=True, slots=True)
class LadderKey:
    """Levels that may be averaged: those of one ladder of a family, in one channel."""

    family: str
    ladder: str
    channel: str


@dataclass(frozen=True, slots=True)
class StyleScore:
    """Score of a ladder in one style."""

    style: str
    rungs: Mapping[str, Rung]
    """By level, in the family's order of levels."""

    @property
    def mean(self) -> Estimate:
        """Mean of the accuracies corrected for chance."""
        return ladder_mean(list(self.rungs.values()))

    @property
    def depth(self) -> Threshold | None:
        """Hardness at which accuracy falls half-way to chance; None where fewer than two levels were asked."""
        return depth50(list(self.rungs.values())) if len(self.rungs) > 1 else None

    @property
    def fit(self) -> Fit | None:
        """Whether a falling curve describes the accuracies; None where fewer than three levels were asked."""
        return check_fit(list(self.rungs.values())) if len(self.rungs) >= LEVELS_TO_CHECK else None


LEVELS_TO_CHECK = 3
"""Levels of a ladder from which on a curve is checked."""


@dataclass(frozen=True, slots=True)
class LadderScore:
    """A ladder's scores by style; `gap` is the score in cot less that in direct, on the levels asked in both."""

    key: LadderKey
    unit: str
    styles: Mapping[str, StyleScore]
    gap: Estimate | None


@dataclass(frozen=True, slots=True)
class FamilyScore:
    """Mean of a family's ladders and channels in one style."""

    family: str
    style: str
    mean: Estimate


def known_level(cell: CellCounts) -> tuple[Family, Level] | None:
    """Return a cell's family and level, or None where this code no longer makes its items."""
    family = get_family(cell.family)
    if family is None or family.version != cell.version or cell.level not in family.levels:
        return None
    return family, family.levels[cell.level]


def rung_of(cell: CellCounts) -> Rung | None:
    """Return a cell as a point of a curve; None where nothing was graded or the level is not known."""
    known = known_level(cell)
    if known is None or not cell.n:
        return None
    family, level = known
    effect = 1.0 if cell.spread is None else cell.spread.effect
    return Rung(level.hardness, cell.k, cell.n, family.chance(level, cell.style), effect)


def ladder_scores(cells: Iterable[CellCounts]) -> tuple[LadderScore, ...]:
    """Score each ladder in each channel, in the order of the cells."""
    found: dict[LadderKey, dict[str, dict[str, Rung]]] = {}
    for cell in cells:
        known, rung = known_level(cell), rung_of(cell)
        if known is not None and rung is not None:
            key = LadderKey(cell.family, known[1].ladder, cell.channel)
            found.setdefault(key, {}).setdefault(cell.style, {})[cell.level] = rung
    return tuple(_ladder(key, styles) for key, styles in found.items())


def _ladder(key: LadderKey, styles: Mapping[str, Mapping[str, Rung]]) -> LadderScore:
    order = list(find_family(key.family).levels)
    scored = {
        style: StyleScore(style, {level: rungs[level] for level in order if level in rungs})
        for style, rungs in styles.items()
    }
    direct, cot = styles.get("direct", {}), styles.get("cot", {})
    shared = [level for level in direct if level in cot]
    both = style_gap([direct[level] for level in shared], [cot[level] for level in shared]) if shared else None
    return LadderScore(key, find_family(key.family).unit, scored, both)


def family_scores(ladders: Iterable[LadderScore]) -> tuple[FamilyScore, ...]:
    """Average each family's ladders and channels, style by style."""
    found: dict[tuple[str, str], list[Estimate]] = {}
    for ladder in ladders:
        for style, score in ladder.styles.items():
            found.setdefault((ladder.key.family, style), []).append(score.mean)
    return tuple(FamilyScore(family, style, mean_of(means)) for (family, style), means in found.items())


def overall(families: Iterable[FamilyScore]) -> dict[str, Estimate]:
    """Average the families, style by style; comparable only between runs of the same suite."""
    found: dict[str, list[Estimate]] = {}
    for one in families:
        found.setdefault(one.style, []).append(one.mean)
    return {style: mean_of(means) for style, means in found.items()}


def scores_json(cells: Sequence[CellCounts]) -> dict[str, Any]:
    """Return ladders, families and overall means as JSON values; depths beyond the levels asked are null."""
    ladders = ladder_scores(cells)
    families = family_scores(ladders)
    return {
        "ladders": [
            {
                **asdict(ladder.key),
                "style": style,
                "levels": list(one.rungs),
                **_estimate_json(one.mean),
                "depth50": None if (limit := one.depth) is None else _threshold_json(limit, ladder.unit),
                "fits": None if (fit := one.fit) is None else not fit.is_poor,
            }
            for ladder in ladders
            for style, one in ladder.styles.items()
        ],
        "gaps": [{**asdict(ladder.key), **_estimate_json(ladder.gap)} for ladder in ladders if ladder.gap],
        "families": [{"family": one.family, "style": one.style, **_estimate_json(one.mean)} for one in families],
        "overall": {style: _estimate_json(mean) for style, mean in overall(families).items()},
    }


def depths_alone(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Return `scores_json` of a run that measured depth: its levels were asked unequally, so no score is told."""
    ladders = [{**one, "score": None, "low": None, "high": None} for one in scores.get("ladders", ())]
    return {"ladders": ladders, "gaps": [], "families": [], "overall": {}}


def depth_share(ladder: Mapping[str, Any]) -> float | None:
    """Return where a depth lies on its ladder, from a ladder of `scores_json`: 0 easiest level asked, 1 hardest.

    None without a depth, or where this code no longer has the levels.
    """
    depth, family = ladder["depth50"], get_family(ladder["family"])
    if not depth or family is None or not set(ladder["levels"]) <= set(family.levels):
        return None
    hardness = [family.levels[level].hardness for level in ladder["levels"]]
    beyond = inf if depth["text"].startswith(">") else -inf
    value = beyond if depth["value"] is None else float(depth["value"])
    return Threshold(value, Interval(value, value), min(hardness), max(hardness)).share


def _estimate_json(one: Estimate) -> dict[str, float]:
    return {"score": one.value, "low": one.interval.low, "high": one.interval.high}


def _threshold_json(one: Threshold, unit: str) -> dict[str, Any]:
    """Return a threshold as JSON values; `text` also covers thresholds beyond the levels asked, which are null."""
    numbers = {"value": one.value, "low": one.interval.low, "high": one.interval.high}
    finite = {name: number if isfinite(number) else None for name, number in numbers.items()}
    return {**finite, "unit": unit, "text": depth_text(one)}

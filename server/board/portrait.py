"""A model at a glance: how deep it gets in each family, what reasoning adds, and the sentence that says so."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log2
from typing import Any

from fathom.harness.format import percent
from fathom.harness.stats.intervals import Estimate, Interval
from fathom.harness.stats.paired import mcnemar
from fathom.harness.stats.ranks import ALPHA
from fathom.harness.stats.scores import CellCounts
from fathom.server.board.glossary import explain
from fathom.server.web.render import in_units
from fathom.tasks.base import STYLES
from fathom.tasks.registry import get_family

STYLE_HUES = {style: hue for hue, style in enumerate(STYLES)}
"""Colour of each style, the same in every picture of a model."""

_IN_SENTENCE = 2
"""Families that the first sentence names."""

_LEAST_FAMILIES, _LEAST_WRONG = 3, 30
"""Families among which one is called the weakest, and wrong answers among which one mistake is called the commonest."""

_LONGEST_MEANING = 60
"""Letters of a mistake's meaning above which what follows a colon is left out."""

_STYLES_IN_WORDS = {"direct": "at once", "cot": "with reasoning", "choice": "when picking a choice"}


@dataclass(frozen=True, slots=True)
class LadderDepth:
    """The depth of a ladder as text, with its unit; empty where there is none, and then the reason."""

    text: str
    reason: str = ""


def depth_of_ladder(ladder: Mapping[str, Any]) -> LadderDepth:
    """Return the depth of a ladder of `scores_json`, if its levels tell one that can be trusted."""
    if not (depth := ladder["depth50"]):
        return LadderDepth("", "one level only")
    if ladder.get("fits") is False:
        return LadderDepth("", "accuracy does not fall steadily with difficulty")
    return LadderDepth(f"{depth['text']} {depth['unit']}")


@dataclass(frozen=True, slots=True)
class DepthMark:
    """A depth on a ruler; places are 0 (easiest level) to 100 (hardest)."""

    style: str
    hue: int
    at: float
    low: float
    high: float
    text: str
    """As "1.5 (1.1–1.9)" or "> 8", without the unit."""


@dataclass(frozen=True, slots=True)
class DepthRuler:
    """How deep a model gets on a family's main ladder, in each style that was asked at several levels."""

    family: str
    title: str
    unit: str
    easiest: str
    hardest: str
    ticks: tuple[float, ...]
    marks: Mapping[str, DepthMark]
    without: Mapping[str, str]
    """Why there is no depth, by style that was asked."""
    adds: Estimate | None
    """Score with reasoning less score at once, where both were asked."""


def depth_rulers(scores: Mapping[str, Any]) -> tuple[DepthRuler, ...]:
    """Return a ruler for each family of stored scores (`scores_json`) with a depth."""
    by_family: dict[str, list[Mapping[str, Any]]] = {}
    for ladder in scores.get("ladders", ()):
        by_family.setdefault(ladder["family"], []).append(ladder)
    gaps = {(one["family"], one["ladder"], one["channel"]): one for one in scores.get("gaps", ())}
    found = (_ruler(family, ladders, gaps) for family, ladders in by_family.items())
    return tuple(one for one in found if one is not None)


def _ruler(
    name: str, ladders: Sequence[Mapping[str, Any]], gaps: Mapping[tuple[str, str, str], Mapping[str, Any]]
) -> DepthRuler | None:
    family = get_family(name)
    if family is None:
        return None
    known = [one for one in ladders if one["depth50"] and set(one["levels"]) <= set(family.levels)]
    if not known:
        return None
    first = min(known, key=lambda one: bool(one["ladder"] != "main"))
    place = first["ladder"], first["channel"]
    mine = [one for one in known if (one["ladder"], one["channel"]) == place]
    hardness = sorted({family.levels[level].hardness for one in mine for level in one["levels"]})
    low, high = hardness[0], hardness[-1]

    def at(value: float | None, otherwise: float) -> float:
        if value is None:
            return otherwise
        return round(100 * min(1.0, max(0.0, log2(value / low) / log2(high / low))), 1)

    gap = gaps.get((name, *place))
    return DepthRuler(
        name, family.title, family.unit, str(floor(low)), str(floor(high)), tuple(at(one, 0) for one in hardness),
        {one["style"]: _mark(one, at) for one in mine if depth_of_ladder(one).text},
        {one["style"]: depth_of_ladder(one).reason or "on another ladder" for one in (*ladders, *mine)},
        None if gap is None else Estimate(gap["score"], Interval(gap["low"], gap["high"])),
    )  # fmt: skip


def _mark(ladder: Mapping[str, Any], at: Any) -> DepthMark:  # a function of a value and a place beyond the ends
    depth = ladder["depth50"]
    beyond = 100.0 if depth["text"].startswith(">") else 0.0
    return DepthMark(
        ladder["style"], STYLE_HUES.get(ladder["style"], 0), at(depth["value"], beyond), at(depth["low"], 0.0),
        at(depth["high"], 100.0), depth["text"],
    )  # fmt: skip


def portrait_sentence(rulers: Iterable[DepthRuler]) -> str:
    """Say how deep a model gets at once and with reasoning, in the families where most is known; else nothing."""
    both = sorted((one for one in rulers if one.marks), key=lambda one: -len({"direct", "cot"} & set(one.marks)))
    return " ".join(_clause(one) for one in both[:_IN_SENTENCE])


def _clause(ruler: DepthRuler) -> str:
    told = [
        f"{in_units(_short(mark.text), ruler.unit)} {_STYLES_IN_WORDS.get(style, style)}"
        for style, mark in ruler.marks.items()
    ]
    return f"{ruler.title}: {', '.join(told)}."


def _short(depth: str) -> str:
    """Drop the interval, and write the signs of limits as words."""
    return depth.partition(" (")[0].replace("> ", "more than ").replace("< ", "less than ")


def weakness_sentence(scores: Mapping[str, Any], cells: Iterable[CellCounts]) -> str:
    """Name a model's weakest family, in the style that most families were asked in, and its commonest mistake there.

    Empty where the data do not carry it: the interval of the weakest score lies below those of all other families. A
    mistake is named only where an exact test tells it from the next one. `scores` is `scores_json` of the run.
    """
    by_style: dict[str, list[Mapping[str, Any]]] = {}
    for one in scores.get("families", ()):
        by_style.setdefault(one["style"], []).append(one)
    style, asked = max(by_style.items(), key=lambda item: len(item[1]), default=("", []))
    ranked = sorted(asked, key=_score_of)
    if len(ranked) < _LEAST_FAMILIES or ranked[0]["high"] >= min(one["low"] for one in ranked[1:]):
        return ""
    family = get_family(ranked[0]["family"])
    if family is None:
        return ""
    said = f"Weakest {_STYLES_IN_WORDS.get(style, style)}: {family.title}."
    mine = [cell for cell in cells if (cell.family, cell.style) == (family.name, style)]
    return f"{said} {mistake}" if (mistake := _commonest_mistake(family.name, mine)) else said


def _score_of(one: Mapping[str, Any]) -> float:
    return float(one["score"])


def _commonest_mistake(family: str, cells: Iterable[CellCounts]) -> str:
    wrong: Counter[str] = Counter()
    for cell in cells:
        wrong.update({label: n for label, n in cell.labels.items() if label != "correct"})
    if wrong.total() < _LEAST_WRONG:
        return ""
    (label, most), *others = wrong.most_common(2)
    meaning = explain(family, label).partition(".")[0].partition(";")[0]
    if len(meaning) > _LONGEST_MEANING:
        meaning = meaning.partition(":")[0]
    if not meaning or mcnemar(most, others[0][1] if others else 0) > ALPHA:
        return ""
    share = percent(most / wrong.total(), 0)
    return f"Commonest mistake there, {share} of the wrong answers: {meaning[:1].lower()}{meaning[1:]}."

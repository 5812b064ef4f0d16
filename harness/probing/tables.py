"""A stored probe as lines and rows: what the terminal, files and pages show. No score, and no rank."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fathom.harness.db.probes import ProbeDetail, ProbedTarget, ProbePoint
from fathom.harness.stats.intervals import wilson
from fathom.harness.stats.presence import MARGIN, Presence

MEASURES = {"match": "accuracy", "classes": "accuracy", "yes-no": "AUC"}

WORDS: Mapping[Presence, str] = {
    "present": f"better than every control by more than {MARGIN} somewhere",
    "absent": f"less than {MARGIN} above chance everywhere",
    "unclear": "neither can be said with these items",
}

CONTROLS = {
    "chance": "the best constant answer",
    "shuffled labels": "the best of the same probes with shuffled labels",
    "random weights": "the same probe on a model of this shape before training",
    "embedding": "the same probe on the word itself, before the first block",
    "surface": "a probe of the text alone: which words, how often, where",
    "output": "a probe of how sure the model is of its next token",
}
"""Controls that a present variable beats, with their words."""


@dataclass(frozen=True, slots=True)
class TargetLine:
    """A target in one line; what is None is not known."""

    name: str
    kind: str
    about: str
    verdict: Presence | None
    """None where the target was left out."""
    note: str
    first_layer: int | None
    best: ProbePoint | None
    chance: float
    n_fit: int
    n_test: int
    answers: float | None
    """Share of the test items whose answer is this variable's value."""
    knows_unsaid: float | None
    """Of a present variable: share of the test items where the best probe is right and the answer is another one."""
    says_unheld: float | None
    """Of an absent variable that is said more often than by chance: share of the test items that say it."""
    selectivity: float | None
    """The best probe's measure less that with random labels by word."""


def target_line(target: ProbedTarget) -> TargetLine:
    """Return a target in one line."""
    facts, best = target.facts, target.best
    answers = target.answer_k / target.answer_n if target.answer_n and target.answer_k is not None else None
    knows = says = None
    if best is not None and best.right is not None and facts.said is not None and len(best.right) == len(facts.said):
        if target.verdicts[best.place, best.layer] == "present":
            knows = float((best.right & ~facts.said).mean())
        elif target.verdict == "absent" and wilson(int(facts.said.sum()), len(facts.said)).low > facts.chance:
            says = answers
    words = None if best is None else target.at(best.place, best.layer, "words")
    return TargetLine(
        facts.name, facts.kind, facts.about, None if facts.note else target.verdict, facts.note, target.first_layer,
        best, facts.chance, facts.n_fit, facts.n_test, answers, knows, says,
        None if best is None or words is None else best.value - words.value,
    )  # fmt: skip


POINT_COLUMNS = (
    "target", "place", "layer", "variant", "value", "low", "high", "bits", "verdict", "control", "control_value",
    "null_low", "null_high", "p_above", "p_below", "penalty", "fit_value", "n",
)  # fmt: skip


def point_rows(detail: ProbeDetail) -> Iterator[dict[str, Any]]:
    """Yield every point of a probe as a row of POINT_COLUMNS."""
    for target in detail.targets:
        for point in target.points:
            row = {name: value for name, value in _values(point).items() if name in POINT_COLUMNS}
            verdict = target.verdicts.get((point.place, point.layer)) if point.variant == "trained" else None
            yield {"target": target.facts.name, "verdict": verdict, **row}


def _values(point: ProbePoint) -> dict[str, Any]:
    return {name: getattr(point, name) for name in ProbePoint.__dataclass_fields__}


def points_csv(detail: ProbeDetail) -> str:
    """Return all points as CSV."""
    file = io.StringIO()
    writer = csv.DictWriter(file, POINT_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(point_rows(detail))
    return file.getvalue()


def target_json(target: ProbedTarget) -> dict[str, Any]:
    """Return a target with its line, as JSON values."""
    line = target_line(target)
    best = None if line.best is None else {"place": line.best.place, "layer": line.best.layer, "value": line.best.value}
    told = {name: value for name, value in asdict(line).items() if name != "best"}
    return {**told, "measure": MEASURES[line.kind], "entropy_bits": target.facts.entropy_bits,
            "n_items": target.facts.n_items, "family": target.facts.cell[0], "level": target.facts.cell[1],
            "channel": target.facts.cell[2], "style": target.facts.cell[3], "version": target.facts.version,
            "best": best, "patch": target.patch}  # fmt: skip


def probe_json(detail: ProbeDetail) -> dict[str, Any]:
    """Return a probe as JSON values: settings, targets, and all points."""
    one = detail.summary
    return {
        "probe": one.id, "model": one.model, "seed": one.seed, "state": one.state, "dtype": one.dtype,
        "device": one.device, "n_layers": one.n_layers, "width": one.width, "seconds": one.seconds,
        "created_at": one.created_at.isoformat(), "manifest": dict(one.manifest), "margin": MARGIN,
        "targets": [target_json(target) for target in detail.targets], "points": list(point_rows(detail)),
    }  # fmt: skip


def value_of(point: ProbePoint | None) -> float | None:
    """Return the value of a point that may be missing."""
    return None if point is None else point.value


def shown_layers(target: ProbedTarget, most: int) -> tuple[int, ...]:
    """Return at most `most` layers, evenly spread, with the first, the last and the best one."""
    layers = target.layers
    if len(layers) <= most:
        return layers
    step = -(-len(layers) // max(1, most - 2))
    best = {target.best.layer} if target.best else set()
    return tuple(sorted({*layers[::step], layers[-1], *best}))


def grid(target: ProbedTarget, layers: Sequence[int], variant: str) -> dict[str, list[ProbePoint | None]]:
    """Return the points of a variant by place, one a layer."""
    return {place: [target.at(place, layer, variant) for layer in layers] for place in target.places}

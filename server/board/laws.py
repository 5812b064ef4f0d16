"""Pages of laws of training: claims with their effects over seeds, and each law with its gates and trainings."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse

from fathom.harness.db.laws import LawResult, LawTrial, StoredLaw, list_laws, newest_by_shape, trials_of
from fathom.harness.engines.decoder_shape import PLAIN, SHAPES
from fathom.harness.errors import UnknownLaw
from fathom.harness.format import law_effect
from fathom.server.web.render import READ, SiteOf, page

router = APIRouter(include_in_schema=False)

LawPath = Annotated[str, Path(pattern="^[a-z][a-z0-9-]{0,40}$", description="A law's name.")]

_LEFT, _RIGHT = 10.0, 230.0
"""Ends of a drawing in units of its own."""
_UNITS = {"share": "points", "bits": "bits", "log2 ratio": "times"}
_SD_UNITS = {"bits": "bits", "log2 ratio": "of log2 of the ratio"}


@dataclass(frozen=True, slots=True)
class EffectDrawing:
    """Positions along a line: the seeds' effects, the interval of their mean, no effect, and the margin."""

    dots: tuple[float, ...]
    low: float
    high: float
    mean: float
    zero: float
    margins: tuple[float, float]


@dataclass(frozen=True, slots=True)
class LawView:
    """A registered run as pages show it."""

    law: StoredLaw
    verdict: str
    """Until all seeds are trained, `registered`."""
    unit: str
    effect: str
    """Mean with its interval over seeds; empty until the run is done."""
    sd: str
    """Between seeds, with its unit; empty until the run is done."""
    margin: str
    why: str
    """Why it is not shown; empty where it is, or where no verdict was due."""
    drawing: EffectDrawing | None


@dataclass(frozen=True, slots=True)
class MeasureRow:
    """What the models of a condition got in a question, one value a seed."""

    question: str
    condition: str
    values: tuple[str, ...]
    intervals: tuple[str, ...]
    """Over items, one a seed; empty where a number is known exactly."""


@router.api_route("/laws", methods=READ)
def show_laws(site: SiteOf) -> HTMLResponse:
    """Show the newest run of each law, a confirming one where there is any, and laws that were tested across shapes."""
    by_law = newest_by_shape(list_laws(site.db))
    several = {law: by_shape for law, by_shape in by_law.items() if len(by_shape) > 1}
    shapes = [one for one in SHAPES if any(one in by_shape for by_shape in several.values())]
    across = [
        (law, [_view(by_shape[one]) if one in by_shape else None for one in shapes])
        for law, by_shape in several.items()
    ]
    return page(
        site, "laws", laws=[_view(_main(one)) for one in by_law.values()], shapes=_shape_titles(shapes), across=across
    )  # fmt: skip


@router.api_route("/laws/{law}", methods=READ)
def show_law(site: SiteOf, law: LawPath) -> HTMLResponse:
    """Show a law: its newest run with gates, trainings and recipes, and all attempts."""
    runs = list_laws(site.db, law)
    if not runs:
        raise UnknownLaw(f"no law {law!r} is registered on this board")
    by_shape = newest_by_shape(runs)[law]
    newest = _main(by_shape)
    trials = trials_of(site.db, newest.id)
    across = [(title, _view(by_shape[title[0]])) for title in _shape_titles(SHAPES) if title[0] in by_shape]
    return page(
        site, "law", view=_view(newest), runs=[_view(one) for one in runs], across=across if len(across) > 1 else [],
        rows=_measure_rows(newest, trials), trials=trials,
        recipes=_recipe_rows(newest.design["conditions"]), command=_command(newest),
    )  # fmt: skip


def _main(by_shape: Mapping[str, StoredLaw]) -> StoredLaw:
    """Return the run in the plain shape, or else in the first one."""
    return by_shape.get(PLAIN) or next(iter(by_shape.values()))


def _shape_titles(shapes: Iterable[str]) -> list[tuple[str, str]]:
    """Return names of shapes with what they are."""
    titles = []
    for one in shapes:
        positions, convolutions = SHAPES[one]
        words = f"{'no' if positions == 'none' else positions} positions"
        titles.append((one, f"{words} and short convolutions" if convolutions else words))
    return titles


def _view(law: StoredLaw) -> LawView:
    rule = law.design["rule"]
    unit, margin = rule["unit"], rule["margin"]
    words = f"{law_effect(-margin, unit)} to {law_effect(margin, unit)}" if margin else law_effect(margin, unit)
    if law.result is None:
        return LawView(law, "registered", _UNITS[unit], "", "", words, "", None)
    result = law.result
    mean, low, high = (law_effect(one, unit) for one in (result.effect, result.low, result.high))
    effect = f"{mean} ({low} to {high})"
    sd = f"{100 * result.sd:.1f} points" if unit == "share" else f"{result.sd:.3f} {_SD_UNITS.get(unit, '')}".strip()
    return LawView(law, result.verdict, _UNITS[unit], effect, sd, words, _why(law), _draw(result, margin))


def _why(law: StoredLaw) -> str:
    """Say in a sentence why a confirming run did not show its law."""
    result, rule = law.result, law.design["rule"]
    if result is None or result.verdict in ("shown", "exploratory"):
        return ""
    if result.verdict == "void":
        missed = (one for one in result.gates if not one["passed"])
        return "Void, because in one seed at least: " + "; ".join(
            f"{one['question']} {one['lowest']:.3f}, where {one['least']:g} was required" for one in missed
        )
    low, high, margin = (law_effect(one, rule["unit"]) for one in (result.low, result.high, rule["margin"]))
    ends = f"the interval over seeds, {low} to {high} {_UNITS[rule['unit']]},"
    if result.verdict == "reversed":
        return f"Reversed, because {ends} lies beyond the margin on the wrong side."
    if result.verdict == "absent":
        return f"Absent, because {ends} lies within the margin of {margin}."
    edge = f"the margin of {margin}" if rule["margin"] else "no effect"
    return f"Undecided, because {ends} reaches across {edge}, or the sign-flip test has too few seeds."


def _draw(result: LawResult, margin: float) -> EffectDrawing:
    ends = (*result.effects, result.low, result.high, margin, -margin, 0.0)
    least, most = min(ends), max(ends)

    def place(value: float) -> float:
        return round(_LEFT + (value - least) / ((most - least) or 1) * (_RIGHT - _LEFT), 1)

    return EffectDrawing(
        tuple(map(place, result.effects)), place(result.low), place(result.high), place(result.effect), place(0.0),
        (place(-margin), place(margin)),
    )  # fmt: skip


def _measure_rows(law: StoredLaw, trials: Sequence[LawTrial]) -> list[MeasureRow]:
    titles = {one["name"]: one["title"] for one in law.design["conditions"]}
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for trial in trials:
        for one in trial.measures:
            interval = f"{one.low:.3f} to {one.high:.3f}" if one.low < one.high else ""
            found.setdefault((one.question, trial.condition), []).append((f"{one.value:.3f}", interval))
    return [
        MeasureRow(question, titles.get(condition, condition), *zip(*values, strict=True))
        for (question, condition), values in sorted(found.items(), key=lambda one: _order(one[0], law, trials))
    ]


def _order(key: tuple[str, str], law: StoredLaw, trials: Sequence[LawTrial]) -> tuple[int, int]:
    """Return the place of a row: questions as they were first asked, conditions as the law names them."""
    questions = list(dict.fromkeys(one.question for trial in trials for one in trial.measures))
    conditions = [one["name"] for one in law.design["conditions"]]
    return questions.index(key[0]), conditions.index(key[1])


def _recipe_rows(conditions: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str], bool]]:
    """Return the keys of the recipes, the value of each condition, and whether these differ."""
    rows = []
    for key in conditions[0]["recipe"]:
        values = [str(one["recipe"].get(key, "")) for one in conditions]
        rows.append((key.replace("_", " "), values, len(set(values)) > 1))
    return rows


def _command(law: StoredLaw) -> str:
    exploratory = " --exploratory" if law.kind == "exploratory" else ""
    across = "" if law.shape == PLAIN else f" --across {law.shape}"
    return f"fathom law {law.name} --seeds {law.n_seeds} --scale {law.scale}{across}{exploratory}"

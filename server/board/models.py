"""The page of a model: its ranks, and its scores by family and ladder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from fathom.harness.db import read
from fathom.harness.db.leaderboard import read as db_board
from fathom.harness.db.leaderboard.read import BoardRank, Model, Pool
from fathom.harness.records import RunDetail, RunSummary
from fathom.harness.reports.cost import cost_facts, cost_of_run, page_prices
from fathom.harness.reports.found import FoundLine, found_lines, main_rows
from fathom.harness.reports.reproduce import reproduce
from fathom.harness.stats.intervals import Estimate, Interval
from fathom.harness.stats.scores import CellCounts, depths_alone
from fathom.server.board.charts import Chart, ChartSource, family_charts
from fathom.server.board.leaderboard import NoSuchView
from fathom.server.board.loss_curve import TrainingChart, training_chart
from fathom.server.board.pictures import LadderPictures, ladder_pictures
from fathom.server.board.portrait import (
    STYLE_HUES,
    DepthRuler,
    LadderDepth,
    depth_of_ladder,
    depth_rulers,
    portrait_sentence,
    weakness_sentence,
)
from fathom.server.web.addresses import badge_path, model_key
from fathom.server.web.render import STYLE_WORDS


@dataclass(frozen=True, slots=True)
class PoolRanks:
    """The ranks of a model in one pool and one prompt format, by style."""

    pool: Pool
    run: str
    places: tuple[BoardRank, ...]


@dataclass(frozen=True, slots=True)
class ModelLadder:
    """A score on a ladder in one style; `adds` is what thinking adds, where both styles were asked."""

    ladder: str
    channel: str
    style: str
    score: Estimate | None
    """None in a run that measured depth: its levels were asked unequally."""
    depth: LadderDepth
    adds: Estimate | None


@dataclass(frozen=True, slots=True)
class FamilySection:
    """One family of a run."""

    family: str
    scores: Mapping[str, Estimate]
    """By style."""
    lines: tuple[ModelLadder, ...]
    pictures: tuple[LadderPictures, ...]


@dataclass(frozen=True, slots=True)
class ModelPage:
    """Everything on the page of a model; `detail` is None where it has no run."""

    model: Model
    key: str
    badge: str
    pools: tuple[PoolRanks, ...]
    runs: tuple[RunSummary, ...]
    detail: RunDetail | None
    found: tuple[FoundLine, ...]
    """How the answers of the run were found; empty where this is not known."""
    sections: tuple[FamilySection, ...]
    overall: Mapping[str, Estimate]
    """By style."""
    command: str
    sentence: str
    """How deep the model gets and where it is weakest, in words; empty where the data tell neither."""
    charts: tuple[Chart, ...]
    """One a family, a line a style."""
    styles: Mapping[str, int]
    """Hue of each style in the charts and on the rulers."""
    rulers: tuple[DepthRuler, ...]
    n_probes: int
    cost: tuple[tuple[str, str], ...]
    """What the run used, in all and for each right answer, as terms and values."""
    training: TrainingChart | None
    """None where the model's files do not tell how it was trained."""


def open_model(
    db: Engine, model: Model, runs: tuple[RunSummary, ...], run: str | None = None, n_probes: int = 0
) -> ModelPage:
    """Return the page of a model for the run named, or else its newest finished run of the largest suite.

    Raises:
        UnknownRun: there is no such run.
        NoSuchView: the run belongs to another model.
    """
    places = db_board.ranks_of_models(db, [model.id])[model.id]
    pools = _pools(db_board.list_pools(db), places)
    whole_first = sorted(runs, key=lambda one: one.layer == "adaptive")
    chosen = run or next((one.run for one in pools), None) or next((one.run for one in whole_first), None)
    detail = None if chosen is None else read.get_run(db, chosen)
    if detail is not None and detail.summary.model_id != model.id:
        raise NoSuchView(
            f"run {detail.summary.run} belongs to another model: choose one of the runs on the model's page"
        )
    scores = (detail and db_board.get_result(db, detail.summary.run)) or {}
    if detail is not None and detail.summary.layer == "adaptive":
        scores = depths_alone(scores)
    overall = {style: _estimate(one) for style, one in scores.get("overall", {}).items()}
    rulers = depth_rulers(scores)
    charts = _charts(detail) if detail else ()
    return ModelPage(
        model, model_key(model), badge_path(model), pools, runs, detail,
        found_lines(main_rows(detail.cells)) if detail else (), _sections(detail, scores) if detail else (), overall,
        reproduce(detail) if detail else "", _portrait(rulers, scores, detail), charts,
        {style: hue for style, hue in STYLE_HUES.items() if hue in {line.hue for one in charts for line in one.lines}},
        rulers, n_probes, cost_facts(cost_of_run(db, detail, page_prices())) if detail else (),
        training_chart(detail) if detail else None,
    )  # fmt: skip


def _portrait(rulers: Sequence[DepthRuler], scores: Mapping[str, Any], detail: RunDetail | None) -> str:
    said = portrait_sentence(rulers), weakness_sentence(scores, detail.cells if detail else ())
    return " ".join(one for one in said if one)


def _charts(detail: RunDetail) -> tuple[Chart, ...]:
    run = detail.summary
    sources = [
        ChartSource(STYLE_WORDS[style], run.run, [cell for cell in detail.cells if cell.style == style], run.sealed)
        for style in STYLE_HUES
    ]
    return family_charts(sources, dict.fromkeys(cell.family for cell in detail.cells))


def _pools(pools: Sequence[Pool], places: Sequence[BoardRank]) -> tuple[PoolRanks, ...]:
    found: list[PoolRanks] = []
    for pool in sorted(pools, key=lambda one: -one.n_items):
        of_pool = [place for place in places if place.pool == pool.id]
        for prompt_format in dict.fromkeys(place.prompt_format for place in of_pool):
            mine = {place.style: place for place in of_pool if place.prompt_format == prompt_format}
            ordered = tuple(mine[style] for style in pool.styles if style in mine)
            found.append(PoolRanks(pool, ordered[0].run, ordered))
    return tuple(found)


def _sections(detail: RunDetail, scores: Mapping[str, Any]) -> tuple[FamilySection, ...]:
    gaps = {(one["family"], one["ladder"], one["channel"]): one for one in scores.get("gaps", ())}
    lines: dict[str, list[ModelLadder]] = {}
    means: dict[str, dict[str, Estimate]] = {}
    for one in scores.get("families", ()):
        means.setdefault(one["family"], {})[one["style"]] = _estimate(one)
    for one in scores.get("ladders", ()):
        gap = gaps.get((one["family"], one["ladder"], one["channel"])) if one["style"] == "cot" else None
        lines.setdefault(one["family"], []).append(_line(one, gap))
    cells: dict[str, list[CellCounts]] = {}
    for cell in detail.cells:
        cells.setdefault(cell.family, []).append(cell)
    return tuple(
        FamilySection(
            family, means.get(family, {}), tuple(lines.get(family, ())), ladder_pictures([detail.summary.run], members)
        )
        for family, members in cells.items()
    )


def _line(one: Mapping[str, Any], gap: Mapping[str, Any] | None) -> ModelLadder:
    return ModelLadder(
        one["ladder"], one["channel"], one["style"], None if one["score"] is None else _estimate(one),
        depth_of_ladder(one), None if gap is None else _estimate(gap),
    )  # fmt: skip


def _estimate(one: Mapping[str, Any]) -> Estimate:
    return Estimate(one["score"], Interval(one["low"], one["high"]))

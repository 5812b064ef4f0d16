"""Ranks of a pool of the board, or of chosen runs, with rank ranges and tie groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Engine

from fathom.harness.db.find import open_run
from fathom.harness.db.leaderboard import read as board
from fathom.harness.db.leaderboard.read import Pool, Standing, StandingQuery
from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.db.schema.runs import EVERY_TIER
from fathom.harness.errors import BadInput, NotComparable
from fathom.harness.format import plural, prompt_format_words
from fathom.harness.records import RunDetail
from fathom.harness.reports.comparison import estimate_json
from fathom.harness.stats.intervals import Estimate
from fathom.harness.stats.paired import RunVerdicts
from fathom.harness.stats.ranks import Contender, rank_all
from fathom.harness.stats.scores import CellCounts, family_scores, ladder_scores, overall
from fathom.tasks.base import STYLES
from fathom.tasks.suites import open_suite, suite_names


@dataclass(frozen=True, slots=True)
class Ranked:
    """A run with its rank, the range of its rank, and the number of its tie group."""

    rank: int
    low: int
    high: int
    tie: int
    model: str
    run: str
    engine: str
    seed: str
    score: Estimate


@dataclass(frozen=True, slots=True)
class Ranks:
    """Ranks by style, best first; `asked` describes the cells in words."""

    asked: str
    styles: tuple[tuple[str, tuple[Ranked, ...]], ...]


def rank_suite(db: Engine, suite: str | None, style: str | None) -> Ranks:
    """Return the ranks of a pool as on the board; `suite` is the name of a suite or the id of a pool.

    A name selects the whole suite, or the only selection of its cells that has runs.

    Raises:
        BadInput: no such style.
        NotComparable: no pool fits, or several do.
    """
    _check_style(style)
    update_leaderboard(db)  # finishes what a killed process left
    pool = _pool(board.list_pools(db), suite)
    found = []
    for one in _styles(pool.styles, style):
        lines = board.list_standings(db, StandingQuery(pool.id, one)).standings
        found.append((one, tuple(_ranked(line) for line in lines)))
    return Ranks(_named(pool), tuple(found))


def _pool(pools: Sequence[Pool], suite: str | None) -> Pool:
    own = [pool for pool in pools if not pool.id.endswith(EVERY_TIER)] or list(pools)
    if not own:
        raise NotComparable("no run has finished yet: start one with `fathom run`")
    chosen = [pool for pool in pools if pool.id == suite]
    if not chosen:
        chosen = [pool for pool in own if suite in (None, pool.name)]
    if suite in suite_names() and len(chosen) > 1:
        whole = open_suite(suite, 0).pool()
        chosen = [pool for pool in chosen if pool.id == whole] or chosen
    if len(chosen) == 1:
        return chosen[0]
    what = f"no pool {suite!r}" if not chosen else f"{plural(len(chosen), 'pool')} match"
    listed = "; ".join(f"{pool.id}: {_named(pool)}, {plural(pool.n_models, 'model')}" for pool in chosen or own)
    raise NotComparable(f"{what}; name one with --suite: {listed}")


def _check_style(style: str | None) -> None:
    """Raise BadInput for a style that does not exist, before any pool is looked for."""
    if style is not None and style not in STYLES:
        raise BadInput(f"no style {style!r}; known: {', '.join(STYLES)}")


def _named(pool: Pool) -> str:
    return f"{pool.name} suite, {plural(pool.n_items, 'item')} in {plural(pool.n_cells, 'cell')}"


def _styles(known: Sequence[str], wanted: str | None) -> Sequence[str]:
    if wanted is None:
        return known
    if wanted not in known:
        raise NotComparable(f"no style {wanted!r} here; known: {', '.join(known)}")
    return (wanted,)


def _ranked(one: Standing) -> Ranked:
    place = (one.rank, one.rank_low, one.rank_high, one.tie)
    prompt_format = f" ({prompt_format_words(one.prompt_format)})" if one.n_prompt_formats > 1 else ""
    return Ranked(*place, one.model.name + prompt_format, one.run, one.engine, one.seed, one.score)


def rank_runs(db: Engine, runs: Sequence[str], style: str | None) -> Ranks:
    """Rank chosen runs on the cells that all of them have.

    Raises:
        BadInput: no such style.
        UnknownRun: no such run.
        SealedRun: its season has not ended.
        NotComparable: fewer than two runs, or they share no cell.
    """
    _check_style(style)
    found = {one.summary.run: one for one in (open_run(db, run) for run in runs)}
    if len(found) < len(runs) or len(found) < 2:
        raise NotComparable("name two or more runs, each once")
    if depths := [run for run, one in found.items() if one.summary.layer == "adaptive"]:
        raise NotComparable(f"run {depths[0]} measured depth, and has no score to rank: `fathom compare` tests depths")
    update_leaderboard(db)
    marks = board.marks_of(db, {run: one.suite.n_items for run, one in found.items()})
    n_shared = _shared(list(found.values()))
    if not n_shared:
        raise NotComparable("these runs share no cell: run the models on one suite")
    styles = _styles(tuple(dict.fromkeys(key[-1] for key in n_shared)), style)
    details = list(found.values())
    asked = f"{plural(len(details), 'run')} on {plural(len(n_shared), 'cell')} that all were asked"
    return Ranks(asked, tuple((one, _rank(details, marks, n_shared, one)) for one in styles))


_CellKey = tuple[str, int, str, str, str]


def _key(cell: CellCounts) -> _CellKey:
    return cell.family, cell.version, cell.level, cell.channel, cell.style


def _shared(details: Sequence[RunDetail]) -> dict[_CellKey, int]:
    """Return the cells that all runs have, with the number of shared items, in the order of the first run."""
    sizes = [{_key(cell): cell.n_planned for cell in one.cells} for one in details]
    return {key: min(size[key] for size in sizes) for key in sizes[0] if all(key in size for size in sizes)}


def _rank(
    details: Sequence[RunDetail], marks: Mapping[str, RunVerdicts], n_shared: Mapping[_CellKey, int], style: str
) -> tuple[Ranked, ...]:
    wanted = {key: n for key, n in n_shared.items() if key[-1] == style}
    contenders = [_contender(one, marks[one.summary.run], wanted) for one in details]
    found = [
        Ranked(
            place.rank, place.low, place.high, place.tie, one.summary.model, one.summary.run, one.summary.engine,
            one.suite.seed, contender.score,
        )
        for one, contender, place in zip(details, contenders, rank_all(contenders), strict=True)
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: (one.rank, one.model, one.run)))


def _contender(one: RunDetail, marks: RunVerdicts, wanted: Mapping[_CellKey, int]) -> Contender:
    cells, at, start = {}, {}, 0
    for cell in one.cells:
        cells[_key(cell)], at[_key(cell)] = cell, start
        start += cell.n_planned
    items = np.concatenate([np.arange(at[key], at[key] + n) for key, n in wanted.items()])
    scores = list(overall(family_scores(ladder_scores(cells[key] for key in wanted))).values())
    if not scores:
        raise NotComparable(f"nothing that run {one.summary.run} shares with the others was graded")
    return Contender(one.suite.seed, scores[0], marks.right[items], marks.graded[items])


def ranks_json(ranks: Ranks) -> dict[str, Any]:
    """Return ranks as JSON values."""
    return {
        "asked": ranks.asked,
        "styles": {style: [_ranked_json(one) for one in lines] for style, lines in ranks.styles},
    }


def _ranked_json(one: Ranked) -> dict[str, Any]:
    return {
        "rank": one.rank, "rank_low": one.low, "rank_high": one.high, "tie": one.tie, "model": one.model,
        "run": one.run, "engine": one.engine, "seed": one.seed, "score": estimate_json(one.score),
    }  # fmt: skip

"""Stored runs of both kinds as tables and pictures for a terminal, and as JSON values."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fathom.harness.format import bar, count, duration, interval_text, percent, plural, score, shorten
from fathom.harness.format import hardness as hardness_text
from fathom.harness.records import RunDetail, RunSummary, TaskRunDetail, TaskRunSummary
from fathom.harness.reports.cost import RunCost, cost_text
from fathom.harness.reports.depths import depths_json
from fathom.harness.reports.describe import advice_of, stored_settings_text
from fathom.harness.reports.figures.picture import DataTable
from fathom.harness.reports.found import (
    FOUND_LEGEND,
    FOUND_TEXT_COLUMNS,
    UNKNOWN,
    found_json,
    found_rows_json,
    found_table,
    notable_rows,
)
from fathom.harness.reports.measures import MEASURES_LEGEND, MEASURES_TEXT_COLUMNS, measures_json, measures_table
from fathom.harness.reports.repeats import REPEATS_LEGEND, repeats_table, spread_json
from fathom.harness.stats.cell_measures import CellMeasure
from fathom.harness.stats.intervals import corrected_accuracy, depth_text, label_shares
from fathom.harness.stats.scores import (
    CellCounts,
    LadderScore,
    StyleScore,
    family_scores,
    ladder_scores,
    overall,
    scores_json,
)
from fathom.tasks.base import Family, Level, level_of, styles_of
from fathom.tasks.registry import all_families, find_family

_N_LABELS = 3
_ROWS = 10
_COLUMN = 9
_FEW = 2
"""Ladders of which a run prints every cell without being asked."""

_LEGEND = (
    "score: mean over a ladder's levels of (accuracy - chance) / (1 - chance), one bar a level, ± half of its 95% "
    "interval\ndepth50: the hardness at which accuracy falls half-way to chance, with its 95% interval"
)
_MARKS = ("●", "○", "◆", "◇", "■", "□")
STATE_COLOURS = {"done": "green", "failed": "red", "interrupted": "yellow", "running": "cyan", "waiting": "cyan"}


GroupKey = tuple[str, str, str, str]
"""Family, ladder, channel, style."""


def level_of_cell(cell: CellCounts) -> Level:
    """Return the level of a cell."""
    return _level(cell.family, cell.level)


@cache
def _level(family: str, level: str) -> Level:
    return level_of(find_family(family), level)


def chance_of(cell: CellCounts) -> float:
    """Return the chance level of a cell, 0..1."""
    return find_family(cell.family).chance(level_of_cell(cell), cell.style)


def group_cells(cells: Iterable[CellCounts]) -> Mapping[GroupKey, list[CellCounts]]:
    """Group cells by (family, ladder, channel, style), in the order in which they come."""
    groups: dict[GroupKey, list[CellCounts]] = {}
    for cell in cells:
        groups.setdefault((cell.family, level_of_cell(cell).ladder, cell.channel, cell.style), []).append(cell)
    return groups


def render_run(
    detail: RunDetail, measures: Sequence[CellMeasure] = (), *, whole: bool = False, cost: RunCost | None = None
) -> RenderableType:
    """Draw a run: headline, scores, what it used, and where it is `whole` or of one family, each cell and curves."""
    one = detail.summary
    parts: list[RenderableType] = [Text(), _headline(one, f"{one.suite} suite, seed {one.seed}")]
    if prompt_format := stored_settings_text(detail.manifest, detail.suite.cells):
        parts.append(Text(prompt_format, style="dim"))
    if one.error:
        parts.append(Text(one.error, style="red"))
    groups = group_cells(detail.cells)
    whole = whole or len({key[:3] for key in groups}) <= _FEW
    if whole:
        parts += [_cells_table(key, cells) for key, cells in groups.items()]
        parts += _repeats(groups) if one.n_repeats > 1 else ()
        parts += _pictures(groups)
    parts += _measured(measures) if measures else ()
    parts += [] if one.layer == "adaptive" else [Text(), *_scores(detail.cells)]
    parts += _found(detail.cells)
    parts += [Text(said, style="yellow") for said in advice_of(detail)]
    if cost is not None and (used := cost_text(cost)):
        parts.append(Text(used))
    if not whole:
        parts.append(Text(f"`fathom show {one.run}` prints every cell and draws the curves", style="dim"))
    return Group(*parts)


def _headline(one: RunSummary | TaskRunSummary, asked: str) -> Text:
    return Text.assemble(
        (one.model, "bold"), f"  {asked}, engine {one.engine}, run {one.run} ",
        (one.state, STATE_COLOURS.get(one.state, "")), f" after {duration(one.seconds)}",
    )  # fmt: skip


def _repeats(groups: Mapping[GroupKey, list[CellCounts]]) -> Iterator[RenderableType]:
    """Draw what repeated answers come to; nothing where each item was asked once."""
    known = {key: found for key, cells in groups.items() if (found := repeats_table(cells)) is not None}
    for key, found in known.items():
        yield _plain_table(" · ".join((*key, "repeated answers")), found)
    if known:
        yield Text(REPEATS_LEGEND, style="dim")


def _measured(measures: Sequence[CellMeasure]) -> Iterator[RenderableType]:
    """Draw what is measured of a model that was trained on our text."""
    found = measures_table(measures)
    if found is not None:
        yield Text()
        yield _plain_table("Measures", found)
        yield Text(MEASURES_LEGEND, style="dim")


def _found(cells: Sequence[CellCounts]) -> Iterator[RenderableType]:
    """Draw how answers were found, where it is not nearly always in the form asked for."""
    if all(cell.found is not None and cell.found.n_asked == cell.n for cell in cells if cell.n):
        return
    if any(cell.n and cell.found is None for cell in cells):
        yield Text(UNKNOWN, style="dim")
    found = found_table(notable_rows(cells))
    if found is not None:
        yield Text()
        yield _plain_table("How answers were found", found, FOUND_TEXT_COLUMNS)
        yield Text(FOUND_LEGEND, style="dim")


def _plain_table(title: str, found: DataTable, left: Sequence[str] = MEASURES_TEXT_COLUMNS) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for name in found.header:
        table.add_column(name, justify="left" if name in left else "right", header_style="dim")
    for row in found.rows:
        table.add_row(*row)
    return table


def _scores(cells: Sequence[CellCounts]) -> Iterator[RenderableType]:
    ladders = ladder_scores(cells)
    if not ladders:
        return
    styles = list(dict.fromkeys(style for ladder in ladders for style in ladder.styles))
    yield _scores_table(ladders)
    means = overall(family_scores(ladders))
    said = "   ".join(f"{style} {score(means[style])}" for style in styles)
    yield Text.assemble(("mean of families  ", "bold"), said)
    yield Text(_LEGEND, style="dim")


def _scores_table(ladders: Sequence[LadderScore]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("family", "ladder", "channel", "style", "levels", "score", "depth50", "thinking adds"):
        table.add_column(name, header_style="dim", no_wrap=True)
    for ladder in ladders:
        named = [ladder.key.family, ladder.key.ladder, ladder.key.channel]
        for one in ladder.styles.values():
            limit = f"{depth_text(found)} {ladder.unit}" if (found := one.depth) else ""
            adds = score(ladder.gap) if ladder.gap and one.style == "cot" else ""
            table.add_row(*named, one.style, _curve(one), score(one.mean), limit, adds)
            named = ["", "", ""]
    return table


def _curve(one: StyleScore) -> str:
    """Draw a ladder as one bar a level."""
    return "".join(bar(corrected_accuracy(rung.k, rung.n, rung.chance)) for rung in one.rungs.values())


def _cells_table(key: GroupKey, cells: Sequence[CellCounts]) -> Table:
    table = Table(title=" · ".join(key), title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    again = next((cell.spread.repeats for cell in cells if cell.spread is not None), 0)
    share = f"mean@{again}" if again else "accuracy"
    for name in ("level", share, "95% interval", "right", "chance", "how it is wrong"):
        table.add_column(name, justify="left" if name in ("level", "how it is wrong") else "right", header_style="dim")
    for cell in cells:
        right = f"{cell.k}/{cell.n}" + (f" ({plural(cell.n_errors, 'error')})" if cell.n_errors else "")
        accuracy = percent(cell.k / cell.n) if cell.n else "–"
        table.add_row(
            cell.level, accuracy, interval_text(cell.interval), right, percent(chance_of(cell)), wrong_labels(cell)
        )
    return table


def wrong_labels(cell: CellCounts, most: int = _N_LABELS) -> str:
    """Write the commonest kinds of mistake with their shares of all samples."""
    wrong = sorted(
        ((n, label) for label, n in cell.labels.items() if label != "correct"), key=lambda row: (-row[0], row[1])
    )
    shown = [f"{label} {percent(n / cell.n, 0)}" for n, label in wrong[:most]]
    rest = sum(n for n, _ in wrong[most:])
    if rest:
        shown.append(f"other {percent(rest / cell.n, 0)}")
    return ", ".join(shown)


def _pictures(groups: Mapping[GroupKey, list[CellCounts]]) -> list[RenderableType]:
    ladders: dict[str, dict[str, list[CellCounts]]] = {}
    for (*ladder, style), members in groups.items():
        ladders.setdefault(" · ".join(ladder), {})[style] = members
    return [Text(draw_curves(name, styles)) for name, styles in ladders.items()]


def draw_curves(title: str, styles: Mapping[str, Sequence[CellCounts]]) -> str:
    """Draw accuracy against level: one column a level, easiest first, one mark a style, dots at chance."""
    cells = {cell.level: cell for members in styles.values() for cell in members if cell.n}
    levels = sorted(cells, key=lambda level: level_of_cell(cells[level]).hardness)
    if not levels:
        return ""
    column = max(_COLUMN, 2 + max(map(len, levels)))
    grid = [[" "] * (column * len(levels)) for _ in range(_ROWS + 1)]
    for at, level in enumerate(levels):
        dots = _row_of(chance_of(cells[level]))
        for place in range(1, _COLUMN - 1):
            grid[dots][at * column + place] = "·"
    for order, members in enumerate(styles.values()):
        for cell in members:
            if cell.n:
                place = levels.index(cell.level) * column + 2 + 2 * order
                grid[_row_of(cell.k / cell.n)][place] = _MARKS[order]
    axis = [f"{100 - 10 * row:>4}% ┤" if row % 5 == 0 else "      │" for row in range(_ROWS + 1)]
    lines = [left + "".join(row).rstrip() for left, row in zip(axis, grid, strict=True)]
    names = "".join(f"{level:<{column}}" for level in levels)
    legend = "   ".join(f"{_MARKS[order]} {style}" for order, style in enumerate(styles))
    return "\n".join(
        ["", f"{title}: accuracy against level    {legend}   · chance", *lines, f"        {names}".rstrip()]
    )


def _row_of(share: float) -> int:
    return _ROWS - round(share * _ROWS)


def render_task_run(detail: TaskRunDetail) -> RenderableType:
    """Draw a run on lm-eval's own tasks: headline, and each metric with its standard error, as lm-eval prints them."""
    one = detail.summary
    parts: list[RenderableType] = [Text(), _headline(one, shorten(", ".join(one.tasks), 60))]
    if one.error:
        parts.append(Text(one.error, style="red"))
    if detail.results is None:
        parts.append(Text(f"{count(one.n_done)} of {plural(one.n_requests, 'request')} answered, no metrics yet"))
        return Group(*parts)
    parts.append(_metrics(detail.results))
    parts += [Text(line, style="yellow") for line in _too_long_lines(detail.results)]
    return Group(*parts)


def _metrics(results: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("task", "version", "filter", "n", "shots", "metric", "", "value", "stderr"):
        right = name in ("n", "shots", "value", "stderr")
        table.add_column(name, justify="right" if right else "left", header_style="dim", no_wrap=name != "task")
    for depth, name in _with_depth(results):
        named = _task_columns(results, name, depth)
        for row in _metric_rows(results, name):
            table.add_row(*named[:2], row[0], *named[2:], *row[1:])
            named = ("", "", "", "")
    return table


def _with_depth(results: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Yield (depth, name): each group before its members; tasks in no group have depth 0."""
    members: Mapping[str, Sequence[str]] = results.get("group_subtasks", {})
    inner = {child for children in members.values() for child in children}

    def below(name: str, depth: int) -> Iterator[tuple[int, str]]:
        yield depth, name
        for child in members.get(name, ()):
            yield from below(child, depth + 1)

    for name in sorted(results["results"], key=lambda name: name not in members):
        if name not in inner:
            yield from below(name, 0)


def _task_columns(results: Mapping[str, Any], name: str, depth: int) -> tuple[str, str, str, str]:
    """Return the columns before a task's metrics: name, version, documents and shots."""
    found: Mapping[str, Any] = results["results"].get(name, {})
    version = results.get("versions", {}).get(name)
    n, shots = found.get("sample_len"), results.get("n-shot", {}).get(name)
    return (
        f"{'  ' * depth}{found.get('alias', name)}",
        "" if version in (None, "N/A") else str(version),
        "" if n is None else count(n),
        "" if shots is None or name in results.get("group_subtasks", {}) else str(shots),
    )


def _metric_rows(results: Mapping[str, Any], name: str) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield (filter, metric, arrow, value, standard error) of a task or group; one blank row if it has no metric."""
    found: Mapping[str, Any] = results["results"].get(name, {})
    better = results.get("higher_is_better", {}).get(name) or {}
    arrows = {metric: "↑" if higher else "↓" for metric, higher in better.items() if higher is not None}
    any_metric = False
    for key in sorted(found):
        metric, comma, by = key.partition(",")
        if not comma or metric.endswith("_stderr"):
            continue
        any_metric = True
        error = found.get(f"{metric}_stderr,{by}")
        yield by, metric, arrows.get(metric, ""), _metric_text(found[key]), _stderr_text(error)
    if not any_metric:
        yield "", "", "", "", ""


def _metric_text(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "–" if value is None else str(value)


def _stderr_text(value: Any) -> str:
    return f"± {value:.4f}" if isinstance(value, int | float) else "n/a"


def _too_long_lines(results: Mapping[str, Any]) -> Iterator[str]:
    for name, n in results.get("n-too-long", {}).items():
        if n:
            whole = n + results["n-samples"][name]["effective"]
            yield (
                f"{name}: {count(n)} of {plural(whole, 'document')} do not fit the model's context; "
                "nothing was cut, and the metrics are of the others"
            )


def render_families(name: str | None = None) -> RenderableType:
    """Draw all families, or the one of this name, with their levels and chance.

    Raises:
        UnknownFamily: no family has this name.
    """
    if name is not None:
        return _family_table(find_family(name))
    return Group(*(_family_table(family) for family in all_families().values()))


def _family_table(family: Family) -> RenderableType:
    head = Text.assemble((f"{family.name}@{family.version}", "bold"), f"  {family.title}. {family.summary}")
    about = Text(
        f"channels {', '.join(family.channels)} · styles {', '.join(family.styles)} · {family.reference}", style="dim"
    )
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("ladder", "level", "hardness", *(f"chance {style}" for style in family.styles)):
        table.add_column(name, justify="left" if name in ("ladder", "level") else "right", header_style="dim")
    for level in family.levels.values():
        asked = styles_of(family, level)
        chances = (percent(family.chance(level, style)) if style in asked else "" for style in family.styles)
        table.add_row(level.ladder, level.name, hardness_text(level.hardness), *chances)
    return Group(head, about, table)


def families_json(only: str | None = None) -> list[dict[str, Any]]:
    """Return all families, or the one named, as JSON values; `chance` is that of the first style.

    Raises:
        UnknownFamily: no family has this name.
    """
    named = all_families().values() if only is None else (find_family(only),)
    return [
        {
            "family": family.name,
            "version": family.version,
            "title": family.title,
            "part": family.part,
            "summary": family.summary,
            "unit": family.unit,
            "channels": list(family.channels),
            "styles": list(family.styles),
            "labels": list(family.labels),
            "reference": family.reference,
            "levels": [
                {
                    "level": level.name,
                    "ladder": level.ladder,
                    "hardness": level.hardness,
                    "axes": dict(level.axes),
                    "chance": family.chance(level, styles_of(family, level)[0]),
                    "chance_by_style": {style: family.chance(level, style) for style in styles_of(family, level)},
                    "budget_by_style": {style: family.budget(level, style) for style in styles_of(family, level)},
                }
                for level in family.levels.values()
            ],
        }
        for family in named
    ]


def summary_json(one: RunSummary) -> dict[str, Any]:
    """Return a run's summary as JSON values."""
    return {**asdict(one), "created_at": one.created_at.isoformat()}


def run_json(
    detail: RunDetail,
    scores: Mapping[str, Any] | None = None,
    measures: Sequence[CellMeasure] = (),
    cost: RunCost | None = None,
) -> dict[str, Any]:
    """Return a run as JSON values: summary, manifest, cells with intervals and chance, how answers were found, scores.

    `scores` are those of `stats.scores.scores_json`; if they are not given, they and the depths are computed.
    """
    cells = [
        {
            "family": cell.family, "version": cell.version, "level": cell.level, "channel": cell.channel,
            "style": cell.style, "n": cell.n, "k": cell.k, "low": cell.interval.low, "high": cell.interval.high,
            "chance": chance_of(cell), "n_planned": cell.n_planned, "n_errors": cell.n_errors,
            **found_json(cell.found), "labels": dict(cell.labels), "label_shares": label_shares(cell.labels),
            "spread": spread_json(cell.spread),
        }
        for cell in detail.cells
    ]  # fmt: skip
    return {
        **summary_json(detail.summary),
        "cost": None if cost is None else cost.to_json(),
        "manifest_digest": detail.manifest_digest,
        "manifest": detail.manifest.to_json(),
        "log": detail.log,
        "cells": cells,
        "answers": found_rows_json(detail.cells),
        "scores": scores_json(detail.cells) if scores is None else dict(scores),
        **({"depths": depths_json(detail)} if scores is None else {}),
        "measures": measures_json(measures),
    }


def task_summary_json(one: TaskRunSummary) -> dict[str, Any]:
    """Return the summary of a run on lm-eval's own tasks as JSON values."""
    return {**asdict(one), "tasks": list(one.tasks), "created_at": one.created_at.isoformat()}


def task_run_json(detail: TaskRunDetail) -> dict[str, Any]:
    """Return a run on lm-eval's own tasks as JSON values; `results` are those of lm-eval's `evaluate`."""
    return {
        **task_summary_json(detail.summary),
        "settings": dict(detail.settings),
        "manifest_digest": detail.manifest_digest,
        "manifest": detail.manifest.to_json(),
        "n_by_reason": dict(detail.n_by_reason),
        "results": None if detail.results is None else dict(detail.results),
        "log": detail.log,
    }

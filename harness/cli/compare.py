"""`fathom compare`, `fathom rank` and `fathom report`."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fathom.harness.cli.options import AsJson, Db, open_store
from fathom.harness.db.find import find_run, open_pair
from fathom.harness.db.write import utc_now
from fathom.harness.errors import BadInput
from fathom.harness.format import (
    about,
    count,
    difference,
    megabytes,
    odds,
    p_value,
    plural,
    ranks,
    score,
)
from fathom.harness.records import RunDetail
from fathom.harness.reports.comparison import FamilyComparison, RunComparison, compare_run_pair, comparison_json
from fathom.harness.reports.console import make_console, print_json
from fathom.harness.reports.depths import (
    DepthComparison,
    check_shared,
    compare_depths,
    compared_json,
    compared_table,
)
from fathom.harness.reports.found import FOUND_COLUMNS, FOUND_LEGEND, share_texts
from fathom.harness.reports.ranks import Ranked, Ranks, rank_runs, rank_suite, ranks_json

app = typer.Typer()

_Style = Annotated[Optional[str], typer.Option(help="direct, cot, choice or free; default: all.")]


@app.command("compare")
def compare_runs(
    first: Annotated[str, typer.Argument(metavar="A", help="Run id, its beginning, or a model's name.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The run to compare it with.")],
    style: _Style = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Test whether one run is better than another, item by item, and say how many items would separate ties."""
    store = open_store(db)
    pair = open_pair(store, first, second)
    depths = compare_depths(pair[0].cells, pair[1].cells, style)
    if any(one.suite.is_adaptive for one in pair):
        check_shared(depths)
        if as_json:
            print_json(compared_json(depths))
        else:
            make_console().print(_render_depths(pair, depths))
        return
    found = compare_run_pair(store, *pair, style)
    if as_json:
        print_json(comparison_json(found) | {"depths": compared_json(depths)})
    else:
        make_console().print(_render_comparison(found, depths))


@app.command("rank")
def rank_models(
    runs: Annotated[Optional[list[str]], typer.Argument(help="Runs to rank; default: the runs of the board.")] = None,
    suite: Annotated[Optional[str], typer.Option(help="Name of a suite, or id of a pool.")] = None,
    style: _Style = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Rank models, with the range of each rank and tie groups."""
    if runs and suite:
        raise BadInput("give either runs or --suite, not both")
    store = open_store(db)
    found = rank_runs(store, runs, style) if runs else rank_suite(store, suite, style)
    if as_json:
        print_json(ranks_json(found))
    else:
        make_console().print(_render_ranks(found))


@app.command("report")
def report_runs(
    runs: Annotated[
        list[str], typer.Argument(help="Run ids, their beginnings, or models' names (their newest finished run).")
    ],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
    db: Db = None,
) -> None:
    """Write one self-contained HTML file about some runs; the others are compared with the first."""
    from fathom.harness.reports.html.page import write_report  # loads a template engine

    store = open_store(db)
    details = [find_run(store, word) for word in runs]
    talk = make_console()
    with talk.status("reading") as line:
        written = write_report(store, details, out, utc_now(), line.update)
    store.dispose()
    talk.print(f"wrote {written.path}, {megabytes(written.n_bytes)}: {plural(len(details), 'run')}", soft_wrap=True)


_VERDICTS = ("tie", "A ahead", "B ahead")

_VERDICT_STYLES = ("dim", "green", "cyan")

_PAIRED = (
    "items: shared by both runs; only A: right in A alone; odds: only A to only B, with the exact 95% interval\n"
    "p: McNemar's exact test; Holm p: corrected over a style's families; a verdict needs 0.05 and a score that agrees"
)

_UNPAIRED = "p: z test of the scores; Holm p: corrected over a style's families; a verdict needs 0.05"

_RANKS = (
    "range: from 1 + the models that a test puts above, to all models less those that it puts below\n"
    "tie: a group ends before the first model that a test separates from the group's first"
)

_DEPTHS = (
    "depths: p from the posterior of the ratio, with the runs taken as independent (stricter than it says on shared\n"
    "items), corrected over the ladders; a verdict needs 0.05, two falling curves, and one depth within the ladder"
)

_WIDTHS = (6, 12, 12, 12, 6, 6, 6, 16, 7, 7)


def _render_depths(pair: tuple[RunDetail, RunDetail], depths: Sequence[DepthComparison]) -> RenderableType:
    """Return a comparison of depths, where items were placed as a run went on, so that counts cannot be compared."""
    return Group(Text(), _heads(pair), Text(), compared_table(depths), Text(), Text(_DEPTHS, style="dim"))


def _render_comparison(one: RunComparison, depths: Sequence[DepthComparison]) -> RenderableType:
    """Return a comparison: the runs, a table for each style, and what would separate ties."""
    parts: list[RenderableType] = [Text(), _heads((one.first, one.second)), Text(_asked(one))]
    parts += [Text(f"note: {note}", style="yellow") for note in one.notes]
    for style in dict.fromkeys(line.result.style for line in one.lines):
        mine = [line for line in one.lines if line.result.style == style]
        parts += [Text(), _comparison_table(style, mine, one.paired)]
        parts += _needs(mine, one.paired)
    parts += _found(one)
    said = _PAIRED if one.paired else _UNPAIRED
    if depths:
        parts += [Text(), compared_table(depths)]
        said = f"{said}\n{_DEPTHS}"
    return Group(*parts, Text(), Text(said, style="dim"))


def _heads(pair: tuple[RunDetail, RunDetail]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for letter, detail in zip("AB", pair, strict=True):
        short = detail.summary
        table.add_row(Text(letter, style="bold"), Text(short.model, style="bold"), f"run {short.run}", short.engine)
    return table


def _asked(one: RunComparison) -> str:
    first, second = (_suite(detail) for detail in (one.first, one.second))
    if one.paired:
        return f"{first}: compared item by item" if first == second else f"{first}, and {second}: on the items of both"
    return f"{first}, and {second}: no item is shared, so the scores are compared; the same seed would tell more"


def _suite(one: RunDetail) -> str:
    return f"{one.suite.name} suite, seed {one.suite.seed}"


def _comparison_table(style: str, lines: Sequence[FamilyComparison], paired: bool) -> Table:
    counts = ("items", "only A", "only B", "odds") if paired else ()
    table = _make_table((style,), ("A", "B", "A less B", *counts, "p", "Holm p"), ("verdict",))
    for column, width in zip(table.columns, _WIDTHS if paired else (*_WIDTHS[:4], *_WIDTHS[8:]), strict=False):
        column.min_width = width  # so that the tables of all styles stand alike
    for line in lines:
        one = line.result
        counted = (count(one.n), count(one.only_first), count(one.only_second), _odds(line)) if paired else ()
        scores = (score(one.first), score(one.second), difference(one.difference))
        verdict = Text(_VERDICTS[one.ahead], style=_VERDICT_STYLES[one.ahead])
        corrected = p_value(one.p_holm) if one.name else ""
        table.add_row(one.name or "all", *scores, *counted, p_value(one.p), corrected, verdict)
    return table


def _found(one: RunComparison) -> Iterator[RenderableType]:
    """Draw how the answers of both were found, where it is not nearly always in the form asked for."""
    rows = [row for row in one.found if row.is_notable]
    if not rows:
        return
    table = _make_table(("how answers were found", "family", "run"), FOUND_COLUMNS)
    for row in rows:
        table.add_row(row.style, row.family or "all", "A", *share_texts(row.first))
        table.add_row("", "", "B", *share_texts(row.second))
    yield Text()
    yield table
    yield Text(FOUND_LEGEND, style="dim")


def _odds(line: FamilyComparison) -> str:
    return "" if line.odds is None else odds(line.odds.value, line.odds.interval)


def _needs(lines: Sequence[FamilyComparison], paired: bool) -> Iterator[Text]:
    for line in lines:
        if not line.result.ahead:
            yield Text(f"{line.result.name or 'all'}: {_need_text(line, paired)}")


def _need_text(line: FamilyComparison, paired: bool) -> str:
    """Say what would separate a tie."""
    if line.at_odds:
        return "counts and scores disagree, because scores weigh all levels alike: more items would not separate them"
    if line.needed is None:
        return "nothing suggests a difference"
    what = "more shared items would" if paired else "more items of each would"
    return f"{about(line.needed.n_more)} {what} separate them if the difference is as seen (--n {line.needed.n_a_cell})"


def _render_ranks(found: Ranks) -> RenderableType:
    """Return the ranks, a table for each style."""
    parts: list[RenderableType] = [Text(), Text(found.asked)]
    for style, lines in found.styles:
        parts += [Text(), _ranks_table(style, lines)]
    return Group(*parts, Text(), Text(_RANKS, style="dim"))


def _ranks_table(style: str, lines: Sequence[Ranked]) -> Table:
    table = _make_table((), ("rank", "range"), (style, "score", "tie", "engine", "seed", "run"))
    for one in lines:
        table.add_row(
            count(one.rank), ranks(one.low, one.high), Text(one.model, style="bold"), score(one.score), count(one.tie),
            one.engine, one.seed, one.run,
        )  # fmt: skip
    return table


def _make_table(left: Iterable[str], right: Iterable[str], last: Iterable[str] = ()) -> Table:
    """Return an empty table with columns of text, of numbers, and of text again."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in left:
        table.add_column(name, header_style="dim", no_wrap=True)
    for name in right:
        table.add_column(name, header_style="dim", no_wrap=True, justify="right")
    for name in last:
        table.add_column(name, header_style="dim", no_wrap=True)
    return table

"""The commands that say how sure a number is: parsing only."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fathom.harness.cli.options import AsJson, Db, database_of
from fathom.harness.db.engine import open_database
from fathom.harness.db.find import find_run
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
from fathom.harness.reports.comparison import Contest, Line
from fathom.harness.reports.console import make_console
from fathom.harness.reports.ranks import Ranked, Ranks

app = typer.Typer()


Style = Annotated[Optional[str], typer.Option(help="direct, cot, choice or free; all if not given.")]


@app.command("compare")
def compare_runs(
    first: Annotated[str, typer.Argument(metavar="A", help="A run's id, its beginning, or a model.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The other one.")],
    style: Style = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Test whether one run is better than another, item by item; say how many more items would tell."""
    from fathom.harness.db.engine import open_database
    from fathom.harness.db.find import open_pair
    from fathom.harness.reports.comparison import contest, contest_json
    from fathom.harness.reports.console import make_console, print_json

    store = open_database(database_of(db), create=False)
    found = contest(store, *open_pair(store, first, second), style)
    if as_json:
        print_json(contest_json(found))
    else:
        make_console().print(render_contest(found))


@app.command("rank")
def rank_models(
    runs: Annotated[Optional[list[str]], typer.Argument(help="Runs to rank; none: those of the board.")] = None,
    suite: Annotated[Optional[str], typer.Option(help="A suite, or the id of a pool.")] = None,
    style: Style = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Rank models with the range that chance leaves to each rank, and tie groups."""
    from fathom.harness.db.engine import open_database
    from fathom.harness.reports.console import make_console, print_json
    from fathom.harness.reports.ranks import rank_runs, rank_suite, ranks_json

    if runs and suite:
        raise BadInput("name runs, or a --suite: not both")
    store = open_database(database_of(db), create=False)
    found = rank_runs(store, runs, style) if runs else rank_suite(store, suite, style)
    if as_json:
        print_json(ranks_json(found))
    else:
        make_console().print(render_ranks(found))


@app.command("report")
def report_runs(
    runs: Annotated[
        list[str], typer.Argument(help="Ids, beginnings of them, or models' names for their newest finished run.")
    ],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("report.html"),
    db: Db = None,
) -> None:
    """Write one self-contained HTML file about some runs; the first is what the others are compared with."""
    report(database_of(db), runs, out)


_VERDICTS = ("tie", "A ahead", "B ahead")


_VERDICT_STYLES = ("dim", "green", "cyan")


_PAIRED = (
    "items: those that both were asked; only A: right in A alone; odds: only A to only B, with the exact 95% interval\n"
    "p: McNemar's exact test; Holm p: corrected over a style's families; a verdict needs 0.05 and a score that agrees"
)


_UNPAIRED = "p: z test of the scores; Holm p: corrected over a style's families; a verdict needs 0.05"


_RANKS = (
    "range: from 1 + the models that a test finds above, to all less those that it finds below\n"
    "tie: a group ends before the first model that its leader is told apart from"
)


_WIDTHS = (6, 12, 12, 12, 6, 6, 6, 16, 7, 7)


def make_table(left: Iterable[str], right: Iterable[str], last: Iterable[str] = ()) -> Table:
    """Return an empty table: columns of text, of numbers, and of text again."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in left:
        table.add_column(name, header_style="dim", no_wrap=True)
    for name in right:
        table.add_column(name, header_style="dim", no_wrap=True, justify="right")
    for name in last:
        table.add_column(name, header_style="dim", no_wrap=True)
    return table


def render_contest(one: Contest) -> RenderableType:
    """Draw a comparison: who, then a table a style, then what would settle the ties."""
    parts: list[RenderableType] = [Text(), _heads(one), Text(_asked(one))]
    parts += [Text(f"note: {note}", style="yellow") for note in one.notes]
    for style in dict.fromkeys(line.result.style for line in one.lines):
        mine = [line for line in one.lines if line.result.style == style]
        parts += [Text(), _contest_table(style, mine, one.paired)]
        parts += _outlooks(mine, one.paired)
    return Group(*parts, Text(), Text(_PAIRED if one.paired else _UNPAIRED, style="dim"))


def _heads(one: Contest) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for letter, detail in (("A", one.first), ("B", one.second)):
        short = detail.summary
        table.add_row(Text(letter, style="bold"), Text(short.model, style="bold"), f"run {short.run}", short.engine)
    return table


def _asked(one: Contest) -> str:
    first, second = (_suite(detail) for detail in (one.first, one.second))
    if one.paired:
        return f"{first}: compared item by item" if first == second else f"{first}, and {second}: on the items of both"
    return f"{first}, and {second}: no item is shared, so the scores are compared; the same seed would tell more"


def _suite(one: RunDetail) -> str:
    return f"{one.suite.name} suite, seed {one.suite.seed}"


def _contest_table(style: str, lines: Sequence[Line], paired: bool) -> Table:
    counts = ("items", "only A", "only B", "odds") if paired else ()
    table = make_table((style,), ("A", "B", "A less B", *counts, "p", "Holm p"), ("verdict",))
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


def _odds(line: Line) -> str:
    return "" if line.odds is None else odds(line.odds.value, line.odds.interval)


def _outlooks(lines: Sequence[Line], paired: bool) -> Iterator[Text]:
    for line in lines:
        if not line.result.ahead:
            yield Text(f"{line.result.name or 'all'}: {outlook_text(line, paired)}")


def outlook_text(line: Line, paired: bool) -> str:
    """Say what would settle a tie."""
    if line.at_odds:
        return "counts and scores point in different directions, as these weigh levels alike: more items settle nothing"
    if line.outlook is None:
        return "nothing suggests a difference"
    what = "more shared items would" if paired else "more items of each would"
    return (
        f"{about(line.outlook.n_more)} {what} separate them if the difference is as seen (--n {line.outlook.n_a_cell})"
    )


def render_ranks(found: Ranks) -> RenderableType:
    """Draw ranks, a table a style."""
    parts: list[RenderableType] = [Text(), Text(found.asked)]
    for style, lines in found.styles:
        parts += [Text(), _ranks_table(style, lines)]
    return Group(*parts, Text(), Text(_RANKS, style="dim"))


def _ranks_table(style: str, lines: Sequence[Ranked]) -> Table:
    table = make_table((), ("rank", "range"), (style, "score", "tie", "engine", "seed", "run"))
    for one in lines:
        table.add_row(
            count(one.rank), ranks(one.low, one.high), Text(one.model, style="bold"), score(one.score), count(one.tie),
            one.engine, one.seed, one.run,
        )  # fmt: skip
    return table


def report(database: str, words: Sequence[str], out: Path) -> None:
    """Write the report of the runs that are meant, and say how large it is.

    Raises:
        UnknownRun, UnknownModel, BadInput: there is none such, too many, or nowhere to write.
    """
    from fathom.harness.reports.html.page import write_report  # loads the chart library

    db = open_database(database, create=False)
    details = [find_run(db, word) for word in words]
    talk = make_console()
    with talk.status("reading") as line:
        written = write_report(db, details, out, utc_now(), line.update)
    db.dispose()
    talk.print(f"wrote {written.path}, {megabytes(written.n_bytes)}: {plural(len(details), 'run')}", soft_wrap=True)

"""Turn comparisons, ranks and probes into tables for a terminal."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.comparing import Contest, Line
from harness.db.read import RunDetail
from harness.determinism import Rate
from harness.format import about, count, difference, interval_text, odds, p_value, percent, plural, ranks, score
from harness.placing import Ranked, Ranks
from harness.probing import Pass, Probe
from harness.stats import wilson

_VERDICTS = ("tie", "A ahead", "B ahead")
_VERDICT_STYLES = ("dim", "green", "cyan")

_PAIRED = (
    "items: those that both were asked; only A: right in A alone; odds: only A to only B, with the exact 95% interval\n"
    "p: McNemar's exact test; Holm p: corrected over a style's families; a verdict needs 0.05 and a score that agrees"
)
_UNPAIRED = "p: z test of the scores; Holm p: corrected over a style's families; a verdict needs 0.05"
_PROBE = (
    "in brackets Wilson's 95% interval; scores apart: the largest difference of a candidate's log-likelihood\n"
    "a cache of prefixes is emptied before each pass; nothing is stored"
)
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


def render_probe(one: Probe) -> RenderableType:
    """Draw how often texts and verdicts changed, pass by pass and style by style."""
    about_engine = ", ".join(f"{name} {value}" for name, value in one.facts.items())
    parts: list[RenderableType] = [
        Text(),
        Text.assemble((one.model, "bold"), f"  engine {one.engine} ({about_engine})"),
        Text(f"{one.asked}; compared with {one.base}"),
    ]
    if one.n_drawn:
        parts.append(Text(f"note: {plural(one.n_drawn, 'answer')} left out that are drawn at random", style="yellow"))
    return Group(*parts, Text(), _probe_table(one.passes), Text(), Text(_PROBE, style="dim"))


def _probe_table(passes: Sequence[Pass]) -> Table:
    table = make_table(("asked", "style"), ("items", "texts differ", "verdicts flip", "scores apart"))
    for one in passes:
        name = one.name
        for rate in one.rates:
            gap = "" if rate.gap is None else f"{rate.gap:.2g} nats"
            texts, verdicts = _share(rate.n_texts, rate), _share(rate.n_verdicts, rate)
            table.add_row(name, rate.style, count(rate.n), texts, verdicts, gap)
            name = ""
    return table


def _share(n: int, rate: Rate) -> str:
    return f"{percent(n / rate.n)} ({interval_text(wilson(n, rate.n))})"

"""Terminal tables of laws and of their experiments."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fathom.harness.format import count, duration, interval_text, percent, ratio
from fathom.harness.stats.intervals import Estimate
from fathom.harness.training.laws.experiment import EXPLORATORY, LawRecord
from fathom.harness.training.laws.results import Observation

_COLOURS = {"shown": "green", "not shown": "yellow", "reversed": "red"}


def render_record(record: LawRecord) -> RenderableType:
    """Return the table of an experiment, with claim and rule above, effect and verdict below."""
    law, conclusion = record.law, record.conclusion
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("question", "condition", "right", "", "95% interval", "chance"):
        table.add_column(name, justify="left" if name in ("question", "condition") else "right", no_wrap=True)
    for one in record.observations:
        title = next(condition.title for condition in law.conditions if condition.name == one.condition)
        table.add_row(one.question, title, *_numbers(one))
    bits = any(one.learned is not None for one in record.observations)
    costs = ", ".join(f"{one.condition} {duration(one.train_seconds)}" for one in record.trials)
    size = ", ".join(dict.fromkeys(count(one.n_parameters) for one in record.trials))
    return Group(
        Text(f"{law.name}, {record.scale} scale", style="bold"),
        Text(law.claim),
        Text(law.rule, style="dim"),
        "",
        table,
        "",
        Text(f"{conclusion.of}: {'none' if conclusion.effect is None else _effect(conclusion.effect, bits=bits)}"),
        Text.assemble((conclusion.verdict, f"bold {_COLOURS[conclusion.verdict]}"), f": {conclusion.sentence}"),
        Text(EXPLORATORY, style="yellow"),
        Text(f"one model a condition of {size} parameters; trained in: {costs}", style="dim"),
    )


def _effect(effect: Estimate, *, bits: bool) -> str:
    values = effect.value, effect.interval.low, effect.interval.high
    value, low, high = [f"{one:.2f}" if bits else f"{100 * one:+.1f}" for one in values]
    return f"{value}{'' if bits else ' points'}, 95% interval {low} to {high}"


def _numbers(one: Observation) -> tuple[str, str, str, str]:
    estimate = one.estimate
    if one.learned is not None:
        interval = f"{estimate.interval.low:.2f}–{estimate.interval.high:.2f}"
        return f"{estimate.value:.2f}", f"{count(one.n)} items", interval, "–"
    chance = "–" if one.chance is None else percent(one.chance)
    return percent(estimate.value), ratio(one.k, one.n), interval_text(estimate.interval), chance


def render_laws(laws: Iterable[tuple[str, str, list[str]]]) -> Table:
    """Return a table of laws: name, claim and titles of the conditions."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("law", no_wrap=True)
    table.add_column("claim")
    table.add_column("conditions")
    for name, claim, titles in laws:
        table.add_row(name, claim, " / ".join(titles))
    return table

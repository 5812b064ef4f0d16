"""Lists of stored runs for a terminal, and why runs ended early."""

from collections.abc import Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from fathom.harness.format import count, instant, plural, shorten
from fathom.harness.records import RunSummary, TaskRunSummary
from fathom.harness.reports.terminal import STATE_COLOURS

_REASONS, _REASON = 10, 300
"""Runs of which a list says why they ended, and characters of a reason."""
_Tags = Mapping[str, Sequence[str]]
"""Tags by run, of those that have some."""


def _tag_column(runs: Sequence[RunSummary | TaskRunSummary], tags: _Tags) -> tuple[str, ...]:
    """Return the column of tags where one of the runs has some."""
    return ("tags",) if any(tags.get(one.run) for one in runs) else ()


def render_runs(runs: Sequence[RunSummary], tags: _Tags = {}) -> RenderableType:  # noqa: B006  # never changed
    """Draw the list of runs."""
    if not runs:
        return Text("no runs yet: `fathom run --model reference/pebble --engine vllm` makes one")
    table = Table(box=None, padding=(0, 2, 0, 0))
    more = _tag_column(runs, tags)
    for name in ("run", "model", "suite", "engine", "state", "answers", "right", "started", *more):
        table.add_column(name, justify="right" if name in ("answers", "right") else "left", header_style="dim")
    for one in runs:
        state = Text(one.state, style=STATE_COLOURS.get(one.state, ""))
        done = f"{count(one.n_done)}/{count(one.n_samples)}"
        words = [", ".join(tags.get(one.run, ()))] if more else []
        started = instant(one.created_at)
        table.add_row(one.run, one.model, one.suite, one.engine, state, done, count(one.k), started, *words)
    return table


def ending_lines(runs: Sequence[RunSummary | TaskRunSummary]) -> Iterator[Text]:
    """Say why the newest runs that are not whole ended, one line a run."""
    ended = [one for one in runs if one.error]
    for one in ended[:_REASONS]:
        said = shorten(" ".join((one.error or "").split()), _REASON)
        yield Text.assemble(f"{one.run} ", (one.state, STATE_COLOURS.get(one.state, "")), f": {said}")
    if len(ended) > _REASONS:
        yield Text(f"and {plural(len(ended) - _REASONS, 'older run')}: `fathom show RUN` says why", style="dim")


def render_task_runs(runs: Sequence[TaskRunSummary], tags: _Tags = {}) -> RenderableType:  # noqa: B006
    """Draw the list of runs on lm-eval's own tasks."""
    if not runs:
        return Text("no runs of lm-eval's own tasks yet: `fathom run --model M --tasks gsm8k` makes one")
    table = Table(box=None, padding=(0, 2, 0, 0), title="lm-eval's own tasks", title_justify="left", title_style="bold")
    more = _tag_column(runs, tags)
    for name in ("run", "model", "tasks", "engine", "state", "requests", "started", *more):
        table.add_column(name, justify="right" if name == "requests" else "left", header_style="dim")
    for one in runs:
        state = Text(one.state, style=STATE_COLOURS.get(one.state, ""))
        done = f"{count(one.n_done)}/{count(one.n_requests)}"
        tasks = shorten(", ".join(one.tasks), 40)
        words = [", ".join(tags.get(one.run, ()))] if more else []
        table.add_row(one.run, one.model, tasks, one.engine, state, done, instant(one.created_at), *words)
    return table

"""Turn stored runs of lm-eval's own tasks into tables for a terminal, and into JSON values."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fathom.harness.db.task_runs.read import TaskRunDetail, TaskRunSummary
from fathom.harness.format import count, duration, instant, plural, shorten
from fathom.harness.reports.terminal import STATE_COLOURS


def render_task_run(detail: TaskRunDetail) -> RenderableType:
    """Draw a run: headline, and each metric with its standard error, as lm-eval prints them."""
    one = detail.summary
    head = Text.assemble(
        (one.model, "bold"), f"  {shorten(', '.join(one.tasks), 60)}, engine {one.engine}, run {one.run} ",
        (one.state, STATE_COLOURS.get(one.state, "")), f" after {duration(one.seconds)}",
    )  # fmt: skip
    parts: list[RenderableType] = [Text(), head]
    if one.error:
        parts.append(Text(one.error, style="red"))
    if detail.results is None:
        parts.append(Text(f"{count(one.n_done)} of {plural(one.n_requests, 'request')} answered, no metrics yet"))
        return Group(*parts)
    parts.append(_metrics(detail.results))
    parts += [Text(line, style="yellow") for line in _left_out(detail.results)]
    return Group(*parts)


def _metrics(results: Mapping[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("task", "version", "filter", "n", "shots", "metric", "", "value", "stderr"):
        right = name in ("n", "shots", "value", "stderr")
        table.add_column(name, justify="right" if right else "left", header_style="dim", no_wrap=name != "task")
    for depth, name in _in_order(results):
        named = _named(results, name, depth)
        for row in _rows(results, name):
            table.add_row(*named[:2], row[0], *named[2:], *row[1:])
            named = ("", "", "", "")
    return table


def _in_order(results: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Yield (depth, name): each group before its members, and what is in no group at depth 0."""
    members: Mapping[str, Sequence[str]] = results.get("group_subtasks", {})
    inner = {child for children in members.values() for child in children}

    def below(name: str, depth: int) -> Iterator[tuple[int, str]]:
        yield depth, name
        for child in members.get(name, ()):
            yield from below(child, depth + 1)

    for name in sorted(results["results"], key=lambda name: name not in members):
        if name not in inner:
            yield from below(name, 0)


def _named(results: Mapping[str, Any], name: str, depth: int) -> tuple[str, str, str, str]:
    """Return what stands before a task's metrics: name, version, documents and shots."""
    found: Mapping[str, Any] = results["results"].get(name, {})
    version = results.get("versions", {}).get(name)
    n, shots = found.get("sample_len"), results.get("n-shot", {}).get(name)
    return (
        f"{'  ' * depth}{found.get('alias', name)}",
        "" if version in (None, "N/A") else str(version),
        "" if n is None else count(n),
        "" if shots is None or name in results.get("group_subtasks", {}) else str(shots),
    )


def _rows(results: Mapping[str, Any], name: str) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield (filter, metric, arrow, value, standard error) of a task or group; one blank row where it has none."""
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
        yield by, metric, arrows.get(metric, ""), _number(found[key]), _error(error)
    if not any_metric:
        yield "", "", "", "", ""


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "–" if value is None else str(value)


def _error(value: Any) -> str:
    return f"± {value:.4f}" if isinstance(value, int | float) else "n/a"


def _left_out(results: Mapping[str, Any]) -> Iterator[str]:
    for name, n in results.get("n-too-long", {}).items():
        if n:
            whole = n + results["n-samples"][name]["effective"]
            yield (
                f"{name}: {count(n)} of {plural(whole, 'document')} do not fit the model's context; "
                "nothing was cut, and the metrics are of the others"
            )


def render_task_runs(runs: Sequence[TaskRunSummary]) -> RenderableType:
    """Draw the list of such runs."""
    if not runs:
        return Text("no runs of lm-eval's own tasks yet: `fathom run --model M --tasks gsm8k` makes one")
    table = Table(box=None, padding=(0, 2, 0, 0), title="lm-eval's own tasks", title_justify="left", title_style="bold")
    for name in ("run", "model", "tasks", "engine", "state", "requests", "started"):
        table.add_column(name, justify="right" if name == "requests" else "left", header_style="dim")
    for one in runs:
        state = Text(one.state, style=STATE_COLOURS.get(one.state, ""))
        done = f"{count(one.n_done)}/{count(one.n_requests)}"
        tasks = shorten(", ".join(one.tasks), 40)
        table.add_row(one.run, one.model, tasks, one.engine, state, done, instant(one.created_at))
    return table


def task_summary_json(one: TaskRunSummary) -> dict[str, Any]:
    """Return such a run in short as JSON values."""
    return {**asdict(one), "tasks": list(one.tasks), "created_at": one.created_at.isoformat()}


def task_run_json(detail: TaskRunDetail) -> dict[str, Any]:
    """Return such a run as JSON values; `results` is what lm-eval's `evaluate` returned."""
    return {
        **task_summary_json(detail.summary),
        "settings": dict(detail.settings),
        "manifest_digest": detail.manifest_digest,
        "manifest": dict(detail.manifest),
        "n_by_reason": dict(detail.n_by_reason),
        "results": None if detail.results is None else dict(detail.results),
        "log": detail.log,
    }

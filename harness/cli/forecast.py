"""What `fathom run --dry-run` prints."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from fathom.harness.cli.attempt import Output, load_tasks
from fathom.harness.cli.options import open_store
from fathom.harness.db.engine import parse_url
from fathom.harness.format import count, dollars, duration, plural, tokens
from fathom.harness.reports.console import make_console, print_json
from fathom.harness.reports.cost import read_prices
from fathom.harness.reports.forecast import Forecast, forecast, total_of
from fathom.harness.runs.manifest import hardware
from fathom.harness.runs.plan import Plan, TaskPlan

_UNKNOWN = "unknown"


def show_forecast(plans: Sequence[Plan | TaskPlan], output: Output, throughput: float | None) -> None:
    """Print what plans ask, and what they are expected to take; no model is loaded and nothing is stored."""
    foreign = [plan for plan in plans if isinstance(plan, TaskPlan)]
    if foreign:
        _show_tasks(foreign, output)
        return
    db, here, prices = _store(output.database), hardware(), read_prices()
    found = [forecast(db, plan, prices, here, throughput) for plan in plans if isinstance(plan, Plan)]
    if output.as_json:
        print_json([one.to_json() for one in found])
        return
    _print(found)


def _store(database: str) -> Engine | None:
    """Open the database if there is one; a dry run makes none."""
    url = parse_url(database)
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
        return None
    return open_store(database)


def _print(found: Sequence[Forecast]) -> None:
    console = make_console()
    table = Table(box=None, padding=(0, 2, 0, 0))
    again = any(one.n_answers != one.n_items for one in found)
    for name in (
        "model",
        "asked",
        "cells",
        "items",
        *(("answers",) if again else ()),
        "tokens in",
        "tokens out",
        "time",
        "cost",
    ):
        table.add_column(name, header_style="dim", justify="left" if name in ("model", "asked") else "right")
    for one in found:
        bound = "≤ " if one.is_bound else ""
        table.add_row(
            one.model, one.asked, count(one.n_cells), count(one.n_items), *((count(one.n_answers),) if again else ()),
            tokens(one.prompt_tokens),
            f"{bound}{tokens(one.completion_tokens)}", _time(one.seconds), _cost(one.dollars),
        )  # fmt: skip
    console.print(table)
    for basis in dict.fromkeys(f"{one.basis}{f'; {one.price}' if one.price else ''}" for one in found):
        console.print(Text(f"expected from {basis}", style="dim"), soft_wrap=True)
    if len(found) > 1:
        seconds, amount = total_of(found)
        console.print(f"all {plural(len(found), 'run')}: {_time(seconds)}, cost {_cost(amount)}")
    if any(one.seconds is None for one in found):
        console.print(Text("--throughput TOKENS tells the time where no earlier run does", style="dim"))


def _time(seconds: float | None) -> str:
    return _UNKNOWN if seconds is None else duration(seconds)


def _cost(amount: float | None) -> str:
    return _UNKNOWN if amount is None else dollars(amount)


def _show_tasks(plans: Sequence[TaskPlan], output: Output) -> None:
    """Say how many requests lm-eval's tasks make; their tokens are not known before they are asked."""
    sizes = {plan.model.name: dict(load_tasks(plan, output).sizes) for plan in plans}
    if output.as_json:
        print_json(sizes)
        return
    for model, requests in sizes.items():
        named = ", ".join(f"{task} {count(n)}" for task, n in requests.items())
        output.tell(f"{model}: {named} requests")

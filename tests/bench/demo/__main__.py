"""Fill an empty database with invented models and their runs, to look at a full board or to load-test it.

    python -m tests.bench.demo --models 50 --samples 2000 --db demo.db

Run it from the root of the repository. All models are called `demo/...`; the same seed invents the same.
"""

import time
from typing import Annotated

import typer

from fathom.harness.cli.options import Db, database_of
from fathom.harness.db.engine import open_database
from fathom.harness.errors import FathomError
from fathom.harness.format import duration, plural
from fathom.harness.reports.console import make_console
from fathom.tasks.errors import TaskError
from tests.bench.demo.database import DemoPlan, fill
from tests.bench.demo.rows import Written


def main(
    models: Annotated[int, typer.Option(help="How many models to invent.")] = 5000,
    suite: Annotated[str, typer.Option(help="Suite of cells.")] = "quick",
    n: Annotated[int, typer.Option("--n", help="Items per cell.")] = 30,
    seed: Annotated[str, typer.Option(help="Whole number or hex; the same seed invents the same.")] = "2026",
    samples: Annotated[int, typer.Option(help="Completions to store, rounded up to whole runs.")] = 1_000_000,
    db: Db = None,
) -> None:
    """Fill an empty database with invented models, and say how many there are."""
    talk, began = make_console(), time.monotonic()
    database = open_database(database_of(db), create=True)
    plan = DemoPlan(models, suite, n, seed, samples)
    with talk.status("") as line:
        written = fill(database, plan, lambda phase, now: line.update(f"{phase}: {_amounts(now)}"))
    database.dispose()
    talk.print(f"invented {_amounts(written)} in {duration(time.monotonic() - began)}", soft_wrap=True)


def _amounts(written: Written) -> str:
    return f"{plural(written.models, 'model')}, {plural(written.runs, 'run')}, {plural(written.samples, 'sample')}"


if __name__ == "__main__":
    try:
        typer.run(main)
    except (FathomError, TaskError) as error:
        raise SystemExit(f"demo: {error}") from error

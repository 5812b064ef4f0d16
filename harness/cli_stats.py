"""The commands that say how sure a number is: parsing only."""

from typing import Annotated, Optional

import typer

from harness.cli_db import Db, database_of
from harness.cli_run import names
from harness.errors import BadInput

stats_app = typer.Typer()

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Style = Annotated[Optional[str], typer.Option(help="direct, cot, choice or free; all if not given.")]


@stats_app.command("compare")
def compare_runs(
    first: Annotated[str, typer.Argument(metavar="A", help="A run's id, its beginning, or a model.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The other one.")],
    style: Style = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Test whether one run is better than another, item by item; say how many more items would tell."""
    from harness.comparing import contest, contest_json
    from harness.console import make_console, print_json
    from harness.db.engine import open_database
    from harness.meant import open_pair
    from harness.report_stats import render_contest

    store = open_database(database_of(db), create=False)
    found = contest(store, *open_pair(store, first, second), style)
    if as_json:
        print_json(contest_json(found))
    else:
        make_console().print(render_contest(found))


@stats_app.command("rank")
def rank_models(
    runs: Annotated[Optional[list[str]], typer.Argument(help="Runs to rank; none: those of the board.")] = None,
    suite: Annotated[Optional[str], typer.Option(help="A suite, or the id of a pool.")] = None,
    style: Style = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Rank models with the range that chance leaves to each rank, and tie groups."""
    from harness.console import make_console, print_json
    from harness.db.engine import open_database
    from harness.placing import rank_runs, rank_suite, ranks_json
    from harness.report_stats import render_ranks

    if runs and suite:
        raise BadInput("name runs, or a --suite: not both")
    store = open_database(database_of(db), create=False)
    found = rank_runs(store, runs, style) if runs else rank_suite(store, suite, style)
    if as_json:
        print_json(ranks_json(found))
    else:
        make_console().print(render_ranks(found))


@stats_app.command("probe-determinism")
def probe_determinism(
    run: Annotated[Optional[str], typer.Argument(help="A stored run to ask again; or name a --model.")] = None,
    model: Annotated[Optional[str], typer.Option(help="reference/pebble, a folder, or a hub id.")] = None,
    engine: Annotated[Optional[str], typer.Option(help="vllm or hf; of a run, its own if not given.")] = None,
    suite: Annotated[str, typer.Option(help="Suite of cells; with --model.")] = "quick",
    families: Annotated[Optional[str], typer.Option(help="Only these families, as in a,b; with --model.")] = None,
    seed: Annotated[Optional[str], typer.Option(help="Whole number or hex; fresh if not given; with --model.")] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Items a cell; with --model.")] = 5,
    items: Annotated[int, typer.Option(min=1, help="Random items of the run.")] = 200,
    batches: Annotated[
        Optional[str], typer.Option(help="Items asked together; default 1,8,64, of a run all at once.")
    ] = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Ask the same again in other batches: how often do texts and verdicts differ? Nothing is stored."""
    from harness.console import make_console, print_json
    from harness.probing import Wish, probe
    from harness.report_stats import render_probe
    from harness.suite import Selection

    wish = Wish(run, model, engine, suite, Selection(names(families), n=n), seed, items, batches)
    with make_console(stderr=True).status("") as line:
        found = probe(wish, database_of(db), line.update)
    if as_json:
        print_json(found.to_json())
    else:
        make_console().print(render_probe(found))

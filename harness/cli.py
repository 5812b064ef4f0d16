"""The `fathom` command: parsing only. Heavy packages are imported by the command that needs them."""

import os
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from harness.cli_db import Db, database_of, db_app
from harness.cli_law import law_app
from harness.cli_people import token_app, user_app
from harness.cli_record import record_app
from harness.cli_report import report_app
from harness.cli_run import pairs, run_app
from harness.cli_season import season_app, verify_season
from harness.cli_service import service_app
from harness.cli_stats import stats_app
from harness.cli_train import train_app
from harness.errors import BadInput, FathomError
from harness.settings import read_log, read_settings
from tasks import TaskError

app = typer.Typer(
    help="Measure how deep a language model can think, with questions made afresh from a seed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(db_app, name="db")
app.add_typer(token_app, name="token")
app.add_typer(user_app, name="user")
app.add_typer(run_app)
app.add_typer(report_app)
app.add_typer(record_app)
app.add_typer(stats_app)
app.add_typer(service_app)
app.add_typer(train_app)
app.add_typer(law_app)
app.add_typer(season_app, name="season")
app.command("verify-season")(verify_season)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command("families")
def show_families(as_json: AsJson = False) -> None:
    """List the task families, their levels and chance levels."""
    from harness.console import make_console, print_json
    from harness.report import families_json, render_families

    if as_json:
        print_json(families_json())
    else:
        make_console().print(render_families())


@app.command("sample")
def print_samples(
    family: Annotated[str, typer.Argument(help="A family, as in `fathom families`.")],
    level: Annotated[str, typer.Option(help="A level of the family.")],
    seed: Annotated[str, typer.Option(help="A whole number or a hex string of any length.")],
    count: Annotated[int, typer.Option(min=1, help="How many items.")] = 1,
    start: Annotated[int, typer.Option(min=0, help="Index of the first one.")] = 0,
    channel: Annotated[str, typer.Option(help="symbol or story.")] = "symbol",
    style: Annotated[str, typer.Option(help="direct, cot or choice.")] = "direct",
) -> None:
    """Print items as JSON lines: question, gold, and the facts behind them."""
    from harness.items import sample_lines

    for line in sample_lines(family, level, channel, style, seed, range(start, start + count)):
        print(line)


@app.command("grade")
def grade_completions() -> None:
    """Read {"id", "completion"} as JSON lines; print {"id", "correct", "parsed", "label", ...}."""
    from harness.items import grade_lines

    for line in grade_lines(sys.stdin):
        print(line, flush=True)


@app.command("runs")
def list_all_runs(
    db: Db = None,
    tasks: Annotated[bool, typer.Option("--tasks", help="Only those of lm-eval's own tasks.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the stored runs, newest first."""
    from harness.showing import show_runs

    show_runs(database_of(db), tasks, as_json)


@app.command("show")
def show_stored_run(
    run: Annotated[str, typer.Argument(help="A run's id or its beginning.")],
    db: Db = None,
    samples: Annotated[
        bool, typer.Option("--samples", help="Of lm-eval's own tasks: print each sample as a line of JSON.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show a run: accuracy, interval, chance and kinds of mistake by level; or metrics by task."""
    from harness.showing import show_run

    show_run(database_of(db), run, samples, as_json)


@app.command("tasks")
def list_tasks(
    lm_eval_path: Annotated[
        bool, typer.Option("--lm-eval-path", help="Print a folder for `lm_eval --include_path`.")
    ] = False,
) -> None:
    """List the lm-eval tasks, or print where lm-eval finds them."""
    from harness.lmeval import all_cells, task_name, write_yaml

    if lm_eval_path:
        print(write_yaml(read_settings().cache))
        return
    for cell in all_cells():
        print(task_name(cell))


@app.command("gallery")
def print_gallery(
    out: Annotated[Path, typer.Option(help="File to write; - prints it.")] = Path("tasks/GALLERY.md"),
) -> None:
    """Write one item of each family, ladder and style, with gold, a wrong answer and its verdict."""
    from harness.gallery import write_gallery

    text = write_gallery()
    if str(out) == "-":
        print(text, end="")
        return
    if not out.parent.is_dir():
        raise BadInput(f"there is no folder {out.parent}: run it in Fathom's own folder, or give --out FILE")
    out.write_text(text, encoding="utf-8")
    print(f"wrote {out}")


@app.command("serve")
def serve_board(
    db: Db = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    host: Annotated[str, typer.Option(help="Address of this machine; only loopback is allowed.")] = "127.0.0.1",
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that answer visitors.")] = 1,
    log: Annotated[Optional[str], typer.Option(help="text, or json: a line a request; default FATHOM_LOG.")] = None,
) -> None:
    """Show the board in a browser, for yourself."""
    from harness.commands import serve

    serve(database_of(db), host, port, workers, read_log(log) if log else read_settings().log)


@app.command("worker")
def work_for_server(
    server: Annotated[str, typer.Option(help="Address of the server, as in https://fathom.example.")],
    engine: Annotated[str, typer.Option(help="vllm, hf, oracle, or ray for replicas.")] = "vllm",
    token_file: Annotated[
        Optional[Path], typer.Option(help="File with an API token of scope worker; default: FATHOM_TOKEN.")
    ] = None,
    models: Annotated[
        Optional[Path], typer.Option(help="Folder with models as org/name, looked at before the hub.")
    ] = None,
    name: Annotated[Optional[str], typer.Option(help="How the worker is called; default: machine and process.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Do one job, or none, and end.")] = False,
    max_gb: Annotated[Optional[float], typer.Option(min=0, help="Take no model larger than this.")] = None,
    no_isolation: Annotated[
        bool, typer.Option("--no-isolation", help="Leave the network to the process that runs foreign models.")
    ] = False,
    engine_arg: Annotated[
        Optional[list[str]], typer.Option(help="Where and how fast it runs, as in tensor_parallel_size=2.")
    ] = None,
) -> None:
    """Evaluate submitted models for a server until stopped. Exit code 0 stopped or done, 2 bad input, 3 job failed."""
    from harness.settings import read_token, read_worker
    from harness.worker.work import Options, default_name, start

    found = read_worker()
    options = Options(
        server, read_token(token_file) if token_file else found.token, engine, name or default_name(), found.cache,
        models, found.hub, once, None if max_gb is None else int(max_gb * 2**30), not no_isolation,
        pairs(engine_arg or (), "--engine-arg"),
    )  # fmt: skip
    raise typer.Exit(start(options))


@app.command("export-static")
def export_static(
    out: Annotated[Path, typer.Argument(help="New or empty folder.")],
    db: Db = None,
    sample_pages: Annotated[int, typer.Option(min=0, max=1000, help="Pages of twenty samples a run.")] = 1,
) -> None:
    """Write the whole board as files that any web host serves."""
    from harness.commands import copy_board

    copy_board(database_of(db), out, sample_pages)


@app.command("seed-demo")
def seed_demo(
    models: Annotated[int, typer.Option(help="How many models to invent.")] = 5000,
    suite: Annotated[str, typer.Option(help="Suite of cells.")] = "quick",
    n: Annotated[int, typer.Option("--n", help="Items a cell.")] = 30,
    seed: Annotated[str, typer.Option(help="Whole number or hex; the same seed invents the same.")] = "2026",
    samples: Annotated[int, typer.Option(help="Completions to store, rounded up to whole runs.")] = 1_000_000,
    db: Db = None,
) -> None:
    """Fill an empty database with invented models, to look at the board or to measure it."""
    from harness.commands import seed_demo as seed_it
    from harness.demo import DemoPlan

    seed_it(DemoPlan(models, suite, n, seed, samples), database_of(db))


def main() -> None:
    """Run the command; print our own errors as one line and leave with their exit code."""
    try:
        app()
    except (FathomError, TaskError) as error:
        from harness.format import visible

        code = error.exit_code if isinstance(error, FathomError) else BadInput.exit_code
        print(f"fathom: {visible(' '.join(str(error).split()))}", file=sys.stderr)
        sys.exit(code)
    except BrokenPipeError:  # `fathom sample ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)

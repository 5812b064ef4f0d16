"""The commands about the record of a run: `fathom regrade`, `fathom export`, `fathom import`; parsing only."""

from pathlib import Path
from typing import Annotated, Literal, Optional, cast

import typer

from harness.cli_db import Db, database_of
from harness.errors import BadInput

record_app = typer.Typer()


@record_app.command("regrade")
def regrade_runs(
    run: Annotated[Optional[str], typer.Argument(help="A run's id or its beginning.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All runs that have ended.")] = False,
    dry: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and store nothing.")] = False,
    db: Db = None,
) -> None:
    """Judge stored completions again with this Fathom's graders; no model is needed."""
    if (run is None) != every:
        raise BadInput("say which run, or --all for all of them: `fathom runs` lists them")
    from harness.recording import regrade_all, regrade_one

    if run is None:
        regrade_all(database_of(db), dry)
    else:
        regrade_one(database_of(db), run, dry)


@record_app.command("export")
def export_run(
    run: Annotated[str, typer.Argument(help="A run's id or its beginning.")],
    out: Annotated[Path, typer.Option(help="Folder, or a file that ends with .jsonl, .parquet or .csv.")],
    kind: Annotated[
        Optional[str],
        typer.Option("--format", help="lm-eval, jsonl, parquet or csv; default: by the file's ending, or lm-eval."),
    ] = None,
    db: Db = None,
) -> None:
    """Write a run as lm-eval logs it, or its samples and cells as tables."""
    from harness.exporting import ENDINGS
    from harness.recording import export

    of_file = None if out.is_dir() else ENDINGS.get(out.suffix)
    chosen = kind or of_file or "lm-eval"
    if chosen not in ("lm-eval", "jsonl", "parquet", "csv"):
        raise BadInput(f"--format is lm-eval, jsonl, parquet or csv, not {chosen!r}")
    if of_file is not None and chosen != of_file:
        raise BadInput(f"--out names a file that ends with {out.suffix}, and --format is {chosen}: change one of them")
    export(database_of(db), run, cast(Literal["lm-eval", "jsonl", "parquet", "csv"], chosen), out)


@record_app.command("import")
def import_logs(
    place: Annotated[Path, typer.Argument(help="Folder that `lm_eval --log_samples` wrote, or a results_DATE.json.")],
    model: Annotated[Optional[str], typer.Option(help="Name of the model; default: as lm-eval was told.")] = None,
    db: Db = None,
) -> None:
    """Store evaluations by the stock lm_eval command as runs: every prompt is checked, every answer graded again."""
    from harness.recording import import_place

    import_place(database_of(db), place, model)

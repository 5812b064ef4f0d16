"""The commands about stored runs: `fathom runs`, `show`, `regrade`, `export` and `import`."""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import count as count_up
from pathlib import Path
from typing import Annotated, Literal, Optional, cast

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from fathom.harness.cli.hub import Benchmark, Source
from fathom.harness.cli.options import AsJson, Db, database_of, open_store
from fathom.harness.cli.probe import export_if_probe, show_if_probe
from fathom.harness.cli.samples import SampleChoice, print_samples
from fathom.harness.db.delete import Removal, delete_run, removal_of
from fathom.harness.db.read import (
    any_run,
    get_run,
    get_summary,
    kind_of_run,
    list_runs,
    list_task_runs,
    tags_by_run,
)
from fathom.harness.db.seal import SEALED
from fathom.harness.errors import BadInput, Conflict, UnknownRun
from fathom.harness.format import count, plural
from fathom.harness.io.hub import Publication, benchmark_files, result_files, write_files
from fathom.harness.io.lm_eval.export_tasks import export_task_run
from fathom.harness.io.lm_eval.importer import Imported, import_logs
from fathom.harness.io.lm_eval.log import find_evaluation_logs
from fathom.harness.io.tables import export_tables
from fathom.harness.records import RunSummary, TaskRunDetail
from fathom.harness.reports.console import make_console, print_json, print_notes
from fathom.harness.reports.cost import cost_of_run
from fathom.harness.reports.depths import render_depths
from fathom.harness.reports.describe import notes_on
from fathom.harness.reports.lists import ending_lines, render_runs, render_task_runs
from fathom.harness.reports.measures import measure_run
from fathom.harness.reports.terminal import (
    render_run,
    render_task_run,
    run_json,
    summary_json,
    task_run_json,
    task_summary_json,
)
from fathom.harness.runs.regrade import RegradeReport, VerdictChange, regrade
from fathom.harness.settings import read_service_settings

app = typer.Typer()


@app.command("runs")
def list_all_runs(
    db: Db = None,
    tasks: Annotated[bool, typer.Option("--tasks", help="Only those of lm-eval's own tasks.")] = False,
    tag: Annotated[Optional[str], typer.Option(help="Only those with this tag of `fathom run --tag`.")] = None,
    delete: Annotated[Optional[str], typer.Option(metavar="RUN", help="Delete this run instead, after asking.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --delete: do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the stored runs, newest first; or delete one."""
    if delete is not None:
        delete_stored(database_of(db), delete, yes)
    elif yes:
        raise BadInput("--yes answers the question of --delete RUN: give that as well")
    else:
        show_runs(database_of(db), tasks, tag, as_json)


@app.command("show")
def show_stored_run(
    run: Annotated[str, typer.Argument(help="A run's id or its beginning; or a probe's.")],
    db: Db = None,
    samples: Annotated[
        bool, typer.Option("--samples", help="Print prompts, completions, answers read and verdicts.")
    ] = False,
    wrong: Annotated[bool, typer.Option("--wrong", help="Samples: only wrong answers.")] = False,
    unread: Annotated[bool, typer.Option("--unread", help="Samples: only those without a readable answer.")] = False,
    cut: Annotated[bool, typer.Option("--cut", help="Samples: only those that their token budget cut off.")] = False,
    family: Annotated[Optional[str], typer.Option(help="Samples: of a family, or a task of lm-eval's.")] = None,
    level: Annotated[Optional[str], typer.Option(help="Samples: of a level; * stands for anything.")] = None,
    style: Annotated[Optional[str], typer.Option(help="Samples: of a style.")] = None,
    limit: Annotated[Optional[int], typer.Option(min=1, help="Samples: how many; default 20, with --json all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a run: accuracy, interval, chance and kinds of mistake by level; or its samples; or show a probe."""
    chosen = SampleChoice(wrong, unread, cut, family, level, style, limit)
    if chosen != SampleChoice() and not samples:
        raise BadInput("--wrong, --unread, --cut, --family, --level, --style and --limit choose samples: add --samples")
    try:
        show_run(database_of(db), run, chosen if samples else None, as_json)
    except UnknownRun:
        if samples or not show_if_probe(database_of(db), run, as_json):
            raise


@app.command("regrade")
def regrade_runs(
    run: Annotated[Optional[str], typer.Argument(help="A run's id or its beginning.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All runs that have ended.")] = False,
    dry: Annotated[bool, typer.Option("--dry-run", help="Print what would change, and store nothing.")] = False,
    db: Db = None,
) -> None:
    """Grade stored completions again with this version's graders; no model is needed."""
    if (run is None) != every:
        raise BadInput("give a run, or --all for all of them: `fathom runs` lists them")

    if run is None:
        regrade_all(database_of(db), dry)
    else:
        regrade_one(database_of(db), run, dry)


@app.command("export")
def export_run(
    run: Annotated[str, typer.Argument(help="A run's id or its beginning.")],
    out: Annotated[
        Optional[Path], typer.Option(help="Folder, or a file that ends with .jsonl, .parquet or .csv.")
    ] = None,
    kind: Annotated[
        Optional[str],
        typer.Option("--format", help="lm-eval, jsonl, parquet or csv; default: by the file's ending, or lm-eval."),
    ] = None,
    hub: Annotated[
        Optional[Path],
        typer.Option(help="Folder for the files that the hub shows on a model's page; with --benchmark."),
    ] = None,
    benchmark: Benchmark = "",
    source: Source = "",
    db: Db = None,
) -> None:
    """Write a run as lm-eval logs it, its samples and cells as tables, or its scores as the hub reads them."""
    from fathom.harness.io.tables import TABLE_SUFFIXES

    if hub is not None:
        export_for_hub(database_of(db), run, hub, Publication(benchmark, source))
    if out is None:
        if hub is None:
            raise BadInput("say where to: --out FOLDER or FILE, or --hub FOLDER")
        return
    of_file = None if out.is_dir() else TABLE_SUFFIXES.get(out.suffix)
    if kind is None and of_file is None and _looks_like_file(out):
        raise BadInput(
            f"--out {out.name}: a file of an export ends with {', '.join(TABLE_SUFFIXES)}; for a folder of this name, "
            "give --format lm-eval, jsonl, parquet or csv as well"
        )
    chosen = kind or of_file or "lm-eval"
    if chosen not in ("lm-eval", "jsonl", "parquet", "csv"):
        raise BadInput(f"--format is lm-eval, jsonl, parquet or csv, not {chosen!r}")
    if of_file is not None and chosen != of_file:
        raise BadInput(f"--out names a file that ends with {out.suffix}, and --format is {chosen}: change one of them")
    try:
        export(database_of(db), run, cast(Literal["lm-eval", "jsonl", "parquet", "csv"], chosen), out)
    except UnknownRun:
        if not export_if_probe(database_of(db), run, out):
            raise


def _looks_like_file(out: Path) -> bool:
    """Say whether a path that is no folder ends like a file: .txt, .xlsx, .json; a version as v1.2 does not."""
    return not out.is_dir() and re.fullmatch(r"\.[A-Za-z][A-Za-z0-9]{0,7}", out.suffix) is not None


@app.command("import")
def import_runs(
    place: Annotated[Path, typer.Argument(help="Folder that `lm_eval --log_samples` wrote, or a results_DATE.json.")],
    model: Annotated[
        Optional[str], typer.Option(help="Name of the model; default: the name in lm-eval's arguments.")
    ] = None,
    db: Db = None,
) -> None:
    """Store evaluations by the lm_eval command as runs: every prompt is checked, and every answer graded again."""
    import_place(database_of(db), place, model)


def regrade_one(database: str, run: str, dry: bool) -> None:
    """Grade a run again and print what changed.

    Raises:
        UnknownRun, SealedRun, Conflict: see harness.runs.regrade.
        BadInput: a run on lm-eval's own tasks.
    """
    db, talk = open_store(database, create=False), make_console()
    if kind_of_run(db, run) == "tasks":
        raise BadInput(f"run {run} is on lm-eval's own tasks, which lm-eval scores: no grader of Fathom's is in it")
    found = _regrade(db, get_summary(db, run), dry, talk)
    _say(talk, f"run {found.run}", found, dry)


def regrade_all(database: str, dry: bool) -> None:
    """Grade all runs that have ended, and print a line for each that changed or was skipped."""
    db, talk = open_store(database, create=False), make_console()
    total, n_runs = RegradeReport("all"), 0
    for one in _all_runs(db):
        if one.sealed:
            talk.print(f"run {one.run} skipped: its items are {SEALED}", soft_wrap=True)
            continue
        try:
            found = _regrade(db, one, dry, talk)
        except Conflict as error:
            talk.print(f"run {one.run} skipped: {error}", soft_wrap=True)
            continue
        n_runs += 1
        if found.n_changed or found.n_found:
            talk.print(f"run {found.run}: {_headline(found, dry)}", soft_wrap=True)
        _add(total, found)
    _say(talk, plural(n_runs, "run"), total, dry)
    if foreign := list_task_runs(db):
        talk.print(f"left as they are: {plural(len(foreign), 'run')} on lm-eval's own tasks, which lm-eval scores")


def _all_runs(db: Engine) -> Iterator[RunSummary]:
    for page in count_up():
        some = list_runs(db, limit=500, offset=500 * page)
        yield from some
        if len(some) < 500:
            return


def _regrade(db: Engine, one: RunSummary, dry: bool, talk: Console) -> RegradeReport:
    with talk.status(f"{one.run} {one.model}") as line:
        return regrade(
            db, one.run, dry=dry,
            tell=lambda n: line.update(f"{one.run} {one.model}: {count(n)} of {count(one.n_done)} graded"),
        )  # fmt: skip


def _add(total: RegradeReport, found: RegradeReport) -> None:
    total.n_judged += found.n_judged
    total.n_right_before += found.n_right_before
    total.n_right_after += found.n_right_after
    total.n_found += found.n_found
    total.shifts += found.shifts
    for why, n in found.skipped.items():
        total.skipped[why] = total.skipped.get(why, 0) + n


def _headline(found: RegradeReport, dry: bool) -> str:
    changed, stored = ("would change", "would be stored") if dry else ("changed", "is stored now")
    was = "was" if found.n_found == 1 else "were"
    ways = f"; how {plural(found.n_found, 'answer')} {was} found {stored}" if found.n_found else ""
    return (
        f"{plural(found.n_judged, 'completion')} graded again, "
        f"{plural(found.n_changed, 'verdict')} {changed}; right: {count(found.n_right_before)} before, "
        f"{count(found.n_right_after)} now{ways}"
    )


def _say(talk: Console, what: str, found: RegradeReport, dry: bool) -> None:
    talk.print(f"{what}: {_headline(found, dry)}", soft_wrap=True)
    if found.shifts:
        talk.print(_shifts_table(found.shifts))
    for why, n in found.skipped.items():
        talk.print(f"not graded again: {plural(n, 'sample')} of {why}", soft_wrap=True)


def export(database: str, run: str, kind: Literal["lm-eval", "jsonl", "parquet", "csv"], out: Path) -> None:
    """Write a run to files and print their names.

    Raises:
        UnknownRun, SealedRun, BadInput, DiskFull: see `harness.io`.
    """
    db, talk = open_store(database, create=False), make_console()
    with talk.status(f"exporting {run}"):
        if isinstance(foreign := any_run(db, run), TaskRunDetail):
            if kind != "lm-eval":
                raise BadInput(f"run {run} is on lm-eval's own tasks, which have no cells: export it to a folder")
            written, said = [export_task_run(db, foreign, out)], ", with the samples of each task beside it"
        elif kind == "lm-eval":
            from fathom.harness.io.lm_eval.export import export_lm_eval  # loads lm-eval's packages

            written = [export_lm_eval(db, run, out)]
            said = f", with the samples of each task beside it; `fathom import {written[0].parent}` reads them"
        else:
            found = export_tables(db, run, kind, out)
            written, said = [found.samples, found.cells], ""
    talk.print(f"wrote {' and '.join(map(str, written))}{said}", soft_wrap=True)


def export_for_hub(database: str, run: str, folder: Path, to: Publication) -> None:
    """Write a run's scores for the model's repository, and below `benchmark/` the files of the benchmark's data set.

    Raises:
        UnknownRun, NotPublishable, BadInput: see `harness.io.hub`.
    """
    files = result_files(get_run(open_store(database, create=False), run), to)
    files |= {f"benchmark/{name}": text for name, text in benchmark_files().items()}
    make_console().print(f"wrote {' and '.join(map(str, write_files(files, folder)))}", soft_wrap=True)


def import_place(database: str, place: Path, model: str | None) -> None:
    """Store the evaluations of a folder and print the result of each.

    Raises:
        BadInput, Conflict: see harness.io.lm_eval.importer.
    """
    files, talk = find_evaluation_logs(place), make_console()
    found = import_logs(open_store(database, create=True), files, model, read_service_settings().secret_key)
    while True:
        with talk.status(f"reading {place}"):
            one = next(found, None)
        if one is None:
            return
        if one.is_new:
            _say_imported(talk, one)
        else:
            talk.print(
                f"run {one.run} of {one.model} was imported from these files before: nothing is new", soft_wrap=True
            )


def _say_imported(talk: Console, one: Imported) -> None:
    ranked = "" if one.ranked else "; not ranked, as its prompts or its sampling are not those of ranked runs"
    talk.print(
        f"run {one.run}: {one.model} through {one.engine}, {plural(one.n_samples, 'answer')}, "
        f"{count(one.n_right)} right, unchecked (tier 1){ranked}",
        soft_wrap=True,
    )
    if one.n_differing:
        talk.print(f"lm-eval counts {plural(one.n_differing, 'item')} differently; our verdict is stored:")
        for line in one.differing:
            talk.print(f"  {line}", soft_wrap=True, markup=False)
    else:
        talk.print("all verdicts agree with lm-eval's")
    if one.n_cut:
        talk.print(f"{plural(one.n_cut, 'answer')} continued after its end, and was cut there")
    if one.others:
        talk.print(f"skipped, as they are not tasks of Fathom: {', '.join(one.others)}", soft_wrap=True, markup=False)


def _shifts_table(shifts: Counter[VerdictChange]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("family", "label before", "label now", "verdicts"):
        table.add_column(name, justify="right" if name == "verdicts" else "left", header_style="dim")
    for shift, n in sorted(shifts.items(), key=lambda row: (row[0].family, -row[1], row[0].before, row[0].after)):
        after = shift.after if shift.after != shift.before else f"{shift.after} (other details)"
        table.add_row(shift.family, shift.before, after, count(n))
    return table


def show_runs(database: str, only_tasks: bool, tag: str | None, as_json: bool) -> None:
    """Print all runs, or those with a tag, newest first; runs on lm-eval's own tasks have a table of their own."""
    db = open_store(database, create=False)
    tags = tags_by_run(db)
    own = [] if only_tasks else [one for one in list_runs(db) if tag is None or tag in tags.get(one.run, ())]
    foreign = [one for one in list_task_runs(db) if tag is None or tag in tags.get(one.run, ())]
    if as_json:
        print_json([task_summary_json(one) | {"tags": tags.get(one.run, ())} for one in foreign] if only_tasks else
                   [summary_json(one) | {"tags": tags.get(one.run, ())} for one in own])  # fmt: skip
        return
    console = make_console()
    if tag is not None and not (own or foreign):
        console.print(f"no run has the tag {tag}: `fathom runs` lists all runs with their tags", markup=False)
        return
    if own or not (foreign or only_tasks):
        console.print(render_runs(own, tags))
    if foreign or only_tasks:
        console.print(render_task_runs(foreign, tags))
    for line in ending_lines([*own, *foreign]):
        console.print(line, soft_wrap=True)


def delete_stored(database: str, run: str, yes: bool) -> None:
    """Say what goes with a run, ask, and delete it.

    Raises:
        UnknownRun, RunBusy, Conflict: see harness.db.delete.
        BadInput: nobody is there to answer, or the answer is no.
    """
    db, talk = open_store(database, create=False), make_console()
    one = removal_of(db, run)
    talk.print(_removal_text(one), soft_wrap=True, markup=False)
    if not yes:
        if not sys.stdin.isatty():
            raise BadInput("nobody can answer here: give --yes to delete it")
        if not typer.confirm("delete it for good?"):
            raise BadInput("nothing was deleted")
    delete_run(db, one.run)
    talk.print(f"deleted run {one.run}", soft_wrap=True)


def _removal_text(one: Removal) -> str:
    said = f"run {one.run} of {one.model} on {one.asked}: {one.state}, {plural(one.n_samples, 'answer')}"
    if one.n_standings:
        said += f", {plural(one.n_standings, 'rank')} on the board"
    return f"{said}; it is the only run of {one.model}, which goes with it" if one.is_last_of_model else said


def show_run(database: str, run: str, samples: SampleChoice | None, as_json: bool) -> None:
    """Print a run of either kind, or some of its samples.

    Raises:
        UnknownRun: no run or several runs have this prefix.
        SealedRun, BadInput: see `print_samples`.
    """
    db = open_store(database, create=False)
    detail = any_run(db, run)
    if samples is not None:
        print_samples(db, detail, samples, as_json)
    elif isinstance(detail, TaskRunDetail):
        _show_task_run(detail, as_json)
    elif as_json:
        print_json(run_json(detail, measures=measure_run(db, detail), cost=cost_of_run(db, detail)))
    else:
        if detail.summary.layer == "adaptive":
            make_console().print(render_depths(detail))
        cost = cost_of_run(db, detail)
        make_console().print(render_run(detail, measure_run(db, detail), whole=True, cost=cost))
        print_notes(make_console(), notes_on(db, detail))


def _show_task_run(detail: TaskRunDetail, as_json: bool) -> None:
    if as_json:
        print_json(task_run_json(detail))
    else:
        make_console().print(render_task_run(detail))

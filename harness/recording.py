"""Do what the commands about the record of a run ask for, and say what came of it."""

from collections import Counter
from collections.abc import Iterator
from itertools import count as count_up
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from harness.console import make_console
from harness.db.engine import open_database
from harness.db.read import RunSummary, get_summary, list_runs
from harness.db.sealing import SEALED
from harness.db.task_records import TaskRunDetail
from harness.errors import BadInput, Conflict
from harness.exporting import export_tables
from harness.format import count, plural
from harness.importing import Imported, import_logs
from harness.lm_eval_log import find_logs
from harness.meant import any_run
from harness.regrade import Regraded, Shift, regrade
from harness.settings import read_service
from harness.stock_export import export_task_run


def regrade_one(database: str, run: str, dry: bool) -> None:
    """Judge a run again and print what changed.

    Raises:
        UnknownRun, SealedRun, Conflict: see harness.regrade.
    """
    db, talk = open_database(database, create=False), make_console()
    found = _regrade(db, get_summary(db, run), dry, talk)
    _say(talk, f"run {found.run}", found, dry)


def regrade_all(database: str, dry: bool) -> None:
    """Judge all runs that have ended, and print a line for each that changed or was passed over."""
    db, talk = open_database(database, create=False), make_console()
    total, n_runs = Regraded("all"), 0
    for one in _all_runs(db):
        if one.sealed:
            talk.print(f"run {one.run} passed over: its items are {SEALED}", soft_wrap=True)
            continue
        try:
            found = _regrade(db, one, dry, talk)
        except Conflict as error:
            talk.print(f"run {one.run} passed over: {error}", soft_wrap=True)
            continue
        n_runs += 1
        if found.n_changed:
            talk.print(f"run {found.run}: {_headline(found, dry)}", soft_wrap=True)
        _add(total, found)
    _say(talk, plural(n_runs, "run"), total, dry)


def _all_runs(db: Engine) -> Iterator[RunSummary]:
    for page in count_up():
        some = list_runs(db, limit=500, offset=500 * page)
        yield from some
        if len(some) < 500:
            return


def _regrade(db: Engine, one: RunSummary, dry: bool, talk: Console) -> Regraded:
    with talk.status(f"{one.run} {one.model}") as line:
        return regrade(
            db, one.run, dry=dry,
            tell=lambda n: line.update(f"{one.run} {one.model}: {count(n)} of {count(one.n_done)} judged"),
        )  # fmt: skip


def _add(total: Regraded, found: Regraded) -> None:
    total.n_judged += found.n_judged
    total.n_right_before += found.n_right_before
    total.n_right_after += found.n_right_after
    total.shifts += found.shifts
    for why, n in found.skipped.items():
        total.skipped[why] = total.skipped.get(why, 0) + n


def _headline(found: Regraded, dry: bool) -> str:
    changed = "would change" if dry else "changed"
    return (
        f"{plural(found.n_judged, 'completion')} judged again, "
        f"{plural(found.n_changed, 'verdict')} {changed}; right: {count(found.n_right_before)} before, "
        f"{count(found.n_right_after)} now"
    )


def _say(talk: Console, what: str, found: Regraded, dry: bool) -> None:
    talk.print(f"{what}: {_headline(found, dry)}", soft_wrap=True)
    if found.shifts:
        talk.print(_shifts_table(found.shifts))
    for why, n in found.skipped.items():
        talk.print(f"left as they are: {plural(n, 'sample')} of {why}", soft_wrap=True)


def export(database: str, run: str, kind: Literal["lm-eval", "jsonl", "parquet", "csv"], out: Path) -> None:
    """Write a run to files and print their names.

    Raises:
        UnknownRun, SealedRun, BadInput, DiskFull: see harness.exporting and harness.lm_eval_export.
    """
    db, talk = open_database(database, create=False), make_console()
    with talk.status(f"exporting {run}"):
        if isinstance(foreign := any_run(db, run), TaskRunDetail):
            if kind != "lm-eval":
                raise BadInput(f"run {run} is of lm-eval's own tasks, which have no cells: export it to a folder")
            written, said = [export_task_run(db, foreign, out)], ", with the samples of each task beside it"
        elif kind == "lm-eval":
            from harness.lm_eval_export import export_lm_eval  # loads lm-eval's packages

            written = [export_lm_eval(db, run, out)]
            said = f", with the samples of each task beside it; `fathom import {written[0].parent}` reads them"
        else:
            found = export_tables(db, run, kind, out)
            written, said = [found.samples, found.cells], ""
    talk.print(f"wrote {' and '.join(map(str, written))}{said}", soft_wrap=True)


def import_place(database: str, place: Path, model: str | None) -> None:
    """Store the evaluations of a folder and say what each came to.

    Raises:
        BadInput, Conflict: see harness.importing.
    """
    files, talk = find_logs(place), make_console()
    found = import_logs(open_database(database, create=True), files, model, read_service().secret_key)
    while True:
        with talk.status(f"reading {place}"):
            one = next(found, None)
        if one is None:
            return
        if one.is_new:
            _say_imported(talk, one)
        else:
            talk.print(f"run {one.run} of {one.model} was made of these files before: nothing is new", soft_wrap=True)


def _say_imported(talk: Console, one: Imported) -> None:
    ranked = "" if one.ranked else "; not ranked, as it was not asked and answered plainly"
    talk.print(
        f"run {one.run}: {one.model} through {one.engine}, {plural(one.n_samples, 'answer')}, "
        f"{count(one.n_right)} right, tier 1{ranked}",
        soft_wrap=True,
    )
    if one.n_differing:
        talk.print(f"lm-eval counted otherwise in {plural(one.n_differing, 'item')}, which is not stored:")
        for line in one.differing:
            talk.print(f"  {line}", soft_wrap=True, markup=False)
    else:
        talk.print("all verdicts are lm-eval's as well")
    if one.n_cut:
        talk.print(f"{plural(one.n_cut, 'answer')} went on after its end, and ends there now")
    if one.others:
        talk.print(f"passed over, as they are not Fathom's: {', '.join(one.others)}", soft_wrap=True, markup=False)


def _shifts_table(shifts: Counter[Shift]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("family", "label before", "label now", "verdicts"):
        table.add_column(name, justify="right" if name == "verdicts" else "left", header_style="dim")
    for shift, n in sorted(shifts.items(), key=lambda row: (row[0].family, -row[1], row[0].before, row[0].after)):
        after = shift.after if shift.after != shift.before else f"{shift.after} (other details)"
        table.add_row(shift.family, shift.before, after, count(n))
    return table

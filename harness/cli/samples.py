"""`fathom show RUN --samples`: samples of a run of either kind, in the terminal or as lines of JSON."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

from sqlalchemy import Engine as Database

from fathom.harness.db.samples import stream_samples
from fathom.harness.db.seal import check_unsealed
from fathom.harness.db.task_samples import AnsweredDoc, count_by_task, stream_task_docs
from fathom.harness.errors import BadInput
from fathom.harness.format import plural
from fathom.harness.records import Reading, RunDetail, SampleFilter, SampleView, TaskRunDetail
from fathom.harness.reports.console import print_json_text
from fathom.harness.reports.frames import sample_row
from fathom.harness.reports.samples import doc_lines, is_cut, is_unread, is_wrong, sample_lines
from fathom.harness.runs.run_settings import PromptSettings, prompt_settings_of, settings_of
from fathom.harness.stats.scores import CellCounts

_SHOWN = 20
"""Samples that are printed unless --limit says how many; lines of JSON have no such limit."""


@dataclass(frozen=True, slots=True)
class SampleChoice:
    """Which samples to print. Names may be patterns with `*`; of lm-eval's own tasks, `family` is a task."""

    wrong: bool = False
    unread: bool = False
    cut: bool = False
    """With `unread`, samples of either kind."""
    family: str | None = None
    level: str | None = None
    style: str | None = None
    limit: int | None = None

    @property
    def readings(self) -> tuple[Reading, ...]:
        """Readings that are chosen; none: all."""
        chosen: list[Reading] = []
        chosen += ["unread"] if self.unread else []
        chosen += ["cut"] if self.cut else []
        return tuple(chosen)


def print_samples(db: Database, detail: RunDetail | TaskRunDetail, chosen: SampleChoice, as_json: bool) -> None:
    """Print the chosen samples of a run, with a line on what is left out.

    Raises:
        SealedRun: its season has not revealed the seed.
        BadInput: a filter that fits nothing in the run.
    """
    rows = _samples(db, detail, chosen)
    limit = chosen.limit if chosen.limit or as_json else _SHOWN
    asked, n_shown = prompt_settings_of(detail.manifest), 0
    for one in islice(rows, limit):
        n_shown += 1
        if as_json:
            _print_json(one, asked)
        else:
            print("\n".join(_lines(one, n_shown, asked)))
    if not as_json:
        _print_rest(detail, n_shown, next(iter(rows), None) is not None)


def _print_rest(detail: RunDetail | TaskRunDetail, n_shown: int, more: bool) -> None:
    if not n_shown:
        print(f"run {detail.summary.run} has no such sample")
    elif more:
        print(f"\nthere are more than these {n_shown}: --limit N prints N")
    settings = settings_of(detail.manifest) if n_shown and isinstance(detail, RunDetail) else None
    if settings is not None and settings.prompt.n_shots:
        print(f"{plural(settings.prompt.n_shots, 'demonstration')} came before each question, not shown here")


def _lines(one: SampleView | AnsweredDoc, number: int, asked: PromptSettings) -> Iterator[str]:
    return sample_lines(one, number, asked) if isinstance(one, SampleView) else doc_lines(one, number)


def _print_json(one: SampleView | AnsweredDoc, asked: PromptSettings) -> None:
    rows: Sequence[dict[str, Any]]  # JSON values
    if isinstance(one, SampleView):
        rows = [sample_row(one, asked)]
    else:
        rows = [{"task": one.task, **line} for line in one.logged]
    for row in rows:
        print_json_text(json.dumps(row, ensure_ascii=False))


def _samples(
    db: Database, detail: RunDetail | TaskRunDetail, chosen: SampleChoice
) -> Iterator[SampleView | AnsweredDoc]:
    if isinstance(detail, RunDetail):
        return _suite_samples(db, detail, chosen)
    return _docs(db, detail, chosen)


def _suite_samples(db: Database, detail: RunDetail, chosen: SampleChoice) -> Iterator[SampleView]:
    check_unsealed(detail.summary.sealed, detail.summary.season)
    cells = _cells(detail, chosen)
    if chosen.readings and all(cell.found is None for cell in cells if cell.n):
        run = detail.summary.run
        raise BadInput(f"how answers were found is not stored for run {run}: `fathom regrade {run}` reads them again")
    return _of_cells(db, detail, cells, chosen)


def _of_cells(
    db: Database, detail: RunDetail, cells: Sequence[CellCounts], chosen: SampleChoice
) -> Iterator[SampleView]:
    for cell in cells:
        wanted = SampleFilter(cell.id, None, False if chosen.wrong else None, chosen.readings)
        yield from stream_samples(db, detail, wanted)


def _cells(detail: RunDetail, chosen: SampleChoice) -> list[CellCounts]:
    """Return the cells whose samples are chosen.

    Raises:
        BadInput: a family, level or style that the run does not have.
    """
    cells = list(detail.cells)
    for axis in ("family", "level", "style"):
        wanted = getattr(chosen, axis)
        if wanted is None:
            continue
        known = dict.fromkeys(getattr(cell, axis) for cell in cells)
        cells = [cell for cell in cells if fnmatchcase(getattr(cell, axis), wanted)]
        if not cells:
            raise BadInput(f"run {detail.summary.run} has no {axis} {wanted!r} here; it has: {', '.join(known)}")
    return cells


def _docs(db: Database, detail: TaskRunDetail, chosen: SampleChoice) -> Iterator[AnsweredDoc]:
    one = detail.summary
    if chosen.level or chosen.style:
        raise BadInput("--level and --style are for runs on suites: choose a task of this run with --family TASK")
    if (chosen.wrong or chosen.unread) and detail.results is None:
        raise BadInput(f"run {one.run} is not scored yet: `fathom run --resume {one.run}`")
    tasks = sorted(count_by_task(db, one.run)) if detail.results is None else list(detail.results["n-samples"])
    named = [task for task in tasks if fnmatchcase(task, chosen.family or "*")]
    if tasks and not named:
        raise BadInput(f"run {one.run} has no task {chosen.family!r}; it has: {', '.join(tasks)}")
    return (doc for task in named for doc in stream_task_docs(db, one.run, task) if _is_chosen(doc, chosen))


def _is_chosen(doc: AnsweredDoc, chosen: SampleChoice) -> bool:
    if chosen.wrong and not is_wrong(doc):
        return False
    if not chosen.readings:
        return True
    return (chosen.unread and is_unread(doc)) or (chosen.cut and is_cut(doc))

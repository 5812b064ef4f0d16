"""Examples in a report: items on which the runs differ, or typical mistakes of one run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Engine

from fathom.harness.db import read
from fathom.harness.db.leaderboard import read as board
from fathom.harness.db.samples import samples_at
from fathom.harness.records import SampleFilter, SampleView
from fathom.harness.reports.figures.picture import CORRECT
from fathom.harness.reports.html.columns import ReportColumn
from fathom.harness.reports.questions import Excerpt, excerpt, make_sample_question
from fathom.harness.runs.run_settings import PromptSettings, prompt_settings_of
from fathom.harness.stats.paired import RunVerdicts
from fathom.harness.stats.ranks import Array
from fathom.harness.stats.scores import CellCounts

_AT_MOST = 8
"""Most items that a report shows."""

_QUESTION, _ANSWER = 2400, 1200
"""Characters shown of a question, and of each answer."""

_ENDINGS = {
    "length": "cut off: its token budget ran out",
    "looped": "ended early: the text repeated itself",
    "too_long": "not asked: the prompt does not fit the context",
    "error": "the engine failed on it",
}
"""Explanations of finish reasons other than `stop`."""


@dataclass(frozen=True, slots=True)
class ExampleAnswer:
    """The answer of one run to an item; in the style choice, the chosen candidate."""

    label: str
    sample: SampleView
    completion: Excerpt
    ending: str


@dataclass(frozen=True, slots=True)
class ReportExample:
    """An item with its answers; `question` and `gold` are None if this version no longer makes the item."""

    item: str
    style: str
    why: str
    question: Excerpt | None
    gold: str | None
    answers: tuple[ExampleAnswer, ...]


def find_examples(db: Engine, columns: Sequence[ReportColumn]) -> tuple[ReportExample, ...]:
    """Return an example of each family: an item on which runs of one seed differ, else a mistake of each run.

    Sealed runs have no examples.
    """
    open_ones = [column for column in columns if not column.detail.summary.sealed]
    marks = board.marks_of(db, {one.run: one.detail.suite.n_items for one in open_ones})
    found: list[ReportExample] = []
    for seed in dict.fromkeys(one.detail.suite.seed for one in open_ones):
        same = [one for one in open_ones if one.detail.suite.seed == seed]
        if len(same) > 1 and all(one.run in marks for one in same):
            found += _differences(db, same, marks)
        else:
            found += (example for one in same for example in _mistakes(db, one))
    return tuple(_spread(found, _AT_MOST))


def _spread(examples: Sequence[ReportExample], most: int) -> Sequence[ReportExample]:
    """Take examples at even steps, so that all runs and families have the same chance."""
    if len(examples) <= most:
        return examples
    return [examples[at * len(examples) // most] for at in range(most)]


# several runs with the same items


@dataclass(frozen=True, slots=True)
class _Shared:
    """A cell that some runs share; `right` has one row for each run and one column for each item."""

    cells: tuple[CellCounts, ...]
    right: Array

    @property
    def apart(self) -> Array:
        """Disagreement on each item: 0 if all runs are right or all wrong, 1 if half of them are right."""
        share = self.right.mean(axis=0)
        found: Array = 4 * share * (1 - share)
        return found


def _differences(
    db: Engine, columns: Sequence[ReportColumn], marks: Mapping[str, RunVerdicts]
) -> Iterator[ReportExample]:
    by_family: dict[str, list[_Shared]] = {}
    for one in _shared(columns, marks):
        by_family.setdefault(one.cells[0].family, []).append(one)
    for cells in by_family.values():
        best = max(cells, key=lambda one: float(one.apart.sum()))
        if best.apart.any():
            index, why = int(best.apart.argmax()), "some are right, others are wrong"
        elif not best.right.all():
            index, why = int(best.right.mean(axis=0).argmin()), "all are wrong"
        else:
            continue
        seed = columns[0].detail.suite.seed
        samples = samples_at(db, [cell.id for cell in best.cells], [index], seed)
        given = [(one.label, samples.get((cell.id, index))) for one, cell in zip(columns, best.cells, strict=True)]
        answers = [(label, sample) for label, sample in given if sample is not None]
        if answers:
            yield _example(why, answers, prompt_settings_of(columns[0].detail.manifest))


def _shared(columns: Sequence[ReportColumn], marks: Mapping[str, RunVerdicts]) -> Iterator[_Shared]:
    placed = [dict(_placed(column)) for column in columns]
    for key in placed[0]:
        if not all(key in one for one in placed):
            continue
        cells = tuple(one[key][0] for one in placed)
        n = min(cell.n_planned for cell in cells)
        rows = [_cut(marks[column.run], one[key][1], n) for column, one in zip(columns, placed, strict=True)]
        if n:
            yield _Shared(cells, np.array(rows))


def _placed(column: ReportColumn) -> Iterator[tuple[tuple[str, int, str, str, str], tuple[CellCounts, int]]]:
    start = 0
    for cell in column.detail.cells:
        yield (cell.family, cell.version, cell.level, cell.channel, cell.style), (cell, start)
        start += cell.n_planned


def _cut(marks: RunVerdicts, start: int, n: int) -> Array:
    return marks.right[start : start + n]


# one run


def _mistakes(db: Engine, column: ReportColumn) -> Iterator[ReportExample]:
    """Yield for each family one answer with the most frequent mistake in any of its cells."""
    manifest = column.detail.manifest
    for family in dict.fromkeys(cell.family for cell in column.detail.cells):
        cells = [cell for cell in column.detail.cells if cell.family == family]
        counted = [(n, cell, label) for cell in cells for label, n in cell.labels.items() if label != CORRECT and n]
        if not counted:
            continue
        n, cell, label = max(counted, key=lambda row: row[0])
        wanted = SampleFilter(cell.id, label, correct=False)
        samples = read.get_samples(db, column.detail, wanted, limit=1).samples
        if samples:
            why, asked = f"{n} of {cell.n} answers in this cell are wrong in this way", prompt_settings_of(manifest)
            yield _example(why, [(column.label, samples[0])], asked)


def _example(why: str, answers: Sequence[tuple[str, SampleView]], asked: PromptSettings) -> ReportExample:
    sample = answers[0][1]
    made = make_sample_question(sample, asked)
    return ReportExample(
        sample.item, sample.style, why,
        excerpt(made.text, _QUESTION) if made else None, made.gold if made else None,
        tuple(_answer(label, one) for label, one in answers),
    )  # fmt: skip


def _answer(label: str, sample: SampleView) -> ExampleAnswer:
    return ExampleAnswer(label, sample, excerpt(sample.completion, _ANSWER), _ENDINGS.get(sample.finish_reason, ""))

"""Turn the samples of some runs into a few items that show where they differ, or how they err."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Engine

from fathom.harness.db import read
from fathom.harness.db.leaderboard import read as board
from fathom.harness.db.samples import samples_at
from fathom.harness.records import SampleFilter, SampleView
from fathom.harness.reports.figures.picture import CORRECT
from fathom.harness.reports.html.columns import Column
from fathom.harness.reports.questions import Excerpt, excerpt, make_question
from fathom.harness.stats.counts import CellCounts
from fathom.harness.stats.paired import Marks
from fathom.harness.stats.ranking import Array

_AT_MOST = 8
"""Items that a report shows, whatever the number of families and runs."""

_QUESTION, _ANSWER = 2400, 1200
"""Characters shown of a question, and of each answer."""

_ENDINGS = {
    "length": "cut off: its token budget ran out",
    "too_long": "not asked: the prompt does not fit the context",
    "error": "the engine failed on it",
}
"""What a reader should know of how an answer ended; `stop` is as it should be."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one run made of an item; a choice is what it chose."""

    label: str
    sample: SampleView
    completion: Excerpt
    ending: str


@dataclass(frozen=True, slots=True)
class Example:
    """An item with its answers; `question` and `gold` are None where this code no longer makes it."""

    item: str
    style: str
    why: str
    question: Excerpt | None
    gold: str | None
    answers: tuple[Answer, ...]


def find_examples(db: Engine, columns: Sequence[Column]) -> tuple[Example, ...]:
    """Return an item of each family on which most depends: where runs of one seed differ, else where one errs.

    Sealed runs give none.
    """
    open_ones = [column for column in columns if not column.detail.summary.sealed]
    marks = board.marks_of(db, {one.run: one.detail.suite.n_items for one in open_ones})
    found: list[Example] = []
    for seed in dict.fromkeys(one.detail.suite.seed for one in open_ones):
        same = [one for one in open_ones if one.detail.suite.seed == seed]
        if len(same) > 1 and all(one.run in marks for one in same):
            found += _differences(db, same, marks)
        else:
            found += (example for one in same for example in _mistakes(db, one))
    return tuple(_spread(found, _AT_MOST))


def _spread(examples: Sequence[Example], most: int) -> Sequence[Example]:
    """Take evenly from all, so that no run or family comes first only because it is named first."""
    if len(examples) <= most:
        return examples
    return [examples[at * len(examples) // most] for at in range(most)]


# several runs that were asked the same items


@dataclass(frozen=True, slots=True)
class _Shared:
    """A cell that some runs share: one row of `right` a run, one column an item."""

    cells: tuple[CellCounts, ...]
    right: Array

    @property
    def apart(self) -> Array:
        """How far the runs differ on each item: 0 where all are right or all wrong, 1 where half of them are."""
        share = self.right.mean(axis=0)
        found: Array = 4 * share * (1 - share)
        return found


def _differences(db: Engine, columns: Sequence[Column], marks: Mapping[str, Marks]) -> Iterator[Example]:
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
            yield _example(why, answers)


def _shared(columns: Sequence[Column], marks: Mapping[str, Marks]) -> Iterator[_Shared]:
    placed = [dict(_placed(column)) for column in columns]
    for key in placed[0]:
        if not all(key in one for one in placed):
            continue
        cells = tuple(one[key][0] for one in placed)
        n = min(cell.n_planned for cell in cells)
        rows = [_cut(marks[column.run], one[key][1], n) for column, one in zip(columns, placed, strict=True)]
        if n:
            yield _Shared(cells, np.array(rows))


def _placed(column: Column) -> Iterator[tuple[tuple[str, int, str, str, str], tuple[CellCounts, int]]]:
    start = 0
    for cell in column.detail.cells:
        yield (cell.family, cell.version, cell.level, cell.channel, cell.style), (cell, start)
        start += cell.n_planned


def _cut(marks: Marks, start: int, n: int) -> Array:
    return marks.right[start : start + n]


# one run


def _mistakes(db: Engine, column: Column) -> Iterator[Example]:
    """Yield, a family, an answer of the kind of mistake that is commonest in any of its cells."""
    for family in dict.fromkeys(cell.family for cell in column.detail.cells):
        cells = [cell for cell in column.detail.cells if cell.family == family]
        counted = [(n, cell, label) for cell in cells for label, n in cell.labels.items() if label != CORRECT and n]
        if not counted:
            continue
        n, cell, label = max(counted, key=lambda row: row[0])
        wanted = SampleFilter(cell.id, label, correct=False)
        samples = read.get_samples(db, column.detail, wanted, limit=1).samples
        if samples:
            yield _example(f"{n} of {cell.n} answers in this cell are wrong in this way", [(column.label, samples[0])])


def _example(why: str, answers: Sequence[tuple[str, SampleView]]) -> Example:
    sample = answers[0][1]
    made = make_question(sample)
    return Example(
        sample.item, sample.style, why,
        excerpt(made.text, _QUESTION) if made else None, made.gold if made else None,
        tuple(_answer(label, one) for label, one in answers),
    )  # fmt: skip


def _answer(label: str, sample: SampleView) -> Answer:
    return Answer(label, sample, excerpt(sample.completion, _ANSWER), _ENDINGS.get(sample.finish_reason, ""))

"""Tables of a report that compare its runs with the first one, and rank them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from fathom.harness.db.find import check_comparable
from fathom.harness.db.seal import SealedRun
from fathom.harness.errors import NotComparable
from fathom.harness.format import about, difference, p_value, ratio, score
from fathom.harness.reports.comparison import FamilyComparison, compare_run_pair
from fathom.harness.reports.figures.picture import NOTHING
from fathom.harness.reports.html.columns import ReportColumn
from fathom.harness.reports.ranks import rank_runs
from fathom.harness.stats.ranks import ALPHA


@dataclass(frozen=True, slots=True)
class VersusRow:
    """Two runs on one family, or on all families (named ""), in one style, as texts."""

    family: str
    style: str
    first: str
    second: str
    difference: str
    only_first: str
    only_second: str
    p: str
    p_holm: str
    verdict: str
    ahead: int
    """1 or 2 if the test separates the runs, else 0."""


@dataclass(frozen=True, slots=True)
class RunVersusFirst:
    """A run compared with the first one."""

    first: ReportColumn
    second: ReportColumn
    paired: bool
    notes: tuple[str, ...]
    lines: tuple[VersusRow, ...]
    refusal: str
    """Why the runs cannot be compared; empty if they can."""


@dataclass(frozen=True, slots=True)
class RankTableRow:
    """A run's rank with its range and tie group."""

    rank: int
    low: int
    high: int
    tie: int
    label: str
    score: str


@dataclass(frozen=True, slots=True)
class RankTable:
    """The ranks in one style, best first."""

    style: str
    lines: tuple[RankTableRow, ...]


@dataclass(frozen=True, slots=True)
class Ranking:
    """The ranks by style, or why there are none."""

    asked: str
    tables: tuple[RankTable, ...]
    refusal: str


def compare_with_first(db: Engine, columns: Sequence[ReportColumn]) -> tuple[RunVersusFirst, ...]:
    """Compare each further run with the first."""
    return tuple(_versus(db, columns[0], other) for other in columns[1:])


def _versus(db: Engine, first: ReportColumn, second: ReportColumn) -> RunVersusFirst:
    try:
        for one in (first, second):
            check_comparable(one.detail)
        found = compare_run_pair(db, first.detail, second.detail)
    except (NotComparable, SealedRun) as error:
        return RunVersusFirst(first, second, False, (), (), str(error))
    return RunVersusFirst(first, second, found.paired, found.notes, _rows(found.lines, first, second), "")


def _rows(lines: Sequence[FamilyComparison], first: ReportColumn, second: ReportColumn) -> tuple[VersusRow, ...]:
    return tuple(_row(line, (first.label, second.label)) for line in lines)


def _row(line: FamilyComparison, labels: tuple[str, str]) -> VersusRow:
    one = line.result
    alone = [ratio(n, one.n) if one.n else NOTHING for n in (one.only_first, one.only_second)]
    return VersusRow(
        one.name, one.style, score(one.first), score(one.second), difference(one.difference), alone[0], alone[1],
        p_value(one.p), p_value(one.p_holm), _verdict(line, labels), one.ahead,
    )  # fmt: skip


def _verdict(line: FamilyComparison, labels: tuple[str, str]) -> str:
    if line.result.ahead:
        return f"{labels[line.result.ahead - 1]} is ahead"
    if line.result.p_holm <= ALPHA:
        return "test and scores disagree"
    if line.needed is None:
        return "no significant difference"
    return f"no significant difference; {about(line.needed.n_more)} more items might show one"


def rank_columns(db: Engine, columns: Sequence[ReportColumn]) -> Ranking:
    """Rank the runs on the cells that all of them have."""
    try:
        found = rank_runs(db, [one.run for one in columns], None)
    except (NotComparable, SealedRun) as error:
        return Ranking("", (), str(error))
    labels = {one.run: one.label for one in columns}
    tables = (
        RankTable(
            style,
            tuple(
                RankTableRow(one.rank, one.low, one.high, one.tie, labels[one.run], score(one.score)) for one in lines
            ),
        )
        for style, lines in found.styles
    )
    return Ranking(found.asked, tuple(tables), "")

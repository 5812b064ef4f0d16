"""How answers were found, as tables of texts: the same columns in the terminal, in reports and on the board."""

from collections.abc import Sequence
from dataclasses import dataclass

from fathom.harness.format import count, percent
from fathom.harness.reports.figures.picture import NOTHING, DataTable
from fathom.harness.stats.found import FoundRow

FOUND_COLUMNS = ("right", "as asked", "unread", "cut off")

FOUND_TEXT_COLUMNS = ("style", "family")
"""Text columns of `found_table`."""

FOUND_LEGEND = (
    "as asked: answers in the form that the question asks for; unread: texts in which no answer could be read; "
    "cut off: answers that ended with their token budget; all shares of the graded answers"
)

UNKNOWN = "how answers were found is not stored for this run: `fathom regrade` reads them again"


def share_texts(row: FoundRow | None) -> tuple[str, ...]:
    """Return the shares of a row in the order of FOUND_COLUMNS."""
    shares = None if row is None else row.shares
    return (NOTHING,) * len(FOUND_COLUMNS) if shares is None else tuple(_share(one) for one in shares)


def _share(share: float) -> str:
    """Write a share without digits, and so that few are never shown as none, nor nearly all as all."""
    if 0 < share < 0.01:
        return "< 1%"
    return "> 99%" if 0.99 < share < 1 else percent(share, 0)


@dataclass(frozen=True, slots=True)
class FoundLine:
    """A row as texts; `family` is empty for all families of the style."""

    style: str
    family: str
    n: str
    shares: tuple[str, ...]
    """In the order of FOUND_COLUMNS."""
    is_notable: bool


def found_lines(rows: Sequence[FoundRow]) -> tuple[FoundLine, ...]:
    """Return rows as texts; empty where none is known."""
    if all(row.counts is None for row in rows):
        return ()
    return tuple(FoundLine(row.style, row.family, count(row.n), share_texts(row), row.is_notable) for row in rows)


def found_table(rows: Sequence[FoundRow]) -> DataTable | None:
    """Return rows as a table; None where there are none, or none is known."""
    lines = found_lines(rows)
    texts = tuple((line.style, line.family or "all families", line.n, *line.shares) for line in lines)
    return DataTable(("style", "family", "answers", *FOUND_COLUMNS), texts) if lines else None

"""How answers were found, as tables of texts: the same columns in the terminal, in reports and on the board."""

from collections.abc import Sequence

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


def found_table(rows: Sequence[FoundRow]) -> DataTable | None:
    """Return rows as a table; None where there are none, or none is known."""
    if all(row.counts is None for row in rows):
        return None
    texts = ((row.style, row.family or "all families", count(row.n), *share_texts(row)) for row in rows)
    return DataTable(("style", "family", "answers", *FOUND_COLUMNS), tuple(texts))

"""How the answers of a run were found: counts by family and style, and their tables, the same everywhere."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fathom.harness.format import count, percent
from fathom.harness.reports.figures.picture import NOTHING, DataTable
from fathom.harness.stats.scores import CellCounts, FoundCounts

NOTABLE = 0.02
"""Share of answers that are not in the form asked for from which it is worth saying."""


@dataclass(frozen=True, slots=True)
class FoundRow:
    """Counts of a family, or of all families (named ""), in one style.

    `counts` is None where no cell knows how its answers were found; else all numbers are of the cells that know.
    """

    family: str
    style: str
    n: int
    """Graded answers."""
    k: int
    """Right ones among them."""
    counts: FoundCounts | None

    @property
    def is_notable(self) -> bool:
        """Whether a reader of the scores should see it."""
        return self.counts is not None and self.n - self.counts.n_asked > NOTABLE * self.n

    @property
    def shares(self) -> tuple[float, float, float, float] | None:
        """Shares of answers that are right, in the form asked for, unread and cut off; None if not known."""
        if self.counts is None or not self.n:
            return None
        found = self.counts
        return self.k / self.n, found.n_asked / self.n, found.n_unread / self.n, found.n_cut / self.n


def found_rows(cells: Iterable[CellCounts]) -> tuple[FoundRow, ...]:
    """Sum up the cells that have graded answers: all families of each style, then each family in it."""
    by_style: dict[str, dict[str, list[CellCounts]]] = {}
    for cell in cells:
        if cell.n:
            by_style.setdefault(cell.style, {}).setdefault(cell.family, []).append(cell)
    rows: list[FoundRow] = []
    for style, families in by_style.items():
        rows.append(_row("", style, [cell for members in families.values() for cell in members]))
        rows += (_row(family, style, members) for family, members in families.items())
    return tuple(rows)


def _row(family: str, style: str, cells: Sequence[CellCounts]) -> FoundRow:
    known = [(cell, cell.found) for cell in cells if cell.found is not None]
    counted = [cell for cell, _ in known] or cells
    found = FoundCounts(
        sum(one.n_asked for _, one in known), sum(one.n_unread for _, one in known), sum(one.n_cut for _, one in known)
    )
    n, k = sum(cell.n for cell in counted), sum(cell.k for cell in counted)
    return FoundRow(family, style, n, k, found if known else None)


def main_rows(cells: Iterable[CellCounts]) -> tuple[FoundRow, ...]:
    """Return the rows that a reader needs: each style with all of its families, and after it its notable families."""
    return tuple(row for row in found_rows(cells) if row.is_notable or not row.family)


def notable_rows(cells: Iterable[CellCounts]) -> tuple[FoundRow, ...]:
    """Return the main rows of the styles in which anything is notable."""
    rows = main_rows(cells)
    styles = {row.style for row in rows if row.is_notable}
    return tuple(row for row in rows if row.style in styles)


def found_json(found: FoundCounts | None) -> dict[str, int | None]:
    """Return counts as JSON values; null where they are not known."""
    if found is None:
        return {"n_asked": None, "n_unread": None, "n_cut": None}
    return {"n_asked": found.n_asked, "n_unread": found.n_unread, "n_cut": found.n_cut}


def found_rows_json(cells: Iterable[CellCounts]) -> list[dict[str, Any]]:
    """Return the counts of each style and family as JSON values; the family of all together is null."""
    return [
        {"family": row.family or None, "style": row.style, "n": row.n, "k": row.k, **found_json(row.counts)}
        for row in found_rows(cells)
    ]


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

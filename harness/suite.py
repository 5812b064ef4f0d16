"""Turn a suite's name, a seed and a selection into an ordered list of cells with a digest."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from typing import Any

from harness.errors import EmptySuite, UnknownSuite
from tasks import Cell, Family, Instance, find_family, make_instance, pose
from tasks.base import check_cell
from tasks.stream import canonical_seed


@dataclass(frozen=True, slots=True)
class SuiteCell:
    """A cell and how many items of it are asked."""

    family: str
    version: int
    level: str
    channel: str
    style: str
    n: int

    @property
    def cell(self) -> Cell:
        """The cell without its count."""
        return Cell(self.family, self.level, self.channel, self.style)


@dataclass(frozen=True, slots=True)
class Suite:
    """Ordered cells and a seed: everything that decides what is asked."""

    name: str
    version: str
    seed: str
    cells: tuple[SuiteCell, ...]

    @property
    def n_items(self) -> int:
        """Items over all cells."""
        return sum(cell.n for cell in self.cells)

    def digest(self) -> str:
        """Hash every prompt and gold of the suite, in order; 32 hex digits."""
        state = blake2b(digest_size=16)
        for cell in self.cells:
            family = find_family(cell.family)
            for item in instances(cell, self.seed):
                state.update(f"{item.id}\0{pose(family, item, cell.style)}\0{item.gold}\0".encode())
        return state.hexdigest()

    def to_json(self) -> list[dict[str, Any]]:
        """Return the cells as JSON values."""
        return [asdict(cell) for cell in self.cells]


def instances(cell: SuiteCell, seed: str) -> Iterator[Instance]:
    """Make the items of a cell, in order."""
    family = find_family(cell.family)
    return (make_instance(family, cell.level, cell.channel, seed, index) for index in range(cell.n))


@dataclass(frozen=True, slots=True)
class Selection:
    """What the user asks for; an empty tuple leaves the choice to the suite."""

    families: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()
    n: int | None = None

    @property
    def free(self) -> bool:
        """Say whether an axis is chosen, so that cells outside the suite may be meant."""
        return bool(self.levels or self.channels or self.styles)


_QUICK: Mapping[str, tuple[tuple[tuple[str, ...], str, str], ...]] = {
    "depo": (
        (("n4k1", "n4k2", "n4k3", "n8k1", "n8k2", "n8k3", "n8k4", "n8k6"), "symbol", "direct"),
        (("n8k1", "n8k2", "n8k3", "n8k4", "n8k6"), "symbol", "cot"),
        (("n8k1", "n8k2", "n8k3", "n8k4", "n8k6"), "symbol", "choice"),
    ),
}
_QUICK_N = 50


def suite_names() -> tuple[str, ...]:
    """Return the names of all suites."""
    return ("quick",)


def open_suite(name: str, seed: int | str, selection: Selection | None = None) -> Suite:
    """Return a suite's cells under a seed, narrowed or widened by a selection.

    Families alone narrow the suite. Levels, channels or styles replace the suite's own: the
    suite's levels where none are named, `symbol` and `direct` where no channel or style is.

    Raises:
        UnknownSuite, EmptySuite: no such suite; nothing left to ask.
        UnknownFamily, UnknownLevel, UnknownStyle, BadSeed: from tasks.
    """
    if name not in suite_names():
        raise UnknownSuite(f"no suite {name!r}; known: {', '.join(suite_names())}")
    wanted = selection or Selection()
    if wanted.n is not None and wanted.n < 1:
        raise EmptySuite(f"n is {wanted.n}: ask for 1 item a cell or more")
    families = wanted.families or tuple(_QUICK)
    own = [cell for family in families for cell in _suite_cells(family)]
    cells = _free_cells(own, families, wanted) if wanted.free else own
    if wanted.n is not None:
        cells = [replace(cell, n=wanted.n) for cell in cells]
    if not cells:
        raise EmptySuite("the selection holds no cell: name fewer filters, see `fathom families`")
    return Suite(name, "2026.1", canonical_seed(seed), tuple(cells))


def _suite_cells(name: str) -> list[SuiteCell]:
    family = find_family(name)
    rows = _QUICK.get(name, ())
    return [_cell(family, level, channel, style) for levels, channel, style in rows for level in levels]


def _cell(family: Family, level: str, channel: str, style: str) -> SuiteCell:
    check_cell(Cell(family.name, level, channel, style), family)
    return SuiteCell(family.name, family.version, level, channel, style, _QUICK_N)


def _free_cells(own: list[SuiteCell], families: Iterable[str], wanted: Selection) -> list[SuiteCell]:
    cells: list[SuiteCell] = []
    for name in families:
        family = find_family(name)
        levels = wanted.levels or tuple(dict.fromkeys(cell.level for cell in own if cell.family == name))
        cells += [
            _cell(family, level, channel, style)
            for style in wanted.styles or family.styles[:1]
            for channel in wanted.channels or family.channels[:1]
            for level in levels
        ]
    return cells

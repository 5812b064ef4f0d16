"""Suites: dated tables of cells, opened under a seed and narrowed by a selection."""

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import lru_cache
from hashlib import blake2b
from itertools import product
from typing import Any

from fathom.tasks.base import (
    PARAMETRIC,
    Cell,
    Family,
    Instance,
    Level,
    Role,
    channels_of,
    check_cell,
    level_of,
    make_instance,
    pose,
    styles_of,
)
from fathom.tasks.errors import BadSeed, EmptySuite, MixedSuite, UnknownLevel, UnknownStyle, UnknownSuite
from fathom.tasks.installed import Package
from fathom.tasks.registry import families_by_package, find_family, own_families, package_of
from fathom.tasks.stream import canonical_seed
from fathom.tasks.suite_tables import ADAPTIVE, SUITE_VERSION, TABLES, Cells


@dataclass(frozen=True, slots=True)
class SuiteCell:
    """A cell and its number of items."""

    family: str
    version: int
    level: str
    channel: str
    style: str
    n: int

    @property
    def cell(self) -> Cell:
        """The cell without its number of items."""
        return Cell(self.family, self.level, self.channel, self.style)


@dataclass(frozen=True, slots=True)
class Suite:
    """Ordered cells and a seed: together they determine every item."""

    name: str
    version: str
    seed: str
    cells: tuple[SuiteCell, ...]

    @property
    def is_adaptive(self) -> bool:
        """Whether a run decides as it goes which items are asked: `n` of a cell is then the most of its ladder."""
        return self.name in ADAPTIVE

    @property
    def families(self) -> tuple[str, ...]:
        """Names of the families, in the order of their cells."""
        return tuple(dict.fromkeys(cell.family for cell in self.cells))

    @property
    def n_items(self) -> int:
        """Number of items over all cells; of an adaptive suite, the most that its ladders may take."""
        if self.is_adaptive:
            ladders = {(*ladder_of(cell), cell.channel, cell.style): cell.n for cell in self.cells}
            return sum(ladders.values())
        return sum(cell.n for cell in self.cells)

    def without(self, styles: Collection[str]) -> "Suite":
        """Return the suite without the cells of some styles.

        Raises:
            EmptySuite: nothing is left.
        """
        cells = tuple(cell for cell in self.cells if cell.style not in styles)
        if not cells:
            raise EmptySuite("every cell is scored, not answered: name another with --style")
        return replace(self, cells=cells)

    def digest(self) -> str:
        """Hash every prompt and gold of the suite, in order; 32 hex digits.

        Of an adaptive suite, whose items nobody is asked all of, the first ones of each cell.
        """
        state = blake2b(digest_size=16)
        for cell in self.cells:
            family = find_family(cell.family)
            n = min(cell.n, _N_HASHED) if self.is_adaptive else cell.n
            if self.is_adaptive:
                state.update(f"at most {cell.n}\0".encode())
            for item in make_items(cell.cell, self.seed, n):
                state.update(f"{item.id}\0{pose(family, item, cell.style)}\0{item.gold}\0".encode())
        return state.hexdigest()

    def pool(self) -> str:
        """Hash everything but the seed, 12 hex digits: runs of one pool can be ranked together."""
        text = json.dumps([self.name, self.version, self.to_json()], sort_keys=True, separators=(",", ":"))
        return blake2b(text.encode(), digest_size=6).hexdigest()

    def to_json(self) -> list[dict[str, Any]]:
        """Return the cells as JSON values."""
        return [asdict(cell) for cell in self.cells]


def ladder_of(cell: SuiteCell) -> tuple[str, str]:
    """Return (family, ladder) of a cell."""
    return cell.family, level_of(find_family(cell.family), cell.level).ladder


def instances(cell: SuiteCell, seed: str) -> Iterable[Instance]:
    """Make the items of a cell, in order."""
    return make_items(cell.cell, seed, cell.n)


def make_items(cell: Cell, seed: int | str, stop: int, role: Role = "eval", first: int = 0) -> Iterable[Instance]:
    """Make the items first..stop-1 of a cell; small cells are cached, as the styles of a level share items."""
    make = _cached_items if stop - first <= _MOST_CACHED else _fresh_items
    return make(replace(cell, style=""), seed, stop, role, first)


_N_HASHED = 2
"""Items of each cell of an adaptive suite that its digest covers."""

_MOST_CACHED = 100  # items of a cell; the longest ones take 13 MB


@lru_cache(maxsize=2)  # the items of a cell and its demonstrations
def _cached_items(cell: Cell, seed: int | str, stop: int, role: Role, first: int) -> tuple[Instance, ...]:
    return tuple(_fresh_items(cell, seed, stop, role, first))


def _fresh_items(cell: Cell, seed: int | str, stop: int, role: Role, first: int) -> Iterator[Instance]:
    family = find_family(cell.family)
    return (make_instance(family, cell.level, cell.channel, seed, at, role=role) for at in range(first, stop))


def item_at(cell: SuiteCell, seed: str, index: int) -> Instance:
    """Make one item of a cell; the last ones are cached, as the styles of a level share items."""
    return _item(cell.family, cell.level, cell.channel, seed, index)


@lru_cache(maxsize=128)
def _item(family: str, level: str, channel: str, seed: str, index: int) -> Instance:
    return make_instance(find_family(family), level, channel, seed, index)


@dataclass(frozen=True, slots=True)
class Selection:
    """What the user selects; an empty tuple leaves the choice to the suite. A name given twice counts once."""

    families: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()
    n: int | None = None

    def __post_init__(self) -> None:
        """Drop repeated names."""
        for axis in ("families", "levels", "channels", "styles"):
            object.__setattr__(self, axis, tuple(dict.fromkeys(getattr(self, axis))))

    @property
    def has_axes(self) -> bool:
        """True if levels, channels or styles are named, so that cells outside the suite can be selected."""
        return bool(self.levels or self.channels or self.styles)


MOST_N = 1_000_000
"""Items of a cell at most."""

MOST_SEED_DIGITS = 100
"""Digits of a suite's seed, as boards take them."""

DEFAULT_N = 50
"""Items of a cell outside the suite, where the selection gives no number."""

MOST_OF_LADDER = 400
"""Items of a ladder at most, in an adaptive suite, where the selection gives no number."""

DEFAULT_LEVELS = 4
"""Levels of each ladder that are asked of a family outside the suite, where the selection names none."""

DEFAULT_PEOPLE = 1_000
"""People of the population that is asked about, where the selection names no level: the default of the corpus bios."""


def suite_names() -> tuple[str, ...]:
    """Return the names of the suites whose items are fixed beforehand."""
    return tuple(TABLES)


def open_suite(name: str, seed: int | str, selection: Selection | None = None) -> Suite:
    """Return a suite's cells under a seed, narrowed or widened by a selection.

    - Families alone narrow the suite. A named family that the suite has no cell of is asked at the first
      DEFAULT_LEVELS levels of each of its ladders, or, if it is parametric, about DEFAULT_PEOPLE people.
    - Levels, channels or styles replace the suite's own: the suite's levels where none are named, a level's first
      channel and style (mostly `symbol` and `direct`) where none are named.
    - A level name selects all families that have such a level; `*` matches anything, as in `*-300`.
    - Families of an installed package are in a suite of their own, which has the package's name and version: all
      of them, or those that are named, at the first DEFAULT_LEVELS levels of each ladder in every style.

    Raises:
        UnknownSuite, EmptySuite, MixedSuite: no such suite; nothing left to ask; families that are ranked apart.
        UnknownFamily, UnknownLevel, UnknownStyle, BadSeed: the selection names what is not there.
    """
    wanted = selection or Selection()
    package = _package_asked(name, wanted.families)
    if wanted.n is not None and not 1 <= wanted.n <= MOST_N:
        raise EmptySuite(f"n is {wanted.n}: ask for 1 to {MOST_N:,} items in each cell")
    families = wanted.families or tuple(own_families() if package is None else families_by_package()[package])
    own = _suite_cells(name, wanted.families) if package is None else _package_cells(families)
    cells = _crossed_cells(own, wanted, families) if wanted.has_axes else own
    n = MOST_OF_LADDER if wanted.n is None and name in ADAPTIVE else wanted.n
    if n is not None:
        cells = [replace(cell, n=n) for cell in cells]
    if not cells:
        raise EmptySuite("the selection holds no cell: name fewer filters, see `fathom families`")
    suite = (name, SUITE_VERSION) if package is None else (package.name, package.version)
    return Suite(*suite, _seed_of_suite(seed), tuple(cells))


def _package_asked(name: str, families: Collection[str]) -> Package | None:
    """Return the package whose suite is asked, by its name or by that of its families; None for a suite of ours.

    Raises:
        UnknownSuite, UnknownFamily: no such suite or family.
        MixedSuite: families that are ranked apart.
    """
    brought = {family: package_of(family) for family in families}
    ours, known = (*suite_names(), *ADAPTIVE), {*brought.values(), *families_by_package()} - {None}
    packages = {package.name: package for package in known if package is not None and package.name not in ours}
    if name not in ours and name not in packages:
        raise UnknownSuite(f"no suite {name!r}; known: {', '.join((*ours, *sorted(packages)))}")
    if name in ADAPTIVE:  # which ranks nothing
        return None
    asked = set(brought.values()) if name in ours else {*brought.values(), packages[name]}
    if len(asked) > 1:
        whose = (f"{family} of {'Fathom' if one is None else one.name}" for family, one in brought.items())
        raise MixedSuite(f"not in one run, as they are ranked apart: {', '.join(whose)}: ask each package's in its own")
    return next(iter(asked), None)


def _package_cells(families: Iterable[str]) -> list[SuiteCell]:
    """Return the cells of a package's suite: the first levels of each ladder in every style that is asked in context.

    A parametric family is asked as `_default_cells` says.
    """
    found = []
    for family in map(find_family, families):
        levels = _first_levels(family, DEFAULT_LEVELS)
        found += [
            _cell(family, level.name, channels_of(family, level)[0], style, DEFAULT_N)
            for style in dict.fromkeys(style for level in levels for style in styles_of(family, level))
            for level in levels
            if style in styles_of(family, level)
        ] or _default_cells(family, DEFAULT_LEVELS)
    return found


def _tables() -> dict[str, tuple[Cells, ...]]:
    return TABLES | ADAPTIVE


def _seed_of_suite(seed: int | str) -> str:
    found = canonical_seed(seed)
    if len(found) > MOST_SEED_DIGITS:
        raise BadSeed(
            f"the seed of a suite has at most {MOST_SEED_DIGITS} digits, and this one {len(found)}: shorten it"
        )
    return found


def _suite_cells(name: str, families: tuple[str, ...]) -> list[SuiteCell]:
    """Return the suite's cells of these families, or of all; in the order of the families if they are named."""
    for family in families:
        find_family(family)
    table = _tables()[name]
    rows = [row for family in families for row in table if row.family == family] if families else table
    cells = [cell for row in rows for cell in _table_cells(row)]
    for family in families_outside(name, families):
        cells += _default_cells(find_family(family), None if name in ADAPTIVE else DEFAULT_LEVELS)
    return cells


def families_outside(name: str, families: Iterable[str]) -> list[str]:
    """Return those of the families that a suite has no cell of: they are asked at the first levels of their ladders."""
    inside = {row.family for row in _tables()[name]}
    return [family for family in families if family not in inside]


def _default_cells(family: Family, most: int | None) -> list[SuiteCell]:
    """Return cells of a family that the suite does not have.

    They are the first `most` levels of each ladder, or all; a parametric family is asked about DEFAULT_PEOPLE people.
    """
    levels = _first_levels(family, most) or _parametric_levels(family, PARAMETRIC)
    return [
        _cell(family, level.name, channels_of(family, level)[0], styles_of(family, level)[0], DEFAULT_N)
        for level in levels
    ]


def _first_levels(family: Family, most: int | None) -> list[Level]:
    """Return the first levels of each ladder that is not parametric."""
    ladders: dict[str, list[Level]] = {}
    for level in family.levels.values():
        if not set(styles_of(family, level)) & set(PARAMETRIC):
            ladders.setdefault(level.ladder, []).append(level)
    return [level for levels in ladders.values() for level in levels[:most]]


def _parametric_levels(family: Family, styles: Collection[str]) -> list[Level]:
    """Return the levels that have one of these parametric styles, about DEFAULT_PEOPLE people where that varies."""
    return [
        level
        for level in family.levels.values()
        if set(styles_of(family, level)) & set(styles) & set(PARAMETRIC)
        if level.axes.get("people", DEFAULT_PEOPLE) == DEFAULT_PEOPLE
    ]


def _table_cells(row: Cells) -> Iterator[SuiteCell]:
    family = find_family(row.family)
    channels, levels = row.channels.split(), row.levels.split()
    pairs = product(levels, channels) if row.by_level else [(level, one) for one, level in product(channels, levels)]
    for level, channel in pairs:
        for style in row.styles.split():  # innermost: the styles of a level share its items
            yield SuiteCell(family.name, family.version, level, channel, style, row.n)


def _cell(family: Family, level: str, channel: str, style: str, n: int) -> SuiteCell:
    check_cell(Cell(family.name, level, channel, style), family)
    return SuiteCell(family.name, family.version, level, channel, style, n)


def _crossed_cells(own: list[SuiteCell], wanted: Selection, names: Iterable[str]) -> list[SuiteCell]:
    """Combine the named levels, channels and styles; each of the families contributes the combinations that it has.

    Raises:
        UnknownLevel, UnknownStyle: no family has a level of that name; none has such cells.
    """
    families = [find_family(name) for name in names]
    wanted = replace(wanted, levels=_matching_levels(wanted.levels, families))
    for level in wanted.levels:
        if not any(level in family.levels for family in families):
            if len(families) == 1:
                level_of(families[0], level)  # raises, and names the known ones
            near = get_close_matches(level, sorted({name for family in families for name in family.levels}))
            hint = f"; near it: {', '.join(near)}" if near else ""
            raise UnknownLevel(f"no family has a level {level!r}{hint}: `fathom families` lists all")
    cells = []
    refused: UnknownStyle | None = None
    for family, level, channel, style in _combinations(own, families, wanted):
        try:
            cells.append(_cell(family, level, channel, style, DEFAULT_N))
        except UnknownStyle as error:
            refused = error
    if refused and not cells:
        raise refused
    return cells


def _matching_levels(levels: tuple[str, ...], families: list[Family]) -> tuple[str, ...]:
    """Replace each name with a `*` by all levels that match; keep a name that matches none."""
    known = dict.fromkeys(level for family in families for level in family.levels)
    found = ([level for level in known if fnmatchcase(level, name)] or [name] for name in levels)
    return tuple(dict.fromkeys(level for names in found for level in names))


def _combinations(
    own: list[SuiteCell], families: list[Family], wanted: Selection
) -> Iterator[tuple[Family, str, str, str]]:
    for family in families:
        suited = dict.fromkeys(cell.level for cell in own if cell.family == family.name)
        if set(wanted.styles) & set(PARAMETRIC):
            suited = dict.fromkeys(level.name for level in _parametric_levels(family, wanted.styles))
        levels = [level for level in wanted.levels if level in family.levels] or ([] if wanted.levels else list(suited))
        for style in wanted.styles or (None,):
            for channel in wanted.channels or (None,):
                for rung in (family.levels[level] for level in levels):
                    first_channel, first_style = channels_of(family, rung)[0], styles_of(family, rung)[0]
                    yield family, rung.name, channel or first_channel, style or first_style

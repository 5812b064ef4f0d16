"""Turn a suite's name, a seed and a selection into an ordered list of cells with a digest."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import lru_cache
from hashlib import blake2b
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
from fathom.tasks.errors import EmptySuite, UnknownLevel, UnknownStyle, UnknownSuite
from fathom.tasks.registry import all_families, find_family
from fathom.tasks.stream import canonical_seed


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
        """Hash every prompt and gold of the suite, in order; 32 hex digits."""
        state = blake2b(digest_size=16)
        for cell in self.cells:
            family = find_family(cell.family)
            for item in instances(cell, self.seed):
                state.update(f"{item.id}\0{pose(family, item, cell.style)}\0{item.gold}\0".encode())
        return state.hexdigest()

    def pool(self) -> str:
        """Hash what is asked but for the seed: runs of one pool may be ranked together; 12 hex digits."""
        text = json.dumps([self.name, self.version, self.to_json()], sort_keys=True, separators=(",", ":"))
        return blake2b(text.encode(), digest_size=6).hexdigest()

    def to_json(self) -> list[dict[str, Any]]:
        """Return the cells as JSON values."""
        return [asdict(cell) for cell in self.cells]


def instances(cell: SuiteCell, seed: str) -> Iterable[Instance]:
    """Make the items of a cell, in order."""
    return make_items(cell.cell, seed, cell.n)


def make_items(cell: Cell, seed: int | str, stop: int, role: Role = "eval", first: int = 0) -> Iterable[Instance]:
    """Make the items first to stop of a cell; styles share items, so small cells are kept for the next style."""
    key = (cell.family, cell.level, cell.channel, seed, first, stop, role)
    return _kept(*key) if stop - first <= _KEPT else _made(*key)


_KEPT = 100  # items a cell; of the longest ones, 13 MB


@lru_cache(maxsize=2)  # a cell's items and its demonstrations
def _kept(*key: Any) -> tuple[Instance, ...]:
    return tuple(_made(*key))


def _made(
    family: str, level: str, channel: str, seed: int | str, first: int, stop: int, role: Role
) -> Iterator[Instance]:
    kind = find_family(family)
    return (make_instance(kind, level, channel, seed, index, role=role) for index in range(first, stop))


def item_at(cell: SuiteCell, seed: str, index: int) -> Instance:
    """Make one item of a cell; the last ones are kept, as the styles of a cell ask the same, one after the other."""
    return _item(cell.family, cell.level, cell.channel, seed, index)


@lru_cache(maxsize=128)
def _item(family: str, level: str, channel: str, seed: str, index: int) -> Instance:
    return make_instance(find_family(family), level, channel, seed, index)


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


DEFAULT_N = 50
"""Items of a cell that is not in the suite, where the user names no number."""


DEFAULT_PEOPLE = 1_000
"""People of the population that is asked about, where no level is named: as many as the corpus bios has by itself."""


def suite_names() -> tuple[str, ...]:
    """Return the names of all suites."""
    return (*TABLES, "full")


def open_suite(name: str, seed: int | str, selection: Selection | None = None) -> Suite:
    """Return a suite's cells under a seed, narrowed or widened by a selection.

    Families alone narrow the suite. Levels, channels or styles replace the suite's own: the
    suite's levels where none are named, a level's first channel and style (mostly `symbol` and
    `direct`) where none is. Of a named family that the suite does not ask, and in a style that reads the weights,
    every level stands that has it, about DEFAULT_PEOPLE people where the number of people is a level's matter.
    A level stands for all families that have one of that name; `*` in it for anything, as in `*-300`.

    Raises:
        UnknownSuite, EmptySuite: no such suite; nothing left to ask.
        UnknownFamily, UnknownLevel, UnknownStyle, BadSeed: from tasks.
    """
    if name not in suite_names():
        raise UnknownSuite(f"no suite {name!r}; known: {', '.join(suite_names())}")
    wanted = selection or Selection()
    if wanted.n is not None and wanted.n < 1:
        raise EmptySuite(f"n is {wanted.n}: ask for 1 item a cell or more")
    own = _suite_cells(name, wanted.families)
    cells = _free_cells(own, wanted) if wanted.free else own
    if wanted.n is not None:
        cells = [replace(cell, n=wanted.n) for cell in cells]
    if not cells:
        raise EmptySuite("the selection holds no cell: name fewer filters, see `fathom families`")
    return Suite(name, VERSION, canonical_seed(seed), tuple(cells))


def _suite_cells(name: str, families: tuple[str, ...]) -> list[SuiteCell]:
    """Return the suite's cells of these families, or of all; in the order of the families if they are named."""
    for family in families:
        find_family(family)
    blocks = TABLES[name] if name in TABLES else tuple(_full_blocks())
    chosen = [block for family in families for block in blocks if block.family == family] if families else blocks
    cells = [cell for block in chosen for cell in _block_cells(block)]
    asked = {cell.family for cell in cells}
    others = [find_family(family) for family in families if family not in asked]
    pairs = [(family, level) for family in others for level in _of_the_weights(family, PARAMETRIC)]
    return cells + [
        _cell(family, level.name, channels_of(family, level)[0], styles_of(family, level)[0], DEFAULT_N)
        for family, level in pairs
    ]


def _of_the_weights(family: Family, styles: Collection[str]) -> list[Level]:
    """Return the levels that a model trained on our text is asked in these styles, where none is named."""
    return [
        level
        for level in family.levels.values()
        if set(styles_of(family, level)) & set(styles) & set(PARAMETRIC)
        if level.axes.get("people", DEFAULT_PEOPLE) == DEFAULT_PEOPLE
    ]


@dataclass(frozen=True, slots=True)
class Block:
    """Cells of one family: each of the levels, in each of the channels and styles, n items each.

    Names are separated by blanks.
    """

    family: str
    levels: str
    channels: str
    styles: str
    n: int


def _block_cells(block: Block) -> Iterator[SuiteCell]:
    family = find_family(block.family)
    for channel in block.channels.split():
        for level in block.levels.split():
            for style in block.styles.split():  # innermost: they ask the same questions
                yield _cell(family, level, channel, style, block.n)


def _full_blocks() -> Iterator[Block]:
    for family in all_families().values():
        for level in family.levels.values():
            styles = " ".join(style for style in styles_of(family, level) if style not in PARAMETRIC)
            long = int(level.axes.get("length", 0)) >= FULL_LONG
            channels = " ".join(channels_of(family, level))
            yield Block(family.name, level.name, channels, styles, FULL_LONG_N if long else FULL_N)


def _cell(family: Family, level: str, channel: str, style: str, n: int) -> SuiteCell:
    check_cell(Cell(family.name, level, channel, style), family)
    return SuiteCell(family.name, family.version, level, channel, style, n)


def _free_cells(own: list[SuiteCell], wanted: Selection) -> list[SuiteCell]:
    """Cross the named levels, channels and styles; a family takes part in those that it has.

    Raises:
        UnknownLevel, UnknownStyle: no family has a level of that name; none has such cells.
    """
    families = [find_family(name) for name in wanted.families] or list(all_families().values())
    wanted = replace(wanted, levels=_spelt_out(wanted.levels, families))
    for level in wanted.levels:
        if not any(level in family.levels for family in families):
            if len(families) == 1:
                level_of(families[0], level)  # raises, and names the known ones
            near = get_close_matches(level, sorted({name for family in families for name in family.levels}))
            hint = f"; near it: {', '.join(near)}" if near else ""
            raise UnknownLevel(f"no family has a level {level!r}{hint}: `fathom families` lists all")
    cells = []
    refused: UnknownStyle | None = None
    for family, level, channel, style in _crossed(own, families, wanted):
        try:
            cells.append(_cell(family, level, channel, style, DEFAULT_N))
        except UnknownStyle as error:
            refused = error
    if refused and not cells:
        raise refused
    return cells


def _spelt_out(levels: tuple[str, ...], families: list[Family]) -> tuple[str, ...]:
    """Put in place of a name with a `*` all levels that it fits; the name itself where it fits none."""
    known = dict.fromkeys(level for family in families for level in family.levels)
    found = ([level for level in known if fnmatchcase(level, name)] or [name] for name in levels)
    return tuple(dict.fromkeys(level for names in found for level in names))


def _crossed(own: list[SuiteCell], families: list[Family], wanted: Selection) -> Iterator[tuple[Family, str, str, str]]:
    for family in families:
        suited = dict.fromkeys(cell.level for cell in own if cell.family == family.name)
        if set(wanted.styles) & set(PARAMETRIC):
            suited = dict.fromkeys(level.name for level in _of_the_weights(family, wanted.styles))
        levels = [level for level in wanted.levels if level in family.levels] or ([] if wanted.levels else list(suited))
        for style in wanted.styles or (None,):
            for channel in wanted.channels or (None,):
                for rung in (family.levels[level] for level in levels):
                    first_channel, first_style = channels_of(family, rung)[0], styles_of(family, rung)[0]
                    yield family, rung.name, channel or first_channel, style or first_style


VERSION = "2026.2"


_N = 30


QUICK = (
    Block("depo", "n4k1 n4k2 n4k3 n8k1 n8k2 n8k3 n8k4 n8k6", "symbol", "direct", _N),
    Block("depo", "n8k1 n8k2 n8k3 n8k4 n8k6", "symbol", "cot choice", _N),
    Block("brevo", "n4 n6 n8 n12", "symbol", "direct", _N),
    Block("mano", "p23l1 p23l2 p23l4", "symbol", "direct cot", _N),
    Block("lano", "recognise-d2 recognise-d3", "symbol", "direct choice", _N),
    Block("lano", "complete-d2 complete-d3", "symbol", "direct", _N),
    Block("lano", "write-d2 write-d3", "symbol", "direct cot", _N),
    Block("bios", "extract-k1 extract-k5", "symbol story", "direct", _N),
    Block("bios", "compare-k5 subtract-k5 inverse-k5 count-k5", "symbol", "direct", _N),
    Block("igsm", "op2 op4 op6 op8", "symbol", "direct cot", _N),
    Block("repair", "find-op2 find-op4", "symbol", "direct", _N),
    Block("years", "y2k1 y4k1 y4k2 y4k3", "symbol", "direct", _N),
)
"""A minute on two CPU cores with the reference model: does everything work, and where does it break at once?"""


_M = 50


STANDARD = (
    Block("depo", "n16k1 n16k2 n16k3 n16k4 n16k6 n16k8 n16k12", "symbol story", "direct", _M),
    Block("depo", "n16k4 n16k8 n64k16 n128k32", "symbol story", "cot", _M),
    Block("depo", "n16k1 n16k2 n16k4 n16k8", "symbol", "choice", _M),
    Block("brevo", "n8 n12 n16 n24 n32", "symbol story", "direct", _M),
    Block("brevo", "n8 n16 n32 n64", "symbol story", "cot", _M),
    Block("mano", "p23l1 p23l2 p23l3 p23l4 p23l6 p23l8", "symbol story", "direct", _M),
    Block("mano", "p23l2 p23l4 p23l8 p23l16", "symbol story", "cot", _M),
    Block("mano", "p23l1 p23l2 p23l4", "symbol", "choice", _M),
    Block("mano", "p23l2-prefix p23l4-prefix p23l8-prefix", "symbol", "direct cot", _M),
    Block("lano", "recognise-d2 recognise-d3 recognise-d4 recognise-d5", "symbol story", "direct cot", _M),
    Block("lano", "complete-d2 complete-d3 complete-d4", "symbol story", "direct cot", _M),
    Block("lano", "write-d2 write-d3 write-d4 write-d5", "symbol story", "direct cot", _M),
    Block("lano", "choose-d2 choose-d3 choose-d4 choose-d5", "symbol", "direct choice", _M),
    Block("bios", "extract-k1 extract-k5 extract-k20 extract-k100", "story", "direct choice", _M),
    Block("bios", "dual-k1 dual-k5 dual-k20 dual-k100", "story", "direct", _M),
    Block("bios", "classify-k1 classify-k5 classify-k20", "symbol story", "direct cot", _M),
    Block("bios", "compare-k5 compare-k20 compare-k100", "story", "direct cot", _M),
    Block("bios", "subtract-k5 subtract-k20 subtract-k100", "story", "direct cot", _M),
    Block("bios", "inverse-k5 inverse-k20 inverse-k100", "story", "direct cot", _M),
    Block("bios", "count-k5 count-k20 count-k100", "story", "direct cot", _M),
    Block("igsm", "op2 op4 op6 op8 op10 op12 op15", "symbol story", "direct", _M),
    Block("igsm", "op4 op8 op12 op15 op18 op21 op25 op30 op40", "symbol story", "cot", _M),
    Block("igsm", "op4-crowded op10-crowded op18-crowded op30-crowded", "story", "cot", _M),
    Block("repair", "find-op2 find-op4 find-op8 find-op12 find-op18", "symbol story", "direct", _M),
    Block("repair", "find-op4 find-op8 find-op12 find-op18 find-op25", "symbol story", "cot", _M),
    Block("years", "y8k1 y8k2 y8k3 y8k4 y8k6", "symbol story", "direct", _M),
    Block("years", "y8k2 y8k4 y8k6 y32k3 y32k6", "story", "cot", _M),
    Block("years", "y8k1-4k y8k2-4k y8k4-4k y8k1-16k y8k2-16k y8k4-16k", "story", "direct cot", _M),
)
"""All families, both channels, from levels that 1B models pass to levels that 70B models fail."""


TABLES: Mapping[str, tuple[Block, ...]] = {"quick": QUICK, "standard": STANDARD}


FULL_N, FULL_LONG_N = 80, 20
"""The suite `full` asks every level in every channel and style, except `free`: items a cell, and
items a cell of levels that are as long as FULL_LONG tokens or longer."""


FULL_LONG = 4000

"""Invented models and their runs: which answer each model gives to each item of a suite."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fathom.harness.stats.ranks import Array
from fathom.tasks.registry import find_family
from fathom.tasks.stream import Stream
from fathom.tasks.suites import Suite
from tests.bench.demo.answers import Bank

_NAMES = (
    "auk", "bittern", "crake", "dipper", "egret", "finch", "godwit", "heron", "ibis", "jay", "kestrel", "linnet",
    "martin", "nuthatch", "osprey", "plover", "quail", "raven", "siskin", "tern", "umber", "vireo", "wren", "yaffle",
)  # fmt: skip
_DTYPES = ("bfloat16", "bfloat16", "bfloat16", "float16", "float8")
_UNFINISHED = {
    "failed": "synthetic: the engine ran out of memory",
    "interrupted": "synthetic: stopped by the user",
    "running": None,
}
_BORN = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
_YEAR = 365 * 24 * 3600

_SMALLEST, _LARGEST = 8.0, 11.6
"""Decimal logarithms of the numbers of parameters: 100 million to 400 billion."""

_EVERY_VARIANT, _EVERY_UNFINISHED, _EVERY_FAULTY = 10, 40, 30
"""One model in this many has more runs; has an unfinished run; lost some requests."""


@dataclass(frozen=True, slots=True)
class ItemTable:
    """What the answers depend on: one value for each item, in the order of cells and indices."""

    seed: str
    cell: Array
    family: Array
    style: Array
    difficulty: Array
    chance: Array
    first: Array
    n_wrong: Array
    labels: Array
    """Label of each answer, as an index into `label_names`; the last answer stands for an engine that failed."""
    label_names: tuple[tuple[str, str], ...]
    """Labels, and how their answers were found."""
    families: tuple[str, ...]
    styles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InventedModel:
    """A model that does not exist."""

    number: int
    name: str
    n_parameters: int
    kind: str


@dataclass(frozen=True, slots=True)
class InventedRun:
    """A run of an invented model; `answers` holds, for each item done, the index of its answer in the bank."""

    id: str
    model: InventedModel
    state: str
    dtype: str
    created_at: dt.datetime
    error: str | None
    answers: Array


def make_item_table(suite: Suite, bank: Bank) -> ItemTable:
    """Give each item a difficulty: that of its level, and an offset that is the same for all models."""
    cells = suite.cells
    sizes = [cell.n for cell in cells]
    families = tuple(dict.fromkeys(cell.family for cell in cells))
    styles = tuple(dict.fromkeys(cell.style for cell in cells))
    labels = [(answer.verdict.label, answer.verdict.found) for answer in bank.answers]
    names = tuple(sorted(set(labels)))
    chances = [
        find_family(cell.family).chance(find_family(cell.family).levels[cell.level], cell.style) for cell in cells
    ]
    own = [_random(suite.seed, "items", cell.family, cell.level, cell.channel).normal(0, 0.8, cell.n) for cell in cells]
    levels = np.array([_height(cell.family, cell.level) for cell in cells])
    return ItemTable(
        suite.seed,
        np.repeat(np.arange(len(cells)), sizes),
        np.repeat([families.index(cell.family) for cell in cells], sizes),
        np.repeat([styles.index(cell.style) for cell in cells], sizes),
        np.repeat(levels, sizes) + np.concatenate(own),
        np.repeat(chances, sizes),
        bank.first, bank.n_wrong, np.array([names.index(label) for label in labels]), names, families, styles,
    )  # fmt: skip


def _height(family: str, level: str) -> float:
    """Return how many times harder than the easiest of its ladder a level is, in doublings."""
    levels = find_family(family).levels
    ladder = [one.hardness for one in levels.values() if one.ladder == levels[level].ladder]
    return float(np.log2(levels[level].hardness / min(ladder)))


def _random(*name: str | int) -> np.random.Generator:
    return np.random.default_rng(Stream("demo", *name).words(4))


def invent_runs(table: ItemTable, number: int) -> Iterator[InventedRun]:
    """Invent a model and yield its runs: one that is done, and for some models more."""
    random = _random(table.seed, "model", number)
    model = _invent(number, random)
    abilities = _abilities(table, model, random)
    states = ["done"] * (1 + (random.integers(1, 3) if random.integers(_EVERY_VARIANT) == 0 else 0))
    if random.integers(_EVERY_UNFINISHED) == 0:
        states.append(str(random.choice(list(_UNFINISHED))))
    for at, state in enumerate(states):
        yield _invent_run(table, model, abilities, state, _random(table.seed, "run", number, at))


def _invent(number: int, random: np.random.Generator) -> InventedModel:
    size = float(f"{10 ** random.uniform(_SMALLEST, _LARGEST):.1e}")
    kind = "chat" if random.random() < 0.6 else "base"
    text = f"{size / 1e9:.3g}b" if size >= 1e9 else f"{size / 1e6:.0f}m"
    name = f"demo/{random.choice(_NAMES)}-{text}-{kind}-{number:04d}"
    return InventedModel(number, name, int(size), kind)


def _abilities(table: ItemTable, model: InventedModel, random: np.random.Generator) -> Array:
    """Return a model's ability on each item, in doublings of hardness."""
    base = 1.15 * (np.log10(model.n_parameters) - 9) + random.normal(0, 0.45)
    by_family = random.normal(0, 0.35, len(table.families))
    by_style = random.normal(0, 0.15, len(table.styles))
    if "cot" in table.styles:
        by_style[table.styles.index("cot")] += 1.0 if model.kind == "chat" else 0.3
    return np.asarray(base + by_family[table.family] + by_style[table.style])


def _invent_run(
    table: ItemTable, model: InventedModel, abilities: Array, state: str, random: np.random.Generator
) -> InventedRun:
    n = len(abilities)
    dtype = str(random.choice(_DTYPES))
    luck = random.normal(-0.15 if dtype == "float8" else 0.0, 0.7, n)
    knows = abilities + luck > table.difficulty
    right = knows | (random.random(n) < table.chance)
    mistake = (random.random(n) ** 1.6 * table.n_wrong).astype(int)  # the likeliest mistakes come first
    answers = table.first + np.where(right, 0, 1 + mistake)
    if random.integers(_EVERY_FAULTY) == 0:
        answers[random.integers(0, n, 5)] = len(table.labels) - 1
    if state != "done":
        answers = answers[: int(random.uniform(0, 0.9) * n)]
    born = _BORN + dt.timedelta(seconds=int(random.integers(_YEAR)))
    run = f"{int(random.integers(1 << 48)):012x}"
    return InventedRun(run, model, state, dtype, born, _UNFINISHED.get(state), answers)

"""Turn a number into an invented model, and into what it answers to each item of a suite."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fathom.harness.stats.ranking import Array
from fathom.tasks.registry import find_family
from fathom.tasks.stream import Stream
from fathom.tasks.suites import Suite
from tests.bench.demo.demo_answers import Bank

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
"""One model in so many has further runs; has one that did not end; lost some requests."""


@dataclass(frozen=True, slots=True)
class Exam:
    """What decides who answers what: one value an item, in the order of cells and indices."""

    seed: str
    cell: Array
    family: Array
    style: Array
    difficulty: Array
    chance: Array
    first: Array
    n_wrong: Array
    labels: Array
    """An answer's label, as its place in `label_names`; the last answer stands for an engine that failed."""
    label_names: tuple[str, ...]
    families: tuple[str, ...]
    styles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Invented:
    """A model that does not exist."""

    number: int
    name: str
    n_parameters: int
    kind: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """A run of an invented model; `answers` are places in the bank, of the items done."""

    run: str
    model: Invented
    state: str
    dtype: str
    created_at: dt.datetime
    error: str | None
    answers: Array


def make_exam(suite: Suite, bank: Bank) -> Exam:
    """Give each item its difficulty: that of its level, and a part of its own that all models meet."""
    cells = suite.cells
    sizes = [cell.n for cell in cells]
    families = tuple(dict.fromkeys(cell.family for cell in cells))
    styles = tuple(dict.fromkeys(cell.style for cell in cells))
    labels = [answer.verdict.label for answer in bank.answers]
    names = tuple(sorted(set(labels)))
    chances = [
        find_family(cell.family).chance(find_family(cell.family).levels[cell.level], cell.style) for cell in cells
    ]
    own = [_random(suite.seed, "items", cell.family, cell.level, cell.channel).normal(0, 0.8, cell.n) for cell in cells]
    levels = np.array([_height(cell.family, cell.level) for cell in cells])
    return Exam(
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


def sit(exam: Exam, number: int) -> Iterator[Sheet]:
    """Invent a model and its runs: one that is done, for some models further ones."""
    random = _random(exam.seed, "model", number)
    model = _invent(number, random)
    talent = _talent(exam, model, random)
    states = ["done"] * (1 + (random.integers(1, 3) if random.integers(_EVERY_VARIANT) == 0 else 0))
    if random.integers(_EVERY_UNFINISHED) == 0:
        states.append(str(random.choice(list(_UNFINISHED))))
    for at, state in enumerate(states):
        yield _sheet(exam, model, talent, state, _random(exam.seed, "run", number, at))


def _invent(number: int, random: np.random.Generator) -> Invented:
    size = float(f"{10 ** random.uniform(_SMALLEST, _LARGEST):.1e}")
    kind = "chat" if random.random() < 0.6 else "base"
    text = f"{size / 1e9:.3g}b" if size >= 1e9 else f"{size / 1e6:.0f}m"
    name = f"demo/{random.choice(_NAMES)}-{text}-{kind}-{number:04d}"
    return Invented(number, name, int(size), kind)


def _talent(exam: Exam, model: Invented, random: np.random.Generator) -> Array:
    """Return a model's ability on each item, in doublings of hardness."""
    base = 1.15 * (np.log10(model.n_parameters) - 9) + random.normal(0, 0.45)
    by_family = random.normal(0, 0.35, len(exam.families))
    by_style = random.normal(0, 0.15, len(exam.styles))
    if "cot" in exam.styles:
        by_style[exam.styles.index("cot")] += 1.0 if model.kind == "chat" else 0.3
    return np.asarray(base + by_family[exam.family] + by_style[exam.style])


def _sheet(exam: Exam, model: Invented, talent: Array, state: str, random: np.random.Generator) -> Sheet:
    n = len(talent)
    dtype = str(random.choice(_DTYPES))
    luck = random.normal(-0.15 if dtype == "float8" else 0.0, 0.7, n)
    knows = talent + luck > exam.difficulty
    right = knows | (random.random(n) < exam.chance)
    mistake = (random.random(n) ** 1.6 * exam.n_wrong).astype(int)  # the likeliest mistakes come first
    answers = exam.first + np.where(right, 0, 1 + mistake)
    if random.integers(_EVERY_FAULTY) == 0:
        answers[random.integers(0, n, 5)] = len(exam.labels) - 1
    if state != "done":
        answers = answers[: int(random.uniform(0, 0.9) * n)]
    born = _BORN + dt.timedelta(seconds=int(random.integers(_YEAR)))
    run = f"{int(random.integers(1 << 48)):012x}"
    return Sheet(run, model, state, dtype, born, _UNFINISHED.get(state), answers)

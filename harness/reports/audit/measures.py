"""Measure a cell: repeated questions, the best constant, the best shortcut, the best classifier, the reader's forms."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from fathom.harness.reports.audit.surface import N_FIT, N_TEST, Guesses, classify
from fathom.harness.stats.intervals import wilson
from fathom.tasks.base import PARAMETRIC, Cell, Family, Instance, Role, grade, level_of, make_instance
from fathom.tasks.stream import Stream

SEEDS = ("2026", "7026")
"""The seeds whose questions are compared; items of the first one are attacked."""
MARGIN = 0.05
"""What a shortcut may earn above the stated chance."""
_MOST_CHARACTERS = 100_000_000
"""Characters of questions that a cell's draws may take together; long questions are drawn less often."""
_FORMS = Path(__file__).parent

Solver = Callable[[str], str]
"""Solves a question from its text alone, by another way than the family's own."""


@dataclass(frozen=True, slots=True)
class Draws:
    """Questions of a cell: how many were drawn, how many differ, and how many stand elsewhere too."""

    n: int
    n_distinct: int
    n_in_other_seed: int
    n_in_shots: int
    n_in_training: int


@dataclass(frozen=True, slots=True)
class CellAudit:
    """What was measured of a cell. `solver` is None where no second solver is given."""

    cell: Cell
    chance: float
    draws: Draws
    constant: Guesses
    shortcuts: tuple[Guesses, ...]
    """The best one first."""
    classifier: Guesses | None
    solver: Guesses | None
    is_one_step: bool
    """Whether the level asks for one step, which the classifier may do: then it is no shortcut."""

    @property
    def best(self) -> Guesses:
        """The attack with the most right answers, as a share."""
        found = (self.constant, *self.shortcuts[:1], *([self.classifier] if self.classifier else []))
        return max(found, key=lambda one: one.k / one.n)

    @property
    def has_shortcut(self) -> bool:
        """Whether an attack beats the stated chance by more than MARGIN, by the lower end of its 95% interval."""
        classifier = [] if self.classifier is None or self.is_one_step else [self.classifier]
        attacks = (self.constant, *self.shortcuts, *classifier)
        return any(wilson(one.k, one.n).low > self.chance + MARGIN for one in attacks)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values: counts, never shares."""
        return {
            "level": self.cell.level, "channel": self.cell.channel, "style": self.cell.style, "chance": self.chance,
            "draws": {name: getattr(self.draws, name) for name in Draws.__slots__},
            "constant": _guesses_json(self.constant), "shortcuts": [_guesses_json(one) for one in self.shortcuts],
            "classifier": self.classifier and _guesses_json(self.classifier),
            "solver": self.solver and _guesses_json(self.solver), "has_shortcut": self.has_shortcut,
            "is_one_step": self.is_one_step,
        }  # fmt: skip


def _guesses_json(one: Guesses) -> dict[str, Any]:
    return {"name": one.name, "k": one.k, "n": one.n}


def audit_cell(family: Family, cell: Cell, n_draws: int, solver: Solver | None = None) -> CellAudit:
    """Measure one cell whose answers are asked for in context.

    Raises:
        UnknownLevel, UnknownStyle: the family has no such cell.
    """
    items = list(islice(_items(family, cell, SEEDS[0]), N_FIT + N_TEST))
    solved = None if solver is None else Guesses("second solver", sum(map(_agrees(family, solver), items)), len(items))
    shortcuts = sorted(_play(family, items, cell.style), key=lambda one: -one.k / one.n)
    level = level_of(family, cell.level)
    return CellAudit(
        cell, family.chance(level, cell.style), count_draws(family, cell, n_draws), _best_constant(family, items),
        tuple(shortcuts), classify(items, cell.style), solved, level.is_one_step,
    )  # fmt: skip


def _items(family: Family, cell: Cell, seed: str, role: Role = "eval") -> Iterator[Instance]:
    at = 0
    while True:
        yield make_instance(family, cell.level, cell.channel, seed, at, role=role)
        at += 1


def _agrees(family: Family, solver: Solver) -> Callable[[Instance], bool]:
    return lambda item: grade(family, item, solver(item.question)).correct


def _best_constant(family: Family, items: Sequence[Instance]) -> Guesses:
    """Return the most frequent gold of half of the items, played on the other half."""
    half = len(items) // 2
    answer, _ = Counter(item.gold for item in items[:half]).most_common(1)[0]
    k = sum(grade(family, item, answer).correct for item in items[half:])
    return Guesses(f"always {answer[:40]}", k, len(items) - half)


def _play(family: Family, items: Sequence[Instance], style: str) -> Iterator[Guesses]:
    """Play the family's named shortcuts, and its own guesser."""
    for shortcut in family.shortcuts:
        if style in shortcut.styles:
            said = [shortcut.answer(item, style) or "" for item in items]
            k = sum(_is_right(family, item, one, style) for item, one in zip(items, said, strict=True))
            yield Guesses(shortcut.name, k, len(items))
    guesses = [family.guess(item, style, Stream("audit", item.id)) for item in items]
    k = sum(_is_right(family, item, said, style) for item, said in zip(items, guesses, strict=True))
    yield Guesses("the family's guesser", k, len(items))


def _is_right(family: Family, item: Instance, said: str, style: str) -> bool:
    return said == item.gold if style == "choice" else grade(family, item, said).correct


def count_draws(family: Family, cell: Cell, n: int) -> Draws:
    """Draw questions of a cell, at most as many as _MOST_CHARACTERS allow, and count those that are not new.

    A question is compared without its instruction, as a digest of its text. Shots are the first hundred of a run with
    the same seed; training text is the cell's own lessons, as many as there are draws, at most 10,000.
    """
    n = max(100, min(n, _MOST_CHARACTERS // max(1, len(next(_items(family, cell, SEEDS[0])).question))))
    seen = {hash(item.question) for item in islice(_items(family, cell, SEEDS[0]), n)}
    other = sum(hash(item.question) in seen for item in islice(_items(family, cell, SEEDS[1]), n))
    shots = sum(hash(item.question) in seen for item in islice(_items(family, cell, SEEDS[0], "shot"), min(n, 100)))
    taught = _items(family, cell, SEEDS[0], "train")
    trained = sum(hash(item.question) in seen for item in islice(taught, min(n, 10_000)))
    return Draws(n, len(seen), other, shots, trained)


@cache
def read_forms(name: str) -> tuple[dict[str, Any], ...]:
    """Return the texts that models end their answers with: "right" ones commit to {g}, "wrong" ones do not."""
    return tuple(json.loads((_FORMS / f"{name}_forms.json").read_text(encoding="utf-8")))


def misread_forms(family: Family, items: Sequence[Instance], wrong_answers: Sequence[str]) -> tuple[Guesses, Guesses]:
    """Return how many right forms are not accepted, and how many wrong ones are, over all forms and items."""
    counts = []
    for name, is_right in (("right", True), ("wrong", False)):
        forms = [form for form in read_forms(name) if family.name not in form.get("but_not", ())]
        texts = [
            (item, form["text"].replace("{g}", item.gold).replace("{w}", other))
            for form in forms
            for item, other in zip(items, wrong_answers, strict=True)
        ]
        missed = sum(grade(family, item, text).correct != is_right for item, text in texts)
        counts.append(Guesses(f"{name} forms misread", missed, len(texts)))
    return counts[0], counts[1]


def is_asked_in_context(styles: Sequence[str]) -> bool:
    """Return whether a level's questions can be attacked: those about trained memory cannot."""
    return not set(styles) & set(PARAMETRIC)

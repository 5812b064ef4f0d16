"""The ladders of an adaptive suite: what was answered on each, and what to ask next."""

from collections.abc import Sequence
from dataclasses import dataclass

from fathom.harness.errors import BadInput
from fathom.harness.stats.depth import Design, Step, next_step
from fathom.harness.stats.intervals import Rung
from fathom.tasks.base import level_of
from fathom.tasks.registry import find_family
from fathom.tasks.suites import Suite, ladder_of

_IN_FLIGHT = 256
"""Requests that keep an engine busy, if there are ladders enough."""
_BATCHES = (8, 32)
"""Items of a batch at least and at most. Larger batches choose worse, smaller ones leave the engine idle."""
_GIVE_UP = 32
"""Items on which the engine failed, without an answer, after which a ladder ends."""


@dataclass(slots=True)
class LadderProgress:
    """A ladder in one channel and style, while it is measured."""

    cells: tuple[int, ...]
    """Positions of its cells in the suite, easiest first."""
    rungs: list[Rung]
    n_asked: list[int]
    """Items asked at each rung, with those on which the engine failed."""

    def step(self, design: Design) -> Step:
        """Return what to ask next."""
        n_asked, n_graded = sum(self.n_asked), sum(rung.n for rung in self.rungs)
        if n_asked >= design.max_items:
            return Step(reason="spent")
        if n_asked >= _GIVE_UP and not n_graded:
            return Step(reason="failed")
        return next_step(self.rungs, design)

    def count(self, rung: int, right: Sequence[bool | None]) -> None:
        """Add the verdicts of a batch; None where the engine failed."""
        graded = [one for one in right if one is not None]
        old = self.rungs[rung]
        self.rungs[rung] = Rung(old.hardness, old.k + sum(graded), old.n + len(graded), old.chance)
        self.n_asked[rung] += len(right)


def open_ladders(suite: Suite) -> list[LadderProgress]:
    """Return the ladders of a suite, in each channel and style, without answers.

    Raises:
        BadInput: a ladder has one level only, or too few items for all of its levels, or its answers are not right or
            wrong.
    """
    positions: dict[tuple[str, ...], list[int]] = {}
    for at, cell in enumerate(suite.cells):
        positions.setdefault((cell.style, *ladder_of(cell), cell.channel), []).append(at)
    found = []
    for (style, name, ladder, _), cells in positions.items():
        family = find_family(name)
        levels = {at: level_of(family, suite.cells[at].level) for at in cells}
        order = sorted(cells, key=lambda at: levels[at].hardness)
        rungs = [Rung(levels[at].hardness, 0, 0, family.chance(levels[at], style)) for at in order]
        if style in ("free", "bits"):
            raise BadInput(f"depth is found from right and wrong answers, and the style {style} has none: leave it out")
        if len({rung.hardness for rung in rungs}) < 2:
            raise BadInput(
                f"depth is found from several levels of a ladder, and only one of {name} {ladder} is asked: name more "
                "with --levels, or none"
            )
        if (n := suite.cells[cells[0]].n) < (least := Design().first * len(rungs)):
            raise BadInput(
                f"{n} items are too few for the {len(rungs)} levels of {name} {ladder}: give {least} or more, with "
                "--max-items or --n"
            )
        found.append(LadderProgress(tuple(order), rungs, [0] * len(order)))
    return found


def design_of(suite: Suite, precision: float) -> Design:
    """Return the design of a run: its batches are as large as the number of ladders asks for."""
    smallest, largest = _BATCHES
    n_ladders = len(open_ladders(suite))
    batch = min(largest, max(smallest, -(-_IN_FLIGHT // n_ladders)))
    return Design(precision, suite.cells[0].n, batch)

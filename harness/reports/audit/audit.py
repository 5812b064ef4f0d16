"""Audit a family: measure its cells, say what was found, and keep it as JSON."""

import datetime as dt
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from rich.table import Table
from rich.text import Text

from fathom.harness.errors import BadInput
from fathom.harness.format import count, percent, plural
from fathom.harness.reports.audit.measures import (
    CellAudit,
    Solver,
    audit_cell,
    is_asked_in_context,
    misread_forms,
)
from fathom.harness.reports.audit.surface import Guesses
from fathom.tasks.base import Cell, Family, Instance, channels_of, grade, level_of, make_instance, styles_of
from fathom.tasks.stream import Stream

_ATTACKED = ("direct", "choice")
"""Styles that are attacked; in the style `cot` the questions and answers are those of `direct`."""
_FORM_ITEMS = 3
_FORM_LEVELS = 2


@dataclass(frozen=True, slots=True)
class FamilyAudit:
    """What was measured of a family, when, and of which version."""

    family: str
    version: int
    date: str
    n_draws: int
    cells: tuple[CellAudit, ...]
    forms: tuple[Guesses, ...]
    """Right answers in common forms that are not accepted, and wrong ones that are."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; `read_audit` of the board's pages reads them."""
        return {
            "family": self.family, "version": self.version, "date": self.date, "n_draws": self.n_draws,
            "cells": [cell.to_json() for cell in self.cells],
            "forms": [{"name": one.name, "k": one.k, "n": one.n} for one in self.forms],
        }  # fmt: skip


def cells_to_audit(family: Family, levels: Sequence[str]) -> list[Cell]:
    """Return the cells of some levels, or of all levels whose questions are asked in context.

    Raises:
        UnknownLevel: the family has no such level.
        BadInput: nothing is left, as the questions are about trained memory.
    """
    named = [level_of(family, level) for level in levels] or list(family.levels.values())
    found = [
        Cell(family.name, level.name, channel, style)
        for level in named
        if is_asked_in_context(styles_of(family, level))
        for channel in channels_of(family, level)
        for style in styles_of(family, level)
        if style in _ATTACKED
    ]
    if not found:
        raise BadInput(f"{family.name} asks about trained memory there: only questions with all facts can be attacked")
    return found


def audit_family(
    family: Family, cells: Sequence[Cell], n_draws: int, tell: Callable[[str], None], solver: Solver | None = None
) -> FamilyAudit:
    """Measure cells one after the other; `tell` hears of each before it begins."""
    measured = []
    for at, cell in enumerate(cells, 1):
        tell(f"{at} of {len(cells)}: {cell.level} {cell.channel} {cell.style}")
        measured.append(audit_cell(family, cell, n_draws, solver))
    today = dt.datetime.now(dt.UTC).date().isoformat()
    return FamilyAudit(family.name, family.version, today, n_draws, tuple(measured), _audit_forms(family, cells))


def _audit_forms(family: Family, cells: Sequence[Cell]) -> tuple[Guesses, ...]:
    """Read common forms of right and wrong answers to a few items of up to _FORM_LEVELS of the cells."""
    asked = list({(cell.level, cell.channel): cell for cell in cells if cell.style == "direct"}.values())
    found: list[tuple[Guesses, Guesses]] = []
    for cell in asked[:: max(1, len(asked) // _FORM_LEVELS)][:_FORM_LEVELS]:
        items = [make_instance(family, cell.level, cell.channel, "77", at) for at in range(_FORM_ITEMS)]
        golds = [make_instance(family, cell.level, cell.channel, "78", at).gold for at in range(100)]
        others = [
            next((said for said in other_answers(family, item, golds) if not grade(family, item, said).correct), "")
            for item in items
        ]
        found.append(misread_forms(family, items, others))
    return tuple(
        Guesses(some[0].name, sum(one.k for one in some), sum(one.n for one in some))
        for some in zip(*found, strict=True)
    )


def other_answers(family: Family, item: Instance, golds: Sequence[str]) -> Iterator[str]:
    """Yield what else an item's answer might be: candidates, guesses, and right answers to other items."""
    yield from item.choices
    yield from (family.guess(item, "direct", Stream("audit", item.id, at)) for at in range(20))
    yield from golds


def load_solver(name: str) -> Solver:
    """Return the function `module:function`, looked for in the current folder too.

    Raises:
        BadInput: there is none.
    """
    module, _, function = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Solver = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadInput(f"--solver {name}: {error}: give module:function, which takes a question's text") from error
    return found


def render_audit(audit: FamilyAudit) -> Iterator[Table | Text]:
    """Yield what an audit found as a table, and a sentence on each thing to mend."""
    table = Table(title=f"{audit.family} version {audit.version}, audited {audit.date}", title_justify="left")
    for head, is_number in _HEADS:
        table.add_column(head, justify="right" if is_number else "left")
    for cell in audit.cells:
        table.add_row(*_row(cell), style="red" if cell.has_shortcut else None)
    yield table
    for form in audit.forms:
        yield Text(f"{form.name}: {count(form.k)} of {count(form.n)}")
    flawed = [cell for cell in audit.cells if cell.has_shortcut]
    if any(cell.is_one_step for cell in audit.cells):
        yield Text("*: one step is the whole task here, and the classifier does it", "dim")
    for cell in flawed:
        best = cell.best
        where = f"{cell.cell.level} {cell.cell.channel} {cell.cell.style}"
        yield Text(f"{where}: {best.name} gets {_share(best)}, chance is stated as {percent(cell.chance, 1)}", "red")
    yield Text(
        f"{plural(len(flawed), 'cell')} of {len(audit.cells)} can be answered better than chance without the task"
        if flawed
        else f"nothing beats the stated chance by more than 5 points in {plural(len(audit.cells), 'cell')}"
    )


_HEADS = (
    ("level", False), ("channel", False), ("style", False), ("chance", True), ("best constant", True),
    ("best shortcut", False), ("", True), ("classifier", True), ("second solver", True), ("different", True),
    ("in other seed", True), ("in shots", True), ("in training", True),
)  # fmt: skip


def _row(cell: CellAudit) -> tuple[str, ...]:
    draws, shortcut = cell.draws, cell.shortcuts[0]
    return (
        cell.cell.level, cell.cell.channel, cell.cell.style, percent(cell.chance, 1), _share(cell.constant),
        shortcut.name, _share(shortcut),
        _share(cell.classifier) + "*" * cell.is_one_step if cell.classifier else "none fits",
        f"{count(cell.solver.k)} of {count(cell.solver.n)}" if cell.solver else "not given",
        f"{count(draws.n_distinct)} of {count(draws.n)}", count(draws.n_in_other_seed), count(draws.n_in_shots),
        count(draws.n_in_training),
    )  # fmt: skip


def _share(one: Guesses) -> str:
    return percent(one.k / one.n, 1)


def audit_text(audit: FamilyAudit) -> str:
    """Return an audit as the text of a JSON file."""
    return json.dumps(audit.to_json(), indent=1, ensure_ascii=False) + "\n"

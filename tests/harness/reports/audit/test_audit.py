"""An audit finds what was planted, and nothing where there is nothing to find."""

import json
from dataclasses import dataclass
from typing import ClassVar

import pytest

from fathom.harness.errors import BadInput
from fathom.harness.reports.audit.audit import audit_family, audit_text, cells_to_audit, load_solver, render_audit
from fathom.harness.reports.audit.measures import count_draws
from fathom.harness.reports.console import make_console
from fathom.tasks.answers.kinds import Names
from fathom.tasks.base import CUT_OFF, NO_ANSWER, Cell, Level, Problem, Shortcut, Verdict
from fathom.tasks.registry import find_family
from fathom.tasks.words import CODE_SHAPE, codes

SIZE = 6


@dataclass(frozen=True)
class Planted:
    """Ask for one of six codes: which one, nothing tells, unless `flaw` says so."""

    flaw: str = ""
    name: str = "planted"
    version: int = 3
    title: str = "Guess a code"
    part: str = "Reasoning"
    summary: str = "Guess one of six codes."
    reference: str = "none"
    unit: str = "codes"
    channels: tuple[str, ...] = ("symbol",)
    styles: tuple[str, ...] = ("direct", "choice")
    grading: str = "The code."
    labels: ClassVar[dict[str, str]] = {"other": "Another code.", "no_answer": NO_ANSWER, "cut_off": CUT_OFF}
    shortcuts: tuple[Shortcut, ...] = (
        Shortcut("the first", "Answers the first code.", lambda item, _style: item.facts["codes"][0]),
    )
    levels: ClassVar[dict[str, Level]] = {"n6": Level("n6", 6, {"n": SIZE})}

    def generate(self, level, channel, stream):
        shown = codes(stream, 2 if self.flaw == "few" else SIZE)
        gold = shown[0] if self.flaw == "first" else stream.choice(shown)
        told = [*shown, gold] if self.flaw == "twice" else [*shown, stream.choice(shown)]
        if self.flaw == "same":
            return Problem("Codes: AB CD EF GH IJ KL. Guess one.", "AB", ("AB", "CD"), {"codes": ["AB", "CD"]})
        return Problem(f"Codes: {' '.join(told)}. Guess one.", gold, tuple(shown), {"codes": shown})

    def instruction(self, _instance, _style):
        return "Reply with the code only."

    def solution(self, instance):
        return ""

    def lesson(self, level, channel, style, stream):
        return []

    def answer_kind(self, instance):
        return Names(instance.facts["codes"], (), CODE_SHAPE)

    def judge(self, instance, answer, _text):
        right = answer == instance.gold
        return Verdict(right, answer, "correct" if right else "other")

    def guess(self, instance, _style, stream):
        return stream.choice(instance.choices)

    def chance(self, level, style):
        return 1 / SIZE

    def budget(self, level, style):
        return 16


CELLS = [Cell("planted", "n6", "symbol", "direct"), Cell("planted", "n6", "symbol", "choice")]


def audit(flaw, cells=CELLS[:1], solver=None):
    return audit_family(Planted(flaw), cells, 1_000, lambda _line: None, solver)


def printed(found):
    console = make_console()
    console.width = 200
    with console.capture() as said:
        for part in render_audit(found):
            console.print(part)
    return said.get()


def test_a_family_without_a_shortcut_is_said_to_have_none():
    found = audit("", CELLS)
    assert [cell.has_shortcut for cell in found.cells] == [False, False]
    assert "nothing beats the stated chance by more than 5 points in 2 cells" in printed(found)


@pytest.mark.parametrize(("flaw", "attack"), [("twice", "candidates"), ("first", "the first")])
def test_a_planted_shortcut_is_found_and_named(flaw, attack):
    found = audit(flaw)
    (cell,) = found.cells
    assert cell.has_shortcut
    assert (cell.best.name, cell.best.k / cell.best.n > 0.9) == (attack, True)
    assert f"{attack} gets" in printed(found)


def test_repeated_questions_are_counted():
    drawn = count_draws(Planted("same"), CELLS[0], 500)
    assert (drawn.n, drawn.n_distinct, drawn.n_in_other_seed) == (500, 1, 500)
    assert (drawn.n_in_shots, drawn.n_in_training) == (100, 500)


def test_a_second_solver_is_asked_and_its_agreement_printed():
    found = audit("first", solver=lambda question: question.split()[1])
    assert found.cells[0].solver.k == found.cells[0].solver.n == 3_000
    assert "3,000 of 3,000" in printed(found)


def test_an_audit_is_json_and_counts_misread_forms():
    found = json.loads(audit_text(audit("")))
    assert (found["family"], found["version"], len(found["cells"])) == ("planted", 3, 1)
    assert [form["k"] for form in found["forms"]] == [0, 0]
    assert min(form["n"] for form in found["forms"]) > 100


def test_questions_about_memory_are_not_audited_and_unknown_solvers_refused():
    with pytest.raises(BadInput, match="trained memory"):
        cells_to_audit(find_family("capo"), ())
    for name in ("nowhere:solve", "json:solve", "json"):
        with pytest.raises(BadInput, match="module:function"):
            load_solver(name)


@pytest.mark.turns(2)
def test_the_command_exits_with_1_where_a_shortcut_pays(fathom, tmp_path, monkeypatch):
    from fathom.tasks import registry

    known = registry.all_families()
    for flaw, code in (("", 0), ("first", 1)):
        monkeypatch.setattr(registry, "find_family", lambda name, flaw=flaw: {**known, "planted": Planted(flaw)}[name])
        done = fathom("audit", "planted", "--level", "n6", "--draws", 100, "--out", tmp_path / "a.json")
        assert done.returncode == code, done.stderr
        assert json.loads((tmp_path / "a.json").read_text())["family"] == "planted"

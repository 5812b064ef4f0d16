"""Questions about invented people whose biographies are in the prompt: find, combine and count facts.

k people are described, one per line, each with six attributes (`people/population.py`), as biographies in prose or as
records. The mode says what is asked: one attribute (extract), a part of the date of birth (partial), two attributes in
either order (dual), a property of one (classify), who of two was born first or last (compare), the months between two
births (subtract), who has an attribute (inverse), how many have it (count). Everything asked is in the prompt: this is
not what closed-book questions measure after training on such texts, and the two are never mixed in one score.

Hardness: biographies shown. Chance: a guesser that knows what is asked, but not about whom; where two things are asked,
one that looks at the first only.

Reference: Allen-Zhu and Li, Physics of Language Models 3.1 and 3.2 (arXiv 2309.14316, 2309.14402).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from fathom.tasks.answers.kinds import AnswerKind
from fathom.tasks.base import (
    CUT_OFF,
    N_CHOICES,
    NO_ANSWER,
    Cell,
    Instance,
    Level,
    Part,
    Problem,
    Shortcut,
    Verdict,
    candidates,
    example_line,
    write_lesson,
    write_lessons,
)
from fathom.tasks.people.answer_kinds import kind_of_answer
from fathom.tasks.people.biography import show_people
from fathom.tasks.people.diagnosis import label_judgement, label_pair, label_value
from fathom.tasks.people.examples import answer_noun, draw_example
from fathom.tasks.people.population import (
    ATTRIBUTE_DIGITS,
    ATTRIBUTES,
    CITIES,
    Person,
    birth_key,
    fits,
    full_names,
    months_apart,
    person_of,
    show_attribute,
)
from fathom.tasks.people.questions import (
    COUNTS,
    MODES,
    N_MONTHS_APART,
    N_RESIDUES,
    N_SHOWN_MONTHS,
    NOUNS,
    SIDE_OF_CANDIDATES,
    SIDES,
    YEARS_APART,
    ask_attribute,
    draw_bio_question,
    n_shown,
)
from fathom.tasks.people.shortcuts import SHORTCUTS, all_counts, said_of, some_with, years_only
from fathom.tasks.probes import END, Asked, Passage, ProbeSet, Reading, Variable, last_of
from fathom.tasks.stream import Stream
from fathom.tasks.words import codes

_SIZES = (2, 5, 20, 100)
_LARGE_SIZES = (300, 1_000)
_LARGE = ("extract", "inverse", "count")
_TWO = ("extract", "partial", "dual", "classify")
"""Modes that two people are enough for."""

_SHORT_CODES = 300
"""Most people whose codes have two letters."""

_Row = Mapping[str, Any]
_Facts = Mapping[str, Any]


def _levels() -> dict[str, Level]:
    table = [
        Level(
            f"{mode}-k{k}", k, {"mode": mode, "k": k}, ladder="main" if mode == "extract" else mode,
            is_one_step=mode == "extract",
        )
        for mode in MODES
        for k in (*_SIZES, *(_LARGE_SIZES if mode in _LARGE else ()))
        if k > 2 or mode in _TWO
    ]  # fmt: skip
    return {level.name: level for level in table}


def _direct(mode: str, k: int) -> float:
    sizes = [ATTRIBUTE_DIGITS[name].size if name in ATTRIBUTE_DIGITS else len(CITIES) for name in ATTRIBUTES]
    return {
        "extract": sum(1 / n_shown(k, size) for size in sizes) / len(sizes),
        "partial": (1 / k + 1 / min(k, N_SHOWN_MONTHS)) / 2,
        "dual": 1 / k,
        "classify": (1 / 2 + 1 / 2 + 1 / min(k, N_RESIDUES - 1)) / 3,
        "compare": 1 / 2,
        "subtract": 1 / (len(YEARS_APART) * N_MONTHS_APART),
        "inverse": 1 / SIDES.get(k, 1),
        "count": 1 / _n_counts(k),
    }[mode]


def _choice(mode: str, k: int) -> float:
    """Return the accuracy among candidates; of 9 candidates less one, two attributes leave 2 or 3 each."""
    n_rows = SIDE_OF_CANDIDATES
    short = (n_rows - 1) / (n_rows**2 - 1)  # share of the cells left out that are in the row of the gold
    return {
        "classify": 1 / 2,
        "compare": 1 / 2,
        "subtract": 2 / N_CHOICES,
        "inverse": 1 / 2 if SIDES.get(k) == 2 else short / (n_rows - 1) + (1 - short) / n_rows,
        "count": 1 / min(_n_counts(k), N_CHOICES),
    }.get(mode, 1 / min(k, N_CHOICES))


def _n_counts(k: int) -> int:
    return len(COUNTS[k][0]) if k in COUNTS else 1


_CONSTANT_DIFFERENCE = str(12 * YEARS_APART[len(YEARS_APART) // 2] + 5)
"""One of the most frequent answers to `subtract`."""

_TELLS = {
    "date": "{} was born on {}",
    "city": "{} was born in {}",
    "university": "{} studied at {}",
    "major": "{} studied {}",
    "employer": "{} worked for {}",
    "work_city": "{} worked in {}",
}


def _tell(who: Person, attribute: str) -> str:
    return _TELLS[attribute].format(who.name, show_attribute(who, attribute))


def _find(people: Sequence[_Row], name: str) -> Person:
    return person_of(next(row for row in people if row["name"] == name))


def _steps_of_pair(facts: _Facts, one: Person, two: Person) -> str:
    if facts["operation"] == "compare":
        life = facts["scale"] == "life"
        first, second = (
            show_attribute(who, "date") if life else f"{who.day} {show_attribute(who, 'month')}" for who in (one, two)
        )
        relation = "before" if birth_key(one, facts["scale"]) < birth_key(two, facts["scale"]) else "after"
        aside = "" if life else "Without the years, "
        return f"{_tell(one, 'date')}. {_tell(two, 'date')}. {aside}{first} comes {relation} {second}."
    early, late = sorted((one, two), key=lambda who: birth_key(who, "life"))
    years, months = late.year - early.year, late.month - early.month
    return (
        f"{_tell(early, 'date')}, in month {early.month} of {early.year}. "
        f"{_tell(late, 'date')}, in month {late.month} of {late.year}. "
        f"{late.year} - {early.year} = {years} and {late.month} - {early.month} = {months}. "
        f"12 * {years} {'+' if months > 0 else '-'} {abs(months)} = {months_apart(one, two)}."
    )


def _steps_of_one(facts: _Facts, who: Person) -> str:
    """Quote what the text says about the one person asked about, and conclude."""
    operation = facts["operation"]
    if operation in ("extract", "dual"):
        return f"The text says that {' and that '.join([_tell(who, asked) for asked in facts['attributes']])}."
    if operation == "listed":
        found = "is" if who.major in facts["list"] else "is not"
        return f"The text says that {_tell(who, 'major')}. That {found} on the list."
    born = f"The text says that {_tell(who, 'date')}."
    if operation == "partial":
        part = facts["attributes"][0]
        return f"{born} So the {part} is {show_attribute(who, part)}."
    numbered = f"{born} {show_attribute(who, 'month')} is month {who.month}"
    if operation == "even":
        return f"{numbered}, and {who.month} is {'odd' if who.month % 2 else 'even'}."
    return f"{numbered}, and {who.month} = 6 * {who.month // N_RESIDUES} + {who.month % N_RESIDUES}."


@dataclass(frozen=True)
class Bios:
    """The family `bios`; see the module's docstring."""

    name: str = "bios"
    version: int = 2
    title: str = "Answer from biographies"
    part: Part = "Knowledge"
    summary: str = "Answer a question about k invented people whose biographies are in the prompt."
    reference: str = "Physics of Language Models 3.1 and 3.2 (arXiv 2309.14316, 2309.14402), bioS, asked in the context"
    unit: str = "biographies"
    channels: tuple[str, ...] = ("symbol", "story")
    styles: tuple[str, ...] = ("direct", "cot", "choice")
    labels: ClassVar[Mapping[str, str]] = {
        "other_person": "The right attribute of somebody else; or a person who does not fit.",
        "other_attribute": "Another attribute of the right person.",
        "swapped": "Both values are right, but in the wrong order.",
        "near_value": "A number, month or year off by one, or a date with one part wrong.",
        "wrong": "Another possible value.",
        "not_in_domain": "Not a possible answer to this question.",
        "no_answer": NO_ANSWER,
        "cut_off": CUT_OFF,
    }
    shortcuts: ClassVar[tuple[Shortcut, ...]] = SHORTCUTS
    grading: str = (
        "Capitals do not matter. A semicolon separates two facts. Where a person is searched for, everybody who "
        "fits is right."
    )

    @cached_property
    def levels(self) -> dict[str, Level]:
        """Eight modes, each with k = 2 (where two people are enough), 5, 20 and 100 biographies; three up to 1,000."""
        return _levels()

    def generate(self, level: Level, channel: str, stream: Stream) -> Problem:
        """Draw names, people with a question, and the wording of their texts."""
        mode, k = str(level.axes["mode"]), int(level.axes["k"])
        symbol = channel == "symbol"
        names = codes(stream, k, 2 if k <= _SHORT_CODES else 3) if symbol else full_names(stream, k)
        made = draw_bio_question(stream, mode, names, "code" if symbol else "full name")
        choices = candidates(stream, made.gold, made.wrong)
        facts = {"people": [who._asdict() for who in made.people], **made.facts}
        shown = show_people(made.people, channel, stream)
        example = draw_example(stream, made.people, facts)
        if example is not None:
            facts["example"] = example
        return Problem(f"{shown}\n{made.question}", made.gold, choices, facts)

    def instruction(self, instance: Instance, style: str) -> str:
        """Ask for the answer alone, or for steps and a last line with it; questions say its form."""
        noun = answer_noun(instance.facts)
        if style != "cot":
            return f"Reply with {noun} only."
        shown = f", for example: {example_line(instance)}" if "example" in instance.facts else " and a colon."
        return f"Go step by step. Then end with a line that gives {noun} after the word Answer{shown}"

    def solution(self, instance: Instance) -> str:
        """Quote what the texts say about the people asked about, then conclude."""
        facts = instance.facts
        people, operation = facts["people"], facts["operation"]
        if operation in ("compare", "subtract"):
            one, two = (_find(people, name) for name in facts["asked"])
            return _steps_of_pair(facts, one, two)
        if operation == "count":
            found = [row["name"] for row in people if fits(person_of(row), facts["wanted"])]
            return f"Born in {facts['wanted']['city']}: {', '.join(found)}. Counted, that is {len(found)}."
        if operation == "inverse":
            who = _find(people, instance.gold)
            told = " and that ".join([_tell(who, wanted) for wanted in facts["wanted"]])
            return f"The text says that {told}."
        return _steps_of_one(facts, _find(people, facts["asked"][0]))

    def lesson(self, level: Level, channel: str, style: str, stream: Stream) -> list[tuple[str, str]]:
        """Write one problem; in the mode `extract`, ask for several attributes of the same people."""
        if level.axes["mode"] != "extract":
            return write_lesson(self, level, channel, style, stream)
        problem = self.generate(level, channel, stream)
        shown, people = problem.question.rpartition("\n")[0], [person_of(row) for row in problem.facts["people"]]
        problems = (
            Problem(f"{shown}\n{question}", gold, (), self._facts_of_lesson(problem, who, attribute, stream))
            for who, attribute in stream.shuffle([(who, attribute) for who in people for attribute in ATTRIBUTES])
            for question, gold in [ask_attribute(who, attribute)]
        )
        return write_lessons(self, Cell(self.name, level.name, channel, style), shown, problems)

    def _facts_of_lesson(self, problem: Problem, who: Person, attribute: str, stream: Stream) -> dict[str, Any]:
        facts = {**problem.facts, "attributes": [attribute], "asked": [who.name]}
        return {**facts, "example": draw_example(stream, [], facts)}

    def answer_kind(self, instance: Instance) -> AnswerKind:
        """Return what the question asks for: values of attributes, a name, a number, yes or no."""
        return kind_of_answer(instance.facts)

    def judge(self, instance: Instance, answer: str, text: str) -> Verdict:
        """Compare with the gold, ignoring case; any person who fits is right."""
        facts, gold, low = instance.facts, instance.gold.lower(), answer.lower()
        operation = facts["operation"]
        if low == gold or (
            operation == "inverse"
            and any(row["name"].lower() == low and fits(person_of(row), facts["wanted"]) for row in facts["people"])
        ):
            return Verdict(True, answer, "correct")
        if operation == "dual":
            label, at = label_pair(facts, gold, low)
            return Verdict(False, answer, label, at)
        if operation in ("extract", "partial"):
            return Verdict(False, answer, label_value(facts, facts["attributes"][0], low))
        return Verdict(False, answer, label_judgement(facts, gold, low))

    def guess(self, instance: Instance, style: str, stream: Stream) -> str:
        """Return a random candidate, or a random person's value; of two things asked, look at the first only."""
        facts = instance.facts
        people, operation = facts["people"], facts["operation"]
        if operation == "inverse":
            return some_with(instance, style, 0, stream)
        if operation == "subtract":
            return years_only(instance, style, stream) if style == "choice" else _CONSTANT_DIFFERENCE
        if style == "choice":
            return stream.choice(instance.choices)
        if operation == "compare":
            return str(stream.choice(facts["asked"]))
        if operation in ("even", "listed"):
            return stream.choice(("yes", "no"))
        if operation == "count":
            return str(stream.choice(all_counts(instance)))
        return said_of(person_of(stream.choice(people)), facts) or ""

    def chance(self, level: Level, style: str) -> float:
        """Return the accuracy of a guesser that knows what is asked, but not about whom.

        It gives any person's value, or any candidate; values are equally frequent. Yes and no, remainders and counts
        are balanced, so neither a constant nor the majority helps; classify is the mean of its three questions.
        Inverse: somebody who has the first of two attributes. Subtract: the most frequent number of months; among
        candidates, one that fits the years, or the months.
        """
        mode, k = str(level.axes["mode"]), int(level.axes["k"])
        return _choice(mode, k) if style == "choice" else _direct(mode, k)

    def budget(self, level: Level, style: str) -> int:
        """Return the tokens of a sentence with two values, or of a look at one person, or at each of all people."""
        if style != "cot":
            return 128 if style == "direct" else 1
        walks = level.axes["mode"] in ("inverse", "count")
        k = int(level.axes["k"])
        return 448 + (64 * k if walks else 8 * min(k, 100))


FAMILY = Bios()

_READ = ("city", "major", "employer")


def _write_attributes(asked: Asked) -> Passage:
    """Read attributes of the person at the name in the question, and what is asked for there and at the end."""
    facts, question = asked.instance.facts, asked.instance.question
    name = facts["asked"][0]
    people, who = [person_of(row) for row in facts["people"]], _find(facts["people"], name)
    at, readings = last_of(question, name), []
    wanted = [("asked", facts["attributes"][0], at), ("asked", facts["attributes"][0], END)]
    for variable, attribute, here in [*wanted, *((one, one, at) for one in _READ)]:
        options = tuple(asked.stream.shuffle(dict.fromkeys(show_attribute(one, attribute) for one in people)))
        place = "name in the question" if here == at else "end of the prompt"
        label = show_attribute(who, attribute)
        if len(options) > 1:
            readings.append(Reading(variable, place, here, label, name, options, str(len(options))))
    return Passage(asked.prompt, "", tuple(readings))


PROBES = (
    ProbeSet(
        "bios.k5", Cell("bios", "extract-k5", "symbol", "direct"),
        {"asked": Variable("match", "the attribute asked for", is_asked=True, can_be_said=True),
         **{one: Variable("match", f"the {NOUNS[one].partition(' (')[0].removeprefix('the ')} of the person")
            for one in _READ}},
        {"name in the question": "at the name in the question", "end of the prompt": "before the answer"},
        _write_attributes,
    ),
)  # fmt: skip

"""Closed-book questions about people whose biographies a model was trained on; the prompt says nothing about them.

The people form one population: that of the run's seed, which is the seed of the corpus the model read. Half of them
occur in its question-and-answer text; questions are about the other half. The number of people of a level must be that
of the corpus. With a hint, the answer first states the facts that it depends on.

Hardness: people. Chance: the most frequent answer to the kind of question.

Reference: Allen-Zhu and Li, Physics of Language Models 3.1 (arXiv 2309.14316) and 3.2 (arXiv 2309.14402).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from fathom.tasks.answers.kinds import AnswerKind, FirstLine
from fathom.tasks.base import CUT_OFF, NO_ANSWER, Cell, Instance, Level, Part, Problem, Shortcut, Verdict
from fathom.tasks.people.biography import write_record
from fathom.tasks.people.closed_book import (
    EXTRACTS,
    HINT_SEPARATOR,
    HINTED_KINDS,
    Crowd,
    choose_crowd,
    draw_question,
    question_document,
    read_decision,
)
from fathom.tasks.people.diagnosis import label_judgement, label_pair, label_value
from fathom.tasks.people.population import (
    ATTRIBUTE_DIGITS,
    ATTRIBUTES,
    CITIES,
    EMPLOYERS,
    EMPLOYERS_BY_CITY,
    MAJORS,
    MONTHS,
    N_YEARS,
    POPULATIONS,
    UNIVERSITIES,
    Population,
    fits,
    person_of,
    show_attribute,
)
from fathom.tasks.people.questions import N_RESIDUES, join_values
from fathom.tasks.probes import Asked, Passage, ProbeSet, Reading, Variable, last_of
from fathom.tasks.stream import Stream

KINDS_BY_LEVEL: Mapping[str, tuple[str, ...]] = {
    "extract": EXTRACTS,
    "year": ("partial-year",),
    "month": ("partial-month",),
    "dual": ("dual",),
    "parity": ("classify-even",),
    "remainder": ("classify-remainder",),
    "listed": ("classify-listed",),
    "compare": ("compare",),
    "subtract": ("subtract",),
    "inverse": ("inverse",),
}
"""Name of the levels -> kinds of question, drawn with equal probability."""

_OPERATIONS = {"parity": "even", "year": "partial", "month": "partial"}
_DOMAINS = {
    **{name: ATTRIBUTE_DIGITS[name].size for name in ATTRIBUTES if name in ATTRIBUTE_DIGITS},
    "work_city": ATTRIBUTE_DIGITS["employer"].size / max(map(len, EMPLOYERS_BY_CITY)),
}
"""Number of values of each attribute; for the city of work, the inverse accuracy of the best constant answer."""

_LONGEST = 120
"""Most characters of an answer."""

_ASKED_ROLES = ("eval", "probe-test")
"""Roles whose items are about the half of the people without training questions; probes are fitted on the other."""


def _chance(asked: str, people: int) -> float:
    n = len(ATTRIBUTES)
    shares = {attribute: 1 / size for attribute, size in _DOMAINS.items()}
    # An employer determines the city of work: both are right as often as the employer.
    independent = sum(shares.values()) ** 2 - sum(share**2 for share in shares.values())
    tied = 2 * (shares["employer"] - shares["employer"] * shares["work_city"])
    return {
        "extract": sum(shares.values()) / n,
        "year": 1 / N_YEARS,
        "month": 1 / len(MONTHS),
        "dual": (independent + tied) / (n * (n - 1)),
        "parity": 1 / 2,
        "remainder": 1 / N_RESIDUES,
        "listed": 1 / 2,
        "compare": 1 / 2,
        "subtract": 1 / (6 * N_YEARS),  # of 1, the likeliest number: 2 (M - 1) / (M (M - 1)) with M = 12 N_YEARS months
        "inverse": 2 / people,
    }[asked]


def _levels() -> dict[str, Level]:
    table = []
    for asked, kinds in KINDS_BY_LEVEL.items():
        for hint in (False, True) if kinds[0] in HINTED_KINDS else (False,):
            ladder = f"{asked}-hint" if hint else asked
            for people in POPULATIONS:
                axes: dict[str, int | str] = {"asked": asked, "people": people, "hint": int(hint)}
                table.append(Level(f"{ladder}-{people}", people, axes, "main" if ladder == "extract" else ladder))
    return {level.name: level for level in table}


@dataclass(frozen=True)
class Recall:
    """The family `recall`; see the module's docstring."""

    name: str = "recall"
    version: int = 1
    title: str = "Recall trained facts"
    part: Part = "Memory"
    summary: str = "Answer questions about people whose biographies a model was trained on; the prompt tells nothing."
    reference: str = "Physics of Language Models 3.1 and 3.2 (arXiv 2309.14316, 2309.14402), bioS, asked closed-book"
    unit: str = "people"
    channels: tuple[str, ...] = ("story",)
    styles: tuple[str, ...] = ("trained",)
    labels: ClassVar[Mapping[str, str]] = {
        "other_person": "Another person of the population, who does not fit; or the right attribute of somebody else.",
        "other_attribute": "Another attribute of the right person.",
        "swapped": "Both values are right, but in the wrong order.",
        "near_value": "A number, month or year off by one, or a date with one part wrong.",
        "wrong": "Another possible value.",
        "not_in_domain": "Not a possible answer to this question.",
        "no_answer": NO_ANSWER,
        "cut_off": CUT_OFF,
    }
    # The prompt says nothing about the people: without memory there are only constant answers, see `guess`.
    shortcuts: ClassVar[tuple[Shortcut, ...]] = ()
    grading: str = (
        "Only the first line is read. With a hint, facts come first, as in “October 1908, so yes”, and what "
        "follows decides. Where a person is searched for, everybody who fits is right."
    )

    @cached_property
    def levels(self) -> dict[str, Level]:
        """Ten kinds of question, five of them also with a hint, each for populations of 300 to 100,000 people."""
        return _levels()

    def generate(self, level: Level, channel: str, stream: Stream) -> Problem:
        """Draw people of the half that is asked about; demonstrations are about the other half."""
        people, asked = int(level.axes["people"]), str(level.axes["asked"])
        half = choose_crowd(stream.seed, people, trained=stream.role not in _ASKED_ROLES)
        quiz = draw_question(stream.choice(KINDS_BY_LEVEL[asked]), half, stream, hint=bool(level.axes["hint"]))
        facts = {**quiz.facts, "operation": _OPERATIONS.get(asked, asked), "n_people": people}
        facts["answer"] = quiz.decision
        if asked in ("year", "month"):
            facts["attributes"] = [asked]
        return Problem(quiz.question, quiz.answer, (), facts)

    def instruction(self, instance: Instance, style: str) -> str:
        """Return nothing: the training text has no instructions."""
        return ""

    def solution(self, instance: Instance) -> str:
        """Return the records of the people asked about."""
        return " " + " ".join([write_record(person_of(row)) for row in instance.facts["people"]])

    def lesson(self, level: Level, channel: str, style: str, stream: Stream) -> list[tuple[str, str]]:
        """Return a question and its answer about the half that is never asked about."""
        asked = choose_crowd(stream.seed, int(level.axes["people"]), trained=True)
        kind = stream.choice(KINDS_BY_LEVEL[str(level.axes["asked"])])
        return question_document(draw_question(kind, asked, stream, hint=bool(level.axes["hint"])))

    def answer_kind(self, instance: Instance) -> AnswerKind:
        """Return the first line."""
        return FirstLine()

    def judge(self, instance: Instance, answer: str, text: str) -> Verdict:
        """Compare the first line, after the facts of a hint, ignoring case; any person who fits a search is right."""
        facts, gold = instance.facts, instance.gold
        said = read_decision(facts["kind"], answer, hint=facts["hint"])
        if said is None or len(said) > _LONGEST:
            return Verdict(False, None, "no_answer")
        note = ""
        if facts["hint"]:
            stated, _, gold = gold.rpartition(HINT_SEPARATOR)
            note = "" if answer.startswith(f"{stated}{HINT_SEPARATOR}") else "states wrong facts"
        if not said.isascii():
            return Verdict(False, said, "not_in_domain")
        low, gold = said.lower(), gold.lower()
        if low == gold or self._fits(instance, said):
            return Verdict(True, said, "correct", None, note)
        label, at = _misled(instance, gold, low)
        return Verdict(False, said, label, at, note)

    def _fits(self, instance: Instance, name: str) -> bool:
        facts = instance.facts
        who = _somebody(instance, name) if facts["operation"] == "inverse" else None
        return who is not None and fits(Population(instance.seed).person(who), facts["wanted"])

    def guess(self, instance: Instance, style: str, stream: Stream) -> str:
        """Return the answer of a guesser that knows the possible answers, but nobody's biography."""
        answer, facts = self._blind(instance, stream), instance.facts
        if not facts["hint"]:
            return answer
        strangers = Crowd(Population("0").person, 0, 1_000)
        return (
            draw_question(facts["kind"], strangers, stream, hint=True).answer.rpartition(HINT_SEPARATOR)[0]
            + HINT_SEPARATOR
            + answer
        )

    def _blind(self, instance: Instance, stream: Stream) -> str:
        facts, operation = instance.facts, instance.facts["operation"]
        if operation == "inverse":
            return choose_crowd(instance.seed, facts["n_people"], trained=False).anyone(stream).name
        if operation == "compare":
            return str(stream.choice(facts["asked"]))
        if operation in ("even", "listed"):
            return stream.choice(("yes", "no"))
        if operation == "remainder":
            return str(stream.below(N_RESIDUES))
        if operation == "subtract":
            return "1"
        stranger = Population("0").person(stream.below(1 << 30))
        two = [city for city, firms in enumerate(EMPLOYERS_BY_CITY) if len(firms) == max(map(len, EMPLOYERS_BY_CITY))]
        if facts["attributes"] == ["work_city"]:
            return CITIES[stream.choice(two)]
        if operation == "dual":
            return join_values(stranger, tuple(facts["attributes"]))
        return show_attribute(stranger, facts["attributes"][0])

    def chance(self, level: Level, style: str) -> float:
        """Return the accuracy of the most frequent answer: any value, or the city with the most employers.

        Yes and no, remainders, and the two people of a comparison are balanced; a search has one answer among the half
        that is
        asked about.
        """
        return _chance(str(level.axes["asked"]), int(level.axes["people"]))

    def budget(self, level: Level, style: str) -> int:
        """Return the tokens of an answer, at most 16 if names are short, and twice as many for the facts of a hint."""
        return 96 if level.axes["hint"] else 40


def _somebody(instance: Instance, name: str) -> int | None:
    """Return the index of the person with this name, in any case, or None."""
    index = Population(instance.seed).index_of(name.title())
    return index if index is not None and index < instance.facts["n_people"] else None


def _misled(instance: Instance, gold: str, answer: str) -> tuple[str, int | None]:
    """Label a wrong answer; gold and answer are in lower case."""
    facts, operation = instance.facts, instance.facts["operation"]
    if operation == "dual":
        return label_pair(facts, gold, answer)
    if operation in ("extract", "partial"):
        return label_value(facts, facts["attributes"][0], answer), None
    if operation in ("compare", "inverse") and _somebody(instance, answer) is not None:
        named = answer in [name.lower() for name in facts["asked"]]
        return "wrong" if named else "other_person", None
    return label_judgement(facts, gold, answer), None


FAMILY = Recall()

_READ = {"city": CITIES, "university": UNIVERSITIES, "major": MAJORS, "employer": EMPLOYERS}
_N_OPTIONS = 32


def _write_stored(asked: Asked) -> Passage:
    """Read attributes of the person at the name in the question, which alone should bring back what was stored.

    Source: the Q-probe of Physics of Language Models 3.1, section 5, among 32 values of the domain.
    """
    row = asked.instance.facts["people"][0]
    who, readings = person_of(row), []
    at = last_of(asked.instance.question, who.name)
    for attribute, domain in _READ.items():
        label = show_attribute(who, attribute)
        others = asked.stream.sample([one for one in domain if one != label], _N_OPTIONS - 1)
        options = tuple(asked.stream.shuffle([label, *others]))
        readings.append(Reading(attribute, "name in the question", at, label, who.name, options))
    return Passage(asked.prompt, "", tuple(readings), who.name)


PROBES = (
    ProbeSet(
        "recall.300", Cell("recall", "extract-300", "story", "trained"),
        {one: Variable("match", f"the {one} of the person, among {_N_OPTIONS} values") for one in _READ},
        {"name in the question": "at the name in the question"}, _write_stored, is_default=False,
    ),
)  # fmt: skip

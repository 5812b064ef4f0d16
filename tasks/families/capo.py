"""Bits of a population that a model has learnt: the likelihood of each fact at its place in the biography.

An item is one fact of one person: the question is the person's biography up to the fact, in the corpus form single, and
the gold is what comes next. Over all people and facts, the bits learnt are log2 of the number of possible values minus
the mean cross-entropy, and at least 0: at most 46.59 bits per person, and one for the pronoun. The population is that
of the run's seed; levels differ in its number of people.

Hardness: people. Chance: 0; a uniform guesser never gives the truth more than half of the probability.

Reference: Allen-Zhu and Li, Physics of Language Models 3.3 (arXiv 2404.05405), sections 2 and 3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import log
from typing import ClassVar

from fathom.tasks.answers.kinds import AnswerKind, FirstLine
from fathom.tasks.base import CUT_OFF, NO_ANSWER, Instance, Level, Part, Problem, Shortcut, Verdict, write_lesson
from fathom.tasks.people.biography import write_record
from fathom.tasks.people.diagnosis import in_domain
from fathom.tasks.people.population import (
    ATTRIBUTE_DIGITS,
    ATTRIBUTES,
    POPULATIONS,
    Population,
    person_of,
    show_attribute,
)
from fathom.tasks.people.wordings import PRONOUN, cut_at, person_wordings
from fathom.tasks.stream import Stream

DOMAINS = {**{name: ATTRIBUTE_DIGITS[name].size for name in ATTRIBUTES if name in ATTRIBUTE_DIGITS}, PRONOUN: 2}
"""Facts that are independent of each other, with their numbers of possible values."""

_PRONOUNS = ("he", "him", "his", "she", "her")


@dataclass(frozen=True)
class Capo:
    """The family `capo`; see the module's docstring."""

    name: str = "capo"
    version: int = 1
    title: str = "Count learnt bits"
    part: Part = "Memory"
    summary: str = "Tell by likelihoods how many bits of a population's biographies a model has learnt."
    reference: str = "Physics of Language Models 3.3 (arXiv 2404.05405), bit complexity of bioS"
    unit: str = "people"
    channels: tuple[str, ...] = ("story",)
    styles: tuple[str, ...] = ("bits",)
    labels: ClassVar[Mapping[str, str]] = {
        "wrong": "Another possible value.",
        "not_in_domain": "Not a possible value.",
        "no_answer": NO_ANSWER,
        "cut_off": CUT_OFF,
    }
    # Nothing is answered: a likelihood is read, and the rule without memory is the uniform guesser of `chance`.
    shortcuts: ClassVar[tuple[Shortcut, ...]] = ()
    grading: str = (
        "Nothing is generated: the log-likelihood of the gold counts, in bits above a uniform guess. A fact is "
        "right if it has more than half of the probability."
    )

    @cached_property
    def levels(self) -> dict[str, Level]:
        """Populations of 300 to 100,000 people."""
        table = [Level(f"people-{people}", people, {"people": people}) for people in POPULATIONS]
        return {level.name: level for level in table}

    def generate(self, level: Level, channel: str, stream: Stream) -> Problem:
        """Draw a person and a fact; demonstrations are about people outside of the population."""
        people = int(level.axes["people"])
        index, asked = stream.below(people), stream.choice(tuple(DOMAINS))
        index += 0 if stream.role == "eval" else people
        who = Population(stream.seed).person(index)
        before, value = cut_at(who, person_wordings(stream.seed, index)[0], asked)
        nats = {"known": 0.0, "guessed": -log(DOMAINS[asked])}
        facts = {"attribute": asked, "person": index, "people": [who._asdict()], "nats": nats, "n_people": people}
        return Problem(before, value, (), facts)

    def instruction(self, instance: Instance, style: str) -> str:
        """Return nothing: the biography is continued."""
        return ""

    def solution(self, instance: Instance) -> str:
        """Return the record of the person."""
        return " " + write_record(person_of(instance.facts["people"][0]))

    def lesson(self, level: Level, channel: str, style: str, stream: Stream) -> list[tuple[str, str]]:
        """Return a biography up to a fact, and the fact."""
        return write_lesson(self, level, channel, style, stream)

    def answer_kind(self, instance: Instance) -> AnswerKind:
        """Return the first line."""
        return FirstLine()

    def judge(self, instance: Instance, answer: str, text: str) -> Verdict:
        """Compare a generated text with the gold; likelihoods are graded by `grade_likelihood`."""
        if answer == instance.gold:
            return Verdict(True, answer, "correct")
        label = "wrong" if _may_be(instance.facts["attribute"], answer.lower()) else "not_in_domain"
        return Verdict(False, answer, label)

    def guess(self, instance: Instance, style: str, stream: Stream) -> str:
        """Return another person's value."""
        stranger, asked = Population("0").person(stream.below(1 << 30)), instance.facts["attribute"]
        if asked != PRONOUN:
            return show_attribute(stranger, asked)
        return stream.choice(_PRONOUNS)

    def chance(self, level: Level, style: str) -> float:
        """Return 0: a uniform guesser never gives the truth more than half of the probability."""
        return 0.0

    def budget(self, level: Level, style: str) -> int:
        """Return 1: nothing is generated."""
        return 1


def _may_be(asked: str, said: str) -> bool:
    return said in _PRONOUNS if asked == PRONOUN else in_domain(asked, said)


FAMILY = Capo()

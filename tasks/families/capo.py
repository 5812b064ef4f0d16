"""Ask how many bits of a population a model has learnt: the likelihood of each fact, where its biography tells it.

An item is one fact of one person: the question is the person's biography up to it, in the corpus form single, and the
truth is what comes next. Over all people and facts, log2 of the number of possible values less the mean cross-entropy,
but never less than nothing, is what was learnt: 46.59 bits a person at most, and one for the pronoun. The population
is that of the run's seed; levels say how many people it has.

Reference: Allen-Zhu and Li, Physics of Language Models 3.3 (arXiv 2404.05405), sections 2 and 3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import log
from typing import ClassVar

from fathom.tasks.answer import MAX_TEXT
from fathom.tasks.base import NO_ANSWER, Instance, Level, Part, Problem, Verdict, write_lesson
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
"""Facts that are independent of each other, and how many values each has."""

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
    }
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

    def instruction(self, channel: str, style: str) -> str:
        """Say nothing: a biography is read on."""
        return ""

    def solution(self, instance: Instance) -> str:
        """Write the record of the person."""
        return " " + write_record(person_of(instance.facts["people"][0]))

    def lesson(self, level: Level, channel: str, style: str, stream: Stream) -> list[tuple[str, str]]:
        """Write a biography up to a fact, and the fact."""
        return write_lesson(self, level, channel, style, stream)

    def grade(self, instance: Instance, text: str) -> Verdict:
        """Compare a text with the truth, should one be given; likelihoods are judged by `weigh`."""
        said = "" if len(text) > MAX_TEXT else text.partition("\n")[0].strip()
        if not said:
            return Verdict(False, None, "no_answer")
        if said == instance.gold:
            return Verdict(True, said, "correct")
        return Verdict(False, said, "wrong" if _may_be(instance.facts["attribute"], said.lower()) else "not_in_domain")

    def guess(self, instance: Instance, style: str, stream: Stream) -> str:
        """Write the value of somebody else."""
        stranger, asked = Population("0").person(stream.below(1 << 30)), instance.facts["attribute"]
        if asked != PRONOUN:
            return show_attribute(stranger, asked)
        return stream.choice(_PRONOUNS)

    def chance(self, level: Level, style: str) -> float:
        """Nothing: a uniform guesser never gives the truth more than half of the probability."""
        return 0.0

    def budget(self, level: Level, style: str) -> int:
        """Tokens: nothing is written."""
        return 1


def _may_be(asked: str, said: str) -> bool:
    return said in _PRONOUNS if asked == PRONOUN else in_domain(asked, said)


FAMILY = Capo()

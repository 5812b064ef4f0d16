"""The year of birth of a person, k statements away, in a text of up to 128,000 tokens.

There are N different years of 1950..2009 and N * k people: the first group "was born in the year Y", each later group
"was born in the same year as" a person of the group before, by a bijection. Asked: the year of a random member of the
last group, which takes k look-ups. The statements stand at random positions among filler sentences. A text is as long
as its level says in tokens of Qwen 3, counted as characters (tasks/words.py says how much other tokenizers differ).

Hardness: hops, then number of years. Chance: uniform over the years of the text, or over the candidates. One hop is a
look-up, which is what it measures. The paper's own cells, (N, k) = (5, 1) and (3, 2), stand on every ladder of lengths.

Reference: Allen-Zhu, Physics of Language Models 4.1 (arXiv 2512.17351), multi-hop birth years.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import ClassVar, NamedTuple

from fathom.tasks.answers.kinds import AnswerKind, Either, Names
from fathom.tasks.answers.numbers import Integer
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
    write_lessons,
)
from fathom.tasks.probes import END, Asked, Passage, ProbeSet, Reading, Variable, last_of
from fathom.tasks.stream import Stream
from fathom.tasks.words import CODE_SHAPE, NAME_SHAPE, codes, filler, given_names

_SIZES = (2, 4, 8, 16, 32)
_HOPS = (1, 2, 3, 4, 5, 6)
_PAPER = ((5, 1), (3, 2))
"""Number of years and hops of the paper's own cells."""

_LENGTHS = {"1k": 1_000, "4k": 4_000, "16k": 16_000, "32k": 32_000, "64k": 64_000, "128k": 128_000}
_LONG_SIZE, _LONG_HOPS = 8, (1, 2, 3, 4, 6)
"""Number of years, and hops, at which the length of the text is varied."""

_PLACED_HOPS = (1, 2, 4)
"""Hops at which, in texts of 16,000 tokens, the position of the statements is varied."""

_FIFTHS = {"early": 0, "middle": 2, "late": 4}
_YEARS = tuple(str(year) for year in range(1950, 2010))
_NAMES: Mapping[str, Callable[[Stream, int], list[str]]] = {"symbol": codes, "story": given_names}

# Tokens of one statement, and of the rest of the prompt: about the mean of the tokenizers named in tasks/words.py.
_FACT_TOKENS = {"symbol": 5, "story": 13}
_FRAME_TOKENS = 65

_PARAGRAPH = 12
"""Sentences in a paragraph."""

_Fact = tuple[str, str]
"""A person, and the year, or the person of the same year."""


def _level(n: int, k: int, length: str = "", position: str = "anywhere") -> Level:
    ladder = position if position != "anywhere" else length or "main"
    name = "-".join([f"y{n}k{k}", *([length] if length else []), *([position] if position != "anywhere" else [])])
    axes: dict[str, int | str] = {"n": n, "k": k, "length": _LENGTHS.get(length, 0), "position": position}
    if n * k == 2:
        return Level(name, k + n / 1000, axes, ladder, space=1e9, is_one_step=k == 1)
    return Level(name, k + n / 1000, axes, ladder, is_one_step=k == 1)


def _levels() -> dict[str, Level]:
    table = [_level(n, k) for n in _SIZES for k in _HOPS]
    table += [_level(_LONG_SIZE, k, length) for length in _LENGTHS for k in _LONG_HOPS]
    table += [_level(n, k, length) for length in ("", *_LENGTHS) for n, k in _PAPER]
    table += [_level(_LONG_SIZE, k, "16k", position) for position in _FIFTHS for k in _PLACED_HOPS]
    return {level.name: level for level in table}


def _state(fact: _Fact, channel: str) -> str:
    person, known = fact
    if channel == "symbol":
        return f"{person} = {known}"
    if known.isdecimal():
        return f"{person} was born in the year {known}."
    return f"{person} was born in the same year as {known}."


def _introduce(channel: str, length: int) -> str:
    if channel == "symbol" and length:
        return (
            "Some codes have a year. Each line with the sign = gives the year of a code, "
            "or says that it is the same as the year of another code. All other lines mean nothing."
        )
    if channel == "symbol":
        return "Each line gives the year of a code, or says that it is the same as the year of another code."
    if length:
        return "Some sentences of this text say when people were born. The other sentences do not matter."
    return "This text says when some people were born."


def _ask(person: str, channel: str) -> str:
    return f"What is the year of {person}?" if channel == "symbol" else f"In which year was {person} born?"


def _mix(stream: Stream, stated: list[str], others: list[str], position: str) -> list[str]:
    """Put the statements, in their order, at random positions among the others."""
    slots = len(stated) + len(others)
    first, room = (0, slots) if position == "anywhere" else (_FIFTHS[position] * slots // 5, slots // 5)
    mixed: list[str] = []
    used = 0
    for number, place in enumerate(sorted(stream.distinct(len(stated), room))):
        until = first + place - number  # number of the others that stand before
        mixed += others[used:until]
        mixed.append(stated[number])
        used = until
    return mixed + others[used:]


def _lay_out(pieces: list[str], channel: str) -> str:
    if channel == "symbol":
        return "\n".join(pieces)
    return "\n".join([" ".join(pieces[at : at + _PARAGRAPH]) for at in range(0, len(pieces), _PARAGRAPH)])


def _chain(facts: list[_Fact], asked: str) -> list[str]:
    """Return the people on the path, starting with the one asked about, and the year at its end."""
    known = dict(facts)
    chain = [asked]
    while chain[-1] in known:
        chain.append(known[chain[-1]])
    return chain


class _Stated(NamedTuple):
    """What a shortcut gets: years with the places of their statements, in order, and the place of the person asked."""

    years: list[tuple[int, str]]
    place: int
    next_place: int
    """The place of the statement about the person, or of the year, that the statement about the asked one names."""
    hops: int


def _nearest_year(seen: _Stated) -> str | None:
    """Return the year stated nearest to the person; at one hop that is what is asked."""
    return _nearest(seen.years, seen.place) if seen.hops > 1 else None


def _nearest_to_next(seen: _Stated) -> str | None:
    """Return the year stated nearest to the person one look-up on; at two hops that is what is asked."""
    return _nearest(seen.years, seen.next_place) if seen.hops > 2 else None


def _nearest(years: list[tuple[int, str]], place: int) -> str:
    return min(years, key=lambda one: abs(one[0] - place))[1]


def _farthest_year(seen: _Stated) -> str | None:
    return max(seen.years, key=lambda one: abs(one[0] - seen.place))[1]


def _first_year(seen: _Stated) -> str | None:
    return seen.years[0][1]


def _last_year(seen: _Stated) -> str | None:
    return seen.years[-1][1]


def _year_after(seen: _Stated) -> str | None:
    return next((year for place, year in seen.years if place > seen.place), None)


def _year_before(seen: _Stated) -> str | None:
    return next((year for place, year in reversed(seen.years) if place < seen.place), None)


def _middle_year(seen: _Stated) -> str | None:
    return sorted([year for _, year in seen.years])[len(seen.years) // 2]


def _shortcut(rule: Callable[[_Stated], str | None], about: str) -> Shortcut:
    """Make a shortcut of a rule, named after its function; of the style choice, the years that are candidates count."""

    def answer(instance: Instance, style: str) -> str | None:
        facts, asked = instance.facts["facts"], instance.facts["asked"]
        at = {person: place for place, (person, _) in enumerate(facts)}
        years = [(place, known) for place, (_, known) in enumerate(facts) if known.isdecimal()]
        if style == "choice":
            years = [one for one in years if one[1] in instance.choices]
        follows = dict(facts)[asked]
        return rule(_Stated(years, at[asked], at.get(follows, at[asked]), instance.facts["hops"]))

    return Shortcut(rule.__name__.removeprefix("_"), about, answer)


@dataclass(frozen=True)
class Years:
    """The family `years`; see the module's docstring."""

    name: str = "years"
    version: int = 2
    title: str = "Trace birth years"
    part: Part = "Knowledge"
    summary: str = "Find a person's year of birth over k statements that lie scattered in a long text."
    reference: str = "Physics of Language Models 4.1 (arXiv 2512.17351), multi-hop birth years"
    unit: str = "hops"
    channels: tuple[str, ...] = ("symbol", "story")
    styles: tuple[str, ...] = ("direct", "cot", "choice")
    labels: ClassVar[Mapping[str, str]] = {
        "nearest_year": "The year stated nearest to the person asked about.",
        "last_year": "The last year stated in the text.",
        "first_year": "The first year stated in the text.",
        "other_year": "Another year of the text.",
        "not_a_year": "A year that the text does not state, or not a year.",
        "a_person": "A name instead of a year; the position is the look-up that was not made.",
        "no_answer": NO_ANSWER,
        "cut_off": CUT_OFF,
    }
    shortcuts: ClassVar[tuple[Shortcut, ...]] = (
        _shortcut(_nearest_year, "The year stated nearest to the person asked about."),
        _shortcut(_nearest_to_next, "The year stated nearest to the person whose year is the same."),
        _shortcut(_farthest_year, "The year stated farthest from the person asked about."),
        _shortcut(_first_year, "The first year of the text."),
        _shortcut(_last_year, "The last year of the text."),
        _shortcut(_year_after, "The next year in the text behind the person asked about."),
        _shortcut(_year_before, "The last year in the text before the person asked about."),
        _shortcut(_middle_year, "The median of the years."),
    )
    grading: str = "The year must be the right one, in four digits."

    @cached_property
    def levels(self) -> dict[str, Level]:
        """Main ladder N x k without filler; at N = 8 and in the paper's cells also lengths; positions in 16k tokens."""
        return _levels()

    def generate(self, level: Level, channel: str, stream: Stream) -> Problem:
        """Draw the people group by group. Each points n back; names and years come in random order."""
        n, hops, length = int(level.axes["n"]), int(level.axes["k"]), int(level.axes["length"])
        people = _NAMES[channel](stream, n * hops)
        *years, example = [_YEARS[at] for at in stream.distinct(n + 1, len(_YEARS))]
        facts = stream.shuffle(zip(people, years + people, strict=False))
        asked = people[-n]
        choices = candidates(stream, years[0], years[1:])
        pieces = [_state(fact, channel) for fact in facts]
        if length:
            room = length - len(facts) * _FACT_TOKENS[channel] - _FRAME_TOKENS
            pieces = _mix(stream, pieces, filler(stream, channel, room), str(level.axes["position"]))
        text = _lay_out(pieces, channel)
        question = f"{_introduce(channel, length)}\n{text}\n{_ask(asked, channel)}"
        told = {"facts": facts, "asked": asked, "hops": hops, "example": example}
        return Problem(question, years[0], choices, told)

    def instruction(self, instance: Instance, style: str) -> str:
        """Ask for the year alone, or for steps and a last line with the year."""
        if style == "cot":
            return (
                "Go step by step. Then end with a line that gives the year, in four digits, after the word Answer, "
                f"for example: {example_line(instance)}"
            )
        return "Reply with the year only, in four digits."

    def solution(self, instance: Instance) -> str:
        """Return the statements that lead from the person asked about to the year."""
        chain = _chain(instance.facts["facts"], instance.facts["asked"])
        steps = [_state(fact, instance.channel) for fact in pairwise(chain)]
        return " " + (", ".join(steps) + "." if instance.channel == "symbol" else " ".join(steps))

    def lesson(self, level: Level, channel: str, style: str, stream: Stream) -> list[tuple[str, str]]:
        """Return questions about several members of the last group of one text."""
        problem = self.generate(level, channel, stream)
        facts = problem.facts["facts"]
        shown, passed = problem.question.rpartition("\n")[0], {known for _, known in facts}
        last = stream.shuffle([person for person, _ in facts if person not in passed])
        problems = (
            Problem(f"{shown}\n{_ask(one, channel)}", _chain(facts, one)[-1], (), {**problem.facts, "asked": one})
            for one in last
        )
        return write_lessons(self, Cell(self.name, level.name, channel, style), shown, problems)

    def answer_kind(self, instance: Instance) -> AnswerKind:
        """Return a year; a name of the text, where it stands alone, is a wrong answer."""
        shape = CODE_SHAPE if instance.channel == "symbol" else NAME_SHAPE
        main = Integer(4, subject=instance.facts["asked"])
        return Either(main, (Names([person for person, _ in instance.facts["facts"]], shape=shape),))

    def judge(self, instance: Instance, answer: str, text: str) -> Verdict:
        """Compare with the gold; a wrong year is labelled by its position in the text."""
        if answer == instance.gold:
            return Verdict(True, answer, "correct")
        return self._diagnose(instance, answer)

    def _diagnose(self, instance: Instance, answer: str) -> Verdict:
        facts, asked = instance.facts["facts"], instance.facts["asked"]
        places = {known: at for at, (_, known) in enumerate(facts) if known.isdecimal()}
        if answer not in places:
            if all(answer != person for person, _ in facts):
                return Verdict(False, answer, "not_a_year")
            chain = _chain(facts, asked)
            # someone on the path: the mistake is the look-up that was not made
            return Verdict(False, answer, "a_person", at=chain.index(answer) + 1 if answer in chain else None)
        origin = next(at for at, (person, _) in enumerate(facts) if person == asked)
        wrong = {year: abs(at - origin) for year, at in places.items() if year != instance.gold}
        if wrong[answer] == min(wrong.values()):
            return Verdict(False, answer, "nearest_year")
        years = list(places)
        ends = {years[-1]: "last_year", years[0]: "first_year"}
        return Verdict(False, answer, ends.get(answer, "other_year"))

    def guess(self, instance: Instance, style: str, stream: Stream) -> str:
        """Return a random candidate, or any year of the text."""
        if style == "choice":
            return stream.choice(instance.choices)
        return stream.choice([str(known) for _, known in instance.facts["facts"] if known.isdecimal()])

    def chance(self, level: Level, style: str) -> float:
        """Return the share of one year of the text, or of one candidate.

        All orders of the statements are equally likely, so the first, the last and (beyond one hop) the nearest year
        are right no more often; a constant year is right in 1 of 60 items.
        """
        n = int(level.axes["n"])
        return 1 / min(n, N_CHOICES) if style == "choice" else 1 / n

    def budget(self, level: Level, style: str) -> int:
        """Return the tokens of a sentence, or of a statement a hop (15, four times that if wordy)."""
        return 64 if style == "direct" else 256 + 64 * int(level.axes["k"]) if style == "cot" else 1


FAMILY = Years()


def _write_chain(asked: Asked) -> Passage:
    """Read the year, and beyond one hop the person stated next, at the name in the question and at the end."""
    facts, person = asked.instance.facts["facts"], asked.instance.facts["asked"]
    chain = _chain(facts, person)
    years = tuple(asked.stream.shuffle([known for _, known in facts if known.isdecimal()]))
    places = {"name in the question": last_of(asked.instance.question, person), "end of the prompt": END}
    readings = [Reading("year", place, at, chain[-1], person, years) for place, at in places.items()]
    if len(chain) > 2:
        people = tuple(asked.stream.shuffle([one for one, _ in facts]))
        readings += [Reading("next", place, at, chain[1], person, people) for place, at in places.items()]
    return Passage(asked.prompt, "", tuple(readings))


def _chain_set(hops: int) -> ProbeSet:
    variables = {"year": Variable("match", "the year asked for", is_asked=True, can_be_said=True)}
    if hops > 1:
        variables["next"] = Variable("match", "the person whose year is stated to be the same", can_be_said=True)
    places = {"name in the question": "at the name in the question", "end of the prompt": "before the answer"}
    cell = Cell("years", f"y8k{hops}", "symbol", "direct")
    return ProbeSet(f"years.y8k{hops}", cell, variables, places, _write_chain)


PROBES = (_chain_set(1), _chain_set(2))

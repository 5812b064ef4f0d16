"""Turn what a visitor chose into a question, and what they answered into a verdict."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from fathom.harness import format as text
from fathom.harness.errors import BadInput
from fathom.server.board.glossary import explain
from fathom.tasks.base import Family, Instance, Level, Verdict, channels_of, level_of, make_instance, pose, styles_of
from fathom.tasks.errors import UnknownStyle

LONGEST_ANSWER = 4000
"""Characters, a line break counting as one."""

_LARGEST = 2**31 - 1
_SEED_BYTES = 8
_ONE_LINE = ("direct", "free", "trained")
"""Styles in which a model is stopped at the end of its line."""


class BadAnswer(BadInput):
    """An answer that belongs to no question, or to none of its candidates."""


def _blank_is_none(value: object) -> object:
    return value or None


def _plain_breaks(value: object) -> object:
    return value.replace("\r\n", "\n") if isinstance(value, str) else value  # a form sends CRLF


_Name = Annotated[Annotated[str, Field(max_length=40)] | None, BeforeValidator(_blank_is_none)]
_Seed = Annotated[Annotated[str, Field(max_length=64)] | None, BeforeValidator(_blank_is_none)]
_Index = Annotated[Annotated[int, Field(ge=0, le=_LARGEST)] | None, BeforeValidator(_blank_is_none)]
_Answer = Annotated[Annotated[str, Field(max_length=LONGEST_ANSWER)] | None, BeforeValidator(_plain_breaks)]
_Flag = Annotated[Literal["1"] | None, BeforeValidator(_blank_is_none)]


class Asked(BaseModel):
    """What an address asks for; None leaves it to the server."""

    model_config = ConfigDict(frozen=True)

    level: _Name = None
    channel: _Name = None
    style: _Name = None
    seed: _Seed = None
    index: _Index = None
    answer: _Answer = None
    reveal: _Flag = None


@dataclass(frozen=True, slots=True)
class Setting:
    """The square of the table that a question comes from; `ladder` holds its levels, easiest first."""

    level: Level
    channel: str
    style: str
    ladder: tuple[Level, ...]
    notes: tuple[str, ...]
    """What was asked for and cannot be had at this level."""


@dataclass(frozen=True, slots=True)
class Links:
    """Where a visitor may go from a question; the values are queries, None where there is no such level."""

    same: str
    reveal: str
    another: str
    easier: str | None
    harder: str | None


@dataclass(frozen=True, slots=True)
class Truth:
    """What is right, and the steps that lead to it; `several` where other answers are right as well."""

    gold: str
    several: bool
    solution: str


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer and what it is worth; `unread` says that a model would have been stopped before its end."""

    answer: str
    unread: bool
    verdict: Verdict
    explanation: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """One that a visitor may pick."""

    text: str
    picked: bool


@dataclass(frozen=True, slots=True)
class Example:
    """A question as a page shows it; `truth` and `judged` are None until the visitor answers or gives up."""

    id: str
    setting: Setting
    seed: str
    index: int
    fresh: bool
    prompt: str
    candidates: tuple[Candidate, ...]
    chance: float
    budget: int | None
    """Tokens that an answer may take; None where nothing is written."""
    links: Links
    draft: str
    judged: Judged | None
    truth: Truth | None


def make_example(family: Family, asked: Asked) -> Example:
    """Draw a question and, where there is an answer, judge it.

    Raises:
        UnknownLevel, UnknownStyle, BadSeed: the address names what the family does not have.
        BadAnswer: there is nothing that the answer could belong to.
    """
    setting = _settle(family, asked)
    if asked.answer is not None and asked.seed is None:
        raise BadAnswer("an answer needs the seed of its question: open the page without an answer to get one")
    seed = asked.seed or secrets.token_hex(_SEED_BYTES)
    item = make_instance(family, setting.level.name, setting.channel, seed, asked.index or 0)
    candidates = item.choices if setting.style == "choice" else ()
    if candidates and asked.answer is not None and asked.answer not in candidates:
        raise BadAnswer("in the style choice the answer is one of the candidates: pick one on the question's page")
    known = asked.answer is not None or asked.reveal is not None
    return Example(
        id=item.id,
        setting=setting,
        seed=item.seed,
        index=item.index,
        fresh=asked.seed is None,
        prompt=pose(family, item, setting.style),
        candidates=tuple(Candidate(one, one == asked.answer) for one in candidates),
        chance=family.chance(setting.level, setting.style),
        budget=budget_of(family, setting.level, setting.style),
        links=_links(setting, item),
        draft=_draft(asked.answer),
        judged=None if asked.answer is None else _judge(family, item, setting.style, asked.answer),
        truth=_truth(family, item, setting.style) if known else None,
    )


def ladders_of(family: Family) -> Mapping[str, tuple[Level, ...]]:
    """Return the family's ladders, the levels of each from the easiest to the hardest."""
    found: dict[str, list[Level]] = {}
    for level in family.levels.values():
        found.setdefault(level.ladder, []).append(level)
    return {name: tuple(sorted(levels, key=lambda level: level.hardness)) for name, levels in found.items()}


def budget_of(family: Family, level: Level, style: str) -> int | None:
    """Return how many tokens an answer may take; None in the style in which nothing is written."""
    return None if style == "choice" else family.budget(level, style)


def _settle(family: Family, asked: Asked) -> Setting:
    """Fill in what was left open; what the family has, but not at this level, gives way with a note."""
    ladders = ladders_of(family)
    first = next(iter(ladders.values()))
    level = level_of(family, asked.level) if asked.level else first[min(1, len(first) - 1)]
    _check(family, "channel", asked.channel, family.channels)
    _check(family, "style", asked.style, family.styles)
    channel, lost_channel = _fit("channel", asked.channel, level, channels_of(family, level))
    style, lost_style = _fit("style", asked.style, level, styles_of(family, level))
    return Setting(level, channel, style, ladders[level.ladder], (*lost_channel, *lost_style))


def _check(family: Family, kind: str, wanted: str | None, known: tuple[str, ...]) -> None:
    if wanted is not None and wanted not in known:
        raise UnknownStyle(f"{family.name} has no {kind} {wanted!r}; known: {', '.join(known)}")


def _fit(kind: str, wanted: str | None, level: Level, known: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    if wanted is None or wanted in known:
        return wanted or known[0], ()
    return known[0], (f"{level.name} is not asked in the {kind} {wanted}; this is {known[0]}.",)


def _links(setting: Setting, item: Instance) -> Links:
    at = setting.ladder.index(setting.level)
    easier = setting.ladder[at - 1].name if at else None
    harder = setting.ladder[at + 1].name if at + 1 < len(setting.ladder) else None
    here: dict[str, str | int] = {"channel": setting.channel, "style": setting.style}
    drawn = {"level": item.level, **here, "seed": item.seed, "index": item.index}
    return Links(
        same=_query(drawn),
        reveal=_query({**drawn, "reveal": 1}),
        another=_query({"level": item.level, **here}),
        easier=_query({"level": easier, **here}) if easier else None,
        harder=_query({"level": harder, **here}) if harder else None,
    )


def _query(values: Mapping[str, str | int]) -> str:
    return "?" + urlencode(values)


def _draft(answer: str | None) -> str:
    """Return what the text area may hold: nothing that a browser would not show."""
    return answer if answer is not None and text.visible(answer) == answer else ""


def _judge(family: Family, item: Instance, style: str, answer: str) -> Judged:
    """Grade an answer as a model's: what comes after the end of its line was never written."""
    read = answer.partition("\n")[0] if style in _ONE_LINE else answer
    verdict = family.grade(item, read)
    return Judged(answer, bool(answer[len(read) :].strip()), verdict, explain(family.name, verdict.label))


def _truth(family: Family, item: Instance, style: str) -> Truth:
    several = item.facts.get("accepts") == "verifier" and style != "choice"
    return Truth(item.gold, several, family.solution(item).strip())

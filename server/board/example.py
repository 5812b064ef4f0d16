"""The example question on a family's page: drawn for the visitor's choices, and graded if there is an answer."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from fathom.harness import format as text
from fathom.harness.errors import BadInput
from fathom.server.board.glossary import explain
from fathom.tasks.base import (
    Family,
    Instance,
    Level,
    Verdict,
    channels_of,
    grade,
    level_of,
    make_instance,
    pose,
    styles_of,
)
from fathom.tasks.errors import UnknownStyle

MAX_ANSWER_CHARACTERS = 4000
"""Characters; a line break counts as one."""

_MAX_INDEX = 2**31 - 1
_SEED_BYTES = 8
_ONE_LINE = ("direct", "free", "trained")
"""Styles in which a model is stopped at the end of the line."""


class BadAnswer(BadInput):
    """An answer without its question, or outside of the candidates."""


def _blank_is_none(value: object) -> object:
    return value or None


def _plain_breaks(value: object) -> object:
    return value.replace("\r\n", "\n") if isinstance(value, str) else value  # a form sends CRLF


_Name = Annotated[Annotated[str, Field(max_length=40)] | None, BeforeValidator(_blank_is_none)]
_Seed = Annotated[Annotated[str, Field(max_length=64)] | None, BeforeValidator(_blank_is_none)]
_Index = Annotated[Annotated[int, Field(ge=0, le=_MAX_INDEX)] | None, BeforeValidator(_blank_is_none)]
_Answer = Annotated[Annotated[str, Field(max_length=MAX_ANSWER_CHARACTERS)] | None, BeforeValidator(_plain_breaks)]
_Flag = Annotated[Literal["1"] | None, BeforeValidator(_blank_is_none)]


class ExampleQuery(BaseModel):
    """The parameters of the address; None leaves the choice to the server."""

    model_config = ConfigDict(frozen=True)

    level: _Name = None
    channel: _Name = None
    style: _Name = None
    seed: _Seed = None
    index: _Index = None
    answer: _Answer = None
    reveal: _Flag = None


@dataclass(frozen=True, slots=True)
class ExampleSetting:
    """Level, prompt template and style of the question; `ladder` holds the levels of the ladder, easiest first."""

    level: Level
    channel: str
    style: str
    ladder: tuple[Level, ...]
    notes: tuple[str, ...]
    """Choices that this level does not have."""


@dataclass(frozen=True, slots=True)
class ExampleLinks:
    """Links from a question, as queries; None where there is no such level."""

    same: str
    reveal: str
    another: str
    easier: str | None
    harder: str | None


@dataclass(frozen=True, slots=True)
class RightAnswer:
    """The right answer and its solution; `several` where other answers are right as well."""

    gold: str
    several: bool
    solution: str


@dataclass(frozen=True, slots=True)
class GradedAnswer:
    """An answer and its verdict; `unread` where a model would have been stopped before the end."""

    answer: str
    unread: bool
    verdict: Verdict
    explanation: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate that the visitor can pick."""

    text: str
    picked: bool


@dataclass(frozen=True, slots=True)
class Example:
    """A question for a page; `truth` and `graded` are None until the visitor answers or asks for the answer."""

    id: str
    setting: ExampleSetting
    seed: str
    index: int
    fresh: bool
    prompt: str
    candidates: tuple[Candidate, ...]
    chance: float
    budget: int | None
    """Most tokens of an answer; None where nothing is written."""
    links: ExampleLinks
    draft: str
    graded: GradedAnswer | None
    truth: RightAnswer | None


def make_example(family: Family, query: ExampleQuery) -> Example:
    """Draw a question and grade the answer, if there is one.

    Raises:
        UnknownLevel, UnknownStyle, BadSeed: the family has no such level or style, or the seed is invalid.
        BadAnswer: the answer has no seed, or is not a candidate.
    """
    setting = _choose_setting(family, query)
    if query.answer is not None and query.seed is None:
        raise BadAnswer("an answer needs the seed of its question: open the page without an answer to get one")
    seed = query.seed or secrets.token_hex(_SEED_BYTES)
    item = make_instance(family, setting.level.name, setting.channel, seed, query.index or 0)
    candidates = item.choices if setting.style == "choice" else ()
    if candidates and query.answer is not None and query.answer not in candidates:
        raise BadAnswer("in the style choice the answer is one of the candidates: pick one on the question's page")
    known = query.answer is not None or query.reveal is not None
    return Example(
        id=item.id,
        setting=setting,
        seed=item.seed,
        index=item.index,
        fresh=query.seed is None,
        prompt=pose(family, item, setting.style),
        candidates=tuple(Candidate(one, one == query.answer) for one in candidates),
        chance=family.chance(setting.level, setting.style),
        budget=budget_of(family, setting.level, setting.style),
        links=_links(setting, item),
        draft=_draft(query.answer),
        graded=None if query.answer is None else _grade(family, item, setting.style, query.answer),
        truth=_right_answer(family, item, setting.style) if known else None,
    )


def ladders_of(family: Family) -> Mapping[str, tuple[Level, ...]]:
    """Return the family's ladders, each with its levels from easiest to hardest."""
    found: dict[str, list[Level]] = {}
    for level in family.levels.values():
        found.setdefault(level.ladder, []).append(level)
    return {name: tuple(sorted(levels, key=lambda level: level.hardness)) for name, levels in found.items()}


def budget_of(family: Family, level: Level, style: str) -> int | None:
    """Return the most tokens of an answer; None in the style choice, where nothing is written."""
    return None if style == "choice" else family.budget(level, style)


def _choose_setting(family: Family, query: ExampleQuery) -> ExampleSetting:
    """Fill in defaults; a choice that this level does not have is replaced, with a note."""
    ladders = ladders_of(family)
    first = next(iter(ladders.values()))
    level = level_of(family, query.level) if query.level else first[min(1, len(first) - 1)]
    _check(family, "channel", query.channel, family.channels)
    _check(family, "style", query.style, family.styles)
    channel, lost_channel = _fit("channel", query.channel, level, channels_of(family, level))
    style, lost_style = _fit("style", query.style, level, styles_of(family, level))
    return ExampleSetting(level, channel, style, ladders[level.ladder], (*lost_channel, *lost_style))


def _check(family: Family, kind: str, wanted: str | None, known: tuple[str, ...]) -> None:
    if wanted is not None and wanted not in known:
        raise UnknownStyle(f"{family.name} has no {kind} {wanted!r}; known: {', '.join(known)}")


def _fit(kind: str, wanted: str | None, level: Level, known: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    if wanted is None or wanted in known:
        return wanted or known[0], ()
    return known[0], (f"{level.name} is not asked in the {kind} {wanted}; this is {known[0]}.",)


def _links(setting: ExampleSetting, item: Instance) -> ExampleLinks:
    at = setting.ladder.index(setting.level)
    easier = setting.ladder[at - 1].name if at else None
    harder = setting.ladder[at + 1].name if at + 1 < len(setting.ladder) else None
    here: dict[str, str | int] = {"channel": setting.channel, "style": setting.style}
    drawn = {"level": item.level, **here, "seed": item.seed, "index": item.index}
    return ExampleLinks(
        same=_query(drawn),
        reveal=_query({**drawn, "reveal": 1}),
        another=_query({"level": item.level, **here}),
        easier=_query({"level": easier, **here}) if easier else None,
        harder=_query({"level": harder, **here}) if harder else None,
    )


def _query(values: Mapping[str, str | int]) -> str:
    return "?" + urlencode(values)


def _draft(answer: str | None) -> str:
    """Return the text for the text area; empty where it has hidden characters."""
    return answer if answer is not None and text.visible(answer) == answer else ""


def _grade(family: Family, item: Instance, style: str, answer: str) -> GradedAnswer:
    """Grade an answer like a model's: text after the end of the line does not count."""
    read = answer.partition("\n")[0] if style in _ONE_LINE else answer
    verdict = grade(family, item, read)
    return GradedAnswer(answer, bool(answer[len(read) :].strip()), verdict, explain(family.name, verdict.label))


def _right_answer(family: Family, item: Instance, style: str) -> RightAnswer:
    several = item.facts.get("accepts") == "verifier" and style != "choice"
    return RightAnswer(item.gold, several, family.solution(item).strip())

"""Answers for invented models: for each item of a suite a right one and some wrong ones, each graded once."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from fathom.harness.stats.ranks import Array
from fathom.tasks.base import ANSWER_MARK, Family, Instance, Verdict, demonstrate, grade, pose
from fathom.tasks.registry import find_family
from fathom.tasks.stream import Stream
from fathom.tasks.suites import Suite, instances

_WRONG = 4
"""Most wrong answers kept for an item."""

_LETTERS = 4
"""Letters of a token, on average."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A completion with its verdict: what the row of a sample holds of it."""

    text: str
    finish_reason: str
    tokens: int
    verdict: Verdict
    scores: str | None = None  # JSON
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Bank:
    """Answers to all items, in the order of cells and indices; the last one stands for an engine that failed.

    `first` is the index of an item's right answer; its `n_wrong` wrong ones follow it.
    """

    answers: tuple[Answer, ...]
    first: Array
    n_wrong: Array
    prompt_tokens: Array


_FAILED = Answer("", "error", 0, Verdict(False, None, "engine_error"), error="synthetic: the engine lost this request")


def make_bank(suite: Suite) -> Bank:
    """Make every item of a suite once, with its answers."""
    answers: list[Answer] = []
    first, n_wrong, prompts = [], [], []
    for cell in suite.cells:
        family, items = find_family(cell.family), list(instances(cell, suite.seed))
        for at, item in enumerate(items):
            mine = _answers(family, item, cell.style, items[at - 1].gold)
            first.append(len(answers))
            n_wrong.append(len(mine) - 1)
            prompts.append(len(pose(family, item, cell.style)) // _LETTERS + 1)
            answers += mine
    return Bank((*answers, _FAILED), np.array(first), np.array(n_wrong), np.array(prompts))


def _answers(family: Family, item: Instance, style: str, other: str) -> list[Answer]:
    """Return the right answer and up to _WRONG wrong ones, of as many kinds as are found."""
    stream = Stream("demo", "answers", style, item.id)
    right = f" {item.gold}" if style == "choice" else demonstrate(family, item, style)
    kinds: dict[str, list[Answer]] = {}
    for text in dict.fromkeys(_mistakes(family, item, style, other, stream)):
        answer = _graded(family, item, style, text, stream)
        if not answer.verdict.correct:
            kinds.setdefault(answer.verdict.label, []).append(answer)
    varied = [answer for some in kinds.values() for answer in some[:1]]
    rest = [answer for some in kinds.values() for answer in some[1:]]
    return [_graded(family, item, style, right, stream), *[*varied, *rest][:_WRONG]]


def _graded(family: Family, item: Instance, style: str, text: str, stream: Stream) -> Answer:
    cut = style == "cot" and ANSWER_MARK not in text
    tokens = 0 if style == "choice" else len(text) // _LETTERS + 1
    scores = _scores(item.choices, text.strip(), stream) if style == "choice" else None
    return Answer(text, "length" if cut else "stop", tokens, grade(family, item, text), scores)


def _scores(choices: Sequence[str], chosen: str, stream: Stream) -> str | None:
    """Invent log-likelihoods of which the chosen one is the highest."""
    return json.dumps(
        [-(stream.below(900) if choice == chosen else 1000 + stream.below(7000)) / 1000 for choice in choices]
    )


def _mistakes(family: Family, item: Instance, style: str, other: str, stream: Stream) -> Iterator[str]:
    """Write answers that may be wrong, the likeliest mistakes first."""
    choices = stream.shuffle(choice for choice in item.choices if choice != item.gold)
    if style == "choice":
        yield from (f" {choice}" for choice in choices)
        return
    answers = [
        *islice(choices, 2), *(family.guess(item, style, stream) for _ in range(3)), other, _near(item.gold, stream),
    ]  # fmt: skip
    if style != "cot":
        yield from (f" {answer}" for answer in answers)
        yield " I cannot tell from what is given.\nIt may be either."
        return
    steps = family.solution(item).splitlines()
    yield from ("\n".join([*_slip(steps, stream), f"{ANSWER_MARK} {answer}"]) for answer in answers)
    yield "\n".join([*steps[: len(steps) // 2 + 1], "Wait, once more.", *steps[:1]])


def _near(gold: str, stream: Stream) -> str:
    """Leave out one word, or change the last letter of the only one."""
    words = gold.split()
    if len(words) < 2:
        return gold[:-1] + stream.choice("0123456789")
    at = stream.below(len(words))
    return " ".join([*words[:at], *words[at + 1 :]])


def _slip(steps: Sequence[str], stream: Stream) -> list[str]:
    """Leave out a step where there are several."""
    at = stream.below(len(steps)) if len(steps) > 1 else len(steps)
    return [*steps[:at], *steps[at + 1 :]]

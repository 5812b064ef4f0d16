"""Ask an item, and read what comes back: its request, the answer in its completion, and the verdict.

Requests are those that lm-eval makes: without demonstrations, or in plain text after some.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from math import isfinite
from typing import Literal

from fathom.harness.engines.base import CUT, Completion, FinishReason, Request, Sampling, Turn, best_choice
from fathom.harness.engines.tokens import cut_at_stop
from fathom.harness.runs.run_settings import PromptSettings, RunSettings, Thinking
from fathom.tasks.base import (
    ANSWER_MARK,
    NO_REREADING,
    PARAMETRIC,
    SCORED,
    Cell,
    Instance,
    Rereading,
    Verdict,
    as_message,
    demonstrate,
    grade,
    grade_likelihood,
    level_of,
    make_instance,
    pose,
    shown_candidates,
)
from fathom.tasks.registry import find_family
from fathom.tasks.suites import Suite, SuiteCell, make_items

_PLAIN = RunSettings()


def answer_ends(cell: SuiteCell | Cell) -> tuple[str, ...]:
    """Return the texts at which an answer to a plain prompt ends, after its first visible character.

    A direct answer and a free text end with their line. Steps have lines and blank lines: they end where the model
    begins another question, with the words of this one or as question and answer are written elsewhere.
    """
    if cell.style != "cot":
        return ("\n",)
    return (
        *(f"\n\n{words}" for words in _openings_of(cell.family, cell.level, cell.channel)),
        *(f"\n{mark}" for mark in _QUESTION_MARKS),
    )


_QUESTION_MARKS = ("Question:", "Q:")
_OPENING_WORDS = 3


@lru_cache(maxsize=4096)
def _openings_of(family: str, level: str, channel: str) -> tuple[str, ...]:
    """Return the first words of a cell's questions, as some of its demonstrations begin."""
    made = (make_instance(find_family(family), level, channel, 0, at, role="shot") for at in range(2))
    return tuple(dict.fromkeys(" ".join(one.question.split(" ")[:_OPENING_WORDS]) for one in made))


def _temperature(style: str) -> float:
    """Return the temperature of a style: 1 for `free`, else 0, which is greedy."""
    return 1.0 if style == "free" else 0.0


def sampling_of(cell: SuiteCell | Cell, settings: RunSettings = _PLAIN) -> Sampling:
    """Return the sampling of a cell's items; where candidates are scored, at most one token is generated.

    Chats and thoughts have no stop text: a model ends its turn itself, and may begin with blank lines, and a thought
    has several lines. `AnswerReader` finds the answer in the text.
    """
    if cell.style in SCORED:
        return Sampling(1)
    sampling, thinking = settings.sampling, settings.sampling.thinking
    heat = _temperature(cell.style) if sampling.temperature is None else sampling.temperature
    if thinking is not None:
        return Sampling(budget_of(cell, settings) + thinking.budget, (), heat)
    return Sampling(budget_of(cell, settings), () if settings.prompt.chat else answer_ends(cell), heat)


def budget_of(cell: SuiteCell | Cell, settings: RunSettings = _PLAIN) -> int:
    """Return how many tokens an answer of a cell may take, without a thought before it."""
    family = find_family(cell.family)
    return settings.sampling.budgets.get(cell.style) or family.budget(level_of(family, cell.level), cell.style)


def digest_of_samplings(suite: Suite, settings: RunSettings = _PLAIN) -> str:
    """Digest token budgets, stop texts and temperature of every cell, which decide an answer as its prompt does.

    Returns 32 hex digits.
    """
    state = blake2b(digest_size=16)
    for cell in suite.cells:
        state.update(f"{cell.cell}\0{sampling_of(cell, settings)}\0".encode())
    return state.hexdigest()


def plain_prompt(cell: SuiteCell | Cell, item: Instance, n_shots: int, rereading: Rereading = NO_REREADING) -> str:
    """Return an item's prompt after `n_shots` demonstrations in plain text, as lm-eval writes it."""
    prompt = pose(find_family(item.family), item, cell.style, rereading)
    shots = shots_before(cell.style, n_shots)
    if not shots:
        return prompt
    where = Cell(cell.family, cell.level, cell.channel, cell.style)
    return "".join(f"{shown}\n\n" for shown in _demonstrations(where, item.seed, shots, rereading)) + prompt


def shown_prompt(item: Instance, style: str, asked: PromptSettings = _PLAIN.prompt) -> str:
    """Return an item's prompt as the model reads it, without demonstrations, system message and chat template."""
    prompt = pose(find_family(item.family), item, style, asked.rereading)
    return as_message(prompt) if asked.chat else prompt


def shots_before(style: str, n_shots: int) -> int:
    """Return the demonstrations before a question: none where memory is asked for, which they would tell."""
    return 0 if style in PARAMETRIC else n_shots


@lru_cache(maxsize=64)
def _demonstrations(cell: Cell, seed: str, n: int, rereading: Rereading) -> tuple[str, ...]:
    family = find_family(cell.family)
    shots = make_items(cell, seed, n, "shot")
    return tuple(pose(family, one, cell.style, rereading) + demonstrate(family, one, cell.style) for one in shots)


def make_request(
    cell: SuiteCell, item: Instance, digest: str, asked: PromptSettings = _PLAIN.prompt, repeat: int = 0
) -> Request:
    """Write an item's request: after demonstrations in plain text, or as a chat of one turn.

    `digest` is that of the run's manifest.
    """
    prompt = plain_prompt(cell, item, 0 if asked.chat else asked.n_shots, asked.rereading)
    prompt = as_message(prompt) if asked.chat else prompt
    sampling, choices = sampling_of(cell, RunSettings(asked)), shown_candidates(item, cell.style)
    key = sample_key(digest, item.id, prompt, (sampling, choices), repeat)
    return Request(key, item.id, prompt, sampling, choices, (Turn("user", prompt),) if asked.chat else ())


def make_requests(
    cell: SuiteCell,
    seed: str,
    digest: str,
    indices: Iterable[int] | None = None,
    asked: PromptSettings = _PLAIN.prompt,
) -> Iterator[Request]:
    """Write the requests of a cell in order: all, or those of some indices."""
    if indices is None:
        items: Iterable[Instance] = make_items(cell.cell, seed, cell.n)
    else:
        family = find_family(cell.family)
        items = (make_instance(family, cell.level, cell.channel, seed, index) for index in indices)
    return (make_request(cell, item, digest, asked) for item in items)


def sample_key(digest: str, item: str, prompt: str, how: object, repeat: int) -> str:
    """Digest manifest, item, prompt, sampling with choices, and repeat; a resumed run recalls a completion by it.

    Returns 32 hex digits.
    """
    parts = "\0".join((digest, item, prompt, repr(how), str(repeat)))
    return blake2b(parts.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def digest_of_prompt(prompt: str) -> str:
    """Digest a prompt, to compare prompts without sending them; 16 hex digits."""
    return blake2b(prompt.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


ThoughtState = Literal["finished", "truncated", "none"]
"""finished: the thought ended; truncated: it was opened and not closed; none: there was no thought."""


@dataclass(frozen=True, slots=True)
class FinalAnswer:
    """The text to grade, and the state of the thought before it; after a truncated thought there is no answer."""

    text: str
    state: ThoughtState


def grade_completion(item: Instance, completion: Completion, answer: FinalAnswer | None = None) -> Verdict:
    """Grade a completion by its answer if it is given, else by its text. Never raises.

    A completion that failed, or whose thought has no end, is wrong; the verdict's label says why. A scored candidate is
    an answer in the form that was asked for.
    """
    if completion.finish_reason in ("too_long", "error"):
        return Verdict(False, None, "too_long" if completion.finish_reason == "too_long" else "engine_error")
    if completion.scores is not None and len(completion.scores) == 1:
        return grade_likelihood(item, completion.scores[0])
    if answer is not None and answer.state == "truncated":
        return Verdict(False, None, "cut_off")
    is_cut = completion.finish_reason in CUT
    verdict = grade(find_family(item.family), item, completion.text if answer is None else answer.text, is_cut)
    return verdict if completion.scores is None else replace(verdict, found="asked")


def checked_completion(request: Request, completion: Completion) -> Completion:
    """Check a completion from elsewhere; where candidates are scored, its text becomes that of the likeliest.

    Raises:
        ValueError: the scores are not one finite number a candidate.
    """
    if completion.finish_reason in ("too_long", "error"):
        return Completion(
            request.key, "", completion.finish_reason, completion.prompt_tokens, 0, completion.seconds,
            error=completion.error,
        )  # fmt: skip
    scores = completion.scores
    if not request.choices:
        if scores is not None:
            raise ValueError("an item without candidates cannot have scores")
        return completion
    if scores is None or len(scores) != len(request.choices) or not all(map(isfinite, scores)):
        raise ValueError(f"{len(request.choices)} candidates need a finite score each")
    greedy = list(completion.greedy or ())
    return best_choice(request, list(scores), greedy, completion.prompt_tokens, completion.seconds)


@dataclass(frozen=True, slots=True)
class AnswerReader:
    """Finds the answers in the completions of a cell."""

    stops: tuple[str, ...]
    thinking: Thinking | None
    is_cut: bool
    """Whether the engine has cut the text at a stop text, as it does for plain prompts without a thought."""
    ends_with_answer: bool = False
    """Whether the answer line ends the text, whatever follows it, as it does in plain text."""

    def answer(self, completion: Completion) -> FinalAnswer:
        """Return the answer in a completion; of scored candidates, the text of the likeliest."""
        if completion.scores is not None:
            return FinalAnswer(completion.text, "none")
        found = FinalAnswer(completion.text, "none")
        if not self.is_cut:
            found = read_answer(completion.text, completion.finish_reason, self.thinking, self.stops)
        return replace(found, text=until_answer(found.text)) if self.ends_with_answer else found


def answer_reader(style: str, settings: RunSettings) -> AnswerReader:
    """Return the reader of a run's answers in a style.

    In a chat, a text between the usual marks is a thought even if the settings do not say that the model thinks.
    """
    chat = settings.prompt.chat
    thinking = settings.sampling.thinking or (Thinking() if chat else None)
    has_steps = style == "cot"
    stops = () if chat or has_steps else ("\n",)
    return AnswerReader(stops, thinking, not chat and thinking is None, has_steps and not chat)


_ANSWER_LINE = re.compile(rf"^[ \t]*{ANSWER_MARK}[ \t]*\S[^\n]*(?=\n[ \t]*\n)", re.MULTILINE)


def until_answer(text: str) -> str:
    """Return a text up to the end of its first answer line with a blank line after it.

    In plain text a base model goes on there, mostly with a question of its own and another answer.
    """
    found = _ANSWER_LINE.search(text)
    return text if found is None else text[: found.end()]


def read_answer(text: str, reason: FinishReason, thinking: Thinking | None, stops: tuple[str, ...]) -> FinalAnswer:
    """Return the answer: the text after the last thought, without leading blanks and up to the first stop text.

    A thought that was opened, by the prompt or in the text, and not closed is not an answer.
    """
    if thinking is None:
        return FinalAnswer(_cut(text, stops), "none")
    _, closed, rest = text.rpartition(thinking.end)
    if thinking.start in rest or (not closed and _opened_before(thinking, reason)):
        return FinalAnswer("", "truncated")
    return FinalAnswer(_cut(rest, stops), "finished" if closed else "none")


def _opened_before(thinking: Thinking, reason: FinishReason) -> bool:
    """Say whether a text without marks is a thought; if the prompt is unknown, one that ran out of tokens is."""
    return reason in CUT if thinking.opened is None else thinking.opened


def _cut(text: str, stops: tuple[str, ...]) -> str:
    return cut_at_stop(text.lstrip(), stops)[0] if stops else text

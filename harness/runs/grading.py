"""Find the answer in a completion, and grade it."""

from dataclasses import dataclass
from math import isfinite
from typing import Literal

from fathom.harness.engines.base import Completion, FinishReason, Request, best_choice
from fathom.harness.engines.tokens import cut_at_stop
from fathom.harness.runs.requests import answer_stops
from fathom.harness.runs.run_settings import RunSettings, Thinking
from fathom.tasks.base import Instance, Verdict, grade_likelihood
from fathom.tasks.registry import find_family

ThoughtState = Literal["finished", "truncated", "none"]
"""finished: the thought ended; truncated: it was opened and not closed; none: there was no thought."""


@dataclass(frozen=True, slots=True)
class FinalAnswer:
    """The text to grade, and the state of the thought before it; after a truncated thought there is no answer."""

    text: str
    state: ThoughtState


def grade_completion(item: Instance, completion: Completion, answer: FinalAnswer | None = None) -> Verdict:
    """Grade a completion by its answer if it is given, else by its text. Never raises.

    A completion that failed, or whose thought has no end, is wrong; the verdict's label says why.
    """
    if completion.finish_reason in ("too_long", "error"):
        return Verdict(False, None, "too_long" if completion.finish_reason == "too_long" else "engine_error")
    if completion.scores is not None and len(completion.scores) == 1:
        return grade_likelihood(item, completion.scores[0])
    if answer is not None and answer.state == "truncated":
        return Verdict(False, None, "truncated")
    return find_family(item.family).grade(item, completion.text if answer is None else answer.text)


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

    def answer(self, completion: Completion) -> FinalAnswer:
        """Return the answer in a completion; of scored candidates, the text of the likeliest."""
        if self.is_cut or completion.scores is not None:
            return FinalAnswer(completion.text, "none")
        return read_answer(completion.text, completion.finish_reason, self.thinking, self.stops)


def answer_reader(style: str, settings: RunSettings) -> AnswerReader:
    """Return the reader of a run's answers in a style.

    In a chat, a text between the usual marks is a thought even if the settings do not say that the model thinks.
    """
    chat = settings.prompt.chat
    thinking = settings.sampling.thinking or (Thinking() if chat else None)
    return AnswerReader(answer_stops(style, settings.prompt), thinking, not chat and thinking is None)


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
    return reason == "length" if thinking.opened is None else thinking.opened


def _cut(text: str, stops: tuple[str, ...]) -> str:
    return cut_at_stop(text.lstrip(), stops)[0] if stops else text

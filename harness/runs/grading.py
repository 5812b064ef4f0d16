"""Turn completions into verdicts."""

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
"""finished: a thought came to its end; truncated: one was opened and never closed; none: there was no thought."""


@dataclass(frozen=True, slots=True)
class FinalAnswer:
    """What is graded, and what became of the thought before it; a truncated one leaves no answer."""

    text: str
    state: ThoughtState


def grade_completion(item: Instance, completion: Completion, answer: FinalAnswer | None = None) -> Verdict:
    """Judge a completion by the answer that was read in it, else by its text. Never raises.

    One that could not be made, or whose thought has no end, is wrong and says why.
    """
    if completion.finish_reason in ("too_long", "error"):
        return Verdict(False, None, "too_long" if completion.finish_reason == "too_long" else "engine_error")
    if completion.scores is not None and len(completion.scores) == 1:
        return grade_likelihood(item, completion.scores[0])
    if answer is not None and answer.state == "truncated":
        return Verdict(False, None, "truncated")
    return find_family(item.family).grade(item, completion.text if answer is None else answer.text)


def checked_completion(request: Request, completion: Completion) -> Completion:
    """Return a completion from elsewhere as it must be: of scored candidates the text is that of the likeliest.

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
            raise ValueError("an item without candidates has no scores")
        return completion
    if scores is None or len(scores) != len(request.choices) or not all(map(isfinite, scores)):
        raise ValueError(f"{len(request.choices)} candidates need a finite score each")
    greedy = list(completion.greedy or ())
    return best_choice(request, list(scores), greedy, completion.prompt_tokens, completion.seconds)


@dataclass(frozen=True, slots=True)
class AnswerReader:
    """How the answers of a cell are read."""

    stops: tuple[str, ...]
    thinking: Thinking | None
    as_it_stands: bool
    """Whether the engine cut the text already, as it does for plain prompts without a thought."""

    def answer(self, completion: Completion) -> FinalAnswer:
        """Read the answer of a completion; of scored candidates it is the text of the likeliest."""
        if self.as_it_stands or completion.scores is not None:
            return FinalAnswer(completion.text, "none")
        return read_answer(completion.text, completion.finish_reason, self.thinking, self.stops)


def answer_reader(style: str, settings: RunSettings) -> AnswerReader:
    """Return how the answers in a style are read in a run.

    In a chat a thought between the usual marks is known as one, even where nobody said that the model thinks.
    """
    chat = settings.prompt.chat
    thinking = settings.sampling.thinking or (Thinking() if chat else None)
    return AnswerReader(answer_stops(style, settings.prompt), thinking, not chat and thinking is None)


def read_answer(text: str, reason: FinishReason, thinking: Thinking | None, stops: tuple[str, ...]) -> FinalAnswer:
    """Read the answer: what follows the last end of a thought, from its first visible sign to the first stop.

    A thought that was opened, by the prompt or in the text, and never closed is no answer, whatever it says.
    """
    if thinking is None:
        return FinalAnswer(_cut(text, stops), "none")
    _, closed, rest = text.rpartition(thinking.end)
    if thinking.start in rest or (not closed and _opened_before(thinking, reason)):
        return FinalAnswer("", "truncated")
    return FinalAnswer(_cut(rest, stops), "finished" if closed else "none")


def _opened_before(thinking: Thinking, reason: FinishReason) -> bool:
    """Say whether a text without marks is a thought; where nobody knows the prompt, one that ran out of tokens is."""
    return reason == "length" if thinking.opened is None else thinking.opened


def _cut(text: str, stops: tuple[str, ...]) -> str:
    return cut_at_stop(text.lstrip(), stops)[0] if stops else text

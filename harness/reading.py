"""Turn what a model wrote into its answer: what follows its thought, cut where an answer ends."""

from dataclasses import dataclass
from typing import Literal

from harness.engines.base import Completion, FinishReason
from harness.engines.tokens import cut_at_stop
from harness.prompting import Decoding, Prompting, Thinking
from harness.prompts import answer_stops

State = Literal["finished", "truncated", "none"]
"""finished: a thought came to its end; truncated: one was opened and never closed; none: there was no thought."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is graded, and what became of the thought before it; a truncated one leaves no answer."""

    text: str
    state: State


@dataclass(frozen=True, slots=True)
class Reading:
    """How the answers of a cell are read."""

    stops: tuple[str, ...]
    thinking: Thinking | None
    as_it_stands: bool
    """Whether the engine cut the text already, as it does for plain prompts without a thought."""

    def answer(self, completion: Completion) -> Answer:
        """Read the answer of a completion; of scored candidates it is the text of the likeliest."""
        if self.as_it_stands or completion.scores is not None:
            return Answer(completion.text, "none")
        return answer_of(completion.text, completion.finish_reason, self.thinking, self.stops)


def reading_of(style: str, prompting: Prompting, decoding: Decoding) -> Reading:
    """Return how the answers in a style are read in a run.

    In a chat a thought between the usual marks is known as one, even where nobody said that the model thinks.
    """
    thinking = decoding.thinking or (Thinking() if prompting.chat else None)
    return Reading(answer_stops(style, prompting), thinking, not prompting.chat and thinking is None)


def answer_of(text: str, reason: FinishReason, thinking: Thinking | None, stops: tuple[str, ...]) -> Answer:
    """Read the answer: what follows the last end of a thought, from its first visible sign to the first stop.

    A thought that was opened, by the prompt or in the text, and never closed is no answer, whatever it says.
    """
    if thinking is None:
        return Answer(_cut(text, stops), "none")
    _, closed, rest = text.rpartition(thinking.end)
    if thinking.start in rest or (not closed and _opened_before(thinking, reason)):
        return Answer("", "truncated")
    return Answer(_cut(rest, stops), "finished" if closed else "none")


def _opened_before(thinking: Thinking, reason: FinishReason) -> bool:
    """Say whether a text without marks is a thought; where nobody knows the prompt, one that ran out of tokens is."""
    return reason == "length" if thinking.opened is None else thinking.opened


def _cut(text: str, stops: tuple[str, ...]) -> str:
    return cut_at_stop(text.lstrip(), stops)[0] if stops else text

"""Find in a model's files how it marks its thoughts, before anything is loaded."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fathom.harness.engines.base import Turn
from fathom.harness.engines.chat_template import added_tokens, tail_of_template
from fathom.harness.errors import BadInput
from fathom.harness.runs.run_settings import USUAL_MARKS, PromptSettings, Thinking

log = logging.getLogger(__name__)

_MARKS = (
    USUAL_MARKS, ("<thinking>", "</thinking>"), ("<thought>", "</thought>"), ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"), ("◁think▷", "◁/think▷"), ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
)  # fmt: skip
"""Start and end of a thought, as models write them."""
_SWITCHES = ("enable_thinking", "thinking")
"""Options with which templates turn thinking off."""


def find_thinking(path: Path, template: str, prompt: PromptSettings, given: Thinking | None) -> Thinking | None:
    """Return how a model thinks in a chat, as its template and its tokenizer tell; None if it does not.

    What the user stated, `given`, comes before what the files tell. Options of the template may turn thinking off.

    Raises:
        BadInput: the template refuses such a chat.
    """
    tail = _tail(path, prompt)
    if given is not None and given.start:
        return replace(given, opened=_is_open(tail, given.marks))
    marks = _find_marks((template, *added_tokens(path)), tail or "")
    if given is not None:
        start, end = marks or USUAL_MARKS
        return Thinking(start, end, given.budget, _is_open(tail, (start, end)))
    is_off = any(prompt.template_options.get(name) is False for name in _SWITCHES)
    # some templates close a thought before it began
    if marks is None or is_off or (tail is not None and marks[1] in tail):
        return None
    return Thinking(*marks, opened=_is_open(tail, marks))


def _find_marks(texts: tuple[str, ...], tail: str) -> tuple[str, str] | None:
    """Return the first known pair whose marks are both in some text, or whose start is at the end of the prompt."""
    for start, end in _MARKS:
        if start in tail or all(any(mark in text for text in texts) for mark in (start, end)):
            return start, end
    return None


def _is_open(tail: str | None, marks: tuple[str, str]) -> bool | None:
    return None if tail is None else marks[0] in tail.rpartition(marks[1])[2]


def _tail(path: Path, prompt: PromptSettings) -> str | None:
    """Return what the template writes behind the last question; None where the tokenizer cannot be loaded here."""
    try:
        return tail_of_template(path, tuple(_turns_before(prompt)), tuple(prompt.template_options.items()))
    except BadInput:
        raise
    except Exception as error:  # for example a tokenizer with code of its own; the engine tells whether it loads
        log.warning("the tokenizer of %s cannot be tried beforehand: %s", path.name, str(error)[:200])
        return None


def _turns_before(prompt: PromptSettings) -> Iterator[Turn]:
    if prompt.system:
        yield Turn("system", prompt.system)
    for _ in range(prompt.n_shots if prompt.shots_as == "turns" else 0):
        yield Turn("user", "?")
        yield Turn("assistant", "!")

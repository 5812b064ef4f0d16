"""Turn a model's files into how it marks its thought, and check that it can be asked as is wished."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from harness.engines.base import Turn
from harness.errors import BadInput
from harness.model import ModelSource
from harness.prompting import Decoding, Prompting, Thinking
from harness.templates import added_tokens, chat_template_of
from tasks.base import SCORED

log = logging.getLogger(__name__)

MARKS = (
    ("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<thought>", "</thought>"), ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"), ("◁think▷", "◁/think▷"), ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
)  # fmt: skip
"""Start and end of a thought, as models write them."""

DEFAULT = MARKS[0]

_OFF = ("enable_thinking", "thinking")
"""Options with which templates turn thinking off."""
_BUDGETED = ("direct", "cot", "free", "trained")


def settle(model: ModelSource, prompting: Prompting, decoding: Decoding) -> Decoding:
    """Return decoding with what the model's files say of its thought; call it before anything is loaded.

    A model whose template or tokenizer knows the marks of a thought thinks in chats, unless the template's options
    say otherwise. Where no files are at hand nobody can tell, and only what is given counts.

    Raises:
        BadInput: a chat for a model without a template, a chat that the template refuses, options for a template that
            is not used, or impossible budgets.
    """
    _check_budgets(decoding)
    if prompting.template_options and not prompting.chat:
        raise BadInput("--template-option is for a model's chat template: give --chat as well, or leave it out")
    if model.path is None or not prompting.chat:
        return replace(decoding, thinking=_as_given(decoding.thinking, None if prompting.chat else False))
    template = chat_template_of(model.path)
    if template is None:
        raise BadInput(
            f"{model.name} has no chat template, neither in chat_template.jinja nor in tokenizer_config.json: leave "
            "out --chat to ask it in plain text"
        )
    return replace(decoding, thinking=_thinking(model.path, template, prompting, decoding.thinking))


def _check_budgets(decoding: Decoding) -> None:
    for style, budget in decoding.budgets.items():
        if style not in _BUDGETED:
            more = ": its candidates are scored, nothing is generated" if style in SCORED else ""
            raise BadInput(f"no budget for the style {style!r}{more}; known: {', '.join(_BUDGETED)}")
        if isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
            raise BadInput(f"the budget of {style} is {budget!r}: give a whole number of tokens, as in {style}=2048")


def _as_given(given: Thinking | None, opened: bool | None) -> Thinking | None:
    if given is None:
        return None
    start, end = given.marks if given.start else DEFAULT
    return replace(given, start=start, end=end, opened=opened)


def _thinking(path: Path, template: str, prompting: Prompting, given: Thinking | None) -> Thinking | None:
    tail = _tail(path, prompting)
    if given is not None and given.start:
        return replace(given, opened=_is_open(tail, given.marks))
    marks = _marks((template, *added_tokens(path)), tail or "")
    if given is not None:
        start, end = marks or DEFAULT
        return Thinking(start, end, given.budget, _is_open(tail, (start, end)))
    off = any(prompting.template_options.get(name) is False for name in _OFF)
    if marks is None or off or (tail is not None and marks[1] in tail):  # some templates close it before it began
        return None
    return Thinking(*marks, opened=_is_open(tail, marks))


def _marks(texts: tuple[str, ...], tail: str) -> tuple[str, str] | None:
    """Return the first known pair of which both stand in some text, or the start at the end of the prompt."""
    for start, end in MARKS:
        if start in tail or all(any(mark in text for text in texts) for mark in (start, end)):
            return start, end
    return None


def _is_open(tail: str | None, marks: tuple[str, str]) -> bool | None:
    return None if tail is None else marks[0] in tail.rpartition(marks[1])[2]


def _tail(path: Path, prompting: Prompting) -> str | None:
    from harness.engines.chat import tail_of_template

    try:
        return tail_of_template(path, tuple(_turns_before(prompting)), tuple(prompting.template_options.items()))
    except BadInput:
        raise
    except Exception as error:  # a tokenizer with code of its own, say; the engine will tell whether it loads
        log.warning("the tokenizer of %s cannot be tried beforehand: %s", path.name, str(error)[:200])
        return None


def _turns_before(prompting: Prompting) -> Iterator[Turn]:
    if prompting.system:
        yield Turn("system", prompting.system)
    for _ in range(prompting.n_shots if prompting.shots_as == "turns" else 0):
        yield Turn("user", "?")
        yield Turn("assistant", "!")

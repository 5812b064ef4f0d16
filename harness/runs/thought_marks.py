"""Find in a model's files how it marks its thoughts, before anything is loaded."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fathom.harness.engines.base import Turn
from fathom.harness.engines.chat_template import added_tokens, chat_template_of, tail_of_template
from fathom.harness.engines.model import ModelSource
from fathom.harness.errors import BadInput
from fathom.harness.runs.run_settings import PromptSettings, RunSettings, Thinking
from fathom.tasks.base import SCORED

log = logging.getLogger(__name__)

_MARKS = (
    ("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<thought>", "</thought>"), ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"), ("◁think▷", "◁/think▷"), ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
)  # fmt: skip
"""Start and end of a thought, as models write them; the first pair is the usual one."""
_SWITCHES = ("enable_thinking", "thinking")
"""Options with which templates turn thinking off."""
_GENERATED = ("direct", "cot", "free", "trained")
"""Styles whose answers are generated, so that they have a budget of tokens."""


def add_thinking(model: ModelSource, settings: RunSettings) -> RunSettings:
    """Return the settings with what the model's files say of its thought.

    A model whose template or tokenizer knows the marks of a thought thinks in chats, unless the template's options
    say otherwise. Without files nothing is known, and only what the user stated counts.

    Raises:
        BadInput: a chat for a model without a template, a chat that the template refuses, options for a template that
            is not used, or a budget that cannot be.
    """
    _check_budgets(settings)
    prompt, given = settings.prompt, settings.thinking
    if prompt.template_options and not prompt.chat:
        raise BadInput("--template-option is for a model's chat template: give --chat as well, or leave it out")
    if model.path is None or not prompt.chat:
        return settings.with_thinking(_without_files(given, None if prompt.chat else False))
    template = chat_template_of(model.path)
    if template is None:
        raise BadInput(
            f"{model.name} has no chat template, neither in chat_template.jinja nor in tokenizer_config.json: leave "
            "out --chat to ask it in plain text"
        )
    return settings.with_thinking(_with_files(model.path, template, prompt, given))


def _check_budgets(settings: RunSettings) -> None:
    for style, budget in settings.sampling.budgets.items():
        if style not in _GENERATED:
            more = ": its candidates are scored, nothing is generated" if style in SCORED else ""
            raise BadInput(f"no budget for the style {style!r}{more}; known: {', '.join(_GENERATED)}")
        if isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
            raise BadInput(f"the budget of {style} is {budget!r}: give a whole number of tokens, as in {style}=2048")


def _without_files(given: Thinking | None, opened: bool | None) -> Thinking | None:
    if given is None:
        return None
    start, end = given.marks if given.start else _MARKS[0]
    return replace(given, start=start, end=end, opened=opened)


def _with_files(path: Path, template: str, prompt: PromptSettings, given: Thinking | None) -> Thinking | None:
    tail = _tail(path, prompt)
    if given is not None and given.start:
        return replace(given, opened=_is_open(tail, given.marks))
    marks = _find_marks((template, *added_tokens(path)), tail or "")
    if given is not None:
        start, end = marks or _MARKS[0]
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

"""Choose how a model is asked: in a chat or in plain text, and after how many demonstrations."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fathom.harness.format import plural

PLAIN_SHOTS = 3
"""Demonstrations before a question in plain text, where nothing else is stated: they show a base model the form."""


@dataclass(frozen=True, slots=True)
class StatedFormat:
    """What a user states of how a model is asked; None is left to the model's files."""

    chat: bool | None = None
    n_shots: int | None = None


@dataclass(frozen=True, slots=True)
class ModelHints:
    """What is known of a model before it is loaded."""

    has_template: bool | None
    """Whether its files hold a chat template; None where its files are not here."""
    card_shots: int | None = None
    """Demonstrations that its card asks for, in plain text."""


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """How a model is asked, and why."""

    chat: bool
    n_shots: int
    why: str
    stated: StatedFormat = StatedFormat()

    def text(self) -> str:
        """Say it in one line, with the reason."""
        return f"asked {prompt_format_text(self.chat, self.n_shots)}: {self.why}"

    def to_json(self) -> dict[str, Any]:  # JSON values
        """Return what a manifest keeps: the choice, why, and which parts of it the user stated."""
        named = {"chat": self.stated.chat, "shots": self.stated.n_shots}
        return {
            "chat": self.chat,
            "shots": self.n_shots,
            "why": self.why,
            "stated": [name for name, value in named.items() if value is not None],
        }


def prompt_format_text(chat: bool, n_shots: int) -> str:
    """Say how a model is asked in a few words, such as "in a chat, zero-shot"."""
    return f"in {'a chat' if chat else 'plain text'}, {plural(n_shots, 'shot') if n_shots else 'zero-shot'}"


def choose_prompt_format(hints: ModelHints, stated: StatedFormat) -> PromptFormat:
    """Return how a model is asked: what the user states, and for the rest what its files say.

    A chat template means a chat without demonstrations. Without one it is plain text with PLAIN_SHOTS demonstrations,
    or with as many as the model's card asks for. A model that only a server has is asked in a chat.
    """
    chat = hints.has_template is not False if stated.chat is None else stated.chat
    n_shots = stated.n_shots
    if n_shots is None:
        n_shots = 0 if chat else PLAIN_SHOTS if hints.card_shots is None else hints.card_shots
    return PromptFormat(chat, n_shots, "; ".join(_reasons(hints, stated, chat)), stated)


def _reasons(hints: ModelHints, stated: StatedFormat, chat: bool) -> Iterator[str]:
    """Yield what decided, then the flags that choose otherwise."""
    given = [] if stated.chat is None else ["--chat" if stated.chat else "--no-chat"]
    given += [] if stated.n_shots is None else [f"--shots {stated.n_shots}"]
    if stated.chat is None:
        yield _CHOSEN[hints.has_template]
    if stated.n_shots is None and not chat and hints.card_shots is not None:
        yield f"its card asks for {hints.card_shots} shots"
    if given:
        yield f"{' and '.join(given)} given"
    else:
        yield f"{'--no-chat' if chat else '--chat'} and --shots change it"


_CHOSEN = {
    True: "the model has a chat template",
    False: "the model has no chat template",
    None: "a server applies the chat template of its model",
}
"""Why it is a chat or not, by whether there is a template."""

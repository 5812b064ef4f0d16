"""Say how questions are put to a model and how it answers: what a run's manifest holds under `sampling`."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from fathom.harness.engines.base import Turn
from fathom.harness.engines.chat_template import added_tokens, chat_template_of
from fathom.harness.engines.model import ModelSource
from fathom.harness.errors import BadInput
from fathom.tasks.base import SCORED

ShotsAs = Literal["turns", "text"]


MOST_SHOTS = 16
"""Demonstrations that Fathom's own items come with; lm-eval takes the first ones."""


MOST_REPEATS, HOTTEST = 1024, 10.0
"""Answers to a question, and a temperature, beyond which nobody learns more."""


@dataclass(frozen=True, slots=True)
class Prompting:
    """How a question becomes what the model reads."""

    n_shots: int = 0
    """Demonstrations before each question."""
    chat: bool = False
    """Whether the model's chat template is used."""
    system: str = ""
    """System message of a chat, or the text before everything."""
    shots_as: ShotsAs = "turns"
    """In a chat: demonstrations as turns of their own, or as text in the one user's turn."""
    template_options: Mapping[str, Any] = field(default_factory=dict)  # JSON values
    """Handed to the chat template, as in {"enable_thinking": False}."""

    def check(self) -> None:
        """Raise BadInput where Fathom's own items do not come with so many demonstrations."""
        if not 0 <= self.n_shots <= MOST_SHOTS:
            raise BadInput(
                f"{self.n_shots} shots: Fathom's own items come with 0 to {MOST_SHOTS} demonstrations at most"
            )


def known_shots_as(text: str) -> ShotsAs:
    """Return how demonstrations are put, or raise BadInput for a word that says neither."""
    if text not in get_args(ShotsAs):
        raise BadInput(f"demonstrations of a chat go as {' or '.join(get_args(ShotsAs))}, not as {text!r}")
    known: ShotsAs = text  # type: ignore[assignment]  # get_args forgets the literals' type
    return known


@dataclass(frozen=True, slots=True)
class Thinking:
    """How a model marks its thought, and how many tokens it may spend on it."""

    start: str = "<think>"
    """Start and end are empty where harness.thinking is to look for them in the model's files."""
    end: str = "</think>"
    budget: int = 4096
    """Tokens for the thought, on top of the answer's budget."""
    opened: bool | None = False
    """Whether the prompt ends within a thought, so that no text opens it; None where nobody can tell."""

    def __post_init__(self) -> None:
        """Raise BadInput for a thought without room."""
        if self.budget < 1:
            raise BadInput(f"a thought of {self.budget} tokens: give it 1 or more")

    @property
    def marks(self) -> tuple[str, str]:
        """Start and end."""
        return (self.start, self.end)


@dataclass(frozen=True, slots=True)
class Decoding:
    """How answers are drawn."""

    repeats: int = 1
    """Answers to each question."""
    temperature: float | None = None
    """None: greedy, and 1 in the style `free`, as all ranked runs are."""
    budgets: Mapping[str, int] = field(default_factory=dict)
    """Tokens for an answer by style, in place of the families' own."""
    thinking: Thinking | None = None

    @property
    def is_sampled(self) -> bool:
        """Whether answers are drawn otherwise than in ranked runs."""
        return self.repeats > 1 or self.temperature is not None

    def check(self, styles: Iterable[str]) -> None:
        """Raise BadInput where nothing, or the same answer again and again, would be asked for."""
        if not 1 <= self.repeats <= MOST_REPEATS:
            raise BadInput(f"{self.repeats} answers to each question: ask for 1 to {MOST_REPEATS}")
        if not 0 <= (self.temperature or 0.0) <= HOTTEST:  # nor is NaN
            raise BadInput(f"a temperature of {self.temperature}: give one from 0, which is greedy, to {HOTTEST:g}")
        if self.repeats > 1 and not self.temperature:
            raise BadInput(
                f"{self.repeats} greedy answers to a question are one answer {self.repeats} times: "
                "give a temperature as well, as in --temperature 1, or leave --repeats out"
            )
        if self.repeats > 1 and set(SCORED) & set(styles):
            raise BadInput("candidates are scored, not sampled: ask choice and bits in a run without repeats")


def sampling_json(prompting: Prompting, decoding: Decoding) -> dict[str, Any]:
    """Return what a manifest says of both; only what differs from a plain run is added to what all runs have."""
    stated: dict[str, Any] = {
        "temperature": decoding.temperature or 0.0,
        "temperature_free": 1.0 if decoding.temperature is None else decoding.temperature,
        "shots": prompting.n_shots,
        "chat_template": prompting.chat,
    }
    thinking = decoding.thinking
    more = {
        "system": prompting.system,
        "shots_as": prompting.shots_as if prompting.chat and prompting.n_shots else "",
        "template_options": dict(prompting.template_options),
        "repeats": decoding.repeats if decoding.repeats > 1 else 0,
        "budgets": dict(decoding.budgets),
        "thinking": {}
        if thinking is None
        else {
            "start": thinking.start, "end": thinking.end, "budget": thinking.budget, "opened": thinking.opened
        },
    }  # fmt: skip
    return stated | {name: value for name, value in more.items() if value}


def read_sampling(stated: Mapping[str, Any]) -> tuple[Prompting, Decoding]:
    """Read what `sampling_json` wrote, to go on with a run."""
    prompting = Prompting(
        int(stated["shots"]),
        bool(stated["chat_template"]),
        stated.get("system", ""),
        stated.get("shots_as", "turns"),
        stated.get("template_options", {}),
    )
    plain = stated["temperature"] == 0.0 and stated["temperature_free"] == 1.0
    decoding = Decoding(
        int(stated.get("repeats", 1)),
        None if plain else float(stated["temperature"]),
        stated.get("budgets", {}),
        Thinking(**stated["thinking"]) if "thinking" in stated else None,
    )
    return prompting, decoding


def manner_of(manifest: Mapping[str, Any]) -> tuple[Prompting, Decoding]:  # JSON of provenance.Manifest
    """Return how a stored run's questions were put and answered; plainly where its manifest does not say."""
    stated = manifest.get("decisive", {}).get("sampling")
    return (Prompting(), Decoding()) if stated is None else read_sampling(stated)


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
    from fathom.harness.engines.chat_template import tail_of_template

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

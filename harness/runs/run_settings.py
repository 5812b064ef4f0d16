"""The settings of a run: how a question becomes a prompt, how answers are drawn, and which engine runs the model.

A new option of `fathom run` needs three edits:

1. a field in one of the parts below (or in `EngineSettings`), with its default and its flag;
2. the option in `harness/cli/run.py`;
3. the code that acts on it.

The manifest, the command that repeats a run and the texts that describe it read the fields through `RunSettings.flags`
and `RunSettings.to_json`, so they need no edit. A value that equals its default is not stored: older runs keep their
digests.
"""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, Protocol, get_args

from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.options import PLACEMENT, base_address
from fathom.harness.errors import BadInput
from fathom.harness.records import Manifest
from fathom.tasks.base import SCORED, Rereading

ShotsAs = Literal["turns", "text"]

MOST_SHOTS = 16
"""Demonstrations that Fathom's own items come with; lm-eval takes the first ones."""
MOST_FILLER = 4_096
"""Numbers between a question and its answer at most."""
MOST_REPEATS, HIGHEST_TEMPERATURE = 1024, 10.0
"""Limits on the answers to a question and on the temperature; more teaches nothing."""
PRECISION = 0.25
"""Doublings: the interval of a depth is then within a factor of 1.19 on either side."""
_GENERATED = ("direct", "cot", "free", "trained")
"""Styles whose answers are generated, so that they have a budget of tokens."""


@dataclass(frozen=True, slots=True)
class PromptSettings:
    """How a question becomes the prompt that the model reads."""

    n_shots: int = field(default=0, metadata={"flag": "--shots", "stored": "shots"})
    """Demonstrations before each question."""
    chat: bool = field(default=False, metadata={"flag": "--chat", "stored": "chat_template"})
    """Whether the model's chat template is used."""
    system: str = field(default="", metadata={"flag": "--system"})
    """System message of a chat, or the text before everything."""
    shots_as: ShotsAs = field(default="turns", metadata={"flag": "--shots-as"})
    """In a chat: demonstrations as turns of their own, or as text in the one user turn."""
    template_options: Mapping[str, Any] = field(  # JSON values
        default_factory=dict, metadata={"flag": "--template-option"}
    )
    """Arguments of the chat template, for example {"enable_thinking": False}."""
    filler: int = field(default=0, metadata={"flag": "--filler"})
    """Numbers between a question of the style `direct` and its answer."""
    ask_twice: bool = field(default=False, metadata={"flag": "--ask-twice"})
    """Whether a question of the style `direct` stands there twice."""

    @property
    def rereading(self) -> Rereading:
        """What stands between a question and its answer."""
        return Rereading(self.filler, self.ask_twice)

    def check(self) -> None:
        """Raise BadInput for numbers of demonstrations or of filler tokens that cannot be."""
        if not 0 <= self.filler <= MOST_FILLER:
            raise BadInput(f"{self.filler} filler numbers: give 0 to {MOST_FILLER}")
        if not 0 <= self.n_shots <= MOST_SHOTS:
            raise BadInput(
                f"{self.n_shots} shots: Fathom's own items come with 0 to {MOST_SHOTS} demonstrations at most"
            )


def known_shots_as(text: str) -> ShotsAs:
    """Return the form of a chat's demonstrations, or raise BadInput for an unknown word."""
    if text not in get_args(ShotsAs):
        raise BadInput(f"demonstrations of a chat go as {' or '.join(get_args(ShotsAs))}, not as {text!r}")
    known: ShotsAs = text  # type: ignore[assignment]  # get_args forgets the literals' type
    return known


USUAL_MARKS = ("<think>", "</think>")
"""Start and end of a thought, where nothing else is known."""


@dataclass(frozen=True, slots=True)
class Thinking:
    """How a model marks its thought, and how many tokens it may spend on it."""

    start: str = USUAL_MARKS[0]
    """Start and end are empty where they are to be read from the model's files; see thought_marks.py."""
    end: str = USUAL_MARKS[1]
    budget: int = 16_384
    """Tokens for the thought, on top of the answer's budget; less where the model's context leaves less."""
    opened: bool | None = False
    """Whether the prompt ends within a thought, so that no text opens it; None where this is unknown."""

    def __post_init__(self) -> None:
        """Raise BadInput for a thought without room."""
        if self.budget < 1:
            raise BadInput(f"a thought of {self.budget} tokens: give it 1 or more")

    @property
    def marks(self) -> tuple[str, str]:
        """Start and end."""
        return (self.start, self.end)


def given_thinking(budget: int | None, marks: tuple[str, str] | None) -> Thinking | None:
    """Return what a user states of a model's thought; None where nothing is stated."""
    if budget is None and marks is None:
        return None
    start, end = marks or ("", "")
    return Thinking(start, end) if budget is None else Thinking(start, end, budget)


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How answers are drawn."""

    repeats: int = field(default=1, metadata={"flag": "--repeats"})
    """Answers to each question."""
    temperature: float | None = field(default=None, metadata={"flag": "--temperature"})
    """None: greedy, and 1 in the style `free`, as in all ranked runs."""
    budgets: Mapping[str, int] = field(default_factory=dict, metadata={"flag": "--budget"})
    """Tokens for an answer by style, in place of the families' own."""
    thinking: Thinking | None = field(default=None, metadata={"flag": "--think-budget"})
    precision: float = field(default=PRECISION, metadata={"flag": "--precision"})
    """Of an adaptive suite: half the width of the interval of a depth at which its ladder ends, in doublings."""

    @property
    def is_sampled(self) -> bool:
        """Whether answers are drawn otherwise than in ranked runs."""
        return self.repeats > 1 or self.temperature is not None

    def check(self, styles: Iterable[str]) -> None:
        """Raise BadInput where nothing, or the same answer again and again, would be asked for."""
        if not 1 <= self.repeats <= MOST_REPEATS:
            raise BadInput(f"{self.repeats} answers to each question: ask for 1 to {MOST_REPEATS}")
        if not 0 <= (self.temperature or 0.0) <= HIGHEST_TEMPERATURE:  # also refuses NaN
            raise BadInput(
                f"a temperature of {self.temperature}: give one from 0, which is greedy, to {HIGHEST_TEMPERATURE:g}"
            )
        if self.repeats > 1 and not self.temperature:
            raise BadInput(
                f"{self.repeats} greedy answers to a question are one answer {self.repeats} times: "
                "give a temperature as well, as in --temperature 1, or leave --repeats out"
            )
        if self.repeats > 1 and set(SCORED) & set(styles):
            raise BadInput("candidates are scored, not sampled: ask choice and bits in a run without repeats")
        if not 0.01 <= self.precision <= 4:
            raise BadInput(f"a precision of {self.precision} doublings: give 0.01 to 4; 0.25 is a factor of 1.19")
        for style, budget in self.budgets.items():
            _check_budget(style, budget)


def _check_budget(style: str, budget: object) -> None:
    if style not in _GENERATED:
        more = ": its candidates are scored, nothing is generated" if style in SCORED else ""
        raise BadInput(f"no budget for the style {style!r}{more}; known: {', '.join(_GENERATED)}")
    if isinstance(budget, bool) or not isinstance(budget, int) or budget < 1:
        raise BadInput(f"the budget of {style} is {budget!r}: give a whole number of tokens, as in {style}=2048")


_ALWAYS_STATED = ("chat", "n_shots")


class _Part(Protocol):
    """A part of the settings: a dataclass whose fields name their flag, and their stored name where it differs."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


@dataclass(frozen=True, slots=True)
class RunSettings:
    """All of a run but the model and the questions."""

    prompt: PromptSettings = field(default_factory=PromptSettings)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)

    def check(self, styles: Iterable[str] = ()) -> None:
        """Raise BadInput where Fathom's own items cannot be asked with these settings, or not in these styles."""
        self.prompt.check()
        self.sampling.check(styles)

    def placed(self, now: EngineSettings) -> "RunSettings":
        """Return the settings of a stored run, on the machines that `now` names; what decides its numbers stays."""
        later = {name: value for name, value in now.options.items() if name in PLACEMENT}
        return replace(self, engine=replace(self.engine, options={**self.engine.options, **later}))

    def flags(self) -> list[tuple[str, Any]]:
        """Return (flag of `fathom run`, value) for the engine and for each setting that differs from its default.

        A mapping stands for a flag that is repeated, True for one without a value, False for its opposite (--no-chat),
        a pair for two texts with a comma. Chat and shots are always there: without them, the model's files choose.
        """
        found: list[tuple[str, Any]] = [("--engine", self.engine.name)]
        for part in (self.prompt, self.sampling, self.engine):
            for one in fields(part):
                value = getattr(part, one.name)
                if one.name == "name" or not (one.name in _ALWAYS_STATED or _is_changed(one, value)):
                    continue
                if isinstance(value, Thinking):
                    found += [("--think-budget", value.budget), ("--think-marks", value.marks)]
                else:
                    found.append((one.metadata["flag"], value))
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the settings as manifests store them: `sampling`, and `options` and `placement` of the engine.

        Raises:
            BadInput: an address with a password in it, as it would be stored.
        """
        sampling: dict[str, Any] = {
            "temperature": self.sampling.temperature or 0.0,
            "temperature_free": 1.0 if self.sampling.temperature is None else self.sampling.temperature,
            "shots": self.prompt.n_shots,
            "chat_template": self.prompt.chat,
        }
        for part in (self.prompt, self.sampling):
            for one in fields(part):
                value = getattr(part, one.name)
                is_stored = _is_changed(one, value)
                if one.name == "shots_as":  # it decides the prompt only where a chat has demonstrations
                    is_stored = self.prompt.chat and self.prompt.n_shots > 0
                if is_stored:
                    sampling.setdefault(one.metadata.get("stored", one.name), _plain(value))
        options = {name: value for name, value in self.engine.options.items() if name not in PLACEMENT}
        if self.engine.dtype != "auto":
            options["dtype"] = self.engine.dtype
        placement = {name: value for name, value in self.engine.options.items() if name in PLACEMENT}
        if "base_url" in placement:
            placement["base_url"] = base_address(str(placement["base_url"]))
        return {"engine": self.engine.name, "sampling": sampling, "options": options, "placement": placement}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "RunSettings":
        """Read what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: it was not written by `to_json`.
        """
        said = dict(stored["sampling"])
        is_plain = said["temperature"] == 0.0 and said["temperature_free"] == 1.0
        said["temperature"] = None if is_plain else float(said["temperature"])
        if "thinking" in said:
            said["thinking"] = Thinking(**said["thinking"])
        options = dict(stored.get("options", {}))
        engine = EngineSettings(
            stored.get("engine", ""), options.pop("dtype", "auto"), {**options, **stored.get("placement", {})}
        )
        said |= {"shots": int(said["shots"]), "chat_template": bool(said["chat_template"])}
        said["repeats"] = int(said.get("repeats", 1))
        prompt, sampling = _known(PromptSettings, said), _known(SamplingSettings, said)
        return cls(PromptSettings(**prompt), SamplingSettings(**sampling), engine)


def _is_changed(one: "Field[Any]", value: object) -> bool:
    """Say whether a field's value differs from its default."""
    return bool(value != (one.default if one.default_factory is MISSING else one.default_factory()))


def _plain(value: object) -> object:
    """Return a setting as a JSON value."""
    if isinstance(value, Thinking):
        return {"start": value.start, "end": value.end, "budget": value.budget, "opened": value.opened}
    return dict(value) if isinstance(value, Mapping) else value


def _known(part: type[_Part], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stored values of a part's fields by the names of the fields."""
    named = {one.name: one.metadata.get("stored", one.name) for one in fields(part)}
    return {name: stored[key] for name, key in named.items() if key in stored}


def settings_of(manifest: Manifest) -> RunSettings | None:
    """Return the settings that a stored run's manifest states; None where it does not, or not as Fathom writes them."""
    engine = manifest.decisive.engine
    stored = {
        "engine": engine.name, "sampling": manifest.decisive.sampling, "options": engine.options,
        "placement": manifest.context.placement,
    }  # fmt: skip
    try:
        return RunSettings.from_json(stored)
    except (KeyError, TypeError, ValueError, AttributeError, BadInput):
        return None


def prompt_settings_of(manifest: Manifest) -> PromptSettings:
    """Return how a run's questions became prompts; in plain text, one by one, where its manifest does not tell."""
    settings = settings_of(manifest)
    return PromptSettings() if settings is None else settings.prompt

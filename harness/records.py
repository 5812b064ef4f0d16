"""The values that the database hands out: runs, their manifests and samples, and the progress of a run."""

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from fathom.harness.stats.scores import CellCounts
from fathom.tasks.answers.reader import Found
from fathom.tasks.suites import Suite


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run on a suite in short: one line of `fathom runs`."""

    run: str
    model: str
    model_id: int
    suite: str
    seed: str
    engine: str
    state: str
    """running; waiting: a submission's, while no worker has it; done, interrupted or failed."""
    n_items: int
    n_done: int
    """Samples."""
    k: int
    n_generated: int
    attempts: int
    seconds: int
    created_at: dt.datetime
    error: str | None
    tier: int
    """1: sent by a user; 2: sent, and replayed by a worker; 3: run by the operators or their workers."""
    layer: str
    """main; fresh: on a submission's own seed; sampled: not decoded as ranked runs are, so not ranked;
    adaptive: on a suite that places its items, so not ranked."""
    season: str
    """Season whose seed it is, or empty."""
    sealed: bool
    """Whether the seed is still secret: then no question, completion or gold may be shown."""
    hidden_at: dt.datetime | None
    """When it was taken off the board."""
    n_repeats: int = 1
    """Answers to each item."""
    n_asked: int | None = None
    """Answers in the form that was asked for; None, as the next two, until `fathom regrade` has counted an old run."""
    n_unread: int | None = None
    n_cut: int | None = None
    prompt_format: str = ""
    """chat/N or plain/N, where N is the number of demonstrations; format.prompt_format_words reads it."""

    @property
    def n_samples(self) -> int:
        """Samples of a whole run."""
        return self.n_items * self.n_repeats

    @property
    def is_going(self) -> bool:
        """Whether answers may still come."""
        return self.state in ("running", "waiting")


@dataclass(frozen=True, slots=True)
class RunDetail:
    """A run on a suite with its manifest and its cells."""

    summary: RunSummary
    suite: Suite
    suite_digest: str
    pool: str
    manifest: "Manifest"
    manifest_digest: str
    log: str | None
    cells: tuple[CellCounts, ...]
    model_path: str | None = None
    """Folder of the model's files on the machine that ran it; never shown."""


@dataclass(frozen=True, slots=True)
class TaskRunSummary:
    """A run on lm-eval's own tasks in short: one line of `fathom runs --tasks`."""

    run: str
    model: str
    engine: str
    tasks: tuple[str, ...]
    """Names of tasks and groups, as the user gave them."""
    state: str
    n_requests: int
    """Requests to the engine; the choices of one question are one request."""
    n_done: int
    n_generated: int
    attempts: int
    seconds: int
    created_at: dt.datetime
    error: str | None


@dataclass(frozen=True, slots=True)
class TaskRunDetail:
    """A run on lm-eval's own tasks with its settings, its manifest and lm-eval's results."""

    summary: TaskRunSummary
    settings: Mapping[str, Any]
    manifest: "Manifest"
    manifest_digest: str
    results: Mapping[str, Any] | None
    """Results of lm-eval's `evaluate`, without its samples; None until the run is scored."""
    log: str | None
    n_by_reason: Mapping[str, int]
    """Requests by finish reason."""
    model_path: str | None = None
    """Folder of the model's files on the machine that ran it; never shown."""


@dataclass(frozen=True, slots=True)
class CellUsage:
    """What the samples of a cell used."""

    family: str
    level: str
    channel: str
    style: str
    n: int
    """Samples."""
    prompt_tokens: int
    completion_tokens: int
    milliseconds: int
    """Sum over the samples; those that an engine answers side by side count each for itself where it says so."""


class _ManifestPart(BaseModel):
    """A part of a manifest. What is missing, or is not what Fathom writes there, reads as the field's default.

    Manifests of older versions lack fields, and those of uploads and imports may hold anything.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    @field_validator("*", mode="wrap")
    @classmethod
    def _or_default(cls, value: object, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> object:
        try:
            return handler(value)
        except ValidationError:
            return cls.model_fields[info.field_name or ""].get_default(call_default_factory=True)


class ManifestModel(_ManifestPart):
    """The model; `revision` is what the submitter of a model named."""

    name: str = ""
    digest: str | None = None
    revision: str = ""


class ManifestEngine(_ManifestPart):
    """The engine, the versions of its packages, and the options that decide the numbers."""

    name: str = ""
    packages: Mapping[str, Any] = {}  # JSON values, here and below
    options: Mapping[str, Any] = {}


class ManifestSuite(_ManifestPart):
    """The suite; `digest` covers all prompts and right answers."""

    name: str = ""
    version: str = ""
    seed: str = ""
    digest: str = ""


class Decisive(_ManifestPart):
    """What decides the numbers of a run."""

    model: ManifestModel = ManifestModel()
    engine: ManifestEngine = ManifestEngine()
    suite: ManifestSuite = ManifestSuite()
    families: Mapping[str, int] = {}
    """Versions of the families that were asked."""
    packages: Mapping[str, Any] = {}
    """Installed packages that bring them: name, version, and a digest of all files."""
    sampling: Mapping[str, Any] = {}
    """Prompt and sampling settings; `runs.run_settings.settings_of` reads them."""
    lm_eval: str = ""


class ManifestCode(_ManifestPart):
    """Version and commit of Fathom."""

    version: str = ""
    commit: str | None = None


Loss = Annotated[float, Field(allow_inf_nan=False)]


class Context(_ManifestPart):
    """What surrounds a run without deciding its numbers."""

    fathom: ManifestCode = ManifestCode()
    python: str | None = None
    platform: str | None = None
    hardware: Mapping[str, Any] = {}
    tasks: str = ""
    """Digest of the code that makes items."""
    model_sha: str = ""
    """Commit of the model on the hub."""
    revision: str | None = None
    placement: Mapping[str, Any] = {}
    """Options of the engine that say where and how fast it runs."""
    synthetic: bool = False
    tags: tuple[str, ...] = ()
    training: Annotated[tuple[tuple[int, Loss, Loss | None], ...], Field(max_length=100)] = ()
    """Loss curve of the model's training, as `engines.training_log.losses_of` reads it."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything needed to say what was measured, and how. `Manifest.read` makes one from its JSON."""

    decisive: Decisive
    context: Context
    engine_facts: Mapping[str, Any]
    """What the loaded engine says of itself."""
    stored: Mapping[str, Any] = field(repr=False)
    """The JSON as the database keeps it, with all that the attributes leave out."""

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> "Manifest":
        """Read a manifest's JSON. Never raises: a missing or odd value reads as its default."""
        decisive, context, facts = (stored.get(name) for name in ("decisive", "context", "engine_facts"))
        return cls(
            Decisive.model_validate(decisive if isinstance(decisive, Mapping) else {}),
            Context.model_validate(context if isinstance(context, Mapping) else {}),
            facts if isinstance(facts, Mapping) else {},
            stored,
        )

    def digest(self) -> str:
        """Hash the decisive part as canonical JSON; 32 hex digits."""
        text = json.dumps(self.stored["decisive"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return blake2b(text.encode(), digest_size=16).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as JSON values."""
        return dict(self.stored)


def prompt_format_of(manifest: Mapping[str, Any]) -> str:  # JSON of a Manifest
    """Return how a run's model is asked, as chat/N or plain/N, where N is the number of demonstrations.

    /filler-M follows where M numbers stand before a direct answer, and /twice where the question does twice.
    """
    decisive = manifest.get("decisive")
    stated = decisive.get("sampling") if isinstance(decisive, Mapping) else None
    sampling = stated if isinstance(stated, Mapping) else {}
    shots = sampling.get("shots", 0)
    filler = sampling.get("filler", 0)
    more = (f"/filler-{filler}" if filler else "") + ("/twice" if sampling.get("ask_twice") else "")
    return f"{'chat' if sampling.get('chat_template') else 'plain'}/{shots if isinstance(shots, int) else 0}{more}"


@dataclass(frozen=True, slots=True)
class SampleView:
    """A stored sample and the id of its item."""

    id: int
    item: str
    style: str
    index: int
    completion: str
    finish_reason: str
    scores: tuple[float, ...] | None
    parsed: str | None
    label: str
    fault_at: int | None
    note: str
    correct: bool
    prompt_tokens: int
    completion_tokens: int
    milliseconds: int
    error: str | None
    repeat: int = 0
    """Number of earlier answers to the same item."""
    found: Found | None = None
    """How the answer was found; None where a version graded it that did not store this."""


@dataclass(frozen=True, slots=True)
class SamplePage:
    """One page of a run's samples, and the number of all of them."""

    samples: tuple[SampleView, ...]
    total: int


Reading = Literal["asked", "read", "unread", "cut"]
"""An answer in the form asked for, in another form, none that could be read, or one that its budget cut off."""

READINGS: tuple[Reading, ...] = get_args(Reading)

NO_READING = ("cut_off", "too_long", "engine_error")
"""Labels of samples without an answer that are not unread: they were cut off, not asked, or not answered."""


@dataclass(frozen=True, slots=True)
class SampleFilter:
    """Which samples of a run to show; None: all."""

    cell: int | None = None
    label: str | None = None
    correct: bool | None = None
    readings: tuple[Reading, ...] = ()
    """Any of these; none: all samples."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Samples of a run that are stored now, and what the newest commit added."""

    n_done: int
    n_items: int
    tokens: int
    """Tokens of the newest samples, prompts included; 0 where an earlier attempt stored them."""
    cells: Mapping[int, int]
    """Newest samples by position of their cell or task."""
    right: Mapping[int, int] = field(default_factory=dict)
    """Right answers so far by position of their cell, of an adaptive run."""


ProgressReport = Callable[[str, Progress | None], None]
"""Called with a phase ("building", "loading", "generating", "scoring"), and with progress while generating."""

"""Logs of `lm_eval --log_samples` about our tasks, as untrusted input: their results, tasks and samples."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from fathom.harness.errors import BadInput
from fathom.harness.format import plural, visible
from fathom.harness.io.lm_eval.format import cell_of
from fathom.harness.io.strict_json import StrictModel, parse_object, validate
from fathom.tasks.base import Cell

_MOST_RESULTS = 64 << 20
_LONGEST_LINE = 32 << 20
"""Bytes: sixteen demonstrations of 32,000 tokens, once for each of eight candidates, are 20 MB."""

_Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
_MODEL_KEYS = ("pretrained", "model", "path", "engine")


class _Counted(StrictModel):
    effective: _Count


class _Settings(StrictModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", protected_namespaces=())
    model: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[\w.+-]+$")]
    model_args: str | dict[str, Any] | None = None
    model_num_parameters: int | None = None
    model_dtype: str | None = None
    model_sha: str | None = None


class _Suite(StrictModel):
    name: str
    version: str


class _Ours(StrictModel):
    suite: _Suite
    sampling: dict[str, Any]


class LoggedResults(StrictModel):
    """The fields that are read from results_DATE.json."""

    configs: dict[str, dict[str, Any]]
    shots: Annotated[dict[str, _Count], Field(alias="n-shot")]
    counted: Annotated[dict[str, _Counted], Field(alias="n-samples")]
    config: _Settings
    system_instruction: str | None = None
    chat_template: str | None = None
    fewshot_as_multiturn: bool | None = None
    lm_eval_version: Annotated[str, Field(max_length=100)] = ""
    total_evaluation_time_seconds: str | None = None
    fathom: _Ours | None = None
    """Added by `fathom export`."""


class LoggedAnswer(StrictModel):
    """Facts about an answer that `fathom export` adds."""

    finish_reason: Literal["stop", "length", "looped", "too_long"] = "stop"
    prompt_tokens: _Count = 0
    completion_tokens: _Count = 0
    milliseconds: _Count = 0


class _Doc(StrictModel):
    id: Annotated[str, Field(max_length=300)]


class LoggedSample(StrictModel):
    """The fields read from a line of samples_TASK_DATE.jsonl; `acc` is compared with our verdict, not stored."""

    doc: _Doc
    arguments: dict[str, dict[str, Any]]
    resps: list[list[str | list[str]]]
    acc: float | None = None
    fathom: list[LoggedAnswer] | None = None


@dataclass(frozen=True, slots=True)
class LoggedTask:
    """A task of Fathom and the file with its samples."""

    name: str
    cell: Cell
    n_shots: int
    n_lines: int
    file: Path


@dataclass(frozen=True, slots=True)
class EvaluationLog:
    """One evaluation that lm-eval logged."""

    file: Path
    results: LoggedResults
    raw: Mapping[str, Any]  # all of results_DATE.json, for the manifest
    tasks: tuple[LoggedTask, ...]
    others: tuple[str, ...]
    """Tasks that are not from Fathom."""
    digest: str
    """Digest of all bytes of the files."""

    @property
    def model(self) -> str:
        """Name of the model in the arguments; empty if there is none."""
        found = _model_args(self.results.config.model_args)
        return next((visible(str(found[key]))[:200] for key in _MODEL_KEYS if found.get(key)), "")


def _model_args(stated: str | dict[str, Any] | None) -> Mapping[str, Any]:
    if isinstance(stated, str):
        return dict(pair.split("=", 1) for pair in stated.split(",") if "=" in pair)
    return stated or {}


def find_evaluation_logs(place: Path) -> list[Path]:
    """Return the results files of a folder, oldest first, or the one file that `place` names.

    Raises:
        BadInput: there is no results file.
    """
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise BadInput(f"there is no folder {place}: give the one that `lm_eval --log_samples --output_path` wrote")
    found = sorted(place.rglob("results_*.json"), key=lambda file: file.name)
    if not found:
        raise BadInput(
            f"{place} contains no results_DATE.json: give the folder that `lm_eval --log_samples --output_path` wrote"
        )
    return found


def read_evaluation_log(file: Path) -> EvaluationLog:
    """Read a results file and find its samples beside it.

    Raises:
        BadInput: the file is not as lm-eval writes it, or the samples are missing.
    """
    try:
        if file.stat().st_size > _MOST_RESULTS:
            raise BadInput(f"{file} is larger than {_MOST_RESULTS >> 20} MB: give a results_DATE.json of lm-eval")
        content = file.read_bytes()
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}") from error
    raw = parse_object(content, str(file), lambda _: None)  # a standard error may be NaN
    results = validate(LoggedResults, raw, str(file))
    state = blake2b(content, digest_size=16)
    ours = [name for name in results.configs if name.startswith("fathom_")]
    if not ours:
        raise BadInput(f"{file} has no task of Fathom: `fathom tasks` lists them")
    tasks = tuple(_task(file, results, name, state) for name in ours)
    others = tuple(name for name in results.configs if name not in ours)
    return EvaluationLog(file, results, raw, tasks, others, state.hexdigest())


def _task(file: Path, results: LoggedResults, name: str, state: Any) -> LoggedTask:  # state: a hash of hashlib
    cell = cell_of(name)
    date = file.stem.rpartition("_")[2]
    samples = file.with_name(f"samples_{name}_{date}.jsonl")
    if not samples.is_file():
        raise BadInput(f"{file.parent} contains no {samples.name}: evaluate with `lm_eval --log_samples`")
    n_lines = 0
    with samples.open("rb") as stream:
        while block := stream.read(1 << 20):
            state.update(block)
            n_lines += block.count(b"\n")
    counted = results.counted.get(name)
    if counted is None or name not in results.shots:
        raise BadInput(f"{file}: n-samples or n-shot lacks {name}: evaluate with lm-eval 0.4.13")
    if n_lines != counted.effective or not n_lines:
        raise BadInput(
            f"{samples.name} has {plural(n_lines, 'line')}, and {file.name} says that {name} has "
            f"{plural(counted.effective, 'sample')}: the file was cut short, or samples were added: evaluate again"
        )
    return LoggedTask(name, cell, results.shots[name], n_lines, samples)


def read_samples(task: LoggedTask) -> Iterator[tuple[str, LoggedSample]]:
    """Yield each sample of a task with its file and line, for error messages.

    Raises:
        BadInput: a line is not a sample, or is too long.
    """
    with task.file.open("rb") as stream:
        for number in range(1, task.n_lines + 1):
            line = stream.readline(_LONGEST_LINE + 1)
            where = f"{task.file.name}, line {number}"
            if len(line) > _LONGEST_LINE:
                raise BadInput(f"{where} is longer than {_LONGEST_LINE >> 20} MB: it is not a sample of Fathom")
            yield where, validate(LoggedSample, parse_object(line, where), where)

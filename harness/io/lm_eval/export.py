"""Export of a stored run as the files that `lm_eval --log_samples` writes."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from inspect import getsource
from itertools import groupby
from math import inf, sqrt
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from fathom.harness.db.find import shown_run
from fathom.harness.db.samples import StoredSample, Weights, stream_stored, weights_of
from fathom.harness.errors import BadInput, write_error
from fathom.harness.io.lm_eval.format import as_texts, folder_name, prompt_pieces, sha256_hex
from fathom.harness.io.parcel import check_whole
from fathom.harness.records import NO_READING, RunDetail
from fathom.harness.runs import lm_eval_adapter as lmeval
from fathom.harness.runs.requests import AnswerReader, answer_reader
from fathom.harness.runs.run_settings import PromptSettings, RunSettings, settings_of
from fathom.tasks.base import SCORED, Instance, verdict_json
from fathom.tasks.registry import find_family
from fathom.tasks.suites import SuiteCell, item_at

_Json = dict[str, Any]  # JSON values


@dataclass(slots=True)
class _Mean:
    """The mean of a share over items, such as the share of right answers to an item."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, share: float) -> None:
        """Add an item."""
        self.n, self.total, self.squares = self.n + 1, self.total + share, self.squares + share**2

    @property
    def mean(self) -> float:
        """Mean of the items."""
        return self.total / self.n

    @property
    def error(self) -> float | str:
        """Standard error of the mean, as lm-eval computes it."""
        if self.n < 2:
            return "N/A"
        return sqrt(max(0.0, self.squares / self.n - self.mean**2) / (self.n - 1))


@dataclass(slots=True)
class _TaskTotals:
    """Totals of a task whose samples are written."""

    name: str
    cell: SuiteCell
    config: _Json
    """Configuration of the task for lm-eval."""
    acc: _Mean = field(default_factory=_Mean)
    unread: _Mean = field(default_factory=_Mean)
    found: list[Any] = field(default_factory=list)
    hashes: Any = field(default_factory=sha256)  # hashlib's own type has no public name

    def count(self, row: _Json) -> None:
        """Add a sample to the totals."""
        self.acc.add(row["acc"])
        self.unread.add(row["unread"])
        self.found.append(row["found"])
        self.hashes.update((row["doc_hash"] + row["prompt_hash"] + row["target_hash"]).encode())

    @property
    def n(self) -> int:
        """Number of items."""
        return self.acc.n

    def metrics(self) -> _Json:
        """Return the metrics under lm-eval's names."""
        return {
            "acc,none": self.acc.mean, "acc_stderr,none": self.acc.error,
            "found,none": lmeval.share_asked(self.found), "found_stderr,none": "N/A",
            "unread,none": self.unread.mean, "unread_stderr,none": self.unread.error,
        }  # fmt: skip


@dataclass(slots=True)
class _Task:
    """A cell to export, with its settings and totals."""

    cell: SuiteCell
    id: int
    seed: str
    settings: RunSettings
    reading: AnswerReader
    config: _Json
    logged: _TaskTotals = field(init=False)

    def __post_init__(self) -> None:
        """Start with empty totals."""
        self.logged = _TaskTotals(lmeval.task_name(self.cell.cell), self.cell, self.config)


def export_lm_eval(db: Engine, run: str, out: Path) -> Path:
    """Write results_DATE.json and samples_TASK_DATE.jsonl into a folder named after the model; return the results.

    All files are written to a temporary folder and moved to their place at the end, the results last.

    Raises:
        UnknownRun: no such run.
        SealedRun: its season has not ended.
        BadInput: the run is not complete, was made by another version, or the files cannot be written.
    """
    detail = shown_run(db, run)
    check_whole(detail)
    _check_versions(detail)
    folder = out / folder_name(detail.summary.model)
    date = detail.summary.created_at.replace(tzinfo=None).isoformat(timespec="microseconds").replace(":", "-")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as name:
            partial = Path(name)
            logged = [_write_samples(db, task, partial, date) for task in _tasks(detail)]
            results = _results_json(detail, weights_of(db, detail.summary.run), logged)
            text = json.dumps(results, indent=2, ensure_ascii=False)
            (partial / f"results_{date}.json").write_text(text, encoding="utf-8")
            for file in sorted(partial.iterdir(), reverse=True):  # samples before results
                file.replace(folder / file.name)
    except OSError as error:
        raise write_error(folder, error) from error
    return folder / f"results_{date}.json"


def _check_versions(detail: RunDetail) -> None:
    for cell in detail.suite.cells:
        if (now := find_family(cell.family).version) != cell.version:
            raise BadInput(
                f"run {detail.summary.run} has items of {cell.family}@{cell.version}, and this Fathom makes "
                f"{cell.family}@{now}: export its tables instead (--format jsonl)"
            )


def _tasks(detail: RunDetail) -> Iterator[_Task]:
    settings = settings_of(detail.manifest) or RunSettings()
    sampling = detail.manifest.decisive.sampling
    for cell, counted in zip(detail.suite.cells, detail.cells, strict=True):
        reading = answer_reader(cell.style, settings)
        config = lmeval.cell_config(cell.cell, settings)
        if "generation_kwargs" in config:  # a run that was imported may have been answered with other settings
            config["generation_kwargs"] |= sampling.get("generation", {}).get(config["task"], {})
        yield _Task(cell, counted.id, detail.suite.seed, settings, reading, config)


def _write_samples(db: Engine, task: _Task, folder: Path, date: str) -> _TaskTotals:
    with (folder / f"samples_{task.logged.name}_{date}.jsonl").open("w", encoding="utf-8") as stream:
        for index, answers in groupby(stream_stored(db, task.id), key=lambda one: one.index):
            row = _sample(task, index, list(answers))
            task.logged.count(row)
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return task.logged


def _sample(task: _Task, index: int, answers: list[StoredSample]) -> _Json:
    item = item_at(task.cell, task.seed, index)
    doc = lmeval.doc_of(task.cell.cell, item)
    prompt = _asked(task, item)
    if task.cell.style in SCORED:
        arguments: list[tuple[str, Any]] = [(prompt, choice) for choice in doc["choices"]]
        scores = answers[0].completion.scores or (-inf,) * len(doc["choices"])
        resps: list[Any] = [[(score, False)] for score in scores]  # whether it is greedy is not stored
        filtered: list[Any] = [row[0] for row in resps]
    else:
        arguments = [(prompt, task.config["generation_kwargs"])]
        resps = [[one.completion.text for one in answers]]
        read = [task.reading.answer(one.completion).text for one in answers]
        filtered = read if len(read) == 1 else [read]
    found = [one.verdict.found for one in answers]
    return {
        "doc_id": index, "doc": doc, "target": str(doc["target"]),
        "arguments": {
            f"gen_args_{at}": {f"arg_{place}": value for place, value in enumerate(pair)}
            for at, pair in enumerate(arguments)
        },
        "resps": as_texts(resps), "filtered_resps": as_texts(filtered), "filter": "none",
        "metrics": ["acc", "found", "unread"],
        "doc_hash": sha256_hex(json.dumps(doc, indent=2, ensure_ascii=False)), "prompt_hash": sha256_hex(prompt),
        "target_hash": sha256_hex(str(doc["target"])),
        "acc": sum(one.verdict.correct for one in answers) / len(answers),
        "found": found if len(found) > 1 else found[0],
        "unread": sum(map(_is_unread, answers)) / len(answers),
        "fathom": [_ours(one) for one in answers],
    }  # fmt: skip


def _is_unread(one: StoredSample) -> bool:
    return one.verdict.found == "none" and one.verdict.label not in NO_READING


def _asked(task: _Task, item: Instance) -> str:
    prompting = task.settings.prompt
    system = lmeval.evaluate_arguments(prompting)["system_instruction"] or ""
    pieces = prompt_pieces(task.cell.cell, item, system, prompting.n_shots)
    if not prompting.chat:
        return pieces.plain()
    return json.dumps(pieces.messages(prompting.shots_as == "turns"), ensure_ascii=False)


def _ours(one: StoredSample) -> _Json:
    """Return the facts about an answer that lm-eval does not log: verdict, finish reason, tokens and time."""
    done = one.completion
    return {
        **verdict_json(one.verdict), "finish_reason": done.finish_reason, "prompt_tokens": done.prompt_tokens,
        "completion_tokens": done.completion_tokens, "milliseconds": round(done.seconds * 1000),
    }  # fmt: skip


def _results_json(detail: RunDetail, weights: Weights, tasks: Sequence[_TaskTotals]) -> _Json:
    """Return the aggregated results; facts that Fathom does not store are null, its own facts are under `fathom`."""
    prompting = (settings_of(detail.manifest) or RunSettings()).prompt
    return {
        "results": {
            one.name: {
                "name": one.name, "alias": one.name, "sample_len": one.n, **one.metrics(),
            }
            for one in tasks
        },
        "group_subtasks": {},
        "configs": {one.name: _config(one, detail, prompting) for one in tasks},
        "versions": {one.name: one.cell.version for one in tasks},
        "n-shot": {one.name: prompting.n_shots for one in tasks},
        "higher_is_better": {one.name: {"acc": True, "found": True, "unread": False} for one in tasks},
        "n-samples": {one.name: {"original": one.n, "effective": one.n} for one in tasks},
        "config": _settings(detail, weights),
        **_surroundings(detail),
        "task_hashes": {one.name: one.hashes.hexdigest() for one in tasks},
        **_general(detail, prompting),
        "fathom": _run_facts(detail),
    }  # fmt: skip


def _config(one: _TaskTotals, detail: RunDetail, prompting: PromptSettings) -> _Json:
    """Return a task's configuration as lm-eval writes it."""
    plain = one.config
    choices = {"doc_to_choice": "choices"} if "doc_to_choice" in plain else {}
    drawn = {"generation_kwargs": plain["generation_kwargs"]} if "generation_kwargs" in plain else {}
    filters = {"filter_list": plain["filter_list"]} if "filter_list" in plain else {}
    shots = {
        "sampler": "first_n", "split": "shots", "process_docs": None, "fewshot_indices": None, "samples": None,
        "doc_to_text": "prompt", "doc_to_choice": plain.get("doc_to_choice"), "doc_to_target": "target",
        "gen_prefix": None, "fewshot_delimiter": plain["fewshot_delimiter"],
        "target_delimiter": plain["target_delimiter"],
    }  # fmt: skip
    return {
        "task": one.name, "custom_dataset": getsource(lmeval.build_dataset), "dataset_kwargs": plain["dataset_kwargs"],
        "test_split": "test", "fewshot_split": "shots", "doc_to_text": "prompt", "doc_to_target": "target",
        "unsafe_code": False, **choices, "process_results": getsource(lmeval.process_results), "description": "",
        "target_delimiter": plain["target_delimiter"], "fewshot_delimiter": plain["fewshot_delimiter"],
        "fewshot_config": shots, "num_fewshot": prompting.n_shots,
        "metric_list": lmeval.task_metrics(getsource(lmeval.share_asked)),
        "output_type": plain["output_type"], **drawn, **filters,
        "repeats": plain.get("repeats", 1), "should_decontaminate": False,
        "metadata": {
            "version": one.cell.version, "pretrained": detail.summary.model, "data_seed": detail.suite.seed,
            "n_items": one.cell.n,
        },
    }  # fmt: skip


def _settings(detail: RunDetail, weights: Weights) -> _Json:
    """Return lm-eval's facts about the model and the call."""
    context = detail.manifest.context
    return {
        "model": detail.summary.engine.removeprefix("lm-eval/"),
        "model_args": {"pretrained": detail.summary.model, **detail.manifest.decisive.engine.options},
        "model_num_parameters": weights.n_parameters, "model_dtype": weights.dtype,
        "model_revision": context.revision or "main", "model_sha": context.model_sha,
        "batch_size": None, "batch_sizes": [], "device": None, "use_cache": None, "limit": None, "bootstrap_iters": 0,
        "gen_kwargs": {}, "random_seed": None, "numpy_seed": None, "torch_seed": None, "fewshot_seed": None,
    }  # fmt: skip


def _surroundings(detail: RunDetail) -> _Json:
    decisive, context = detail.manifest.decisive, detail.manifest.context
    packages = decisive.engine.packages
    machine = {"python": context.python, "platform": context.platform, **context.hardware}
    return {
        "git_hash": context.fathom.commit, "date": detail.summary.created_at.timestamp(),
        "pretty_env_info": "\n".join(f"{name}: {said}" for name, said in {**machine, **packages}.items()),
        "transformers_version": packages.get("transformers"),
        "lm_eval_version": decisive.lm_eval or version("lm-eval"), "upper_git_hash": None,
        "tokenizer_pad_token": None, "tokenizer_eos_token": None, "tokenizer_bos_token": None, "eot_token_id": None,
        "max_length": None,
    }  # fmt: skip


def _general(detail: RunDetail, prompting: PromptSettings) -> _Json:
    model, said = detail.summary.model, lmeval.evaluate_arguments(prompting)
    system = said["system_instruction"]
    return {
        "model_source": detail.summary.engine.removeprefix("lm-eval/"), "model_name": model,
        "model_name_sanitized": folder_name(model), "system_instruction": system,
        "system_instruction_sha": sha256_hex(system) if system else None,
        "fewshot_as_multiturn": said["fewshot_as_multiturn"] or None,
        # the engine applies the model's own template, whose text is not stored
        "chat_template": "" if prompting.chat else None, "chat_template_sha": None,
        "total_evaluation_time_seconds": str(float(detail.summary.seconds)),
    }  # fmt: skip


def _run_facts(detail: RunDetail) -> _Json:
    """Return the facts that only Fathom has; `fathom import` reads suite and sampling again, but trusts no count."""
    one, suite = detail.summary, detail.suite
    return {
        "run": one.run, "tier": one.tier, "suite": {"name": suite.name, "version": suite.version},
        "sampling": detail.manifest.decisive.sampling, "manifest_digest": detail.manifest_digest,
        "manifest": detail.manifest.to_json(),
    }  # fmt: skip

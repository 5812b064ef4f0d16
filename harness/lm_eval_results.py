"""Write what lm-eval's results_DATE.json says of a run: the same keys, in the same order, and one of ours."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from inspect import getsource
from math import sqrt
from typing import Any

from harness import lmeval
from harness.db.journal import Weights
from harness.db.read import RunDetail
from harness.lm_eval_files import folder_name, text_digest
from harness.prompting import Prompting, manner_of
from harness.suite import SuiteCell

Json = dict[str, Any]  # JSON values


@dataclass(slots=True)
class Logged:
    """A task whose samples were written, and what they came to."""

    name: str
    cell: SuiteCell
    config: Json
    """As harness.lmeval.cell_config has it."""
    n: int = 0
    total: float = 0.0
    squares: float = 0.0
    """Sums of what the items got: 0 or 1, or the share of their right answers."""
    hashes: Any = field(default_factory=sha256)  # hashlib's own type has no public name

    def count(self, row: Json) -> None:
        """Take a sample into account."""
        self.n += 1
        self.total += row["acc"]
        self.squares += row["acc"] ** 2
        self.hashes.update((row["doc_hash"] + row["prompt_hash"] + row["target_hash"]).encode())

    @property
    def accuracy(self) -> float:
        """Mean of the items."""
        return self.total / self.n

    @property
    def error(self) -> float | str:
        """Standard error of the accuracy, as lm-eval has it."""
        if self.n < 2:
            return "N/A"
        return sqrt(max(0.0, self.squares / self.n - self.accuracy**2) / (self.n - 1))


def results_json(detail: RunDetail, weights: Weights, tasks: Sequence[Logged]) -> Json:
    """Return the aggregated results; what Fathom does not keep is null, and what lm-eval has no place for is ours."""
    prompting, _ = manner_of(detail.manifest)
    return {
        "results": {
            one.name: {
                "name": one.name, "alias": one.name, "sample_len": one.n, "acc,none": one.accuracy,
                "acc_stderr,none": one.error,
            }
            for one in tasks
        },
        "group_subtasks": {},
        "configs": {one.name: _config(one, detail, prompting) for one in tasks},
        "versions": {one.name: one.cell.version for one in tasks},
        "n-shot": {one.name: prompting.n_shots for one in tasks},
        "higher_is_better": {one.name: {"acc": True} for one in tasks},
        "n-samples": {one.name: {"original": one.n, "effective": one.n} for one in tasks},
        "config": _settings(detail, weights),
        **_surroundings(detail),
        "task_hashes": {one.name: one.hashes.hexdigest() for one in tasks},
        **_general(detail, prompting),
        "fathom": _ours(detail),
    }  # fmt: skip


def _config(one: Logged, detail: RunDetail, prompting: Prompting) -> Json:
    """Return a task's configuration as lm-eval dumps it."""
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
        "fewshot_config": shots, "num_fewshot": prompting.n_shots, "metric_list": plain["metric_list"],
        "output_type": plain["output_type"], **drawn, **filters,
        "repeats": plain.get("repeats", 1), "should_decontaminate": False,
        "metadata": {
            "version": one.cell.version, "pretrained": detail.summary.model, "data_seed": detail.suite.seed,
            "n_items": one.cell.n,
        },
    }  # fmt: skip


def _settings(detail: RunDetail, weights: Weights) -> Json:
    """Return what lm-eval says of the model and how it was called."""
    stated = detail.manifest.get("decisive", {}).get("engine", {})
    context = detail.manifest.get("context", {})
    return {
        "model": detail.summary.engine.removeprefix("lm-eval/"),
        "model_args": {"pretrained": detail.summary.model, **stated.get("options", {})},
        "model_num_parameters": weights.n_parameters, "model_dtype": weights.dtype,
        "model_revision": context.get("revision") or "main", "model_sha": context.get("model_sha", ""),
        "batch_size": None, "batch_sizes": [], "device": None, "use_cache": None, "limit": None, "bootstrap_iters": 0,
        "gen_kwargs": {}, "random_seed": None, "numpy_seed": None, "torch_seed": None, "fewshot_seed": None,
    }  # fmt: skip


def _surroundings(detail: RunDetail) -> Json:
    decisive, context = detail.manifest.get("decisive", {}), detail.manifest.get("context", {})
    packages = decisive.get("engine", {}).get("packages", {})
    machine = {"python": context.get("python"), "platform": context.get("platform"), **context.get("hardware", {})}
    return {
        "git_hash": context.get("fathom", {}).get("commit"), "date": detail.summary.created_at.timestamp(),
        "pretty_env_info": "\n".join(f"{name}: {said}" for name, said in (machine | packages).items()),
        "transformers_version": packages.get("transformers"),
        "lm_eval_version": decisive.get("lm_eval") or version("lm-eval"), "upper_git_hash": None,
        "tokenizer_pad_token": None, "tokenizer_eos_token": None, "tokenizer_bos_token": None, "eot_token_id": None,
        "max_length": None,
    }  # fmt: skip


def _general(detail: RunDetail, prompting: Prompting) -> Json:
    model, said = detail.summary.model, lmeval.put(prompting)
    system = said["system_instruction"]
    return {
        "model_source": detail.summary.engine.removeprefix("lm-eval/"), "model_name": model,
        "model_name_sanitized": folder_name(model), "system_instruction": system,
        "system_instruction_sha": text_digest(system) if system else None,
        "fewshot_as_multiturn": said["fewshot_as_multiturn"] or None,
        # the engine applies the model's own template, whose text is not kept
        "chat_template": "" if prompting.chat else None, "chat_template_sha": None,
        "total_evaluation_time_seconds": str(float(detail.summary.seconds)),
    }  # fmt: skip


def _ours(detail: RunDetail) -> Json:
    """Return what only Fathom says; `fathom import` reads suite and sampling again, and believes no count."""
    one, suite = detail.summary, detail.suite
    return {
        "run": one.run, "tier": one.tier, "suite": {"name": suite.name, "version": suite.version},
        "sampling": detail.manifest.get("decisive", {}).get("sampling"), "manifest_digest": detail.manifest_digest,
        "manifest": dict(detail.manifest),
    }  # fmt: skip

"""Checks of a submitted model: everything that keeps a worker from running it, reported at once."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fathom.harness.errors import Finding
from fathom.harness.runs.prompt_format import ModelHints, PromptFormat, StatedFormat, choose_prompt_format
from fathom.harness.service.faults import FAULTS
from fathom.server.submissions.architectures import ARCHITECTURES
from fathom.server.submissions.repository import (
    INDEX,
    Repository,
    Tensor,
    indexed_files,
    model_finding,
    name_some,
    parse_json,
    read_tensors,
    walk_json,
    weight_files,
)

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of a number in each precision that can be chosen; `auto` keeps the stored one."""
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")
_LICENCES = ("license", "license.txt", "license.md", "licence", "licence.txt", "licence.md", "copying")
_PATH = re.compile(r"(?:/|~|\\|[A-Za-z]:[\\/]|\.\.[\\/]|file:)", re.IGNORECASE)
_NAMES = ("_name_or_path", "name_or_path")
"""Keys that often hold a path on the machine that trained the model; nothing reads them."""
_SAVE = "Save the model with save_pretrained of transformers"
_CODE = ("auto_map", "custom_pipelines", "trust_remote_code")
ATTENTIONS = frozenset(("eager", "flash_attention_2", "flash_attention_3", "flex_attention", "sdpa"))
"""Attention built into transformers; any other name is a repository whose kernel would be run."""
EXPERTS = frozenset(("eager", "batched_mm", "grouped_mm"))
"""Mixtures of experts built into transformers."""
_IMPLEMENTATIONS = {
    "_attn_implementation": ATTENTIONS, "attn_implementation": ATTENTIONS, "_attn_implementation_internal": ATTENTIONS,
    "_experts_implementation": EXPERTS, "experts_implementation": EXPERTS,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunChoice:
    """How the submitter wants a model to be run, and the largest weights that are accepted."""

    dtype: str = "auto"
    chat_template: bool | None = None
    """None: as the model's files say."""
    max_bytes: int = 200 << 30


@dataclass(frozen=True, slots=True)
class ModelReport:
    """What the checks found; `warnings` do not keep a model from running. Counts are None where unknown."""

    findings: tuple[Finding, ...]
    warnings: tuple[Finding, ...] = ()
    n_parameters: int | None = None
    n_bytes: int | None = None
    kind: str = "base"
    """chat if the model has a chat template."""
    prompt_format: PromptFormat | None = None
    """How it is to be asked; None where it cannot be read."""


def check_model(repository: Repository, choice: RunChoice) -> ModelReport:
    """Check what the hub states about a model's files; nothing of the model is loaded."""
    if repository.gated:
        return ModelReport((_fault("gated"), *_files(repository)))
    config = _object(repository, "config.json")
    tensors, broken = _tensors(repository)
    tied = config is not None and config.get("tie_word_embeddings") is True
    n = sum(one.n for one in tensors if not (tied and one.name == "lm_head.weight")) or None
    sizes = _sizes(repository)
    findings = (
        *_files(repository), *_config(repository, config), *_code(repository), *_weights(repository), *broken,
        *_size(sum(sizes.values()), _quantized(config), n, choice), *_tokenizer(repository, choice),
        *_licence(repository),
    )  # fmt: skip
    card = model_finding("There is no model card (README.md).", "Say in one what the model was trained on.", "no_card")
    warnings = () if repository.has("README.md") else (card,)
    has_template = _is_chat(repository)
    prompt_format = choose_prompt_format(
        ModelHints(has_template, repository.card_shots), StatedFormat(choice.chat_template)
    )
    kind = "chat" if has_template else "base"
    return ModelReport(findings, warnings, n, sum(sizes.values()) or None, kind, prompt_format)


def _fault(code: str, problem: str = "", field: str = "model") -> Finding:
    """Write a finding in the words of a fault of `harness.service.faults`."""
    fault = FAULTS[code]
    return Finding(field, problem or fault.words, fault.fix, code)


def _object(repository: Repository, name: str) -> dict[str, Any] | None:  # JSON
    value = parse_json(repository.texts.get(name, b""))
    return value if isinstance(value, dict) else None


def _files(repository: Repository) -> Iterator[Finding]:
    odd = [file.name for file in repository.files if _is_odd(file.name)]
    if odd:
        fix = "Rename them: letters, digits, hyphens, full stops and underscores between single slashes."
        yield model_finding(
            f"Some file names are not plain paths: {name_some([ascii(name)[1:-1] for name in odd])}.", fix
        )


def _is_odd(name: str) -> bool:
    parts = name.split("/")
    plain = name.isprintable() and len(name) <= 400 and not any(char in name for char in '\\:*?"<>|')
    return not plain or name[:1] in ("~", "-") or any(part in ("", ".", "..") for part in parts)


def _config(repository: Repository, config: Mapping[str, Any] | None) -> Iterator[Finding]:
    if not repository.has("config.json"):
        if repository.has("adapter_config.json"):
            fix = "Merge it into its base model (merge_and_unload of peft), and submit the whole."
            yield model_finding("This is an adapter, not a whole model.", fix, "unsupported_architecture")
            return
        yield model_finding("There is no config.json.", f"{_SAVE}, and upload it again.")
        return
    if config is None:
        yield model_finding("config.json cannot be read as JSON.", f"{_SAVE}, and submit the new revision.")
        return
    named = config.get("architectures")
    known = named if isinstance(named, list) else []
    if not isinstance(config.get("model_type"), str) or not known:
        yield model_finding(
            "config.json names no model_type or no architectures.", f"{_SAVE}, and submit the new revision."
        )
    elif not any(name in ARCHITECTURES for name in known if isinstance(name, str)):
        yield _fault("unsupported_architecture", f"The engine does not know the architecture {ascii(known[0])[:80]}.")
    yield from _quantization(config)


def _quantization(config: Mapping[str, Any]) -> Iterator[Finding]:
    for key, value in walk_json(config):
        if key not in ("quantization_config", "compression_config") or not isinstance(value, dict):
            continue
        method = value.get("quant_method", "modelopt" if "quant_algo" in value or key[0] == "c" else None)
        if not isinstance(method, str) or method not in QUANTIZATIONS:
            fix = "Quantise it with awq, gptq, fp8 or compressed-tensors, or submit it as it was."
            problem = f"config.json asks for the quantisation {ascii(method)[:60]}, whose code is not run here."
            yield model_finding(problem, fix, "unsupported_architecture")


def _quantized(config: Mapping[str, Any] | None) -> bool:
    return config is not None and any(
        key in ("quantization_config", "compression_config") for key, _ in walk_json(config)
    )


def _code(repository: Repository) -> Iterator[Finding]:
    for name in ("config.json", "tokenizer_config.json"):
        pairs = list(walk_json(_object(repository, name)))
        keys = sorted({key for key, value in pairs if key in _CODE and value})
        if keys:
            yield _fault(
                "remote_code_required", f"{name} has {', '.join(keys)}, which asks for code of the repository."
            )
        strange = sorted({f"{key} = {ascii(value)[:60]}" for key, value in pairs if _is_foreign(key, value)})
        if strange:
            problem = f"{name} asks for an implementation from elsewhere: {name_some(strange)}."
            yield _fault("remote_code_required", problem)
        paths = sorted({key for key, value in pairs if _is_path(key, value)}) if name == "config.json" else []
        if paths:
            fix = "Take them out: nothing but the repository's own files is read."
            yield model_finding(f"{name} names files outside of the repository, under {name_some(paths)}.", fix)


def _is_foreign(key: str, value: Any) -> bool:  # JSON
    known = _IMPLEMENTATIONS.get(key)
    if known is None:
        return key.startswith("_attn_") and key != "_attn_implementation_autoset"
    values = value.values() if isinstance(value, dict) else [value]
    return any(one is not None and (not isinstance(one, str) or one not in known) for one in values)


def _is_path(key: str, value: Any) -> bool:  # JSON
    return isinstance(value, str) and key not in _NAMES and _PATH.match(value) is not None


def _weights(repository: Repository) -> Iterator[Finding]:
    index = _object(repository, INDEX)
    if not any(file.name.endswith(".safetensors") for file in repository.files):
        yield _fault("no_safetensors")
        return
    if repository.has(INDEX) and not indexed_files(index):
        yield model_finding(f"{INDEX} cannot be read.", f"{_SAVE}, and submit the new revision.")
    absent = [name for name in indexed_files(index) if not repository.has(name)]
    if absent:
        yield model_finding(
            f"{INDEX} names files that are not there: {name_some(absent)}.", "Upload them, and submit again."
        )
    if not absent and not weight_files(repository.files, index):
        yield model_finding("No safetensors file lies where a loader looks, at the root.", "Move the weights there.")


def _tensors(repository: Repository) -> tuple[list[Tensor], list[Finding]]:
    """Parse all headers; return their tensors, and the contradictions."""
    found: dict[str, Tensor] = {}
    places: dict[str, str] = {}
    findings = []
    fix = "Upload the file again, and submit the new revision."
    told = {file.name: file.size for file in repository.files}
    for name, header in repository.headers.items():
        tensors = read_tensors(header)
        if tensors is None:
            findings.append(model_finding(f"{name} is cut off, or not what its header says.", fix))
        if told.get(name) not in (None, header.size):
            findings.append(
                model_finding(f"The hub lists {name} with {told[name]} bytes, and it has {header.size}.", fix)
            )
        for one in tensors or ():
            found[one.name], places[one.name] = one, name
    if not findings and repository.headers:
        findings += _indexed(_object(repository, INDEX), places)
    return list(found.values()), findings


def _indexed(index: Mapping[str, Any] | None, places: Mapping[str, str]) -> list[Finding]:
    wanted = index.get("weight_map") if index else None
    if not isinstance(wanted, dict):
        return []
    lost = sorted(str(name) for name, shard in wanted.items() if places.get(name) != shard)
    if not lost:
        return []
    return [
        model_finding(
            f"{INDEX} and the weights disagree on {name_some(lost)}.", "Save the model again with save_pretrained."
        )
    ]


def _sizes(repository: Repository) -> dict[str, int]:
    """Return the size of each weights file: the true one where it is known."""
    read = repository.headers
    files = weight_files(repository.files, _object(repository, INDEX))
    return {file.name: read[file.name].size if file.name in read else file.size or 0 for file in files}


def _size(stored: int, is_quantized: bool, n_parameters: int | None, choice: RunChoice) -> Iterator[Finding]:
    as_asked = 0 if is_quantized else (n_parameters or 0) * _BYTES.get(choice.dtype, 0)
    if max(stored, as_asked) > choice.max_bytes:
        field, how = ("dtype", f" in {choice.dtype}") if stored <= choice.max_bytes else ("model", "")
        size = f"{max(stored, as_asked) / (1 << 30):,.1f} GB{how}"
        problem = f"The weights have {size}; at most {choice.max_bytes / (1 << 30):,.1f} GB are taken."
        yield _fault("too_large", problem, field)


def _tokenizer(repository: Repository, choice: RunChoice) -> Iterator[Finding]:
    if not any(repository.has(name) for name in _TOKENIZERS):
        yield model_finding(
            "There is no tokenizer: tokenizer.json is missing.", "Save it with save_pretrained, and upload it."
        )
    if choice.chat_template and not _is_chat(repository):
        yield _fault("no_chat_template", field="chat_template")


def _is_chat(repository: Repository) -> bool:
    settings = _object(repository, "tokenizer_config.json") or {}
    return repository.has("chat_template.jinja") or bool(settings.get("chat_template"))


def _licence(repository: Repository) -> Iterator[Finding]:
    if not repository.licence and not any(file.name.lower() in _LICENCES for file in repository.files):
        fix = "Name one in the head of README.md, as `license: apache-2.0`, or add a file LICENSE."
        yield model_finding("The model has no licence.", fix, "no_licence")


_QUANTIZATIONS = """
    auto-round awq compressed-tensors experts_int8 fbgemm_fp8 fp8 fp_quant gpt_oss_mxfp4 gptq inc modelopt modelopt_fp4
    modelopt_mixed modelopt_mxfp8 mxfp4 quark
"""
QUANTIZATIONS = frozenset(_QUANTIZATIONS.split())
"""Values of `quant_method` that vLLM 0.32.0 reads; torchao's are left out, since its configs name Python classes."""

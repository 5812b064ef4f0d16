"""Weight files of a model: which ones count, whether they are whole, and what their headers tell without a load."""

import json
import re
import struct
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from fathom.harness.errors import BrokenModel

_INDEX = "model.safetensors.index.json"
_WHOLE, _TWICE = "model.safetensors", "consolidated*.safetensors"
_NUMBERED = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.safetensors")
_TIED = re.compile(r"(^|\.)lm_head\.weight$")
_EMBEDDING = re.compile(
    r"(^|\.)(embed_tokens|wte|word_embeddings|embed_in|tok_embeddings|embeddings|embedding)\.weight$"
)
_BUFFER = re.compile(r"\.(masked_bias|inv_freq|position_ids|rotary_emb\.\w+)$")
"""Tensors that older files hold, and that nobody trains."""
_ABOUT_PACKING = re.compile(
    r"\.(qzeros|scales|g_idx|SCB|absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.\w+|weight_format"
    r"|(weight|input|output|k|v|q)_(scale|scale_2|scale_inv|zero_point|global_scale|shape|g_idx)|\w*_scales|\w+_scale_inv"
    r"|weight_packed_shape|biases)$"
)
"""Tensors that tell how packed weights are read."""

Tensors = Mapping[str, tuple[str, tuple[int, ...]]]
"""dtype, as in U8 or BF16, and shape by name."""


def weight_files(path: Path) -> list[Path]:
    """Return the files that hold a model once: those of its index, else its one file, else all.

    Some repositories hold the same weights a second time, in the layout of the first author.

    Raises:
        BrokenModel: a file that the index names, or a numbered one, is missing; or the index cannot be read.
    """
    if (path / _INDEX).exists():
        files = [path / name for name in sorted(set(_read_index(path / _INDEX).values()))]
        _check_there(files, _INDEX)
        return files
    if (path / _WHOLE).exists():
        return [path / _WHOLE]
    found = sorted(path.glob("*.safetensors"))
    once = [file for file in found if not file.match(_TWICE)] or found
    for file in once:
        if numbered := _NUMBERED.fullmatch(file.name):
            name, _, last = numbered.groups()
            parts = [path / f"{name}-{at:05}-of-{last}.safetensors" for at in range(1, int(last) + 1)]
            _check_there(parts, file.name)
    return once


def _read_index(file: Path) -> Mapping[str, str]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["weight_map"]
        return {str(name): str(place) for name, place in found.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise BrokenModel(f"{file} names no weights ({error}): fetch the model again") from error


def _check_there(files: list[Path], namer: str) -> None:
    missing = [file.name for file in files if not file.exists()]
    if missing:
        raise BrokenModel(f"{files[0].parent} has no {', '.join(missing[:3])}, which {namer} names: fetch it again")


def check_weights(path: Path) -> None:
    """Raise BrokenModel unless all weights are there, in whole files."""
    files = weight_files(path)
    if not files:
        others = sorted(file.name for pattern in ("*.bin", "*.pt", "*.gguf") for file in path.glob(pattern))
        advice = f"convert {others[0]} with save_pretrained" if others else "fetch the model again, with weights"
        raise BrokenModel(f"{path} has no *.safetensors file: {advice}")
    for file in files:
        check_safetensors(file)
    missing = set(_read_index(path / _INDEX)) - set(read_tensors(path)) if (path / _INDEX).exists() else set()
    if missing:
        raise BrokenModel(f"{path} has no weights for {min(missing)}, which {_INDEX} names: fetch the model again")


def check_safetensors(file: Path) -> None:
    """Raise BrokenModel unless a file is as long as its header says (safetensors: 8-byte length + JSON)."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        head = stream.read(8)
        n_header = struct.unpack("<Q", head)[0] if len(head) == 8 else size
        try:
            header = json.loads(stream.read(min(n_header, size)))
            promised = max(
                (row["data_offsets"][1] for name, row in header.items() if name != "__metadata__"), default=0
            )
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise BrokenModel(f"{file} is not a safetensors file, or is cut off: fetch the model again") from error
    if size != 8 + n_header + promised:
        raise BrokenModel(f"{file} has {size} bytes, its header promises {8 + n_header + promised}: fetch it again")


def read_tensors(path: Path) -> Tensors:
    """Return the tensors of a model from the headers of its files."""
    return dict(found for file in weight_files(path) for found in _header(file))


def _header(file: Path) -> Iterator[tuple[str, tuple[str, tuple[int, ...]]]]:
    with file.open("rb") as stream:
        header = json.loads(stream.read(struct.unpack("<Q", stream.read(8))[0]))
    for name, row in header.items():
        if name != "__metadata__":
            yield name, (row["dtype"], tuple(row["shape"]))


def embedding_rows(tensors: Tensors, config: Mapping[str, Any]) -> int | None:  # JSON values
    """Return the number of tokens that a model has embeddings for; None where no tensor has a known name."""
    rows = [shape[0] for name, (_, shape) in tensors.items() if _EMBEDDING.search(name) and len(shape) == 2]
    said = (one.get("vocab_size") for one in (config, config.get("text_config") or {}))
    return max(*rows, *(one for one in said if isinstance(one, int)), 0) if rows else None


def count_parameters(tensors: Tensors, config: Mapping[str, Any]) -> int | None:  # JSON values
    """Count the parameters, those of a tied output layer once, and packed ones as many as they stand for.

    Returns None where they are packed in a way that is not known here.
    """
    packing = _packing(config)
    n = 0
    for name, (dtype, shape) in tensors.items():
        if (_is_tied(config) and _TIED.search(name)) or _BUFFER.search(name) or _is_mask(name, shape):
            continue
        is_whole = dtype[0] in "UI" or dtype == "BOOL"  # without packing, no parameter
        if _ABOUT_PACKING.search(name) if packing else is_whole:
            continue
        each = _values_a_number(name, dtype, packing) if is_whole else 1.0
        if each is None:
            return None
        n += round(prod(shape) * each)
    return n


def _is_mask(name: str, shape: tuple[int, ...]) -> bool:
    """Say whether a tensor is the causal mask that old files of GPT-2's kind hold."""
    return len(shape) == 4 and name.endswith(("attn.bias", "attention.bias"))


def _is_tied(config: Mapping[str, Any]) -> bool:  # JSON values
    return any(one.get("tie_word_embeddings") is True for one in (config, config.get("text_config") or {}))


def _packing(config: Mapping[str, Any]) -> Mapping[str, Any]:  # JSON values
    nested = config.get("text_config") or {}
    names = ("quantization_config", "compression_config", "quantization")
    return next((one[name] for one in (config, nested) for name in names if isinstance(one.get(name), dict)), {})


def _values_a_number(name: str, dtype: str, packing: Mapping[str, Any]) -> float | None:  # JSON values
    """Return how many weights one whole number of a packed tensor stands for; None where this is unknown."""
    bits = _bits(packing)
    held = {"8": 8, "16": 16, "32": 32, "64": 64}.get(dtype.lstrip("UI"), 0)
    if bits is None or not held:
        return None
    last = name.rpartition(".")[2]
    is_known = last in ("qweight", "weight_packed") or last.endswith("_blocks")
    return held / bits if is_known or (last == "weight" and dtype in ("I8", "U8", "U32")) else None


def _bits(packing: Mapping[str, Any]) -> int | None:  # JSON values
    """Return the bits of a packed weight."""
    method = packing.get("quant_method", "")
    if method == "bitsandbytes":
        return 4 if packing.get("load_in_4bit") or packing.get("_load_in_4bit") else 8
    if method == "mxfp4":
        return 4
    groups = packing.get("config_groups")
    if isinstance(groups, dict):
        found = {(one.get("weights") or {}).get("num_bits") for one in groups.values() if isinstance(one, dict)}
        bits = found.pop() if len(found) == 1 else None
    else:
        bits = packing.get("bits", packing.get("w_bit"))
    return bits if isinstance(bits, int) and 1 <= bits <= 8 else None

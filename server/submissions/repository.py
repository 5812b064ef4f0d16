"""What a hub states about a model at one commit: file names, small JSON files and safetensors headers."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from fathom.harness.errors import Finding

_MODEL_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9_][\w./+-]{0,99}", re.ASCII)
SHA = re.compile(r"[0-9a-f]{40}")
INDEX = "model.safetensors.index.json"
JSON_FILES = ("config.json", "tokenizer_config.json", INDEX)
"""Files that are read whole."""
_WEIGHTS = re.compile(r"[\w.-]{1,200}\.safetensors", re.ASCII)
_BITS = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16,
    "U16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I8": 8, "U8": 8,
    "BOOL": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class File:
    """A file in the hub's list; `size` is None where the hub does not state it."""

    name: str
    size: int | None


@dataclass(frozen=True, slots=True)
class WeightsHeader:
    """The JSON header of a safetensors file, unparsed, and the true size of the file."""

    text: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Repository:
    """A model's files at one commit; for a gated model only the list."""

    model: str
    sha: str
    files: tuple[File, ...]
    licence: str = ""
    gated: bool = False
    card_shots: int | None = None
    """Demonstrations that its card asks for in plain text."""
    texts: Mapping[str, bytes] = field(default_factory=dict)
    headers: Mapping[str, WeightsHeader] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Say whether there is such a file."""
        return any(file.name == name for file in self.files)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor in a header: `n` numbers, in the bytes `first` to `end` after the header."""

    name: str
    n: int
    first: int
    end: int


def is_model_id(name: str) -> bool:
    """Say whether a text can be a model's id on a hub, as org/name."""
    return bool(_MODEL_ID.fullmatch(name)) and ".." not in name and "--" not in name


def is_revision(name: str) -> bool:
    """Say whether a text can be a branch, a tag or a commit."""
    odd = ("..", "//", "/.", "@{", ".lock")
    return bool(_REVISION.fullmatch(name)) and name[-1] not in "/." and not any(one in name for one in odd)


def parse_json(text: bytes) -> Any | None:  # any JSON value
    """Parse JSON; None where it is invalid."""
    try:
        return json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def walk_json(value: Any) -> Iterator[tuple[str, Any]]:  # any JSON value
    """Yield every key with its value, at any depth; elements of a list come under the list's key."""
    waiting = [("", value)]
    while waiting:
        key, found = waiting.pop()
        if isinstance(found, dict):
            yield from found.items()
            waiting.extend(found.items())
        elif isinstance(found, list):
            for one in found:
                if not isinstance(one, dict | list):
                    yield key, one
            waiting.extend((key, one) for one in found)


def weight_files(files: Iterable[File], index: Mapping[str, Any] | None) -> list[File]:
    """Return the files that a loader reads: those in the index if there is one, else all at the root.

    Mistral's `consolidated` files hold the same weights a second time.
    """
    found = [file for file in files if _WEIGHTS.fullmatch(file.name)]
    named = set(indexed_files(index))
    if named:
        return [file for file in found if file.name in named]
    doubles = [file for file in found if file.name.startswith("consolidated")]
    return found if len(doubles) == len(found) else [file for file in found if file not in doubles]


def indexed_files(index: Mapping[str, Any] | None) -> list[str]:
    """Return the files that an index names, in order."""
    named = index.get("weight_map") if isinstance(index, Mapping) else None
    return sorted({str(shard) for shard in named.values()}) if isinstance(named, dict) else []


def read_tensors(header: WeightsHeader) -> list[Tensor] | None:
    """Parse a header; None where it is invalid or does not match the file's size."""
    content = parse_json(header.text)
    if not isinstance(content, dict):
        return None
    tensors = [_tensor(name, row) for name, row in content.items() if name != "__metadata__"]
    placed = sorted((one for one in tensors if one is not None), key=lambda one: (one.first, one.end))
    at = 0
    for one in placed:
        if one.first != at:
            return None
        at = one.end
    return placed if len(placed) == len(tensors) and header.size == 8 + len(header.text) + at else None


def _tensor(name: str, row: Any) -> Tensor | None:  # any JSON value
    if not isinstance(row, dict):
        return None
    shape, places = _counts(row.get("shape")), _counts(row.get("data_offsets"))
    bits = _BITS.get(str(row.get("dtype")))
    if bits is None or shape is None or places is None or len(places) != 2:
        return None
    n = prod(shape)
    return Tensor(name, n, *places) if n * bits == 8 * (places[1] - places[0]) else None


def _counts(values: Any) -> list[int] | None:  # any JSON value
    if not isinstance(values, list) or len(values) > 16:
        return None
    return values if all(type(one) is int and 0 <= one < 1 << 60 for one in values) else None


def model_finding(problem: str, fix: str, code: str = "bad_model") -> Finding:
    """Write a finding about the model."""
    return Finding("model", problem, fix, code)


def name_some(names: Sequence[str], most: int = 3) -> str:
    """Write the first names, and how many more there are."""
    shown = ", ".join(name[:80] for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"

"""Say what a hub tells of a model at one commit; nothing of it is ever loaded."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from fathom.harness.errors import Finding

MODEL_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}", re.ASCII)
REVISION = re.compile(r"[A-Za-z0-9_][\w./+-]{0,99}", re.ASCII)
SHA = re.compile(r"[0-9a-f]{40}")
INDEX = "model.safetensors.index.json"
TEXTS = ("config.json", "tokenizer_config.json", INDEX)
"""Files that are read whole."""
_WEIGHTS = re.compile(r"[\w.-]{1,200}\.safetensors", re.ASCII)
_BITS = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16,
    "U16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I8": 8, "U8": 8,
    "BOOL": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class File:
    """A file as the hub lists it; `size` is None where the hub does not say."""

    name: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Header:
    """The JSON at the head of a safetensors file, unread, and the size that the file has in truth."""

    text: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Repository:
    """A model's files at one commit; of a gated one nothing but the list."""

    model: str
    sha: str
    files: tuple[File, ...]
    licence: str = ""
    gated: bool = False
    texts: Mapping[str, bytes] = field(default_factory=dict)
    headers: Mapping[str, Header] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Say whether there is such a file."""
        return any(file.name == name for file in self.files)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor as a header states it: `first` to `end` are bytes after the header."""

    name: str
    n: int
    first: int
    end: int


def is_model_id(name: str) -> bool:
    """Say whether this can be a model's id on a hub, as org/name."""
    return bool(MODEL_ID.fullmatch(name)) and ".." not in name and "--" not in name


def is_revision(name: str) -> bool:
    """Say whether this can be a branch, a tag or a commit."""
    odd = ("..", "//", "/.", "@{", ".lock")
    return bool(REVISION.fullmatch(name)) and name[-1] not in "/." and not any(one in name for one in odd)


def read_json(text: bytes) -> Any | None:  # whatever JSON holds
    """Read JSON, or return None where it is none."""
    try:
        return json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def walk(value: Any) -> Iterator[tuple[str, Any]]:  # whatever JSON holds
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


def weights_of(files: Iterable[File], index: Mapping[str, Any] | None) -> list[File]:
    """Return the files that a loader reads: those of the index where there is one, else all that lie at the root.

    Mistral's `consolidated` files hold the same weights once more.
    """
    found = [file for file in files if _WEIGHTS.fullmatch(file.name)]
    named = set(shards_of(index))
    if named:
        return [file for file in found if file.name in named]
    doubles = [file for file in found if file.name.startswith("consolidated")]
    return found if len(doubles) == len(found) else [file for file in found if file not in doubles]


def shards_of(index: Mapping[str, Any] | None) -> list[str]:
    """Return the files that an index names, in order."""
    named = index.get("weight_map") if isinstance(index, Mapping) else None
    return sorted({str(shard) for shard in named.values()}) if isinstance(named, dict) else []


def read_tensors(header: Header) -> list[Tensor] | None:
    """Read a header, or return None where it is not one or its file does not hold exactly what it says."""
    content = read_json(header.text)
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


def _tensor(name: str, row: Any) -> Tensor | None:  # whatever JSON holds
    if not isinstance(row, dict):
        return None
    shape, places = _counts(row.get("shape")), _counts(row.get("data_offsets"))
    bits = _BITS.get(str(row.get("dtype")))
    if bits is None or shape is None or places is None or len(places) != 2:
        return None
    n = prod(shape)
    return Tensor(name, n, *places) if n * bits == 8 * (places[1] - places[0]) else None


def _counts(values: Any) -> list[int] | None:  # whatever JSON holds
    if not isinstance(values, list) or len(values) > 16:
        return None
    return values if all(type(one) is int and 0 <= one < 1 << 60 for one in values) else None


def bad(problem: str, fix: str, code: str = "bad_model") -> Finding:
    """Write a finding about the model."""
    return Finding("model", problem, fix, code)


def listed(names: Sequence[str], most: int = 3) -> str:
    """Write some names, and how many more there are."""
    shown = ", ".join(name[:80] for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"

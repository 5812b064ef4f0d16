"""Turn a folder of shards into one long row of tokens that stays on disk."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fathom.harness.errors import BrokenCorpus
from fathom.harness.training.corpora.manifest import MANIFEST, Manifest, check_files, read_manifest, shard_name


@dataclass(frozen=True, slots=True)
class _Shard:
    ids: NDArray[np.unsignedinteger]
    ends: NDArray[np.int64]
    bits: NDArray[np.uint8] | None
    """A bit a token, 1 where loss counts; None: it counts everywhere."""


class Shards:
    """All tokens of a corpus, mapped into memory: what is not read takes none."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        """Map the shards of a manifest; `open_shards` checks them first."""
        self.manifest = manifest
        self._shards = [_map(folder, manifest, at) for at in range(len(manifest.shards))]
        self._starts = [0, *accumulate(len(shard.ids) for shard in self._shards)]

    def __len__(self) -> int:
        """Return the number of tokens."""
        return self._starts[-1]

    @property
    def n_documents(self) -> int:
        """Return the number of documents."""
        return sum(len(shard.ends) for shard in self._shards)

    @property
    def document_ends(self) -> NDArray[np.int64]:
        """Return after how many tokens each document ends; 8 bytes a document."""
        return np.concatenate([shard.ends + start for shard, start in zip(self._shards, self._starts, strict=False)])

    def tokens(self, start: int, stop: int) -> NDArray[np.unsignedinteger]:
        """Return the ids of tokens start..stop-1, fewer beyond the end."""
        pieces = [shard.ids[low:high] for shard, low, high in self._cuts(start, stop)]
        return np.concatenate(pieces) if pieces else np.empty(0, self.manifest.dtype)

    def learnt(self, start: int, stop: int) -> NDArray[np.bool_] | None:
        """Return for tokens start..stop-1 whether loss counts; None where it counts throughout the corpus."""
        if all(shard.bits is None for shard in self._shards):
            return None
        pieces = [_learnt(shard, low, high) for shard, low, high in self._cuts(start, stop)]
        return np.concatenate(pieces) if pieces else np.empty(0, np.bool_)

    def _cuts(self, start: int, stop: int) -> Iterator[tuple[_Shard, int, int]]:
        stop = min(stop, len(self))
        at = bisect_right(self._starts, start) - 1
        while start < stop:
            begun, ended = self._starts[at], min(stop, self._starts[at + 1])
            yield self._shards[at], start - begun, ended - begun
            start, at = ended, at + 1


def _learnt(shard: _Shard, low: int, high: int) -> NDArray[np.bool_]:
    if shard.bits is None:
        return np.ones(high - low, np.bool_)
    first = low // 8
    bits = np.unpackbits(shard.bits[first : (high + 7) // 8], bitorder="little")
    return bits[low - 8 * first : high - 8 * first].astype(np.bool_)


def _map(folder: Path, manifest: Manifest, at: int) -> _Shard:
    shard, name = manifest.shards[at], shard_name(at)
    bits = f"{name}.learnt"
    sizes = {f"{name}.bin": shard.tokens * np.dtype(manifest.dtype).itemsize, f"{name}.idx": 8 * shard.documents}
    if bits in shard.files:
        sizes[bits] = (shard.tokens + 7) // 8
    if {file: record.size for file, record in shard.files.items()} != sizes:
        raise BrokenCorpus(f"{folder / MANIFEST}: the files of {name} do not fit its counts: write the corpus again")
    return _Shard(
        np.memmap(folder / f"{name}.bin", manifest.dtype, "r"),
        np.memmap(folder / f"{name}.idx", "<i8", "r"),
        np.memmap(folder / bits, np.uint8, "r") if bits in shard.files else None,
    )


def open_shards(folder: Path) -> Shards:
    """Open a corpus that `fathom corpus` wrote; it is read once to compare digests, some 2 s a gigabyte.

    Raises:
        BrokenCorpus: it is not whole, holds no tokens, or a shard was changed.
    """
    manifest = read_manifest(folder)
    if manifest.format != "tokens":
        raise BrokenCorpus(f"{folder} holds {manifest.format}: write it with --format tokens to train on it")
    for shard in manifest.shards:
        check_files(folder, shard)
    return Shards(folder, manifest)

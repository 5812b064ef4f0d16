"""Shards of a corpus as one long array of tokens that stays on disk."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fathom.harness.errors import BrokenCorpus
from fathom.harness.training.corpora.manifest import (
    MANIFEST_FILE,
    CorpusManifest,
    check_files,
    read_corpus_manifest,
    shard_name,
)


@dataclass(frozen=True, slots=True)
class _Shard:
    ids: NDArray[np.unsignedinteger]
    ends: NDArray[np.int64]
    bits: NDArray[np.uint8] | None
    """One bit a token, 1 if it carries loss; None if all do."""


class Shards:
    """All tokens of a corpus, memory-mapped."""

    def __init__(self, folder: Path, manifest: CorpusManifest) -> None:
        """Map the shards of a manifest, unchecked; `open_shards` checks them."""
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
        """Return the number of tokens up to the end of each document, int64 of shape (documents,)."""
        return np.concatenate([shard.ends + start for shard, start in zip(self._shards, self._starts, strict=False)])

    def tokens(self, start: int, stop: int) -> NDArray[np.unsignedinteger]:
        """Return the ids of tokens start to stop - 1; fewer at the end of the corpus."""
        pieces = [shard.ids[low:high] for shard, low, high in self._cuts(start, stop)]
        return np.concatenate(pieces) if pieces else np.empty(0, self.manifest.dtype)

    def learnt(self, start: int, stop: int) -> NDArray[np.bool_] | None:
        """Return for tokens start to stop - 1 whether they carry loss; None if all tokens of the corpus do."""
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


def _map(folder: Path, manifest: CorpusManifest, at: int) -> _Shard:
    shard, name = manifest.shards[at], shard_name(at)
    bits = f"{name}.learnt"
    sizes = {f"{name}.bin": shard.tokens * np.dtype(manifest.dtype).itemsize, f"{name}.idx": 8 * shard.documents}
    if bits in shard.files:
        sizes[bits] = (shard.tokens + 7) // 8
    if {file: record.size for file, record in shard.files.items()} != sizes:
        raise BrokenCorpus(
            f"{folder / MANIFEST_FILE}: the files of {name} do not fit its counts: write the corpus again"
        )
    return _Shard(
        np.memmap(folder / f"{name}.bin", manifest.dtype, "r"),
        np.memmap(folder / f"{name}.idx", "<i8", "r"),
        np.memmap(folder / bits, np.uint8, "r") if bits in shard.files else None,
    )


def open_shards(folder: Path) -> Shards:
    """Open a corpus of `fathom corpus`; its digests are checked, which takes about 2 s a gigabyte.

    Raises:
        BrokenCorpus: it is incomplete, has another format than tokens, or a shard was changed.
    """
    manifest = read_corpus_manifest(folder)
    if manifest.format != "tokens":
        raise BrokenCorpus(f"{folder} has the format {manifest.format}: write it with --format tokens to train on it")
    for shard in manifest.shards:
        check_files(folder, shard)
    return Shards(folder, manifest)

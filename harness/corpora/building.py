"""Turn a shard's number into its files: a function of the mix, the seed and the tokenizer alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from harness.corpora.folder import write_whole
from harness.corpora.manifest import FileRecord, Kind, ShardRecord, shard_name
from harness.corpora.mix import Source
from harness.corpora.tables import write_table
from harness.corpora.tokens import Documents, Spelling, spell

_MEASURED_BLOCKS = 16


@dataclass(frozen=True, slots=True)
class Job:
    """What all shards of a corpus share; `blocks` is the number of blocks of a shard."""

    source: Source
    folder: Path
    format: Kind
    blocks: int


def blocks_a_shard(source: Source, spelling: Spelling, tokens: int) -> int:
    """Return how many blocks hold about so many tokens, measured on blocks that are none of the text's."""
    measured = [len(spell(block, spelling).ids) for block in islice(source.specimens(), _MEASURED_BLOCKS)]
    return max(1, round(tokens * len(measured) / sum(measured)))


def write_shard(job: Job, spelling: Spelling, number: int, limit: int) -> ShardRecord:
    """Write a shard, cut after the document with which it holds `limit` tokens.

    Raises:
        DiskFull, BadInput: it cannot be written.
    """
    written = list(_until(limit, _pieces(job, spelling, number)))
    parts = [0] * len(job.source.mix.parts)
    for at, piece in written:
        parts[at] += len(piece.ids)
    whole = _join([piece for _, piece in written])
    files = _WRITERS[job.format](whole, job.folder, shard_name(number))
    return ShardRecord(number=number, tokens=len(whole.ids), documents=len(whole.ends), parts=tuple(parts), files=files)


def _pieces(job: Job, spelling: Spelling, number: int) -> Iterator[tuple[int, Documents]]:
    for block in range(number * job.blocks, (number + 1) * job.blocks):
        at, made = job.source.block(block)
        yield at, spell(made, spelling)


def _until(limit: int, pieces: Iterator[tuple[int, Documents]]) -> Iterator[tuple[int, Documents]]:
    left = limit
    for at, piece in pieces:
        if len(piece.ids) >= left:
            yield at, piece.first(int(np.searchsorted(piece.ends, left)) + 1)
            return
        left -= len(piece.ids)
        yield at, piece


def _join(pieces: list[Documents]) -> Documents:
    """Return the documents of all pieces, one after the other."""
    lengths = np.cumsum([0, *[len(piece.ids) for piece in pieces]])
    all_learnt = all(piece.learnt is None for piece in pieces)
    return Documents(
        np.concatenate([piece.ids for piece in pieces]),
        np.concatenate([piece.ends + before for piece, before in zip(pieces, lengths, strict=False)]),
        None if all_learnt else np.concatenate([_learnt(piece) for piece in pieces]),
        None if pieces[0].texts is None else [text for piece in pieces for text in piece.texts or ()],
    )


def _learnt(piece: Documents) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.ones(len(piece.ids), np.bool_) if piece.learnt is None else piece.learnt


def _write_tokens(whole: Documents, folder: Path, name: str) -> dict[str, FileRecord]:
    contents = {f"{name}.bin": whole.ids.tobytes(), f"{name}.idx": whole.ends.astype("<i8").tobytes()}
    if whole.learnt is not None:
        contents[f"{name}.learnt"] = np.packbits(whole.learnt, bitorder="little").tobytes()
    return {file: write_whole(folder / file, data) for file, data in contents.items()}


def _write_parquet(whole: Documents, folder: Path, name: str) -> dict[str, FileRecord]:
    file = f"{name}.parquet"
    return {file: write_whole(folder / file, write_table(whole))}


_WRITERS: dict[Kind, Callable[[Documents, Path, str], dict[str, FileRecord]]] = {
    "tokens": _write_tokens,
    "parquet": _write_parquet,
    "datasets": _write_parquet,
}

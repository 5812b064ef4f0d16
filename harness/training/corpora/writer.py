"""Writing of corpora: shards in order, by one process or several, resumable after any interruption."""

import os
import re
import signal
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread
from typing import Any, cast, get_args

import numpy as np

from fathom.harness.errors import BadMix, DiskFull, FathomError, WorkerLost
from fathom.harness.settings import disable_tokenizer_threads
from fathom.harness.training.corpora.folder import CorpusFolder, write_error, write_whole_file
from fathom.harness.training.corpora.manifest import (
    FORMAT_VERSION,
    CorpusFormat,
    CorpusManifest,
    FileRecord,
    ShardRecord,
    shard_name,
    shards_digest,
)
from fathom.harness.training.corpora.mix import Mix, TextSource
from fathom.harness.training.corpora.parquet import DATASET_FOLDER, parquet_bytes, save_dataset
from fathom.harness.training.corpora.tokenizer import (
    DEFAULT_VOCABULARY,
    CorpusTokenizer,
    EncodedDocuments,
    encode_block,
    make_tokenizer,
    own_vocabulary,
    read_tokenizer,
    save_tokenizer,
)
from fathom.tasks.stream import canonical_seed

_SHARD_TOKENS = 1_000_000

_MAX_TOKENS = 10**13

_MAX_SHARD_TOKENS = 10**8

_COUNT = re.compile(r"(\d+(?:\.\d+)?)([kmbg]?)", re.IGNORECASE)

_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9}


def read_count(text: str, most: int = _MAX_TOKENS) -> int:
    """Read a number of tokens such as 20M, 1.5B, 500k or 30000.

    Raises:
        BadMix: not a number, or not a whole number of 1 to `most`.
    """
    found = _COUNT.fullmatch(text.strip().replace("_", "").replace(",", ""))
    number = Decimal(found[1]) * _FACTORS[found[2].lower()] if found else Decimal(0)
    if not 1 <= number <= most or number != int(number):
        raise BadMix(f"{text[:40]!r} is no number of tokens: write it as 20M, 1.5B, 500k or 30000, up to {most:,}")
    return int(number)


def read_shard_size(text: str) -> int:
    """Read the number of tokens of a shard, or raise BadMix; a process holds a whole shard in memory."""
    return read_count(text, _MAX_SHARD_TOKENS)


def read_format(text: str) -> CorpusFormat:
    """Return the format of that name, or raise BadMix."""
    for known in get_args(CorpusFormat):
        if text == known:
            return cast(CorpusFormat, text)
    raise BadMix(f"cannot write the format {text!r}: {', '.join(get_args(CorpusFormat))}")


@dataclass(frozen=True, slots=True)
class CorpusPlan:
    """What to write and where. `tokenizer` is a folder, `vocabulary` the size of a new tokenizer; either may be None.

    Everything except `out` and `workers` determines the bytes.
    """

    mix: Mix
    seed: str
    tokens: int
    out: Path
    format: CorpusFormat = "tokens"
    workers: int = 1
    tokenizer: Path | None = None
    vocabulary: int | None = None
    shard_tokens: int = _SHARD_TOKENS


@dataclass(frozen=True, slots=True)
class CorpusProgress:
    """Tokens, documents and shards that are written; `found` counts tokens that an earlier call had written."""

    tokens: int
    documents: int
    shards: int
    found: int


OnCorpusProgress = Callable[[CorpusProgress], None]


def write_corpus(plan: CorpusPlan, on_progress: OnCorpusProgress) -> CorpusManifest:
    """Write a corpus, resuming after the last whole shard of an earlier call with the same plan.

    Raises:
        CorpusChanged: the folder belongs to another plan, or contains other files.
        BadMix: a tokenizer or a vocabulary that does not fit.
        DiskFull, WorkerLost: no space, or a killed process; the same call resumes.
    """
    disable_tokenizer_threads()
    source = TextSource(plan.mix, canonical_seed(plan.seed))
    given = read_tokenizer(plan.tokenizer) if plan.tokenizer else None
    is_token_form = bool(own_vocabulary(plan.mix, plan.vocabulary, plan.tokenizer))
    folder = CorpusFolder(plan.out)
    with folder.claimed(_settings(plan, given, is_token_form)):
        try:
            tokenizer = _folder_tokenizer(plan, source)
        except OSError as error:
            raise write_error(plan.out / "tokenizer", error) from error
        blocks = _count_shard_blocks(source, tokenizer, plan.shard_tokens)
        records = folder.journaled({"tokenizer": tokenizer.digest, "blocks": blocks})
        job = _CorpusJob(source, plan.out, plan.format, blocks)
        _write_shards(plan, _ShardMaker(job, tokenizer), records, folder, on_progress)
        shards = tuple(records)
        if plan.format == "datasets" and not (plan.out / DATASET_FOLDER).exists():
            _save_dataset(plan.out, shards)
        manifest = CorpusManifest(
            format=plan.format,
            corpora=tuple(plan.mix.facts()),
            seed=source.seed,
            asked=plan.tokens,
            tokens=sum(shard.tokens for shard in shards),
            documents=sum(shard.documents for shard in shards),
            vocabulary=tokenizer.backend.get_vocab_size(),
            dtype=tokenizer.dtype.str,
            tokenizer=tokenizer.digest,
            shards=shards,
            digest=shards_digest(shards),
        )
        folder.finish(manifest, shards)
    return manifest


def _settings(plan: CorpusPlan, given: CorpusTokenizer | None, has_tokens: bool) -> dict[str, Any]:
    return {
        "fathom corpus": FORMAT_VERSION,
        "corpora": plan.mix.facts(),
        "seed": canonical_seed(plan.seed),
        "tokens": plan.tokens,
        "format": plan.format,
        "tokenizer": given.digest if given else None,
        "vocabulary": None if given or has_tokens else plan.vocabulary or DEFAULT_VOCABULARY,
        "shard_tokens": plan.shard_tokens,
    }


def _folder_tokenizer(plan: CorpusPlan, source: TextSource) -> CorpusTokenizer:
    """Return the tokenizer of the folder, after writing it if there is none."""
    home = plan.out / "tokenizer"
    if not home.exists():
        made = make_tokenizer(source, plan.vocabulary, plan.tokenizer)
        partial = plan.out / ".partial-tokenizer"
        save_tokenizer(made, partial, plan.tokenizer)
        partial.rename(home)
    return read_tokenizer(home)


def _save_dataset(out: Path, shards: tuple[ShardRecord, ...]) -> None:
    try:
        save_dataset(out, [out / name for shard in shards for name in shard.files])
    except OSError as error:
        raise write_error(out / DATASET_FOLDER, error) from error


@dataclass(frozen=True, slots=True)
class _CorpusJob:
    """What all shards of a corpus have in common; `blocks` is the number of blocks in a shard."""

    source: TextSource
    folder: Path
    format: CorpusFormat
    blocks: int


@dataclass(frozen=True, slots=True)
class _ShardMaker:
    job: _CorpusJob
    tokenizer: CorpusTokenizer

    def make(self, number: int, limit: int) -> ShardRecord:
        """Write shard `number`, cut at `limit` tokens."""
        return _write_shard(self.job, self.tokenizer, number, limit)


def _write_shards(
    plan: CorpusPlan,
    maker: _ShardMaker,
    records: list[ShardRecord],
    folder: CorpusFolder,
    on_progress: OnCorpusProgress,
) -> None:
    """Write the missing shards and append them to `records`."""
    tokens = found = sum(record.tokens for record in records)
    documents = sum(record.documents for record in records)
    on_progress(CorpusProgress(tokens, documents, len(records), found))
    n_workers = min(plan.workers, -(-(plan.tokens - tokens) // plan.shard_tokens))
    made = _make_alone(plan, maker, records) if n_workers <= 1 else _make_in_pool(plan, maker.job, records, n_workers)
    try:
        while tokens < plan.tokens:
            record = next(made)
            folder.add(record)
            records.append(record)
            tokens, documents = tokens + record.tokens, documents + record.documents
            on_progress(CorpusProgress(tokens, documents, len(records), found))
    except (DiskFull, BrokenProcessPool) as error:
        whole = f"{shard_name(len(records) - 1)} is the last whole shard" if records else "no shard is whole yet"
        so_far = f"{whole}, {tokens:,} of {plan.tokens:,} tokens"
        if isinstance(error, DiskFull):
            raise DiskFull(f"{so_far}; {error}") from error
        raise WorkerLost(
            f"{so_far}; a writing process was killed, perhaps because memory ran out: "
            "give the same command to continue, with fewer --workers to use less memory"
        ) from error
    finally:
        made.close()


def _make_alone(plan: CorpusPlan, maker: _ShardMaker, records: list[ShardRecord]) -> Generator[ShardRecord]:
    while True:
        left = plan.tokens - sum(record.tokens for record in records)
        yield maker.make(len(records), left)


@dataclass(frozen=True, slots=True)
class _Sent:
    limit: int
    """Tokens that were left when it was sent."""
    future: Future[ShardRecord]


def _make_in_pool(
    plan: CorpusPlan, job: _CorpusJob, records: list[ShardRecord], n_workers: int
) -> Generator[ShardRecord]:
    """Yield shards in order; at most two a process are under way or wait to be taken."""
    pool = ProcessPoolExecutor(n_workers, get_context("spawn"), _start_worker, (job,))
    sent: deque[_Sent] = deque()
    try:
        while True:
            left = plan.tokens - sum(record.tokens for record in records)
            while not sent or (len(sent) < 2 * n_workers and len(sent) * plan.shard_tokens < left):
                sent.append(_Sent(left, pool.submit(_make, len(records) + len(sent), left)))
            first = sent.popleft()
            record = first.future.result()
            if record.tokens >= left and first.limit != left:  # the last shard, made with an outdated limit
                record = pool.submit(_make, record.number, left).result()
            yield record
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_maker: _ShardMaker | None = None
"""Of this process, if it belongs to a pool."""


def _start_worker(job: _CorpusJob) -> None:
    global _maker
    disable_tokenizer_threads()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the process that started this one
    Thread(target=_end_with_parent, daemon=True).start()
    _maker = _ShardMaker(job, read_tokenizer(job.folder / "tokenizer"))


def _end_with_parent() -> None:
    """End this process when its parent is killed; the pool's queues would keep it alive for ever."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _make(number: int, limit: int) -> ShardRecord:
    if _maker is None:
        raise FathomError("this process was not started as a worker")
    return _maker.make(number, limit)


_MEASURED_BLOCKS = 16


def _count_shard_blocks(source: TextSource, tokenizer: CorpusTokenizer, tokens: int) -> int:
    """Return how many blocks contain about `tokens` tokens, measured on blocks that are not part of the text."""
    measured = [len(encode_block(block, tokenizer).ids) for block in islice(source.specimens(), _MEASURED_BLOCKS)]
    return max(1, round(tokens * len(measured) / sum(measured)))


def _write_shard(job: _CorpusJob, tokenizer: CorpusTokenizer, number: int, limit: int) -> ShardRecord:
    """Write shard `number`; it ends with the document that reaches `limit` tokens, or with its last block.

    Raises:
        DiskFull, BadInput: it cannot be written.
    """
    written = list(_cut(limit, _pieces(job, tokenizer, number)))
    parts = [0] * len(job.source.mix.parts)
    for at, piece in written:
        parts[at] += len(piece.ids)
    whole = _concatenate([piece for _, piece in written])
    files = _WRITERS[job.format](whole, job.folder, shard_name(number))
    return ShardRecord(number=number, tokens=len(whole.ids), documents=len(whole.ends), parts=tuple(parts), files=files)


def _pieces(job: _CorpusJob, tokenizer: CorpusTokenizer, number: int) -> Iterator[tuple[int, EncodedDocuments]]:
    for block in range(number * job.blocks, (number + 1) * job.blocks):
        at, made = job.source.block(block)
        yield at, encode_block(made, tokenizer)


def _cut(limit: int, pieces: Iterator[tuple[int, EncodedDocuments]]) -> Iterator[tuple[int, EncodedDocuments]]:
    left = limit
    for at, piece in pieces:
        if len(piece.ids) >= left:
            yield at, piece.first(int(np.searchsorted(piece.ends, left)) + 1)
            return
        left -= len(piece.ids)
        yield at, piece


def _concatenate(pieces: list[EncodedDocuments]) -> EncodedDocuments:
    """Return the documents of all pieces in order."""
    lengths = np.cumsum([0, *[len(piece.ids) for piece in pieces]])
    all_learnt = all(piece.learnt is None for piece in pieces)
    return EncodedDocuments(
        np.concatenate([piece.ids for piece in pieces]),
        np.concatenate([piece.ends + before for piece, before in zip(pieces, lengths, strict=False)]),
        None if all_learnt else np.concatenate([_learnt(piece) for piece in pieces]),
        None if pieces[0].texts is None else [text for piece in pieces for text in piece.texts or ()],
    )


def _learnt(piece: EncodedDocuments) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.ones(len(piece.ids), np.bool_) if piece.learnt is None else piece.learnt


def _write_tokens(whole: EncodedDocuments, folder: Path, name: str) -> dict[str, FileRecord]:
    contents = {f"{name}.bin": whole.ids.tobytes(), f"{name}.idx": whole.ends.astype("<i8").tobytes()}
    if whole.learnt is not None:
        contents[f"{name}.learnt"] = np.packbits(whole.learnt, bitorder="little").tobytes()
    return {file: write_whole_file(folder / file, data) for file, data in contents.items()}


def _write_parquet(whole: EncodedDocuments, folder: Path, name: str) -> dict[str, FileRecord]:
    file = f"{name}.parquet"
    return {file: write_whole_file(folder / file, parquet_bytes(whole))}


_WRITERS: dict[CorpusFormat, Callable[[EncodedDocuments, Path, str], dict[str, FileRecord]]] = {
    "tokens": _write_tokens,
    "parquet": _write_parquet,
    "datasets": _write_parquet,
}

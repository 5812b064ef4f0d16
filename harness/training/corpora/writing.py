"""Turn a plan into a folder of training text: shards in order, from one process or several, resumable."""

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
from fathom.harness.settings import keep_to_one_core
from fathom.harness.training.corpora.folder import Folder, refusal, write_whole
from fathom.harness.training.corpora.manifest import (
    FORMAT,
    FileRecord,
    Kind,
    Manifest,
    ShardRecord,
    shard_name,
    total_digest,
)
from fathom.harness.training.corpora.mix import Mix, Source
from fathom.harness.training.corpora.tables import DATASET, save_dataset, write_table
from fathom.harness.training.corpora.tokens import (
    VOCABULARY,
    Documents,
    Spelling,
    make_spelling,
    own_vocabulary,
    read_spelling,
    save_spelling,
    spell,
)
from fathom.tasks.stream import canonical_seed

SHARD_TOKENS = 1_000_000


_MOST = 10**13


_LARGEST_SHARD = 10**8


_COUNT = re.compile(r"(\d+(?:\.\d+)?)([kmbg]?)", re.IGNORECASE)


_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9}


def read_count(text: str, most: int = _MOST) -> int:
    """Return the number that 20M, 1.5B, 500k or 30000 stands for.

    Raises:
        BadMix: it stands for none, or for no whole number of 1 to `most`.
    """
    found = _COUNT.fullmatch(text.strip().replace("_", "").replace(",", ""))
    number = Decimal(found[1]) * _FACTORS[found[2].lower()] if found else Decimal(0)
    if not 1 <= number <= most or number != int(number):
        raise BadMix(f"{text[:40]!r} is no number of tokens: give one as 20M, 1.5B, 500k or 30000, up to {most:,}")
    return int(number)


def read_shard_size(text: str) -> int:
    """Return the tokens of a shard, or raise BadMix: a process holds a shard in memory."""
    return read_count(text, _LARGEST_SHARD)


def read_kind(text: str) -> Kind:
    """Return a format by its name, or raise BadMix."""
    for known in get_args(Kind):
        if text == known:
            return cast(Kind, text)
    raise BadMix(f"cannot write the format {text!r}: {', '.join(get_args(Kind))}")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write and where; `tokenizer` is a folder or None, `vocabulary` the size of a new one or None.

    All but `workers` decides the bytes.
    """

    mix: Mix
    seed: str
    tokens: int
    out: Path
    format: Kind = "tokens"
    workers: int = 1
    tokenizer: Path | None = None
    vocabulary: int | None = None
    shard_tokens: int = SHARD_TOKENS


@dataclass(frozen=True, slots=True)
class Wrote:
    """How far it is; `found` counts tokens that an earlier process had written."""

    tokens: int
    documents: int
    shards: int
    found: int


Report = Callable[[Wrote], None]


def write_corpus(plan: Plan, report: Report) -> Manifest:
    """Write a corpus to its end, going on from the last whole shard of an earlier call with the same plan.

    Raises:
        CorpusChanged: the folder is of another plan, or holds other files.
        BadMix: a tokenizer or a vocabulary that does not fit.
        DiskFull, WorkerLost: no space, a killed process; the same call goes on.
    """
    keep_to_one_core()
    source = Source(plan.mix, canonical_seed(plan.seed))
    given = read_spelling(plan.tokenizer) if plan.tokenizer else None
    own = own_vocabulary(plan.mix, plan.vocabulary, plan.tokenizer)
    folder = Folder(plan.out)
    with folder.claimed(_settings(plan, given, bool(own))):
        try:
            spelling = _spelling(plan, source)
        except OSError as error:
            raise refusal(plan.out / "tokenizer", error) from error
        blocks = blocks_a_shard(source, spelling, plan.shard_tokens)
        records = folder.journaled({"tokenizer": spelling.digest, "blocks": blocks})
        job = Job(source, plan.out, plan.format, blocks)
        _write(plan, _Shop(job, spelling), records, folder, report)
        shards = tuple(records)
        if plan.format == "datasets" and not (plan.out / DATASET).exists():
            _save_dataset(plan.out, shards)
        manifest = Manifest(
            format=plan.format,
            corpora=tuple(plan.mix.facts()),
            seed=source.seed,
            asked=plan.tokens,
            tokens=sum(shard.tokens for shard in shards),
            documents=sum(shard.documents for shard in shards),
            vocabulary=spelling.tokenizer.get_vocab_size(),
            dtype=spelling.dtype.str,
            tokenizer=spelling.digest,
            shards=shards,
            digest=total_digest(shards),
        )
        folder.finish(manifest, shards)
    return manifest


def _settings(plan: Plan, given: Spelling | None, has_tokens: bool) -> dict[str, Any]:
    return {
        "fathom corpus": FORMAT,
        "corpora": plan.mix.facts(),
        "seed": canonical_seed(plan.seed),
        "tokens": plan.tokens,
        "format": plan.format,
        "tokenizer": given.digest if given else None,
        "vocabulary": None if given or has_tokens else plan.vocabulary or VOCABULARY,
        "shard_tokens": plan.shard_tokens,
    }


def _spelling(plan: Plan, source: Source) -> Spelling:
    """Return the tokenizer that the folder holds, once it does."""
    home = plan.out / "tokenizer"
    if not home.exists():
        made = make_spelling(source, plan.vocabulary, plan.tokenizer)
        partial = plan.out / ".partial-tokenizer"
        save_spelling(made, partial, plan.tokenizer)
        partial.rename(home)
    return read_spelling(home)


def _save_dataset(out: Path, shards: tuple[ShardRecord, ...]) -> None:
    try:
        save_dataset(out, [out / name for shard in shards for name in shard.files])
    except OSError as error:
        raise refusal(out / DATASET, error) from error


@dataclass(frozen=True, slots=True)
class Job:
    """What all shards of a corpus share; `blocks` is the number of blocks of a shard."""

    source: Source
    folder: Path
    format: Kind
    blocks: int


@dataclass(frozen=True, slots=True)
class _Shop:
    job: Job
    spelling: Spelling


def _write(plan: Plan, shop: _Shop, records: list[ShardRecord], folder: Folder, report: Report) -> None:
    """Add the missing shards to `records`."""
    tokens = found = sum(record.tokens for record in records)
    documents = sum(record.documents for record in records)
    report(Wrote(tokens, documents, len(records), found))
    makers = min(plan.workers, -(-(plan.tokens - tokens) // plan.shard_tokens))
    made = _alone(plan, shop, records) if makers <= 1 else _together(plan, shop, records, makers)
    try:
        while tokens < plan.tokens:
            record = next(made)
            folder.add(record)
            records.append(record)
            tokens, documents = tokens + record.tokens, documents + record.documents
            report(Wrote(tokens, documents, len(records), found))
    except (DiskFull, BrokenProcessPool) as error:
        whole = f"{shard_name(len(records) - 1)} is the last whole shard" if records else "no shard is whole yet"
        so_far = f"{whole}, {tokens:,} of {plan.tokens:,} tokens"
        if isinstance(error, DiskFull):
            raise DiskFull(f"{so_far}; {error}") from error
        raise WorkerLost(
            f"{so_far}; a writing process was killed, perhaps for want of memory: the same command goes on, "
            "with fewer --workers in less memory"
        ) from error
    finally:
        made.close()


def _alone(plan: Plan, shop: _Shop, records: list[ShardRecord]) -> Generator[ShardRecord]:
    while True:
        left = plan.tokens - sum(record.tokens for record in records)
        yield write_shard(shop.job, shop.spelling, len(records), left)


@dataclass(frozen=True, slots=True)
class _Sent:
    limit: int
    future: Future[ShardRecord]


def _together(plan: Plan, shop: _Shop, records: list[ShardRecord], makers: int) -> Generator[ShardRecord]:
    """Yield shards in order; at most one a process waits while the next ones are made."""
    pool = ProcessPoolExecutor(makers, get_context("spawn"), _open_shop, (shop.job,))
    sent: deque[_Sent] = deque()
    try:
        while True:
            left = plan.tokens - sum(record.tokens for record in records)
            while not sent or (len(sent) < 2 * makers and len(sent) * plan.shard_tokens < left):
                sent.append(_Sent(left, pool.submit(_make, len(records) + len(sent), left)))
            first = sent.popleft()
            record = first.future.result()
            if record.tokens >= left and first.limit != left:  # it was cut where more was wanted still
                record = pool.submit(_make, record.number, left).result()
            yield record
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_shop: _Shop | None = None
"""What a process of the pool makes shards with."""


def _open_shop(job: Job) -> None:
    global _shop
    keep_to_one_core()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the process that started this one
    Thread(target=_end_with_parent, daemon=True).start()
    _shop = _Shop(job, read_spelling(job.folder / "tokenizer"))


def _end_with_parent() -> None:
    """End this process when the one that started it is killed: the pool's queues would keep it for ever."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _make(number: int, limit: int) -> ShardRecord:
    if _shop is None:
        raise FathomError("this process was not set up to write shards")
    return write_shard(_shop.job, _shop.spelling, number, limit)


_MEASURED_BLOCKS = 16


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

"""Turn a stored run into a parcel, and the lines of a parcel into values.

A parcel is how results travel: JSON lines in UTF-8, plain or as gzip. The first line is the header, each other line
one sample; samples keep the order of cells and indices. It holds completions, never verdicts: whoever takes it in makes
each item again and grades it. Fields that are not named here, such as `correct` or `score`, are passed over unread.
"""

import json
import zlib
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, BinaryIO, Literal

from pydantic import Field, FiniteFloat
from sqlalchemy import Engine

from fathom.harness.db.read import get_run
from fathom.harness.db.samples import Journaled, Weights, stream_journal, weights_of
from fathom.harness.errors import BadInput
from fathom.harness.io.strict_json import Strict, checked, json_object
from fathom.harness.records import RunDetail
from fathom.harness.runs.requests import prompt_digest
from fathom.tasks.base import pose
from fathom.tasks.registry import find_family
from fathom.tasks.suites import make_items

FORMAT = 1
"""Version of the format; a reader refuses any other."""

_NUMBER = 2**31 - 1
_Count = Annotated[int, Field(ge=0, le=_NUMBER)]
_Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\w.+-]+$")]
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{0,64}$")]


class CellLine(Strict):
    """One cell of the header."""

    family: _Name
    version: _Count
    level: _Name
    channel: _Name
    style: _Name
    n: Annotated[int, Field(ge=1, le=100_000)]


class Header(Strict):
    """The first line: which model answered what, and how."""

    fathom: Literal[1]
    model: Annotated[str, Field(min_length=1, max_length=200)]
    model_digest: Annotated[str, Field(pattern=r"^[\w./-]{0,200}$")] = ""
    """As `fathom run` digests a model's folder."""
    sha: Annotated[str, Field(pattern=r"^([0-9a-f]{40})?$")] = ""
    """The hub's commit of the model, where it is known; without it nothing can be replayed."""
    engine: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\w.+-]+(/[\w.+-]+)?$")]
    """Of a run that was imported: lm-eval/ and its backend."""
    dtype: Annotated[str, Field(pattern=r"^[\w.+-]{0,40}$")] = ""
    suite: _Name
    version: _Name
    cells: Annotated[tuple[CellLine, ...], Field(min_length=1, max_length=5000, strict=False)]
    seed: Annotated[str, Field(min_length=1, max_length=100)]
    suite_digest: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    season: Annotated[str, Field(max_length=64)] = ""
    n_parameters: Annotated[int, Field(ge=0, le=10**15)] | None = None
    kind: Literal["chat", "base"] | None = None
    seconds: _Count = 0
    manifest: dict[str, Any]  # JSON of provenance.Manifest, without its list of cells


class SampleLine(Strict):
    """Any other line: one completion."""

    cell: _Count
    index: _Count
    repeat: _Count = 0
    prompt: _Digest
    """`harness.prompts.prompt_digest` of what the model was asked."""
    completion: str
    finish_reason: Literal["stop", "length", "too_long"]
    scores: Annotated[tuple[FiniteFloat, ...], Field(max_length=64, strict=False)] | None = None
    prompt_tokens: _Count
    completion_tokens: _Count
    milliseconds: _Count


def read_header(line: bytes) -> Header:
    """Read the first line.

    Raises:
        BadInput: it is not a header of this format.
    """
    found = json_object(line, "line 1")
    if found.get("fathom") != FORMAT:
        raise BadInput(
            'line 1 is no header: a parcel begins with {"fathom": 1, ...}, as `fathom submit --out` writes it'
        )
    return checked(Header, found, "line 1")


def read_sample(line: bytes, number: int) -> SampleLine:
    """Read another line; `number` is for the message.

    Raises:
        BadInput: it is not a sample.
    """
    where = f"line {number}"
    return checked(SampleLine, json_object(line, where), where)


def parcel_lines(db: Engine, run: str, *, model: str | None = None, sha: str | None = None) -> Iterator[bytes]:
    """Yield the lines of a run's parcel in constant memory; `model` and `sha` replace what the run says.

    Raises:
        UnknownRun: no such run.
        BadInput: the run is not whole.
    """
    detail = get_run(db, run)
    check_whole(detail)
    if detail.summary.layer == "sampled":
        raise BadInput(
            f"run {detail.summary.run} was sampled, and results are sent of greedy answers: run it without temperature"
        )
    yield _line(_header(detail, weights_of(db, detail.summary.run), model, sha))
    for at, (planned, counted) in enumerate(zip(detail.suite.cells, detail.cells, strict=True)):
        family = find_family(planned.family)
        items = make_items(planned.cell, detail.suite.seed, planned.n)
        for item, one in zip(items, stream_journal(db, counted.id), strict=True):
            yield _line(_sample(at, one, prompt_digest(pose(family, item, planned.style))))


def check_whole(detail: RunDetail) -> None:
    """Raise BadInput unless every item of a run was asked and graded."""
    one = detail.summary
    n_errors = sum(cell.n_errors for cell in detail.cells)
    if one.state != "done" or one.n_done < one.n_samples or n_errors:
        raise BadInput(
            f"run {one.run} is not whole ({one.state}, {one.n_done - n_errors} of {one.n_items} items graded): "
            f"`fathom run --resume {one.run}` first"
        )


def _header(
    detail: RunDetail, weights: Weights, model: str | None, sha: str | None
) -> dict[str, Any]:  # JSON of Header
    one, suite, stated = detail.summary, detail.suite, detail.manifest
    context = {key: value for key, value in stated.get("context", {}).items() if key != "cells"}
    facts = stated.get("engine_facts", {})
    return {
        "fathom": FORMAT, "model": model or one.model,
        "model_digest": stated.get("decisive", {}).get("model", {}).get("digest", ""),
        "sha": context.get("model_sha", "") if sha is None else sha,
        "engine": one.engine, "dtype": weights.dtype or "", "suite": suite.name, "version": suite.version,
        "cells": suite.to_json(), "seed": suite.seed, "suite_digest": detail.suite_digest, "season": one.season,
        "n_parameters": weights.n_parameters, "kind": weights.kind, "seconds": one.seconds,
        "manifest": {"decisive": stated.get("decisive", {}), "context": context, "engine_facts": facts},
    }  # fmt: skip


def _sample(cell: int, one: Journaled, prompt: str) -> dict[str, Any]:  # JSON of SampleLine
    return {
        "cell": cell, "index": one.index, "repeat": one.repeat, "prompt": prompt, "completion": one.completion,
        "finish_reason": one.finish_reason, "scores": one.scores, "prompt_tokens": one.prompt_tokens,
        "completion_tokens": one.completion_tokens, "milliseconds": one.milliseconds,
    }  # fmt: skip


def _line(value: dict[str, Any]) -> bytes:  # JSON values
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def packed(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Compress lines as gzip, a piece at a time."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    for line in lines:
        if piece := packer.compress(line):
            yield piece
    yield packer.flush()


def write_parcel(db: Engine, run: str, out: BinaryIO) -> int:
    """Write a run as a gzipped parcel; return its bytes.

    Raises:
        UnknownRun, BadInput: see parcel_lines.
    """
    return sum(out.write(piece) for piece in packed(parcel_lines(db, run)))

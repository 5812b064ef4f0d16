"""Parcels: a stored run as JSON lines for another server, and back.

A parcel is UTF-8, plain or gzip. Its first line is the header; each other line is one sample, in the order of cells and
indices. It holds completions and no verdicts: the receiver makes each item again and grades it. Unknown fields, such as
`correct` or `score`, are ignored.
"""

import json
import zlib
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat
from sqlalchemy import Engine

from fathom.harness.db.read import get_run
from fathom.harness.db.samples import StoredSample, Weights, stream_stored, weights_of
from fathom.harness.engines.model_name import is_hub_id
from fathom.harness.errors import BadInput
from fathom.harness.io.strict_json import StrictModel, parse_object, validate
from fathom.harness.records import RunDetail
from fathom.harness.runs.requests import digest_of_prompt, make_request
from fathom.harness.runs.run_settings import RunSettings, settings_of
from fathom.tasks.suites import make_items

_FORMAT = 1
"""Version of the format; readers refuse any other."""

_NUMBER = 2**31 - 1
_Count = Annotated[int, Field(ge=0, le=_NUMBER)]
_Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\w.+-]+$")]
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{0,64}$")]


class ParcelCell(StrictModel):
    """One cell of the header."""

    family: _Name
    version: _Count
    level: _Name
    channel: _Name
    style: _Name
    n: Annotated[int, Field(ge=1, le=100_000)]


class ParcelHeader(StrictModel):
    """The first line: the model, its settings, and the cells of the run."""

    fathom: Literal[1]
    model: Annotated[str, Field(min_length=1, max_length=200)]
    model_digest: Annotated[str, Field(pattern=r"^[\w./-]{0,200}$")] = ""
    """Digest of the model's folder, as `fathom run` computes it."""
    sha: Annotated[str, Field(pattern=r"^([0-9a-f]{40})?$")] = ""
    """The model's commit on the hub; without it the run cannot be replayed."""
    engine: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\w.+-]+(/[\w.+-]+)?$")]
    """For an imported run: lm-eval/ and the name of its backend."""
    dtype: Annotated[str, Field(pattern=r"^[\w.+-]{0,40}$")] = ""
    suite: _Name
    version: _Name
    cells: Annotated[tuple[ParcelCell, ...], Field(min_length=1, max_length=5000, strict=False)]
    seed: Annotated[str, Field(min_length=1, max_length=100)]
    suite_digest: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    season: Annotated[str, Field(max_length=64)] = ""
    n_parameters: Annotated[int, Field(ge=0, le=10**15)] | None = None
    kind: Literal["chat", "base"] | None = None
    seconds: _Count = 0
    manifest: dict[str, Any]  # JSON of the run's manifest, without its list of cells


class ParcelSample(StrictModel):
    """A line after the first: one completion."""

    cell: _Count
    index: _Count
    repeat: _Count = 0
    prompt: _Digest
    """Digest of the prompt that the model was asked."""
    completion: str
    finish_reason: Literal["stop", "length", "looped", "too_long"]
    scores: Annotated[tuple[FiniteFloat, ...], Field(max_length=64, strict=False)] | None = None
    prompt_tokens: _Count
    completion_tokens: _Count
    milliseconds: _Count


def parse_header(line: bytes) -> ParcelHeader:
    """Parse the first line.

    Raises:
        BadInput: not a header of this format.
    """
    found = parse_object(line, "line 1")
    if found.get("fathom") != _FORMAT:
        raise BadInput('line 1 is not a header {"fathom": 1, ...}: send a file that `fathom submit --out` wrote')
    return validate(ParcelHeader, found, "line 1")


def parse_sample(line: bytes, number: int) -> ParcelSample:
    """Parse a line after the first; `number` is used in the error message.

    Raises:
        BadInput: not a sample.
    """
    where = f"line {number}"
    return validate(ParcelSample, parse_object(line, where), where)


def parcel_lines(db: Engine, run: str, *, model: str | None = None, sha: str | None = None) -> Iterator[bytes]:
    """Yield the lines of a run's parcel in constant memory; `model` and `sha` override the run's own.

    Raises:
        UnknownRun: no such run.
        BadInput: the run is not complete, measured depth, or its answers were sampled.
    """
    detail = get_run(db, run)
    check_whole(detail)
    if detail.summary.layer == "adaptive":
        raise BadInput(
            f"run {detail.summary.run} measured depth, and boards rank runs with fixed items: send one of these"
        )
    if detail.summary.layer == "sampled":
        raise BadInput(
            f"run {detail.summary.run} has sampled answers, and only greedy ones can be sent: run without temperature"
        )
    if not is_hub_id(name := model or detail.summary.model):
        raise BadInput(f"a board takes models by their hub id, and this run is of {name!r}: give it with --model")
    yield _line(_header(detail, weights_of(db, detail.summary.run), model, sha))
    settings = settings_of(detail.manifest) or RunSettings()
    for at, (planned, counted) in enumerate(zip(detail.suite.cells, detail.cells, strict=True)):
        items = make_items(planned.cell, detail.suite.seed, planned.n)
        for item, one in zip(items, stream_stored(db, counted.id), strict=True):
            asked = make_request(planned, item, "", settings.prompt)
            yield _line(_sample(at, one, digest_of_prompt(asked.prompt)))


def check_whole(detail: RunDetail) -> None:
    """Raise BadInput unless every item of a run is graded."""
    one = detail.summary
    n_errors = sum(cell.n_errors for cell in detail.cells)
    if one.state != "done" or one.n_done < one.n_samples or n_errors:
        raise BadInput(
            f"run {one.run} is not complete ({one.state}, {one.n_done - n_errors} of {one.n_items} items graded): "
            f"`fathom run --resume {one.run}` first"
        )


def _header(
    detail: RunDetail, weights: Weights, model: str | None, sha: str | None
) -> dict[str, Any]:  # JSON of Header
    one, suite, stated = detail.summary, detail.suite, detail.manifest
    context = {key: value for key, value in stated.stored.get("context", {}).items() if key != "cells"}
    return {
        "fathom": _FORMAT, "model": model or one.model,
        "model_digest": stated.decisive.model.digest or "",
        "sha": stated.context.model_sha if sha is None else sha,
        "engine": one.engine, "dtype": weights.dtype or "", "suite": suite.name, "version": suite.version,
        "cells": suite.to_json(), "seed": suite.seed, "suite_digest": detail.suite_digest, "season": one.season,
        "n_parameters": weights.n_parameters, "kind": weights.kind, "seconds": one.seconds,
        "manifest": {
            "decisive": stated.stored.get("decisive", {}), "context": context,
            "engine_facts": dict(stated.engine_facts),
        },
    }  # fmt: skip


def _sample(cell: int, one: StoredSample, prompt: str) -> dict[str, Any]:  # JSON of SampleLine
    done = one.completion
    return {
        "cell": cell, "index": one.index, "repeat": one.repeat, "prompt": prompt, "completion": done.text,
        "finish_reason": done.finish_reason, "scores": done.scores, "prompt_tokens": done.prompt_tokens,
        "completion_tokens": done.completion_tokens, "milliseconds": round(done.seconds * 1000),
    }  # fmt: skip


def _line(value: dict[str, Any]) -> bytes:  # JSON values
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def gzip_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Compress lines with gzip; yield the compressed pieces."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    for line in lines:
        if piece := packer.compress(line):
            yield piece
    yield packer.flush()

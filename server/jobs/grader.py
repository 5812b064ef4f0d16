"""What a worker is asked, and whether its answers are right: a shard's requests, and its graded completions.

A request's key is its position, "cell/index": a worker never sees a seed, an item's id or a right answer.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from fathom.harness.db.write import Sample
from fathom.harness.engines.base import Completion, Request
from fathom.harness.errors import BadInput
from fathom.harness.runs.requests import (
    answer_reader,
    checked_completion,
    grade_completion,
    make_request,
    make_requests,
)
from fathom.harness.runs.run_settings import RunSettings
from fathom.server.jobs.shards import CellIndex, Shard
from fathom.tasks.base import make_instance
from fathom.tasks.registry import find_family


def missing_requests(shard: Shard, seed: str) -> Iterator[Request]:
    """Yield the requests of a shard's missing items, in order; only the oracle engine gets the items' ids."""
    is_open = shard.engine == "oracle" and not shard.sealed
    for cell, pairs in groupby(shard.missing, key=lambda pair: pair[0]):
        indices = [index for _, index in pairs]
        made = make_requests(shard.cells[cell], seed, shard.manifest_digest, indices, shard.asked)
        for index, request in zip(indices, made, strict=True):
            yield replace(request, key=f"{cell}/{index}", item=request.item if is_open else "")


def grade_completions(shard: Shard, seed: str, completions: Iterable[Completion]) -> list[Sample]:
    """Grade completions against items that the server generates itself; completions stored already are left out.

    Raises:
        BadInput: a key does not belong to the shard, or scores are impossible.
    """
    missing = set(shard.missing)
    return [_grade(shard, seed, pair, one) for one in completions if (pair := _pair(shard, one.key)) in missing]


def _pair(shard: Shard, key: str) -> CellIndex:
    cell, slash, index = key.partition("/")
    if not (slash and cell.isascii() and cell.isdigit() and index.isascii() and index.isdigit() and len(key) < 20):
        raise BadInput(f"the key {key[:40]!r} does not belong to this job: send keys back unchanged")
    pair = int(cell), int(index)
    if pair[0] not in shard.cells or pair[1] >= shard.cells[pair[0]].n:
        raise BadInput(f"the key {key[:40]!r} does not belong to this job: send keys back unchanged")
    return pair


def _grade(shard: Shard, seed: str, pair: CellIndex, completion: Completion) -> Sample:
    planned = shard.cells[pair[0]]
    item = make_instance(find_family(planned.family), planned.level, planned.channel, seed, pair[1])
    request = make_request(planned, item, shard.manifest_digest, shard.asked)
    try:
        done = checked_completion(request, completion)
    except ValueError as error:
        raise BadInput(f"the completion {completion.key} is not possible: {error}") from error
    answer = answer_reader(planned.style, RunSettings(shard.asked)).answer(done)
    return Sample(
        pair[0], pair[1], 0, request.key, replace(done, key=request.key), grade_completion(item, done, answer)
    )

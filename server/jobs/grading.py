"""Turn a shard into requests for a worker, and its completions into graded samples.

A request's key is its place, "cell/index", which gives nothing away: a worker never sees a seed, an id or a gold.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from fathom.harness.db.write import Sample
from fathom.harness.engines.base import Completion, Request
from fathom.harness.errors import BadInput
from fathom.harness.runs.grading import judge, reading_of, settle
from fathom.harness.runs.prompting import Decoding, Prompting
from fathom.harness.runs.requests import request_of, requests_of
from fathom.server.jobs.shards import Pair, Shard
from fathom.tasks.base import make_instance
from fathom.tasks.registry import find_family


def ask(shard: Shard, seed: str) -> Iterator[Request]:
    """Write the requests of a shard's missing items, in order; only an oracle learns which items they are of."""
    is_open = shard.engine == "oracle" and not shard.sealed
    for cell, pairs in groupby(shard.wanted, key=lambda pair: pair[0]):
        indices = [index for _, index in pairs]
        made = requests_of(shard.cells[cell], seed, shard.manifest_digest, indices, shard.chat)
        for index, request in zip(indices, made, strict=True):
            yield replace(request, key=f"{cell}/{index}", item=request.item if is_open else "")


def grade(shard: Shard, seed: str, completions: Iterable[Completion]) -> list[Sample]:
    """Grade completions by the items that the server makes again; those that are stored already are left out.

    Raises:
        BadInput: a key that is none of the shard's, or scores that cannot be.
    """
    wanted = set(shard.wanted)
    return [_grade(shard, seed, pair, one) for one in completions if (pair := _pair(shard, one.key)) in wanted]


def _pair(shard: Shard, key: str) -> Pair:
    cell, slash, index = key.partition("/")
    if not (slash and cell.isascii() and cell.isdigit() and index.isascii() and index.isdigit() and len(key) < 20):
        raise BadInput(f"the key {key[:40]!r} is none of this job's: send keys back as they came")
    pair = int(cell), int(index)
    if pair[0] not in shard.cells or pair[1] >= shard.cells[pair[0]].n:
        raise BadInput(f"the key {key[:40]!r} is none of this job's: send keys back as they came")
    return pair


def _grade(shard: Shard, seed: str, pair: Pair, completion: Completion) -> Sample:
    planned = shard.cells[pair[0]]
    item = make_instance(find_family(planned.family), planned.level, planned.channel, seed, pair[1])
    request = request_of(planned, item, shard.manifest_digest, shard.chat)
    try:
        done = settle(request, completion)
    except ValueError as error:
        raise BadInput(f"the completion {completion.key} cannot be: {error}") from error
    answer = reading_of(planned.style, Prompting(chat=shard.chat), Decoding()).answer(done)
    return Sample(pair[0], pair[1], 0, request.key, replace(done, key=request.key), judge(item, done, answer))

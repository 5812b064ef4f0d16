"""Test whether an upload and a worker's answers to random items of it come from the same model."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

from fathom.tasks.stream import Stream

REPLAY_ITEMS = 200
"""Number of items that are asked again; all of a smaller upload."""

TOLERATED_SHARE = 0.05
"""Share of verdicts that may differ between honest runs of one model, because of other GPUs, batches and near-ties."""

REPLAY_ALPHA = 0.01
"""Level of each of the two tests."""

REPLAY_FLAG = "replay-failed"


@dataclass(frozen=True, slots=True, order=True)
class ReplayItem:
    """An item of an upload: its cell's position and its index in the cell."""

    cell: int
    index: int


def pick_items(sizes: Sequence[int], stream: Stream, count: int = REPLAY_ITEMS) -> tuple[ReplayItem, ...]:
    """Draw `count` items without replacement, from each cell in proportion to its size; all where there are fewer.

    The uploader must not know `stream` before the upload is complete.
    """
    total = sum(sizes)
    if total <= count:
        return tuple(ReplayItem(cell, index) for cell, n in enumerate(sizes) for index in range(n))
    picked = []
    for cell, share in enumerate(_shares(sizes, count, stream)):
        picked += [ReplayItem(cell, index) for index in sorted(stream.sample(range(sizes[cell]), share))]
    return tuple(picked)


def _shares(sizes: Sequence[int], count: int, stream: Stream) -> list[int]:
    """Split `count` in proportion to the sizes; the rest goes to the cells of largest remainder, ties at random."""
    total = sum(sizes)
    exact = [n * count / total for n in sizes]
    shares = [int(part) for part in exact]
    left = count - sum(shares)
    remainders = [part - int(part) for part in exact]
    order = sorted(stream.shuffle(range(len(sizes))), key=lambda cell: -remainders[cell])
    for cell in [cell for cell in order if shares[cell] < sizes[cell]][:left]:
        shares[cell] += 1
    return shares


@dataclass(frozen=True, slots=True)
class Replay:
    """Numbers of verdicts that differ between an upload and its replay, and two exact tests."""

    n: int
    upload_only: int
    """Items that are right only in the upload."""
    replay_only: int
    p_rate: float
    """One-sided p of the number of differing verdicts, if TOLERATED_SHARE of all differ by chance."""
    p_side: float
    """One-sided p of how often the upload is the right one of two differing verdicts."""

    @property
    def passed(self) -> bool:
        """Whether neither test rejects at ALPHA."""
        return self.p_rate >= REPLAY_ALPHA and self.p_side >= REPLAY_ALPHA

    def to_json(self) -> dict[str, Any]:
        """Return the numbers that are stored and shown."""
        return {
            "n": self.n, "upload_only": self.upload_only, "replay_only": self.replay_only, "p_rate": self.p_rate,
            "p_side": self.p_side, "tolerated": TOLERATED_SHARE, "alpha": REPLAY_ALPHA, "passed": self.passed,
        }  # fmt: skip


def compare_replay(pairs: Iterable[tuple[bool, bool]]) -> Replay:
    """Compare verdicts, each as (right in the upload, right in the replay).

    An exact binomial test of the share that differs, and McNemar's exact test, one-sided, of which side is better
    (McNemar 1947).
    """
    n = upload_only = replay_only = 0
    for uploaded, replayed in pairs:
        n += 1
        upload_only += uploaded and not replayed
        replay_only += replayed and not uploaded
    differ = upload_only + replay_only
    return Replay(
        n, upload_only, replay_only, _at_least(differ, n, TOLERATED_SHARE), _at_least(upload_only, differ, 0.5)
    )


def _at_least(k: int, n: int, share: float) -> float:
    """Return the probability of k or more of n, each with probability `share`."""
    return min(1.0, sum(comb(n, hit) * share**hit * (1 - share) ** (n - hit) for hit in range(k, n + 1)))

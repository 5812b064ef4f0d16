"""Two probes, target by target: a paired test where both were tested on the same items."""

from dataclasses import dataclass

from fathom.harness.db.probes import ProbeDetail, ProbedTarget, ProbePoint
from fathom.harness.stats.paired import holm, mcnemar


@dataclass(frozen=True, slots=True)
class ComparedTarget:
    """A target of both probes at the best point of each; numbers of items that only one of them reads rightly."""

    name: str
    first: ProbePoint
    second: ProbePoint
    only_first: int
    only_second: int
    p: float
    """Of McNemar's exact test, corrected by Holm over the targets."""


@dataclass(frozen=True, slots=True)
class ProbeComparison:
    """What two probes share, and the targets that cannot be compared, with the reason."""

    targets: tuple[ComparedTarget, ...]
    left_out: tuple[tuple[str, str], ...]


def compare_probes(first: ProbeDetail, second: ProbeDetail) -> ProbeComparison:
    """Compare the targets that both probes have; layers are chosen on items to fit, so each takes its own best."""
    others = {one.facts.name: one for one in second.targets}
    found: list[tuple[str, ProbePoint, ProbePoint, int, int]] = []
    left_out: list[tuple[str, str]] = []
    for one in first.targets:
        other = others.get(one.facts.name)
        if other is None:
            continue
        why = _obstacle(one, other)
        if why:
            left_out.append((one.facts.name, why))
            continue
        a, b = one.best, other.best
        if a is None or b is None or a.right is None or b.right is None:
            continue
        found.append((one.facts.name, a, b, int((a.right & ~b.right).sum()), int((~a.right & b.right).sum())))
    corrected = holm([mcnemar(b, c) for *_, b, c in found])
    rows = [ComparedTarget(*row, p) for row, p in zip(found, corrected, strict=True)]
    return ProbeComparison(tuple(rows), tuple(left_out))


def _obstacle(one: ProbedTarget, other: ProbedTarget) -> str:
    a, b = one.facts, other.facts
    if a.note or b.note:
        return "one of them could not be probed"
    if not a.items_digest or a.items_digest != b.items_digest or a.n_test != b.n_test:
        return "they were tested on different items: give both the same --seed and --n"
    if a.n_items != a.n_test:
        return "its readings are several of one item, which the test would take as independent"
    return ""

"""Turn answers to the same questions, asked in several ways, into rates at which texts and verdicts differ."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Protocol, runtime_checkable

from harness.db.write import storable
from harness.engines.base import Engine, Request
from harness.feed import Asked
from harness.grade import judge
from harness.stats import Interval, wilson


@runtime_checkable
class Forgetful(Protocol):
    """An engine that keeps what it worked out for one request to use it for others."""

    def forget(self) -> None:
        """Drop all that is kept; for an engine that has nothing under way."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a question."""

    text: str
    correct: bool
    scores: tuple[float, ...] | None


Replies = Mapping[str, Reply]
"""By the key of the request; one that the engine failed on is left out."""


def ask(
    engine: Engine, asked: Sequence[Asked], width: int | None = None, tell: Callable[[int], None] | None = None
) -> Replies:
    """Ask questions `width` at a time, or all at once, of an engine that remembers none of them.

    `tell` hears how many were answered.
    """
    if isinstance(engine, Forgetful):
        engine.forget()
    by_key = {one.request.key: one for one in asked}
    waiting = iter([one.request for one in asked])
    replies: dict[str, Reply] = {}
    while some := list(islice(waiting, width)):
        replies |= dict(_stream(engine, some, by_key))
        if tell is not None:
            tell(len(replies))
    return replies


def _stream(engine: Engine, some: Sequence[Request], by_key: Mapping[str, Asked]) -> Iterator[tuple[str, Reply]]:
    for batch in engine.stream(iter(some)):
        for one in batch:
            if one.finish_reason != "error":
                asked = by_key[one.key]
                verdict = judge(asked.item, one, asked.answer(one))
                yield one.key, Reply(storable(one.text), verdict.correct, one.scores)


@dataclass(frozen=True, slots=True)
class Change:
    """How two replies to one question differ."""

    style: str
    text: bool
    verdict: bool
    gap: float | None
    """Largest difference of a candidate's log-likelihood, in nats; None where there are no candidates."""


Changes = Mapping[str, Change]
"""By the key of the request."""


def changes(styles: Mapping[str, str], before: Replies, after: Replies) -> Changes:
    """Compare what was answered both times; `styles` is by key."""
    return {
        key: _change(style, before[key], after[key]) for key, style in styles.items() if key in before and key in after
    }


def _change(style: str, before: Reply, after: Reply) -> Change:
    gap = None
    if before.scores and after.scores:
        gap = max(abs(one - other) for one, other in zip(before.scores, after.scores, strict=True))
    return Change(style, before.text != after.text, before.correct != after.correct, gap)


def any_of(passes: Sequence[Changes]) -> Changes:
    """Say which replies changed in at least one pass."""
    found: dict[str, Change] = {}
    for key, one in ((key, one) for some in passes for key, one in some.items()):
        other = found.get(key, one)
        gap = max((gap for gap in (one.gap, other.gap) if gap is not None), default=None)
        found[key] = Change(one.style, one.text or other.text, one.verdict or other.verdict, gap)
    return found


@dataclass(frozen=True, slots=True)
class Rate:
    """How often replies in one style changed."""

    style: str
    n: int
    n_texts: int
    n_verdicts: int
    gap: float | None
    """Largest of any item."""

    @property
    def texts(self) -> Interval:
        """Wilson's 95% interval of the share of texts that differ."""
        return wilson(self.n_texts, self.n)

    @property
    def verdicts(self) -> Interval:
        """Wilson's 95% interval of the share of verdicts that flip."""
        return wilson(self.n_verdicts, self.n)

    def to_json(self) -> dict[str, Any]:
        """Return the counts, and both rates with their intervals."""
        texts, verdicts = asdict(self.texts), asdict(self.verdicts)
        return {**asdict(self), "texts": texts, "verdicts": verdicts}


def rates(found: Changes) -> tuple[Rate, ...]:
    """Count changes by style, in the order in which the styles come."""
    styles = dict.fromkeys(one.style for one in found.values())
    return tuple(_rate(style, [one for one in found.values() if one.style == style]) for style in styles)


def _rate(style: str, found: Iterable[Change]) -> Rate:
    some = list(found)
    gaps = [one.gap for one in some if one.gap is not None]
    return Rate(
        style, len(some), sum(one.text for one in some), sum(one.verdict for one in some), max(gaps, default=None)
    )

"""Turn a suite into waves: as many items as lm-eval holds in memory together."""

from collections.abc import Iterator
from dataclasses import dataclass

from harness.suite import Suite
from tasks.base import SCORED

WAVE = 2048
"""Items a wave, and fewer where each is asked several times."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Items start to stop of the cell at a position of the suite."""

    cell: int
    start: int
    stop: int

    @property
    def n(self) -> int:
        """Items in it."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Wave:
    """Stretches of different cells; either all of them choose among candidates, or none does.

    lm-eval asks one kind of request after the other, so the engine would wait between the two.
    """

    stretches: tuple[Stretch, ...]

    @property
    def n_items(self) -> int:
        """Items over all stretches."""
        return sum(one.n for one in self.stretches)


def waves_of(suite: Suite, size: int = WAVE) -> Iterator[Wave]:
    """Cut a suite into waves of at most `size` items, in the order of its cells as far as kinds allow."""
    open_waves: dict[bool, list[Stretch]] = {False: [], True: []}
    room = dict.fromkeys(open_waves, size)
    for at, cell in enumerate(suite.cells):
        kind, start = cell.style in SCORED, 0
        while start < cell.n:
            stop = min(cell.n, start + room[kind])
            open_waves[kind].append(Stretch(at, start, stop))
            room[kind] -= stop - start
            start = stop
            if not room[kind]:
                yield Wave(tuple(open_waves[kind]))
                open_waves[kind], room[kind] = [], size
    yield from (Wave(tuple(stretches)) for stretches in open_waves.values() if stretches)

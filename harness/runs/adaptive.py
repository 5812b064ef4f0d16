"""Measure depth: each ladder is asked where its answers tell most, batch after batch, until its interval is narrow.

Which batch comes next is a function of a ladder's own answers, so a resumed run goes on with the same batch, and two
runs of one seed that answer alike ask the same items. Ladders do not wait for each other: they are divided over a few
threads, and the engine has the requests of all of them.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

from fathom.harness.db.read import get_marks
from fathom.harness.db.write import plan_cells
from fathom.harness.engines.base import Completion
from fathom.harness.runs.ladders import LadderProgress, design_of, open_ladders
from fathom.harness.runs.lm_eval_adapter import CellSlice, Wave
from fathom.harness.runs.lm_eval_model import SuiteRequest
from fathom.harness.runs.request_queue import RequestQueue
from fathom.harness.runs.waves import SuiteEvaluation
from fathom.harness.stats.depth import Design

_N_THREADS = 4
"""Threads that choose batches; each serves ladders of one style, so that short answers do not wait for long ones."""


@dataclass(slots=True)
class DepthEvaluation(SuiteEvaluation):
    """One attempt at a run on an adaptive suite."""

    ladders: list[LadderProgress] = field(init=False)
    _marks: dict[tuple[int, int], bool | None] = field(init=False)
    """Verdicts by (position of the cell, index of the item); None where the engine failed."""

    def __post_init__(self) -> None:
        """Read what earlier attempts asked."""
        SuiteEvaluation.__post_init__(self)  # a dataclass with slots has no cell for super()
        self.ladders = open_ladders(self.run.suite)
        at_cell = {cell.id: at for at, cell in enumerate(self.run.cells)}
        stored = get_marks(self.db, self.run.summary.run)
        self._marks = {(at_cell[cell], index): correct for cell, index, correct in stored}
        self.right = Counter(at for (at, _), correct in self._marks.items() if correct)

    def store(self, answered: Sequence[tuple[SuiteRequest, Completion]]) -> None:
        """Grade completions and commit them, and remember the verdicts."""
        for sample in self._commit(answered):
            failed = sample.completion.finish_reason == "error"
            self._marks[sample.cell, sample.index] = None if failed else sample.verdict.correct
            self.right[sample.cell] += sample.verdict.correct and not failed

    def waves(self, queue: RequestQueue[SuiteRequest]) -> Iterator[Callable[[], None]]:
        """Yield functions that measure some of the ladders each."""
        design = design_of(self.run.suite, self.settings.sampling.precision)
        by_style = groupby(self.ladders, key=lambda ladder: self.run.suite.cells[ladder.cells[0]].style)
        groups = [list(ladders) for _, ladders in by_style]
        share = max(1, _N_THREADS // len(groups))
        for ladders in groups:
            for first in range(min(share, len(ladders))):
                yield partial(self._measure, queue, ladders[first::share], design)

    def score(self) -> None:
        """State as planned what was asked, so that the run is whole."""
        plan_cells(self.db, self.run.summary.run, self._n_asked())

    def _n_asked(self) -> Mapping[int, int]:
        return {
            self.run.cells[at].id: n
            for ladder in self.ladders for at, n in zip(ladder.cells, ladder.n_asked, strict=True)
        }  # fmt: skip

    def _measure(self, queue: RequestQueue[SuiteRequest], ladders: Sequence[LadderProgress], design: Design) -> None:
        while asks := [(ladder, step.asks) for ladder in ladders if not (step := ladder.step(design)).reason]:
            wanted = [
                (ladder, rung, CellSlice(ladder.cells[rung], ladder.n_asked[rung], ladder.n_asked[rung] + n))
                for ladder, some in asks for rung, n in some
            ]  # fmt: skip
            if missing := tuple(one for _, _, one in wanted if not self._is_stored(one)):
                self.ask(queue, Wave(missing))
            self.n_recalled += sum(one.n for _, _, one in wanted if one not in missing)
            for ladder, rung, one in wanted:
                ladder.count(rung, [self._marks[one.cell, index] for index in range(one.start, one.stop)])

    def _is_stored(self, one: CellSlice) -> bool:
        return all(self._marks.get((one.cell, index)) is not None for index in range(one.start, one.stop))

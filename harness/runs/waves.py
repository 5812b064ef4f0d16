"""Evaluate a suite wave by wave: lm-eval builds and scores one wave while the engine answers another."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Engine as Database

from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.db.read import count_kept, get_run
from fathom.harness.db.samples import recall_completions
from fathom.harness.db.write import Sample, record_samples
from fathom.harness.engines.base import Completion
from fathom.harness.errors import StoreError
from fathom.harness.records import RunDetail
from fathom.harness.runs.lm_eval_adapter import Wave, evaluate_arguments, open_tasks, task_name, waves_of
from fathom.harness.runs.lm_eval_model import EngineLM, SuiteReader, SuiteRequest
from fathom.harness.runs.request_queue import WAVE, RequestQueue
from fathom.harness.runs.requests import grade_completion
from fathom.harness.runs.run_settings import RunSettings


@dataclass(slots=True)
class SuiteEvaluation:
    """One attempt at a run on a suite."""

    db: Database
    run: RunDetail
    settings: RunSettings
    manifest_digest: str
    n_recalled: int = field(default=0, init=False)
    n_generated: int = field(default=0, init=False)
    right: Counter[int] = field(default_factory=Counter, init=False)
    """Empty: what is asked is fixed."""
    _kept: Mapping[int, int] = field(init=False)
    """Samples of earlier attempts by id of their cell."""
    _n_right: Counter[int] = field(default_factory=Counter, init=False)
    """Right answers by position of the cell, as lm-eval counts them."""
    _n_scored: Counter[int] = field(default_factory=Counter, init=False)
    """Items that lm-eval has scored in this attempt, by position of the cell."""
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False)
    """Held while lm-eval builds or scores a wave, and while the counts change: one wave at a time."""
    _entered: threading.Condition = field(default_factory=threading.Condition, init=False)
    _n_entered: int = field(default=0, init=False)
    """Waves that were built, are being built, or had nothing to ask."""

    def __post_init__(self) -> None:
        """Count the samples of earlier attempts."""
        self._kept = count_kept(self.db, self.run.summary.run)

    @property
    def kept(self) -> Mapping[int, int]:
        """Samples of earlier attempts by position of their cell."""
        return {at: n for at, cell in enumerate(self.run.cells) if (n := self._kept.get(cell.id, 0))}

    def store(self, answered: Sequence[tuple[SuiteRequest, Completion]]) -> None:
        """Grade completions and commit them."""
        self._commit(answered)

    def _commit(self, answered: Sequence[tuple[SuiteRequest, Completion]]) -> list[Sample]:
        samples = [
            Sample(
                asked.position, asked.index, asked.repeat, done.key, done,
                grade_completion(asked.item, done, asked.answer(done)),
            )
            for asked, done in answered
        ]  # fmt: skip
        record_samples(self.db, self.run.summary.run, [cell.id for cell in self.run.cells], samples)
        return samples

    def waves(self, queue: RequestQueue[SuiteRequest]) -> Iterator[Callable[[], None]]:
        """Yield the waves of what is missing."""
        for number, wave in enumerate(waves_of(self.run.suite, max(1, WAVE // self._repeats))):
            yield partial(self._evaluate, queue, number, wave)

    def score(self) -> None:
        """Do nothing: each sample is graded when it is stored."""

    def publish(self) -> None:
        """Update the leaderboard, and check our counts in cells that lm-eval scored completely: two ways to one number.

        Raises:
            StoreError: the counts differ.
        """
        update_leaderboard(self.db)
        stored = get_run(self.db, self.run.summary.run)
        for at, cell in enumerate(stored.cells):
            if self._n_scored[at] == cell.n_planned and self._n_right[at] != cell.k:
                raise StoreError(
                    f"run {stored.summary.run}: lm-eval counts {self._n_right[at]} right answers in {cell.family} "
                    f"{cell.level} {cell.channel} {cell.style}, the database {cell.k}: please report this"
                )

    @property
    def _repeats(self) -> int:
        return self.settings.sampling.repeats

    @contextmanager
    def _in_order(self, number: int) -> Iterator[None]:
        """Let the waves enter one after the other, so that the first cells are complete first if the run is stopped."""
        with self._entered:
            self._entered.wait_for(lambda: self._n_entered == number)
        try:
            yield
        finally:
            with self._entered:
                self._n_entered += 1
                self._entered.notify_all()

    def _evaluate(self, queue: RequestQueue[SuiteRequest], number: int, wave: Wave) -> None:
        with self._in_order(number):
            with self._turn:
                wave = self._missing(wave)
            if not wave.slices:
                return
            queue.wait_for_room()
            self._turn.acquire()
        try:
            self._ask(queue, wave)
        finally:
            self._turn.release()

    def ask(self, queue: RequestQueue[SuiteRequest], wave: Wave) -> None:
        """Ask a wave and wait for its answers; other waves may be asked meanwhile, by other threads."""
        with self._turn:
            self._ask(queue, wave)

    def _ask(self, queue: RequestQueue[SuiteRequest], wave: Wave) -> None:
        """Ask a wave; the caller holds the turn, which others have while the engine answers."""
        reader = SuiteReader(self.run.suite, self.manifest_digest, self.settings)
        lm = EngineLM(reader, self._known(wave), partial(self._complete, queue))
        results = self._run_lm_eval(lm, wave)
        self.n_recalled += lm.n_recalled
        self.n_generated += lm.n_generated
        for one in wave.slices:
            share = results[task_name(self.run.suite.cells[one.cell].cell)]["acc,none"]
            self._n_right[one.cell] += round(share * one.n * self._repeats)
            self._n_scored[one.cell] += one.n

    def _missing(self, wave: Wave) -> Wave:
        """Return a wave without the cells that are complete."""
        missing = []
        for one in wave.slices:
            if self._kept.get(self.run.cells[one.cell].id, 0) < self.run.suite.cells[one.cell].n * self._repeats:
                missing.append(one)
            else:
                self.n_recalled += one.n * self._repeats
        return Wave(tuple(missing))

    def _known(self, wave: Wave) -> dict[str, Completion]:
        found: dict[str, Completion] = {}
        for one in wave.slices:
            cell = self.run.cells[one.cell].id
            if cell in self._kept:
                found |= recall_completions(self.db, cell, one.start, one.stop)
        return found

    def _complete(self, queue: RequestQueue[SuiteRequest], asked: Sequence[SuiteRequest]) -> Mapping[str, Completion]:
        """Ask the engine, and let lm-eval build the next wave meanwhile."""
        if not asked:
            return {}
        is_queued = threading.Event()

        def release() -> None:
            is_queued.set()
            self._turn.release()

        try:
            return queue.complete(asked, release)
        finally:
            if is_queued.is_set():
                self._turn.acquire()

    def _run_lm_eval(self, lm: EngineLM[SuiteRequest], wave: Wave) -> Mapping[str, Mapping[str, Any]]:  # untyped
        from lm_eval.evaluator import evaluate

        tasks = open_tasks(self.run.suite, self.settings, wave)
        said = evaluate_arguments(self.settings.prompt)
        found = evaluate(lm, {"tasks": tasks}, bootstrap_iters=0, log_samples=False, **said)
        results: Mapping[str, Mapping[str, Any]] = found["results"]
        return results

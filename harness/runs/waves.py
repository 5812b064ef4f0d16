"""Take a suite through lm-eval wave by wave, with one engine that is kept busy from the first wave to the last."""

import gc
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine as Database

from fathom.harness.db import samples as journal
from fathom.harness.db import write
from fathom.harness.engines.base import Completion, Engine, Request
from fathom.harness.records import Report, Tick
from fathom.harness.runs.grading import judge
from fathom.harness.runs.lm_eval_adapter import WAVE, Wave, open_tasks, put, task_name, waves_of
from fathom.harness.runs.lm_eval_model import JournalLM
from fathom.harness.runs.prompting import Decoding, Prompting
from fathom.harness.runs.request_queue import Answered, Asked, Feed
from fathom.tasks.suites import Suite

_WAVES = 8
"""Waves in memory at most; more than two only where a few answers take very long."""


@dataclass(slots=True)
class Ledger:
    """A run's samples in the database; `keep` is one transaction."""

    db: Database
    run: str
    cell_ids: Sequence[int]
    n_items: int
    report: Report
    n_done: int
    n_prompt: int = field(default=0, init=False)
    n_cached: int = field(default=0, init=False)
    """Tokens of prompts, and those of them that the engine's prefix cache held."""

    def keep(self, answers: Sequence[Answered]) -> None:
        """Grade and commit answers, then report progress."""
        samples = [
            write.Sample(asked.cell, asked.index, asked.repeat, one.key, one, judge(asked.item, one, asked.answer(one)))
            for asked, one in answers
        ]
        write.record_samples(self.db, self.run, self.cell_ids, samples)
        self.n_done += len(samples)
        self.n_prompt += sum(one.prompt_tokens for _, one in answers)
        self.n_cached += sum(one.cached_tokens for _, one in answers)
        tokens = sum(one.prompt_tokens + one.completion_tokens for _, one in answers)
        cells = Counter(asked.cell for asked, _ in answers)
        self.report("generating", Tick(self.n_done, self.n_items, tokens, cells))


@dataclass(slots=True)
class Conductor:
    """One attempt at a run; `conduct` may be called once."""

    suite: Suite
    manner: tuple[Prompting, Decoding]
    digest: str
    """Digest of the run's manifest."""
    ledger: Ledger
    n_recalled: int = field(default=0, init=False)
    n_generated: int = field(default=0, init=False)
    right: Counter[int] = field(default_factory=Counter, init=False)
    """By cell: right answers as lm-eval counts them."""
    scored: Counter[int] = field(default_factory=Counter, init=False)
    """By cell: items that lm-eval has scored; waves that were whole before this attempt are left out."""
    _feed: Feed = field(init=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False)

    def conduct(self, engine: Callable[[], Engine]) -> None:
        """Ask what is missing; `engine` is called where something is, in the caller's thread.

        Raises:
            Exception: whatever stops it first; all that came back is stored by then.
        """
        self._feed = Feed(self.ledger.keep)
        conductor = threading.Thread(target=self._waves, name="fathom-waves")
        with _rare_collections():
            conductor.start()
            try:
                self._feed.drive(engine)
            except BaseException as error:
                self._feed.fail(error)
                raise
            finally:
                conductor.join()

    def first(self) -> Request | None:
        """Return the request that the engine will get next; while `conduct` opens it, there is one."""
        return self._feed.first()

    @property
    def _repeats(self) -> int:
        return self.manner[1].repeats

    def _waves(self) -> None:
        try:
            kept = journal.count_kept(self.ledger.db, self.ledger.run)
            with ThreadPoolExecutor(_WAVES, thread_name_prefix="fathom-wave") as pool:
                for wave in waves_of(self.suite, max(1, WAVE // self._repeats)):
                    pool.submit(self._try, wave, kept)
        except BaseException as error:
            self._feed.fail(error)
        finally:
            self._feed.close()

    def _try(self, wave: Wave, kept: Mapping[int, int]) -> None:
        try:
            self._wave(wave, kept)
        except BaseException as error:  # it is raised where the engine is driven
            self._feed.fail(error)

    def _wave(self, wave: Wave, kept: Mapping[int, int]) -> None:
        wave = self._missing(wave, kept)
        if not wave.stretches:
            return
        self._feed.wait_for_room()
        with self._turn:  # lm-eval builds one wave at a time
            known = self._known(wave)
            lm = JournalLM(self.suite, self.digest, known, self._complete, self.manner)
            results = self._evaluate(lm, wave)
        self.n_recalled += lm.n_recalled
        self.n_generated += lm.n_generated
        for one in wave.stretches:
            share = results[task_name(self.suite.cells[one.cell].cell)]["acc,none"]
            self.right[one.cell] += round(share * one.n * self._repeats)
            self.scored[one.cell] += one.n

    def _missing(self, wave: Wave, kept: Mapping[int, int]) -> Wave:
        """Return a wave without the cells that are whole."""
        missing = []
        for one in wave.stretches:
            whole = self.suite.cells[one.cell].n * self._repeats
            if kept.get(self.ledger.cell_ids[one.cell], 0) < whole:
                missing.append(one)
            else:
                self.n_recalled += one.n * self._repeats
        return Wave(tuple(missing))

    def _known(self, wave: Wave) -> dict[str, Completion]:
        found: dict[str, Completion] = {}
        for one in wave.stretches:
            cell = self.ledger.cell_ids[one.cell]
            found |= journal.journaled(self.ledger.db, cell, one.start, one.stop)
        return found

    def _complete(self, asked: Sequence[Asked]) -> Mapping[str, Completion]:
        """Ask the engine, and let the next wave be built meanwhile."""
        if not asked:
            return {}
        queued = threading.Event()

        def let_the_next() -> None:
            queued.set()
            self._turn.release()

        try:
            return self._feed.complete(asked, let_the_next)
        finally:
            if queued.is_set():
                self._turn.acquire()

    def _evaluate(self, lm: JournalLM, wave: Wave) -> Mapping[str, Mapping[str, Any]]:  # lm-eval is untyped
        from lm_eval.evaluator import evaluate

        tasks = open_tasks(self.suite, *self.manner, wave)
        found = evaluate(lm, {"tasks": tasks}, bootstrap_iters=0, log_samples=False, **put(self.manner[0]))
        results: Mapping[str, Mapping[str, Any]] = found["results"]
        return results


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let Python look for cyclic garbage less often: thousands of live items took it a third of a run's time."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()

"""Import of logs that `lm_eval --log_samples` wrote about our tasks, as stored runs.

Every item is made again from its id, and every logged prompt must be the prompt of its item. Answers are graded here;
lm-eval's verdicts are compared with ours and not stored.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path

from sqlalchemy import Engine

from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.db.write import NewRun, Sample
from fathom.harness.engines.base import Completion, Request, Sampling
from fathom.harness.errors import BadInput, Conflict, FathomError
from fathom.harness.io.lm_eval.check import PromptChecker, generation_overrides
from fathom.harness.io.lm_eval.format import prompt_pieces
from fathom.harness.io.lm_eval.import_plan import ImportPlan, plan_import
from fathom.harness.io.lm_eval.log import LoggedAnswer, LoggedSample, LoggedTask, read_evaluation_log, read_samples
from fathom.harness.io.lm_eval.store import begin_import, drop_import, find_import, finish_import, store_import_samples
from fathom.harness.runs.requests import (
    AnswerReader,
    answer_reader,
    checked_completion,
    grade_completion,
    sample_key,
    sampling_of,
)
from fathom.harness.service.seasons.seeds import season_of_seed
from fathom.tasks.base import Instance, shown_candidates
from fathom.tasks.errors import TaskError
from fathom.tasks.registry import instance_from_id
from fathom.tasks.suites import SuiteCell

_BATCH = 500
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Imported:
    """A run imported from lm-eval's files, now or earlier."""

    run: str
    model: str
    engine: str
    is_new: bool
    n_samples: int = 0
    n_right: int = 0
    n_cut: int = 0
    """Answers that went on after a stop text of ours; they were cut at it."""
    n_differing: int = 0
    """Items with another accuracy in lm-eval's log."""
    differing: tuple[str, ...] = ()
    """Descriptions of the first of them."""
    others: tuple[str, ...] = ()
    """Tasks in the files that are not from Fathom."""
    ranked: bool = True
    """Whether its settings are those of ranked runs."""


def import_logs(
    db: Engine, files: Iterable[Path], model: str | None = None, secret_key: str = ""
) -> Iterator[Imported]:  # fmt: skip
    """Store the evaluation of each results file as a run of tier 1; skip those that are already stored.

    Raises:
        BadInput: a log is not as lm-eval writes it, or does not match its items; nothing of it is stored.
        Conflict: the same files were imported under another name, or are being imported by another process.
    """
    for file in files:
        log = read_evaluation_log(file)
        known = find_import(db, log.digest)
        if known is not None:
            if model not in (None, known.model):
                raise Conflict(f"{file} was imported as run {known.run} of {known.model}: a run has one model")
            yield Imported(known.run, known.model, "", False)
            continue
        plan = plan_import(log, model)
        if season_of_seed(db, plan.suite.seed, secret_key) is not None:
            raise BadInput(
                f"{file}: its seed belongs to a season, which only this server's workers may answer: use another seed"
            )
        yield _Importer(db, plan).run()


@dataclass(slots=True)
class _Importer:
    """The import of one evaluation."""

    db: Engine
    plan: ImportPlan
    n_right: int = 0
    n_cut: int = 0
    n_differing: int = 0
    differing: list[str] = field(default_factory=list)

    def run(self) -> Imported:
        """Check, grade and store all samples; on an error remove them and raise."""
        plan, new = self.plan, self.plan.new_run()
        begun = begin_import(self.db, new, plan.dtype)
        try:
            waiting: list[Sample] = []
            for sample in self._samples(new):
                waiting.append(sample)
                if len(waiting) >= _BATCH:
                    store_import_samples(self.db, begun, waiting)
                    waiting = []
            store_import_samples(self.db, begun, waiting)
            finish_import(self.db, begun, new, plan.seconds)
        except BaseException:
            with suppress(FathomError):  # the first error is the one to report
                drop_import(self.db, begun)
            raise
        update_leaderboard(self.db)
        return Imported(
            begun.run, new.model, new.engine, True, new.suite.n_items * new.n_repeats, self.n_right, self.n_cut,
            self.n_differing, tuple(self.differing), plan.log.others, new.layer == "main",
        )  # fmt: skip

    def _samples(self, new: NewRun) -> Iterator[Sample]:
        places = {cell.cell: at for at, cell in enumerate(new.suite.cells)}
        for task in self.plan.log.tasks:
            at = places[task.cell]
            yield from _TaskReader(self, task, new, at, new.suite.cells[at]).samples()

    def compare(self, where: str, row: LoggedSample, right: Sequence[bool]) -> None:
        """Count the right answers to an item, and note if lm-eval counted differently."""
        self.n_right += sum(right)
        share = sum(right) / len(right)
        if row.acc is not None and abs(row.acc - share) > 1e-6:
            self.n_differing += 1
            if len(self.differing) < _MOST_NAMED:
                self.differing.append(f"{where} ({row.doc.id}): lm-eval {row.acc:g}, here {share:g}")


@dataclass(slots=True)
class _TaskReader:
    """The import of one task's samples."""

    importer: _Importer
    task: LoggedTask
    new: NewRun
    position: int
    cell: SuiteCell
    asked: PromptChecker = field(init=False)
    sampling: Sampling = field(init=False)
    reading: AnswerReader = field(init=False)
    _seen: bytearray = field(init=False)

    def __post_init__(self) -> None:
        """Start before the first line."""
        settings = self.importer.plan.settings
        self.asked = PromptChecker(settings.prompt.chat)
        self.sampling = sampling_of(self.cell, settings)
        self.reading = answer_reader(self.cell.style, settings)
        self._seen = bytearray(self.cell.n)

    def samples(self) -> Iterator[Sample]:
        """Yield the samples to store; each line is an item, and each item has exactly one line."""
        for where, row in read_samples(self.task):
            item = self._item(where, row)
            pieces = prompt_pieces(self.cell.cell, item, self.importer.plan.system, self.task.n_shots)
            choices = shown_candidates(item, self.cell.style)
            self.asked.check(row, where, pieces, choices)
            self._check_generation(where)
            request = Request("", item.id, pieces.question, self.sampling, choices)
            done = list(self._completions(where, row, request))
            verdicts = [grade_completion(item, one, self.reading.answer(one)) for one in done]
            self.importer.compare(where, row, [verdict.correct for verdict in verdicts])
            for repeat, (one, verdict) in enumerate(zip(done, verdicts, strict=True)):
                yield Sample(self.position, item.index, repeat, one.key, one, verdict)

    def _item(self, where: str, row: LoggedSample) -> Instance:
        try:
            item = instance_from_id(row.doc.id)
        except TaskError as error:
            raise BadInput(f"{where}: {error}") from error
        if (item.family, item.level, item.channel) != (self.cell.family, self.cell.level, self.cell.channel):
            raise BadInput(f"{where}: {item.id} is not an item of {self.task.name}")
        seed = self.new.suite.seed
        if item.seed != seed:
            raise BadInput(
                f"{where}: {item.id} has another seed than the first sample ({seed}): import each run separately"
            )
        if item.index >= self.cell.n:
            raise BadInput(
                f"{where}: {item.id} is not among the first {self.cell.n} items, so one of these is missing: "
                "import whole evaluations, made without --samples"
            )
        if self._seen[item.index]:
            raise BadInput(f"{where}: {item.id} occurs twice")
        self._seen[item.index] = 1
        return item

    def _check_generation(self, where: str) -> None:
        found = generation_overrides(self.asked.generation, self.sampling)
        if found != self.importer.plan.overrides.get(self.task.name, {}):
            raise BadInput(f"{where}: its generation settings are not those of the first sample of {self.task.name}")

    def _completions(self, where: str, row: LoggedSample, request: Request) -> Iterator[Completion]:
        repeats = self.importer.plan.settings.sampling.repeats
        told = row.fathom if row.fathom is not None else [LoggedAnswer()] * repeats
        if len(told) != repeats:
            raise BadInput(f"{where}: fathom has {len(told)} answers, and {repeats} were requested")
        if request.choices:
            yield self._scored(where, row, request, told[0])
            return
        if len(row.resps) != 1 or len(row.resps[0]) != repeats:
            raise BadInput(f"{where}: resps does not have the {repeats} answers to one question")
        for repeat, (text, one) in enumerate(zip(row.resps[0], told, strict=True)):
            if not isinstance(text, str):
                raise BadInput(f"{where}: resps.0.{repeat} is not a text")
            yield checked_completion(request, self._completion(request, self._cut(text), one, repeat))

    def _scored(self, where: str, row: LoggedSample, request: Request, told: LoggedAnswer) -> Completion:
        blank = self._completion(request, "", told, 0)
        if told.finish_reason == "too_long":
            return checked_completion(request, blank)
        scores = tuple(_score(where, answers) for answers in row.resps)
        try:
            return checked_completion(request, _with_scores(blank, scores))
        except ValueError as error:
            raise BadInput(f"{where}: resps: {error}") from error

    def _completion(self, request: Request, text: str, told: LoggedAnswer, repeat: int) -> Completion:
        key = sample_key(
            self.new.manifest_digest, request.item, request.prompt, (request.sampling, request.choices), repeat
        )  # fmt: skip
        return Completion(
            key, text, told.finish_reason, told.prompt_tokens, told.completion_tokens, told.milliseconds / 1000
        )  # fmt: skip

    def _cut(self, text: str) -> str:
        """Cut an answer at our stop texts: stock lm-eval does not stop at the blank line before another question."""
        whole = text
        for stop in self.sampling.stop:
            text = text.partition(stop)[0]
        self.importer.n_cut += text != whole
        return text


def _score(where: str, answers: list[str | list[str]]) -> float:
    """Read a candidate's log-likelihood, which lm-eval writes as a text beside whether it is greedy."""
    pair = answers[0] if len(answers) == 1 else None
    try:
        found = float(pair[0]) if isinstance(pair, list) and len(pair) == 2 else float("nan")
    except ValueError:
        found = float("nan")
    if not isfinite(found):
        raise BadInput(
            f'{where}: resps does not have the finite log-likelihood of a candidate, as in [["-1.5", "False"]]'
        )
    return found


def _with_scores(one: Completion, scores: tuple[float, ...]) -> Completion:
    return Completion(
        one.key, one.text, one.finish_reason, one.prompt_tokens, one.completion_tokens, one.seconds, scores
    )  # fmt: skip

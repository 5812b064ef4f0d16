"""Exams: accuracy of a model on held-out items of a recipe's cells."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import log

from fathom.harness.engines.base import Engine
from fathom.harness.runs.requests import grade_completion, make_request
from fathom.harness.training.recipe import Exam
from fathom.tasks.registry import find_family
from fathom.tasks.suites import SuiteCell, make_items


@dataclass(frozen=True, slots=True)
class ExamResult:
    """Right answers of an exam; in the style `bits` also the mean bits learned an item, and the most possible."""

    right: int
    n: int
    learnt_bits: float | None = None
    most_bits: float | None = None

    @property
    def share(self) -> float:
        """Accuracy, 0..1."""
        return self.right / self.n


def exam_name(exam: Exam) -> str:
    """Return the name of an exam in tables."""
    return f"{exam.family}/{exam.level}/{exam.channel}/{exam.style}"


def hold_exams(engine: Engine, exams: Iterable[Exam], n: int, seed: str) -> dict[str, ExamResult]:
    """Ask n held-out items of each exam, as `fathom run` does without shots; return the results by exam name."""
    return {exam_name(exam): _hold(engine, exam, n, seed) for exam in exams}


def _hold(engine: Engine, exam: Exam, n: int, seed: str) -> ExamResult:
    family = find_family(exam.family)
    cell = SuiteCell(exam.family, family.version, exam.level, exam.channel, exam.style, n)
    items, requests = {}, []
    for item in make_items(cell.cell, seed, n):
        request = make_request(cell, item, "")
        items[request.key] = item
        requests.append(request)
    done = [one for batch in engine.stream(iter(requests)) for one in batch]
    right = sum(grade_completion(items[one.key], one).correct for one in done)
    if exam.style != "bits":
        return ExamResult(right, n)
    learnt = most = 0.0
    for one in done:
        nats = items[one.key].facts["nats"]
        most += nats["known"] - nats["guessed"]
        if one.scores:
            learnt += max(0.0, one.scores[0] - nats["guessed"])
    return ExamResult(right, n, learnt / n / log(2), most / n / log(2))

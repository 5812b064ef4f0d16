"""Turn a model and a recipe's exams into how many held-out items it gets right."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import log

from fathom.harness.engines.base import Engine
from fathom.harness.runs.grading import judge
from fathom.harness.runs.requests import request_of
from fathom.harness.training.recipe import Exam
from fathom.tasks.registry import find_family
from fathom.tasks.suites import SuiteCell, make_items


@dataclass(frozen=True, slots=True)
class Marks:
    """Right answers of an exam; in the style `bits` also the mean bits learnt an item, and those there are."""

    right: int
    n: int
    learnt_bits: float | None = None
    most_bits: float | None = None

    @property
    def share(self) -> float:
        """Accuracy, 0..1."""
        return self.right / self.n


def exam_name(exam: Exam) -> str:
    """Name an exam in tables."""
    return f"{exam.family}/{exam.level}/{exam.channel}/{exam.style}"


def examine(engine: Engine, exams: Iterable[Exam], n: int, seed: str) -> dict[str, Marks]:
    """Ask n held-out items of each exam as `fathom run` asks them without shots; return the marks by exam."""
    return {exam_name(exam): _hold(engine, exam, n, seed) for exam in exams}


def _hold(engine: Engine, exam: Exam, n: int, seed: str) -> Marks:
    family = find_family(exam.family)
    cell = SuiteCell(exam.family, family.version, exam.level, exam.channel, exam.style, n)
    items, requests = {}, []
    for item in make_items(cell.cell, seed, n):
        request = request_of(cell, item, "")
        items[request.key] = item
        requests.append(request)
    done = [one for batch in engine.stream(iter(requests)) for one in batch]
    right = sum(judge(items[one.key], one).correct for one in done)
    if exam.style != "bits":
        return Marks(right, n)
    learnt = most = 0.0
    for one in done:
        nats = items[one.key].facts["nats"]
        most += nats["known"] - nats["guessed"]
        if one.scores:
            learnt += max(0.0, one.scores[0] - nats["guessed"])
    return Marks(right, n, learnt / n / log(2), most / n / log(2))

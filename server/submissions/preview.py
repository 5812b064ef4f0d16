"""What a submission would do, before it is sent: the model's facts, the questions, and the time that it may take."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import Request
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from fathom.harness.db.engine import translate_errors
from fathom.harness.db.schema.runs import OWN_TIER, ModelRow, RunRow, SuiteRow
from fathom.harness.engines.options import ENGINE_WORDS
from fathom.harness.errors import BadSubmission, Finding
from fathom.harness.runs.prompt_format import prompt_format_text
from fathom.harness.service.seasons.store import Season, items_of
from fathom.harness.settings import ServiceSettings
from fathom.server.jobs.workers import WorkerStatus, engine_of_board, read_workers
from fathom.server.submissions.examine import ExaminedModel, bad_model_name, can_be_examined, examine
from fathom.server.submissions.form import SubmissionForm, check_fields
from fathom.server.submissions.planner import count_items
from fathom.tasks.errors import TaskError

_ALIKE = 1.5
"""Models whose numbers of parameters differ by less than this factor take about the same time."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds that a submission may take, and the model whose run on this board took that long."""

    seconds: float
    model: str


@dataclass(frozen=True, slots=True)
class Preview:
    """Everything that the page shows of a submission before it is sent."""

    findings: tuple[Finding, ...] = ()
    found: ExaminedModel | None = None
    asked: str = ""
    """How the model is asked, as "in a chat, zero-shot"."""
    engine: str = ""
    n_items: int = 0
    n_fresh: int = 0
    """Items of the second run, on a seed of its own."""
    estimate: Estimate | None = None


async def preview(request: Request, form: SubmissionForm, seasons: Sequence[Season], who: str) -> Preview:
    """Check a form as `submit_model` does, and say what it would do; nothing is stored.

    Raises:
        Busy, TooMany: too many models are being read.
    """
    service, db = request.app.state.service, request.app.state.site.db
    form = form.without_address(service.hub).with_suite_of_season(seasons)
    findings = check_fields(form, seasons)
    if not can_be_examined(request, form.choice):
        return Preview((*findings, *bad_model_name(request, form.model)))
    try:
        found = await examine(request, form.choice, who)
    except BadSubmission as error:
        return Preview((*findings, *error.findings))
    if findings:
        return Preview((*findings, *found.report.findings), found)
    return await run_in_threadpool(_describe, db, form, found, service)


def _describe(db: Engine, form: SubmissionForm, found: ExaminedModel, service: ServiceSettings) -> Preview:
    report = found.report
    asked = report.prompt_format
    words = "" if asked is None else prompt_format_text(asked.chat, asked.n_shots)
    try:
        n_items, n_fresh = count_items(form.suite, form.style, items_of(db, form.season) if form.season else None)
    except TaskError as error:
        wrong = Finding("style", f"{error}.", "Choose another style or suite.", "bad_style")
        return Preview((*report.findings, wrong), found, words)
    workers: tuple[WorkerStatus, ...] = read_workers(db)
    engine = engine_of_board(service, workers)
    key = "" if asked is None else f"{'chat' if asked.chat else 'plain'}/{asked.n_shots}"
    estimate = None
    if report.n_parameters and not report.findings:
        estimate = _estimate(db, _Wanted(engine, form.suite, key, n_items, report.n_parameters), n_fresh)
    return Preview(report.findings, found, words, ENGINE_WORDS.get(engine, engine), n_items, n_fresh, estimate)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What an earlier run must share for its time to be told."""

    engine: str
    suite: str
    prompt_format: str
    n_items: int
    n_parameters: int


def _estimate(db: Engine, wanted: _Wanted, n_fresh: int) -> Estimate | None:
    """Return the time from the run of the model nearest in size; None where no run here is alike."""
    alike = (
        RunRow.state == "done", RunRow.tier == OWN_TIER, RunRow.layer == "main", RunRow.n_repeats == 1,
        RunRow.seconds > 0, RunRow.engine == wanted.engine, SuiteRow.name == wanted.suite,
        RunRow.n_items == wanted.n_items, RunRow.prompt_format == wanted.prompt_format,
        RunRow.n_parameters.between(int(wanted.n_parameters / _ALIKE), int(wanted.n_parameters * _ALIKE)),
    )  # fmt: skip
    nearest = func.abs(RunRow.n_parameters - wanted.n_parameters)
    runs = (
        select(ModelRow.name, RunRow.seconds)
        .join(ModelRow, ModelRow.id == RunRow.model_id)
        .join(SuiteRow, SuiteRow.id == RunRow.suite_id)
        .where(*alike)
        .order_by(nearest, RunRow.created_at.desc(), RunRow.id)
        .limit(1)
    )
    with translate_errors(), Session(db) as session:
        row = session.execute(runs).first()
    return None if row is None else Estimate(row.seconds * (1 + n_fresh / wanted.n_items), row.name)

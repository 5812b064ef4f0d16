"""Submissions become runs and jobs once, and done jobs become results once, on both databases."""

import threading

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from fathom.harness.db import read
from fathom.harness.db.audit import list_entries
from fathom.harness.db.schema.runs import MarkRow, RunRow, StandingRow, SuiteRow
from fathom.harness.db.schema.service import JobRow, SubmissionRow, UserRow
from fathom.harness.db.seal import SEALED
from fathom.harness.db.write import utc_now
from fathom.harness.engines.base import Completion, EngineSettings
from fathom.harness.engines.oracle import OracleEngine
from fathom.harness.errors import BadInput
from fathom.harness.records import SampleFilter
from fathom.harness.service.worker.protocol import ClaimRequest
from fathom.server.jobs import grader
from fathom.server.jobs import leases as jobs
from fathom.server.submissions import planner as planning
from fathom.tasks.suites import open_suite

SEED = "2026"


def seed_of(_db, season):
    return "c0ffee" if season else SEED


@pytest.fixture
def owner(db):
    with Session(db) as session, session.begin():
        user = UserRow(subject="local", name="local", created_at=utc_now())
        session.add(user)
        session.flush()
        return user.id


def accept(db, owner, name="s1", **traits):
    """A submission as the form leaves it."""
    row = {
        "id": name, "kind": "model", "owner_id": owner, "model": "oracle/perfect", "sha": "a" * 40, "suite": "quick",
        "engine": "oracle", "style": "choice", "state": "validating", "created_at": utc_now(), "changed_at": utc_now(),
    }  # fmt: skip
    with Session(db) as session, session.begin():
        session.add(SubmissionRow(**{**row, **traits}))
    return name


def row_of(db, table, key):
    with Session(db) as session:
        row = session.get_one(table, key)
        session.expunge(row)
        return row


def jobs_of(db):
    with Session(db) as session:
        return session.execute(
            select(JobRow.kind, JobRow.shard, JobRow.cells, JobRow.progress_total).order_by(JobRow.id)
        ).all()


def work(db, engine=None):
    """Do every job with the oracle; return how many there were."""
    n_jobs = 0
    engine = engine or OracleEngine("perfect")
    while claim := jobs.claim_job(db, ClaimRequest(name="w", engine="oracle")):
        shard = jobs.open_shard(db, claim.lease)
        seed = seed_of(db, shard.season) if shard.sealed else shard.seed
        for done in engine.stream(grader.missing_requests(shard, seed)):
            jobs.store_samples(db, claim.lease, grader.grade_completions(shard, seed, done))
        assert jobs.finish_job(db, claim.lease) == []
        n_jobs += 1
    return n_jobs


def test_a_submission_goes_from_plan_to_board(db, owner):
    name = accept(db, owner, n_parameters=5, model_kind="base")
    assert planning.plan_submissions(db, seed_of) == 1
    assert planning.plan_submissions(db, seed_of) == 0
    assert [(kind, total) for kind, _, _, total in jobs_of(db)] == [("run", 180), ("fresh", 36)]
    assert row_of(db, SubmissionRow, name).state == "queued"
    assert planning.finish_submissions(db) == 0
    assert work(db) == 2
    assert row_of(db, SubmissionRow, name).state == "scoring"
    seen = []
    assert planning.finish_submissions(db, [lambda _, which: seen.append(which)]) == 1
    assert planning.finish_submissions(db) == 0
    row = row_of(db, SubmissionRow, name)
    assert (row.state, seen) == ("finished", [name])
    detail = read.get_run(db, row.run_id)
    one = detail.summary
    assert (one.state, one.tier, one.layer, one.k, one.n_items, one.n_generated) == ("done", 3, "main", 180, 180, 180)
    assert (one.model, one.seed, detail.manifest.stored["decisive"]["model"]["digest"]) == (
        "oracle/perfect",
        SEED,
        "a" * 40,
    )
    assert detail.suite_digest == detail.suite.digest()
    fresh = read.get_run(db, row.fresh_run_id).summary
    assert (fresh.layer, fresh.k, fresh.n_items) == ("fresh", 36, 36)
    assert len(fresh.seed) == 32
    with Session(db) as session:
        assert set(session.scalars(select(MarkRow.run_id))) >= {row.run_id}
        assert set(session.scalars(select(StandingRow.run_id))) == {row.run_id}
    assert [entry.action for entry in list_entries(db, f"submission/{name}")] == ["submission.finished"]


@pytest.mark.slow
@pytest.mark.turns(2)
def test_samples_are_those_of_a_run_through_lm_eval(db, owner):
    from fathom.harness.engines.model import ModelSource
    from fathom.harness.runs.evaluate import evaluate
    from fathom.harness.runs.plan import Plan
    from fathom.harness.runs.run_settings import RunSettings

    name = accept(db, owner, model="oracle/noisy", style="direct")
    planning.plan_submissions(db, seed_of)
    work(db, OracleEngine("noisy"))
    planning.finish_submissions(db)
    mine = read.get_run(db, row_of(db, SubmissionRow, name).run_id)
    other = evaluate(
        Plan(ModelSource("oracle/noisy", None, "noisy"), mine.suite, RunSettings(engine=EngineSettings("oracle"))), db
    )
    held = [
        [(one.item, one.completion, one.parsed, one.label, one.correct, one.finish_reason)
         for one in read.get_samples(db, detail, SampleFilter(), limit=9999).samples]
        for detail in (mine, read.get_run(db, other.run))
    ]  # fmt: skip
    assert held[0] == held[1]
    assert len(held[0]) == mine.summary.n_items > 1000


def test_many_planners_make_one_plan(db, owner):
    for at in range(3):
        accept(db, owner, f"s{at}")
    planned = []
    threads = [
        threading.Thread(target=lambda: planned.append(planning.plan_submissions(db, seed_of))) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Session(db) as session:
        assert len(session.scalars(select(RunRow.id)).all()) == len(session.scalars(select(JobRow.id)).all()) == 6
    assert sum(planned) == 3


def test_a_plan_cut_off_in_its_middle_leaves_nothing(db, owner):
    name = accept(db, owner)
    (asked,) = planning.list_unplanned(db)
    good, bad = planning.plan_runs(asked, SEED)
    object.__setattr__(bad, "kind", None)  # the jobs' table refuses it, after the first run is written
    with pytest.raises(Exception, match=r"(?i)not null|null"):
        planning.store_plan(db, name, [good, bad])
    with Session(db) as session:
        assert session.scalars(select(RunRow.id)).all() == []
    assert planning.plan_submissions(db, seed_of) == 1


def test_a_season_keeps_its_seed_to_itself(db, owner):
    name = accept(db, owner, season="winter", engine="vllm")
    planning.plan_submissions(db, seed_of)
    detail = read.get_run(db, row_of(db, SubmissionRow, name).run_id)
    assert (detail.summary.sealed, detail.summary.season, detail.summary.seed) == (True, "winter", "sealed-winter")
    assert "c0ffee" not in str(detail.manifest)
    assert detail.suite_digest == SEALED
    claim = jobs.claim_job(db, ClaimRequest(name="w", engine="vllm"))
    shard = jobs.open_shard(db, claim.lease)
    requests = list(grader.missing_requests(shard, "c0ffee"))
    assert len(requests) == 180
    assert {request.item for request in requests} == {""}
    assert not any("c0ffee" in str(request) for request in requests)
    true = open_suite("quick", "c0ffee")
    with Session(db) as session:
        (suite,) = session.scalars(select(SuiteRow).where(SuiteRow.season == "winter"))
        assert suite.digest == type(true)(true.name, true.version, true.seed, detail.suite.cells).digest()


def test_what_cannot_be_planned_fails_with_the_reason(db, owner):
    name = accept(db, owner, style="nonsense")
    planning.plan_submissions(db, seed_of)
    row = row_of(db, SubmissionRow, name)
    assert (row.state, row.error_code, row.quota_returned) == ("failed", "engine_failed", True)
    assert "nonsense" in row.error_tail


def test_the_runs_of_a_cancelled_submission_end(db, owner):
    name = accept(db, owner)
    planning.plan_submissions(db, seed_of)
    with Session(db) as session, session.begin():
        session.get_one(SubmissionRow, name).state = "cancelled"
    planning.finish_submissions(db)
    row = row_of(db, SubmissionRow, name)
    assert {row_of(db, RunRow, run).state for run in (row.run_id, row.fresh_run_id)} == {"interrupted"}


def test_what_a_killed_process_left_unsettled_is_settled(db, owner):
    name = accept(db, owner)
    planning.plan_submissions(db, seed_of)
    with Session(db) as session, session.begin():
        job = session.scalars(select(JobRow).where(JobRow.kind == "run")).one()
        job.state, job.error_code = "failed", "gated"
    planning.finish_submissions(db)
    assert (row_of(db, SubmissionRow, name).state, row_of(db, SubmissionRow, name).error_code) == ("failed", "gated")


@pytest.mark.parametrize("key", ["", "0", "0/999", "99/0", "0/-1", "1/٣", "0/0/0", "x/y"])
def test_keys_of_others_are_refused(db, owner, key):
    accept(db, owner)
    planning.plan_submissions(db, seed_of)
    shard = jobs.open_shard(db, jobs.claim_job(db, ClaimRequest(name="w", engine="oracle")).lease)
    with pytest.raises(BadInput, match="does not belong to this job"):
        grader.grade_completions(shard, SEED, [Completion(key, " AB", "stop", 1, 1, 0.0)])


def test_scores_are_checked_and_their_text_is_not_believed(db, owner):
    accept(db, owner)
    planning.plan_submissions(db, seed_of)
    shard = jobs.open_shard(db, jobs.claim_job(db, ClaimRequest(name="w", engine="oracle")).lease)
    request = next(grader.missing_requests(shard, SEED))
    for scores in (None, (1.0,), (float("nan"),) * len(request.choices)):
        with pytest.raises(BadInput, match="finite score"):
            grader.grade_completions(shard, SEED, [Completion(request.key, "x", "stop", 1, 0, 0.0, scores)])
    scores = tuple(-float(at) for at in range(len(request.choices)))
    (sample,) = grader.grade_completions(shard, SEED, [Completion(request.key, "forged", "stop", 1, 0, 0.0, scores)])
    assert sample.completion.text == request.choices[0]


def test_shards_hold_neighbours_and_enough_items():
    for name in ("quick", "standard", "full"):
        cells = open_suite(name, 7).cells
        cut = list(planning.cut_into_shards(cells))
        assert [at for shard in cut for at in shard] == list(range(len(cells)))
        sizes = [sum(cells[at].n for at in shard) for shard in cut]
        assert min(sizes) >= planning.SHARD_ITEMS
        assert max(sizes) < 3 * planning.SHARD_ITEMS


def test_the_reaper_waits_after_a_start():
    now = [0.0]
    reap = planning.lease_expiry(lambda: now[0])
    now[0] = 29.0
    assert reap(None) == 0

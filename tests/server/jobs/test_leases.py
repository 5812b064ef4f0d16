"""The queue on both databases: each job given once, fairly, and only to who holds its lease."""

import datetime as dt
import multiprocessing
from collections import Counter
from uuid import uuid4

import pytest
from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from fathom.harness.db import write
from fathom.harness.db.engine import open_database
from fathom.harness.db.schema.runs import RunRow, SampleRow
from fathom.harness.db.schema.service import JobRow, SubmissionRow, UserRow
from fathom.harness.engines.base import Completion
from fathom.harness.errors import LeaseLost, UnknownSubmission
from fathom.harness.service.faults import FAULTS, fault_of
from fathom.harness.service.worker.protocol import BatchReceipt, ClaimRequest, Lease
from fathom.server.jobs import leases as jobs
from fathom.tasks.base import Verdict
from fathom.tasks.suites import Selection, open_suite

START = dt.datetime(2026, 11, 24, 9, tzinfo=dt.UTC)
N = 4
"""Items per cell, one cell a job."""


class Watch:
    """A clock that the test turns."""

    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now

    def turn(self, seconds):
        self.now += dt.timedelta(seconds=seconds)


@pytest.fixture
def watch():
    return Watch()


def add_user(db, name):
    with Session(db) as session, session.begin():
        user = UserRow(subject=name, name=name, created_at=START)
        session.add(user)
        session.flush()
        return user.id


def submit(db, owner, n_jobs=3, at=START, **extra):
    """A submission as the planner leaves it: one run, `n_jobs` jobs of one cell; return its id."""
    levels = ("n8k1", "n8k2", "n8k3", "n8k4")
    cells = [
        cell
        for seed in range(-(-n_jobs // len(levels)))
        for cell in open_suite("quick", seed, Selection(("depo",), levels, n=N)).cells
    ][:n_jobs]
    suite = open_suite("quick", 7, Selection(("depo",), levels, n=N))
    suite = type(suite)(suite.name, suite.version, suite.seed, tuple(cells))
    new = write.NewRun("org/pebble", "oracle", suite, uuid4().hex, {"decisive": {}, "context": {}}, "0" * 32)
    name = uuid4().hex[:8]
    with Session(db) as session, session.begin():
        run = write.add_run(session, new)
        session.add(
            SubmissionRow(
                id=name, kind="model", owner_id=owner, model="org/pebble", suite="quick", state="queued", run_id=run,
                fingerprint=name, engine="oracle", created_at=at, changed_at=at, **extra,
            )
        )  # fmt: skip
        session.flush()
        session.execute(
            insert(JobRow),
            [
                {"submission_id": name, "owner_id": owner, "kind": "run", "run_id": run, "shard": at, "cells": [at],
                 "state": "queued", "not_before": START, "progress_total": N, "created_at": START}
                for at in range(n_jobs)
            ],
        )  # fmt: skip
    return name


def samples(cell, indices=range(N)):
    return [
        write.Sample(cell, at, 0, f"{cell}/{at}", Completion(f"{cell}/{at}", " AB", "stop", 9, 1, 0.1), Verdict(False, None, "start"))
        for at in indices
    ]  # fmt: skip


def job_of(db, lease):
    with Session(db) as session:
        job = session.get_one(JobRow, lease.job)
        session.expunge(job)
        return job


def submission_of(db, name):
    with Session(db) as session:
        row = session.get_one(SubmissionRow, name)
        session.expunge(row)
        return row


def count(db, table):
    with Session(db) as session:
        return session.scalar(select(func.count()).select_from(table))


def claim_all(database, name, gate, out):
    """A process that claims until nothing is left."""
    db = open_database(database, create=False)
    gate.wait()
    while (claim := jobs.claim_job(db, ClaimRequest(name=name, engine="oracle"))) is not None:
        out.put((name, claim.lease.job))
    out.put(None)


@pytest.mark.full
@pytest.mark.slow
def test_fifty_jobs_claimed_by_ten_processes_are_given_once_each(db, database):
    owners = [add_user(db, f"user{at}") for at in range(5)]
    for owner in owners:
        submit(db, owner, 10)
    forking = multiprocessing.get_context("spawn")
    gate, out = forking.Barrier(10), forking.Queue()
    workers = [forking.Process(target=claim_all, args=(database, f"w{at}", gate, out)) for at in range(10)]
    for worker in workers:
        worker.start()
    given, ended = [], 0
    while ended < len(workers):
        one = out.get(timeout=120)
        ended += one is None
        given += [one] if one else []
    for worker in workers:
        worker.join(timeout=60)
        assert worker.exitcode == 0
    print(
        f"{db.dialect.name}: {len(given)} claims by {len(dict(given))} processes, {len({job for _, job in given})} jobs"
    )
    assert len(given) == len({job for _, job in given}) == 50
    with Session(db) as session:
        rows = session.execute(select(JobRow.state, JobRow.lease_owner, JobRow.id)).all()
    assert {state for state, *_ in rows} == {"leased"}
    assert sorted((owner, job) for _, owner, job in rows) == sorted(given)


def test_the_owner_with_the_fewest_leases_comes_first(db, watch):
    first, second = add_user(db, "first"), add_user(db, "second")
    submit(db, first, 6)
    submit(db, second, 2, at=START + dt.timedelta(hours=1))
    given = [jobs.claim_job(db, ClaimRequest(name="w", engine="oracle"), watch) for _ in range(6)]
    owners = [job_of(db, claim.lease).owner_id for claim in given]
    assert owners == [first, second, first, second, first, first]


def test_one_worker_serves_owners_in_turn(db, watch):
    busy, calm = add_user(db, "busy"), add_user(db, "calm")
    for hour in range(3):
        submit(db, busy, 1, at=START + dt.timedelta(hours=hour))
    submit(db, calm, 1, at=START + dt.timedelta(hours=9))
    served = []
    for _ in range(4):
        watch.turn(10)
        claim = jobs.claim_job(db, ClaimRequest(name="w", engine="oracle"), watch)
        served.append(job_of(db, claim.lease).owner_id)
        jobs.store_samples(db, claim.lease, samples(0), watch)
        assert jobs.finish_job(db, claim.lease, watch) == []
    assert served == [busy, calm, busy, busy]


def test_a_worker_keeps_its_model_while_owners_are_level(db, watch):
    first, second = add_user(db, "first"), add_user(db, "second")
    submit(db, first, 3)
    loaded = submit(db, second, 3, at=START + dt.timedelta(hours=1))
    claim = jobs.claim_job(db, ClaimRequest(name="w", engine="oracle", loaded=loaded), watch)
    assert claim.submission == loaded
    other = jobs.claim_job(db, ClaimRequest(name="v", engine="oracle", loaded=loaded), watch)
    assert other.submission != loaded  # fair share comes before the worker's comfort


def test_a_worker_gets_what_it_can_run(db, watch):
    owner = add_user(db, "owner")
    submit(db, owner, 1, n_bytes=5 << 30)
    assert jobs.claim_job(db, ClaimRequest(name="w", engine="vllm"), watch) is None
    assert jobs.claim_job(db, ClaimRequest(name="w", engine="oracle", max_bytes=4 << 30), watch) is None
    assert jobs.claim_job(db, ClaimRequest(name="w", engine="oracle", kinds=("replay",)), watch) is None
    assert jobs.claim_job(db, ClaimRequest(name="w", engine="oracle", max_bytes=5 << 30), watch).n_items == N


def test_a_job_is_stored_finished_and_counted_once(db, watch):
    name = submit(db, add_user(db, "owner"), 1)
    claim = jobs.claim_job(db, ClaimRequest(name="w", engine="oracle"), watch)
    assert submission_of(db, name).state == "leased"
    jobs.extend_lease(db, claim.lease, "loading", None, watch)
    assert submission_of(db, name).state == "loading"
    assert jobs.store_samples(db, claim.lease, samples(0, range(2)), watch) == BatchReceipt(
        n_new=2, n_done=2, n_items=N
    )
    assert jobs.store_samples(db, claim.lease, samples(0, range(3)), watch) == BatchReceipt(
        n_new=1, n_done=3, n_items=N
    )
    assert submission_of(db, name).state == "generating"
    assert jobs.finish_job(db, claim.lease, watch) == [(0, 3)]
    jobs.store_samples(db, claim.lease, samples(0), watch)
    assert jobs.finish_job(db, claim.lease, watch) == jobs.finish_job(db, claim.lease, watch) == []
    assert submission_of(db, name).state == "scoring"
    with Session(db) as session:
        run = session.scalars(select(RunRow)).one()
        assert (run.n_generated, count(db, SampleRow)) == (N, N)


def test_samples_of_other_cells_are_passed_over(db, watch):
    submit(db, add_user(db, "owner"), 2)
    claim = jobs.claim_job(db, ClaimRequest(name="w", engine="oracle"), watch)
    assert jobs.store_samples(db, claim.lease, samples(1), watch).n_new == 0
    assert count(db, SampleRow) == 0


def test_who_lost_the_lease_can_do_nothing(db, watch):
    submit(db, add_user(db, "owner"), 1)
    late = jobs.claim_job(db, ClaimRequest(name="late", engine="oracle"), watch).lease
    watch.turn(91)
    assert jobs.expire_leases(db, watch) == 1
    watch.turn(11)
    quick = jobs.claim_job(db, ClaimRequest(name="quick", engine="oracle"), watch).lease
    deeds = (
        lambda lease: jobs.extend_lease(db, lease, "generating", None, watch),
        lambda lease: jobs.store_samples(db, lease, samples(0), watch),
        lambda lease: jobs.finish_job(db, lease, watch),
        lambda lease: jobs.fail_job(db, lease, "gated", "", watch),
        lambda lease: jobs.release_job(db, lease, watch),
        lambda lease: jobs.open_shard(db, lease),
    )
    before = job_of(db, quick)
    for deed in deeds:
        for lease in (late, Lease(quick.job, "guessed")):
            with pytest.raises(LeaseLost):
                deed(lease)
        with pytest.raises(UnknownSubmission):
            deed(Lease(10**6, quick.token))
    after = job_of(db, quick)
    assert count(db, SampleRow) == 0
    assert (
        (after.state, after.lease_owner, after.attempt)
        == (before.state, "quick", before.attempt)
        == ("leased", "quick", 1)
    )


def test_a_beat_before_the_reaper_saves_a_late_lease(db, watch):
    submit(db, add_user(db, "owner"), 1)
    lease = jobs.claim_job(db, ClaimRequest(name="w", engine="oracle"), watch).lease
    watch.turn(300)
    assert jobs.extend_lease(db, lease, "generating", None, watch) == watch.now + jobs.LEASE
    assert jobs.expire_leases(db, watch) == 0


def test_a_silent_worker_is_given_up_after_three_attempts(db, watch):
    name = submit(db, add_user(db, "owner"), 2)
    waits = []
    for attempt in (1, 2, 3):
        claim = jobs.claim_job(db, ClaimRequest(name=f"w{attempt}", engine="oracle"), watch)
        watch.turn(jobs.LEASE.total_seconds() + 1)
        assert jobs.expire_leases(db, watch) == 1
        job = job_of(db, claim.lease)
        waits.append((job.not_before - watch.now).total_seconds())
        with Session(db) as session, session.begin():  # the other job is out of the way
            session.execute(update(JobRow).where(JobRow.id != job.id).values(not_before=START + dt.timedelta(days=9)))
        assert jobs.claim_job(db, ClaimRequest(name="early", engine="oracle"), watch) is None
        watch.turn(waits[-1])
    assert waits == [10, 20, 40]
    assert (job.state, job.attempt, job.error_code) == ("failed", 3, "worker_lost")
    row = submission_of(db, name)
    assert (row.state, row.error_code, row.quota_returned, row.fingerprint) == ("failed", "worker_lost", True, None)
    with Session(db) as session:
        assert sorted(session.scalars(select(JobRow.state))) == ["cancelled", "failed"]
        run = session.scalars(select(RunRow)).one()
        assert (run.state, run.error.split(":")[0]) == ("failed", "worker_lost")


@pytest.mark.parametrize(("code", "n_attempts", "returned"), [
    ("gated", 1, False), ("nan_logits", 1, False), ("out_of_memory", 2, True), ("hub_5xx", 3, True), ("engine_failed", 3, True),
])  # fmt: skip
def test_faults_are_tried_again_if_that_may_help(db, watch, code, n_attempts, returned):
    name = submit(db, add_user(db, "owner"), 1)
    for attempt in range(1, n_attempts + 1):
        lease = jobs.claim_job(db, ClaimRequest(name="w", engine="oracle"), watch).lease
        jobs.fail_job(db, lease, code, "x" * 9000 + "the end", watch)
        assert (job_of(db, lease).state == "failed") == (attempt == n_attempts)
        watch.turn(300)
    row = submission_of(db, name)
    assert (row.state, row.error_code, row.quota_returned) == ("failed", code, returned)
    assert len(row.error_tail) == 8000
    assert row.error_tail.endswith("the end")


def test_a_job_given_back_costs_no_attempt(db, watch):
    name = submit(db, add_user(db, "owner"), 1)
    lease = jobs.claim_job(db, ClaimRequest(name="w", engine="oracle"), watch).lease
    jobs.store_samples(db, lease, samples(0, range(2)), watch)
    jobs.release_job(db, lease, watch)
    assert submission_of(db, name).state == "queued"
    again = jobs.claim_job(db, ClaimRequest(name="v", engine="oracle"), watch)
    assert (again.attempt, again.n_done) == (0, 2)
    assert jobs.open_shard(db, again.lease).missing == ((0, 2), (0, 3))


def test_a_shard_on_which_the_engine_failed_is_asked_again(db, watch):
    submit(db, add_user(db, "owner"), 1)
    lease = jobs.claim_job(db, ClaimRequest(name="w", engine="oracle"), watch).lease
    broken = [
        write.Sample(0, at, 0, "k", Completion("k", "", "error", 0, 0, 0.0, error="CUDA out of memory"), Verdict(False, None, "engine_error"))
        for at in range(N)
    ]  # fmt: skip
    jobs.store_samples(db, lease, broken, watch)
    assert jobs.finish_job(db, lease, watch) == []
    job = job_of(db, lease)
    assert (job.state, job.error_code, job.progress_done, count(db, SampleRow)) == ("queued", "out_of_memory", 0, 0)


def test_tokens_a_second_come_from_the_time_of_generating(db, watch):
    submit(db, add_user(db, "owner"), 1)
    lease = jobs.claim_job(db, ClaimRequest(name="w", engine="oracle"), watch).lease
    watch.turn(30)
    jobs.extend_lease(db, lease, "generating", None, watch)
    watch.turn(2)
    jobs.store_samples(db, lease, samples(0), watch)
    job = job_of(db, lease)
    assert (job.tokens, job.seconds) == (40, 2)


def test_every_fault_says_what_happened_and_what_to_do():
    for code, fault in FAULTS.items():
        assert fault.code == code
        assert fault.words.endswith(".")
        assert fault.fix.endswith(".")
        assert not (fault.permanent and fault.ours)
    assert fault_of("unheard of") is FAULTS["engine_failed"]
    assert Counter(fault.permanent for fault in FAULTS.values()) == {True: 10, False: 5}

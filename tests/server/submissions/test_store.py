"""What stands here once stands once; what its owner stops, stops; what failed goes on where it was."""

import datetime as dt
import threading
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from fathom.harness.db import audit
from fathom.harness.db.engine import open_database, writing
from fathom.harness.db.schema.runs import RunRow
from fathom.harness.db.schema.service import JobRow, SeasonRow, SubmissionRow, UserRow
from fathom.harness.db.write import utc_now
from fathom.harness.errors import AlreadySubmitted, Conflict, LeaseLost, TooMany, UnknownSubmission
from fathom.harness.service.worker.protocol import ClaimRequest
from fathom.server.jobs import leases as jobs
from fathom.server.submissions import status as queue
from fathom.server.submissions.planner import finish_submissions, plan_submissions
from fathom.server.submissions.store import NewSubmission, cancel, create, retry, withdraw

NEW = NewSubmission("org/model", "main", "a" * 40, "quick", style="direct", n_bytes=100)


def add_user(db, name="ada"):
    with writing(db) as session:
        row = UserRow(subject=name, name=name, role="user", created_at=utc_now())
        session.add(row)
        session.flush()
        return row.id


def put(db, **changes):
    """Submit a model by a user of its own."""
    return create(db, replace(NEW, **changes), add_user(db, changes.get("model", "ada")), None)


def plan(db):
    return plan_submissions(db, lambda _db, _season: "2026")


def claim(db, name="worker"):
    return jobs.claim_job(db, ClaimRequest(name=name, engine="vllm"))


def change(db, table, **values):
    with writing(db) as session:
        session.execute(update(table).values(**values))


def test_the_same_comes_once_until_it_is_over(db):
    first = put(db)
    with pytest.raises(AlreadySubmitted) as caught:
        create(db, NEW, 1, None)
    assert caught.value.submission == first
    for changes in (
        {"sha": "b" * 40},
        {"dtype": "float32"},
        {"style": ""},
        {"chat_template": True},
        {"suite": "full"},
        {"season": "s"},
    ):
        create(db, replace(NEW, **changes), 1, None)
    cancel(db, first, "user/1")
    assert create(db, NEW, 1, None) != first


def test_of_many_at_once_one_is_stored(db, database):
    owner = add_user(db)
    outcomes = []

    def submit():
        own = open_database(database, create=False)
        try:
            outcomes.append(create(own, NEW, owner, None))
        except AlreadySubmitted as error:
            outcomes.append(error)
        finally:
            own.dispose()

    threads = [threading.Thread(target=submit) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (stored,) = [one for one in outcomes if isinstance(one, str)]
    assert [one.submission for one in outcomes if not isinstance(one, str)] == [stored] * 5
    assert [one.action for one in audit.list_entries(db, f"submission/{stored}")] == ["submission.created"]


def test_a_quota_counts_a_day_and_gives_back(db):
    owner, other = add_user(db), add_user(db, "bob")
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    def submit(hour, who=owner):
        number = len(queue.list_submissions(db, None, None, 1, 0)[0]) + hour
        return create(db, replace(NEW, sha=f"{number:040x}"), who, 2, lambda: start + dt.timedelta(hours=hour))

    first = submit(0)
    submit(5)
    with pytest.raises(TooMany, match=r"2 submissions within 24 hours.* in 18 h"):
        submit(6)
    submit(7, other)
    with writing(db) as session:
        session.get_one(SubmissionRow, first).quota_returned = True
    submit(8)
    with pytest.raises(TooMany):
        submit(9)
    submit(30)


def test_a_cancelled_submission_stops_its_workers(db):
    submission = put(db)
    plan(db)
    held = claim(db)
    cancel(db, submission, "user/1")
    with pytest.raises(LeaseLost):
        jobs.extend_lease(db, held.lease, "loading")
    assert claim(db) is None
    found = queue.get_status(db, submission).submission
    assert (found.state, found.is_over) == ("cancelled", True)
    with Session(db) as session:
        assert set(session.scalars(select(JobRow.state))) == {"cancelled"}
        assert set(session.scalars(select(RunRow.state))) == {"interrupted"}
    for deed in (cancel, withdraw, partial(retry, is_admin=True)):
        with pytest.raises(Conflict, match="cancelled"):
            deed(db, submission, "user/1")
        with pytest.raises(UnknownSubmission):
            deed(db, "nobody", "user/1")


@pytest.mark.slow
def test_a_failed_submission_goes_on_with_the_jobs_that_are_not_done(db):
    submission = put(db)
    plan(db)
    with writing(db) as session:
        done = session.scalars(select(JobRow).order_by(JobRow.id)).first()
        done.state = "done"
        change_to = done.id
    for _ in range(3):
        change(db, JobRow, not_before=utc_now())
        held = claim(db)
        jobs.fail_job(db, held.lease, "engine_failed", "boom")
    failed = queue.get_status(db, submission).submission
    assert (failed.state, failed.error_code, failed.error_tail) == ("failed", "engine_failed", "boom")
    retry(db, submission, "user/1", is_admin=False)
    again = queue.get_status(db, submission)
    assert (again.submission.state, again.submission.error_code, again.position) == ("queued", None, 1)
    with Session(db) as session:
        states = dict(session.execute(select(JobRow.id, JobRow.state)).all())
        assert states.pop(change_to) == "done"
        assert set(states.values()) == {"queued"}
        assert set(session.scalars(select(RunRow.state))) == {"running"}
    assert claim(db) is not None
    with pytest.raises(AlreadySubmitted):
        create(db, NEW, 1, None)


def test_a_permanent_fault_is_tried_again_by_admins_only(db):
    submission = put(db)
    plan(db)
    jobs.fail_job(db, claim(db).lease, "bad_model", "torn")
    with pytest.raises(Conflict, match="would fail again"):
        retry(db, submission, "user/1", is_admin=False)
    retry(db, submission, "user/2", is_admin=True)
    assert queue.get_status(db, submission).submission.state == "queued"


def test_a_failed_submission_is_not_tried_again_beside_a_new_one_or_after_its_season(db):
    first, second = put(db), put(db, model="org/b", season="winter")
    change(db, SubmissionRow, state="failed", error_code="engine_failed", fingerprint=None)
    with pytest.raises(Conflict, match="no longer open"):
        retry(db, second, "user/2", is_admin=True)
    with writing(db) as session:
        session.add(
            SeasonRow(
                id="winter", state="open", suite="quick", secret=b"", terms={}, practice_seed="1", created_at=utc_now()
            )
        )
    retry(db, second, "user/2", is_admin=True)
    assert queue.get_status(db, second).submission.state == "validating"  # it had not been planned
    newer = create(db, NEW, 1, None)
    with pytest.raises(AlreadySubmitted) as caught:
        retry(db, first, "user/1", is_admin=True)
    assert caught.value.submission == newer


def test_a_withdrawn_run_leaves_the_board_and_keeps_its_page(db):
    submission = put(db)
    plan(db)
    with pytest.raises(Conflict, match="only a finished"):
        withdraw(db, submission, "user/1")
    change(db, JobRow, state="done")
    finish_submissions(db)
    withdraw(db, submission, "user/1")
    found = queue.get_status(db, submission).submission
    assert found.hidden_at is not None
    assert (found.state, found.flags["withdrawn"]["by"]) == ("finished", "user/1")
    with Session(db) as session:
        assert all(session.scalars(select(RunRow.hidden_at)))
    with pytest.raises(Conflict, match="already"):
        withdraw(db, submission, "user/1")
    assert create(db, NEW, 1, None)
    actions = [one.action for one in audit.list_entries(db, f"submission/{submission}")]
    assert actions == ["submission.withdrawn", "submission.finished", "submission.created"]


def test_the_queue_tells_places_progress_and_workers(db):
    names = [put(db, model=f"org/m{at}") for at in range(3)]
    change(db, SubmissionRow, created_at=utc_now())
    plan(db)
    with writing(db) as session:
        session.get_one(SubmissionRow, names[2]).priority = 5
    jobs.note_worker(db, ClaimRequest(name="gpu-1", engine="vllm"))
    with writing(db) as session:
        session.execute(update(JobRow).where(JobRow.submission_id == names[2]).values(priority=5))
    held = claim(db, "gpu-1")
    jobs.extend_lease(db, held.lease, "generating")
    with writing(db) as session:
        job = session.get_one(JobRow, held.lease.job)
        job.tokens, job.seconds, job.progress_done = 500, 2.5, 7
    found = queue.read_queue(db, utc_now())
    (running,) = found.running
    assert running.submission.id == held.submission == names[2]
    progress = running.progress
    assert (progress.done, progress.tokens_per_second, progress.phase, progress.workers) == (
        7,
        200.0,
        "generating",
        ("gpu-1",),
    )
    assert 0 < progress.done < progress.total
    assert [(one.submission.id, one.position) for one in found.waiting] == [
        (one, queue.get_status(db, one).position) for one in sorted(names[:2])
    ]
    assert (found.n_waiting, [(one.name, one.model) for one in found.workers]) == (2, [("gpu-1", "org/m2")])
    assert queue.get_status(db, names[2]).position is None
    assert queue.list_submissions(db, "queued", None, 1, 0)[1] == 2
    assert [one.submission.id for one in queue.list_submissions(db, None, running.submission.owner_id, 9, 0)[0]] == [
        names[2]
    ]

"""A submission that knows the shared items by heart is flagged once, with the numbers."""

import pytest
from sqlalchemy.orm import Session

from fathom.harness.db import audit, write
from fathom.harness.db.schema.service import SubmissionRow, UserRow
from fathom.harness.engines.base import Completion
from fathom.server.submissions.overfit import flag_overfit
from fathom.tasks.base import Verdict
from fathom.tasks.suites import Selection, open_suite


def run_of(db, seed, n, right):
    suite = open_suite("quick", seed, Selection(levels=("n4k1", "n8k2"), styles=("direct",), n=n))
    run = write.start_run(db, write.NewRun("org/model", "vllm", suite, suite.digest(), {}, "0" * 32))
    from fathom.harness.db import read

    cells = [cell.id for cell in read.get_run(db, run).cells]
    samples = [
        write.Sample(at, index, 0, f"{at}/{index}", Completion("", "x", "stop", 1, 1, 0.1), Verdict(index < right, None, "x"))
        for at in range(len(cells)) for index in range(n)
    ]  # fmt: skip
    write.record_samples(db, run, cells, samples)
    write.finish_run(db, run, write.Ending("done", 1.0))
    return run


@pytest.fixture
def submit(db):
    def put(shared, fresh):
        now = write.utc_now()
        with Session(db) as session, session.begin():
            session.add(UserRow(id=1, subject="local", name="local", created_at=now))
            session.flush()
            session.add(SubmissionRow(
                id="5", kind="model", owner_id=1, model="org/model", suite="quick", state="scoring", created_at=now,
                changed_at=now, run_id=shared, fresh_run_id=fresh, flags={"other": {}},
            ))  # fmt: skip
        return "5"

    return put


def flags(db):
    with Session(db) as session:
        return session.get_one(SubmissionRow, "5").flags


def test_a_model_far_better_on_shared_items_is_flagged_once(db, submit):
    submission = submit(run_of(db, 7, 50, 45), run_of(db, 8, 20, 8))
    assert [flag_overfit(db, submission), flag_overfit(db, submission)] == [True, True]
    assert flags(db)["seed-overfit"]["difference"] == pytest.approx(0.5)
    assert set(flags(db)) == {"other", "seed-overfit"}
    assert [one.action for one in audit.list_entries(db, "submission/5")] == ["flag"]


def test_a_model_as_good_on_both_is_not_flagged(db, submit):
    assert not flag_overfit(db, submit(run_of(db, 7, 50, 25), run_of(db, 8, 20, 10)))
    assert set(flags(db)) == {"other"}


def test_a_submission_without_a_fresh_layer_is_not_flagged(db, submit):
    assert not flag_overfit(db, submit(run_of(db, 7, 5, 5), None))

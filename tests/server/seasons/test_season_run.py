"""A season from the commitment to the reveal, with a model that our workers run in between."""

from functools import partial

import pytest
from sqlalchemy.orm import Session

from fathom.harness.db import read
from fathom.harness.db.schema.service import SubmissionRow, UserRow
from fathom.harness.db.seal import SealedRun
from fathom.harness.db.write import utc_now
from fathom.harness.engines.base import Completion
from fathom.harness.errors import Conflict
from fathom.harness.records import SampleFilter
from fathom.harness.service.seasons import store as seasons
from fathom.harness.service.seasons.commitment import verify_season
from fathom.harness.service.seasons.store import Beacon
from fathom.harness.service.worker.protocol import ClaimRequest
from fathom.server.jobs import grader
from fathom.server.jobs import leases as jobs
from fathom.server.submissions import planner as planning
from fathom.server.submissions import store as submissions
from fathom.server.submissions.overfit import flag_overfit
from fathom.server.submissions.store import NewSubmission
from fathom.tasks.suites import instances

KEY = "a key of at least thirty-two characters"
SEASON = "2026-winter"
SEED_OF = partial(seasons.season_seed, secret_key=KEY)


def submit(db, name="org/model"):
    new = NewSubmission(name, "main", "a" * 40, "quick", style="direct", season=SEASON)
    return submissions.create(db, new, 1, None)


def hold(db, n):
    seasons.new_season(db, SEASON, "quick", KEY, n)
    seasons.commit_season(db, SEASON, KEY)
    seasons.open_season(db, SEASON, Beacon("0123456789abcdef", "drand round 1"), KEY)


def work(db, golds):
    """Answer each prompt by heart where it is known, as a model would that was trained on the season."""
    asked = []
    while claim := jobs.claim_job(db, ClaimRequest(name="w", engine="vllm")):
        shard = jobs.open_shard(db, claim.lease)
        seed = SEED_OF(db, shard.season) if shard.sealed else shard.seed
        requests = list(grader.missing_requests(shard, seed))
        asked += requests
        done = [Completion(one.key, golds.get(one.prompt, " unknown"), "stop", 9, 3, 0.1) for one in requests]
        jobs.store_samples(db, claim.lease, grader.grade_completions(shard, seed, done))
        assert jobs.finish_job(db, claim.lease) == []
    return asked


def by_heart(db):
    from fathom.tasks.base import pose
    from fathom.tasks.registry import find_family

    suite = seasons.season_suite(db, SEASON, KEY)
    cells = [cell for cell in suite.cells if cell.style == "direct"]
    return {
        pose(find_family(cell.family), item, "direct"): f" {item.gold}" for cell in cells for item in instances(cell, suite.seed)
    }  # fmt: skip


@pytest.fixture
def user(db):
    with Session(db) as session, session.begin():
        session.add(UserRow(id=1, subject="local", name="local", created_at=utc_now()))


def test_a_model_that_knows_a_season_by_heart_is_flagged_and_all_is_told_after_the_reveal(db, user):
    hold(db, 2)
    submission = submit(db)
    assert planning.plan_submissions(db, SEED_OF) == 1
    seed = seasons.season_seed(db, SEASON, KEY)
    asked = work(db, by_heart(db))
    assert seed not in str(asked)
    assert planning.finish_submissions(db, (flag_overfit,)) == 1
    with Session(db) as session:
        row = session.get_one(SubmissionRow, submission)
        run, fresh, state, flags = row.run_id, row.fresh_run_id, row.state, dict(row.flags)
    assert state == "finished"
    assert flags["seed-overfit"]["difference"] > 0.5
    sealed = read.get_run(db, run)
    assert (sealed.summary.k, sealed.summary.n_items, sealed.summary.sealed) == (sealed.summary.n_items,) * 2 + (True,)
    assert {cell.n_planned for cell in sealed.cells} == {2}
    assert {cell.n_planned for cell in read.get_run(db, fresh).cells} == {5}
    with pytest.raises(SealedRun):
        read.get_samples(db, sealed, SampleFilter())
    assert read.get_samples(db, read.get_run(db, fresh), SampleFilter()).total > 0

    seasons.close_season(db, SEASON)
    with pytest.raises(Conflict, match="is closed and takes no submissions"):
        submit(db, "org/late")
    done = seasons.reveal_season(db, SEASON, KEY)
    assert all(check.ok for check in verify_season(done.document()))
    shown = read.get_run(db, run)
    assert (shown.suite.seed, shown.suite.digest()) == (seed, shown.suite_digest)
    assert f"/{seed}/0" in read.get_samples(db, shown, SampleFilter()).samples[0].item


def test_a_season_is_not_revealed_while_a_submission_is_under_way(db, user):
    hold(db, 1)
    submission = submit(db)
    seasons.close_season(db, SEASON)
    with pytest.raises(Conflict, match="1 submission of season 2026-winter is still running"):
        seasons.reveal_season(db, SEASON, KEY)
    submissions.cancel(db, submission, "user/1")
    assert seasons.reveal_season(db, SEASON, KEY).state == "revealed"

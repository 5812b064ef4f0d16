"""A replay raises an honest upload to tier 2 and leaves a flag on a forged one."""

import json

import pytest
from sqlalchemy.orm import Session

from fathom.harness.db import read
from fathom.harness.db.audit import list_entries
from fathom.harness.db.engine import open_database
from fathom.harness.db.leaderboard import read as db_board
from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.db.schema.service import SubmissionRow, UserRow
from fathom.harness.db.write import Sample, utc_now
from fathom.harness.engines.base import Completion, EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.errors import BadInput, Conflict, UnknownSubmission
from fathom.harness.io.parcel import parcel_lines
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.requests import grade_completion, make_request
from fathom.harness.runs.run_settings import RunSettings
from fathom.harness.service.worker.protocol import ClaimRequest
from fathom.harness.stats.replay import REPLAY_FLAG
from fathom.server.jobs import leases as jobs
from fathom.server.uploads.checks import Sender
from fathom.server.uploads.receiver import UploadReceiver
from fathom.server.uploads.replays import finish_replays, get_upload, request_replay, request_replays
from fathom.tasks.suites import Selection, instances, open_suite

SUITE = open_suite("quick", "2026", Selection(levels=("n8k1", "n8k4"), styles=("direct",), n=150))
WORKER = ClaimRequest(name="worker", engine="oracle")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """300 answers of the noisy oracle, as lines of a parcel, and the items."""
    db = open_database(f"sqlite:///{tmp_path_factory.mktemp('made') / 'runs.db'}", create=True)
    run = evaluate(
        Plan(ModelSource("oracle/noisy", None, "oracle/noisy"), SUITE, RunSettings(engine=EngineSettings("oracle"))), db
    ).run
    lines = [json.loads(line) for line in parcel_lines(db, run, model="org/noisy", sha="c" * 40)]
    db.dispose()
    return lines, [tuple(instances(cell, SUITE.seed)) for cell in SUITE.cells]


@pytest.fixture
def home(db):
    with Session(db) as session, session.begin():
        session.add(UserRow(id=1, subject="somebody", name="Somebody", role="user", created_at=utc_now()))
    return db


def send(db, lines):
    intake = UploadReceiver(db, Sender(1, "user/1"))
    intake.feed(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    return intake.close()


def forged(lines, items, points):
    """Give the gold to the first wrong answers, as many as raise the score by so many points."""
    left, out = round(points / 100 * (len(lines) - 1)), [lines[0]]
    for line in lines[1:]:
        gold = f" {items[line['cell']][line['index']].gold}"
        out.append(line | {"completion": gold} if left and line["completion"] != gold else line)
        left -= out[-1] is not line
    return out


def replay(db, submission, lines, items, engine_fails=0):
    """Answer a replay's items as the model does that made `lines`."""
    request_replay(db, submission, "user/1")
    claimed = jobs.claim_job(db, WORKER)
    assert (claimed.kind, claimed.model, claimed.sha, claimed.n_items) == ("replay", "org/noisy", "c" * 40, 200)
    texts = {(line["cell"], line["index"]): line["completion"] for line in lines[1:]}
    samples = []
    for at, (cell, index) in enumerate(jobs.open_shard(db, claimed.lease).missing):
        item = items[cell][index]
        request = make_request(SUITE.cells[cell], item, "0" * 32)
        reason = "error" if at < engine_fails else "stop"
        done = Completion(request.key, texts[cell, index], reason, 9, 1, 0.1)
        samples.append(Sample(cell, index, 0, request.key, done, grade_completion(item, done)))
    jobs.store_samples(db, claimed.lease, samples)
    jobs.store_samples(db, claimed.lease, samples)
    assert jobs.finish_job(db, claimed.lease) == []
    assert finish_replays(db) == 1
    assert finish_replays(db) == 0
    return get_upload(db, submission)


def ranked(db):
    update_leaderboard(db)
    return {pool.id.endswith("-all"): pool.n_models for pool in db_board.list_pools(db)}


def test_an_honest_upload_rises_to_tier_2_and_is_ranked(made, home):
    lines, items = made
    receipt = send(home, lines)
    assert ranked(home) == {True: 1}
    seen = replay(home, receipt.submission, lines, items)
    assert (seen.tier, seen.replay, seen.outcome["passed"], seen.outcome["n"]) == (2, "done", True, 200)
    assert read.get_summary(home, receipt.run).tier == 2
    assert ranked(home) == {False: 1, True: 1}
    assert list_entries(home)[0].action == "replay-passed"
    with pytest.raises(Conflict, match="requested already"):
        request_replay(home, receipt.submission, "user/1")


def test_a_forged_upload_keeps_tier_1_and_gets_a_flag_with_its_numbers(made, home):
    lines, items = made
    receipt = send(home, forged(lines, items, 15))
    seen = replay(home, receipt.submission, lines, items)
    assert (seen.tier, seen.outcome["passed"], seen.outcome["replay_only"]) == (1, False, 0)
    assert seen.outcome["upload_only"] > 15
    with Session(home) as session:
        assert session.get(SubmissionRow, receipt.submission).flags == {REPLAY_FLAG: dict(seen.outcome)}
    assert ranked(home) == {True: 1}


def test_a_replay_on_which_the_engine_failed_decides_nothing_and_may_be_asked_for_again(made, home):
    lines, items = made
    receipt = send(home, lines)
    seen = replay(home, receipt.submission, lines, items, engine_fails=30)
    assert (seen.tier, seen.replay, seen.outcome, seen.can_replay) == (1, "failed", None, True)
    assert replay(home, receipt.submission, lines, items, engine_fails=5).outcome["n"] == 195


def test_all_uploads_that_can_be_replayed_are_where_the_server_is_set_to(made, home):
    lines, _ = made
    first = send(home, lines).submission
    second = send(home, [lines[0] | {"sha": ""}, *lines[1:]]).submission
    assert (request_replays(home), request_replays(home)) == (1, 0)
    assert [get_upload(home, one).replay for one in (first, second)] == ["waiting", "none"]


def test_what_cannot_be_replayed_is_refused(made, home):
    receipt = send(home, [made[0][0] | {"sha": ""}, *made[0][1:]])
    with pytest.raises(BadInput, match="fathom submit --sha COMMIT"):
        request_replay(home, receipt.submission, "user/1")
    with pytest.raises(UnknownSubmission):
        request_replay(home, "abc", "user/1")

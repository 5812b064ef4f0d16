"""The queue tells where everything stands, and a submission's page keeps itself up to date, with or without scripts."""

import json
import re
import threading
import time

import httpx
import pytest

from fathom.harness.db.engine import open_database, writing
from fathom.harness.db.schema.service import JobRow, SeasonRow, SubmissionRow
from fathom.harness.db.write import utc_now
from fathom.harness.service.worker.protocol import ClaimRequest
from fathom.harness.settings import ServiceSettings
from fathom.server.accounts.store import local_user
from fathom.server.app import ServerSettings, create_app
from fathom.server.jobs import leases as jobs
from fathom.server.submissions.api import visible_log
from fathom.server.submissions.events import StreamTimes
from fathom.server.submissions.planner import plan_submissions
from fathom.server.submissions.status import get_status
from fathom.server.submissions.store import NewSubmission, create
from tests.keys import cookies_of_app


@pytest.fixture
def board_of(serve, tmp_path, copy_tables):
    """A board without background tasks: its application, a client, and its database."""
    url = f"sqlite:///{tmp_path / 'board.db'}"
    copy_tables(url)
    app = create_app(ServerSettings(url, service=ServiceSettings(hub="http://127.0.0.1:9")))
    app.state.streams.times = StreamTimes(every=0.1, silence=0.4, longest=20.0)
    address, db = serve(app), open_database(url, create=False)
    with httpx.Client(base_url=address, cookies=cookies_of_app(app), timeout=30) as client:
        yield app, client, db
    db.dispose()


def put(db, model="org/model", **changes):
    owner = local_user(db).id
    new = NewSubmission(
        model, "main", "a" * 40, "quick", style="choice", note="a note", contact="ada@example.org", **changes
    )
    submission = create(db, new, owner, None)
    plan_submissions(db, lambda _db, _season: "2026")
    return submission


def claim(db):
    jobs.note_worker(db, ClaimRequest(name="gpu-1", engine="vllm"))
    return jobs.claim_job(db, ClaimRequest(name="gpu-1", engine="vllm"))


def csrf_of(page):
    return re.search(r'name="csrf" value="([0-9a-f]+)"', page)[1]


def test_the_queue_shows_what_runs_waits_failed_and_who_works(board_of):
    _, client, db = board_of
    failed = put(db, "org/broken")
    jobs.fail_job(db, claim(db).lease, "bad_model", "torn in two")
    running = put(db, "org/running")
    jobs.extend_lease(db, claim(db).lease, "generating")
    waiting = put(db, "org/waiting")
    page = client.get("/queue").text
    parts = re.split("<h2>(Running|Waiting|Ended recently|Workers)</h2>", page)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert f"/submissions/{running}" in found["Running"]
    assert "<progress" in found["Running"]
    assert f"/submissions/{waiting}" in found["Waiting"]
    assert "position 1" in found["Waiting"]
    assert f"/submissions/{failed}" in found["Ended recently"]
    for words in ("bad_model", "incomplete, damaged", "upload them again", 'class="state failed"'):
        assert words in found["Ended recently"]
    assert "gpu-1" in found["Workers"]
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in page


def test_a_run_whose_submission_waits_is_shown_as_waiting_until_a_worker_has_it(board_of):
    _, client, db = board_of
    put(db)
    head = 'id="waiting" value="{}"'

    def states():
        listed = client.get("/api/v1/runs").json()["runs"]
        page = client.get("/runs").text
        words = re.findall(r'<span class="state \w+">([^<]*)</span>', page)
        assert len(words) == len(listed) == 2  # the run on the shared seed, and that on a fresh one
        return sorted(words), sorted(one["state"] for one in listed)

    assert states() == (["waiting for a worker"] * 2, ["waiting"] * 2)
    assert head.format(1) in client.get("/worker").text
    lease = claim(db).lease
    assert states() == (["running", "waiting for a worker"], ["running", "waiting"])
    assert head.format(0) in client.get("/worker").text
    jobs.release_job(db, lease)
    assert states()[1] == ["waiting"] * 2


def test_a_failed_submission_says_why_with_log_and_fix_and_goes_on_when_asked(board_of):
    _, client, db = board_of
    one = put(db)
    for _ in range(3):
        with writing(db) as session:
            session.query(JobRow).update({"not_before": utc_now()})
        jobs.fail_job(db, claim(db).lease, "engine_failed", "<b>boom</b>\x1b[31m")
    page = client.get(f"/submissions/{one}").text
    for words in (
        "engine_failed",
        "or the server failed",
        "&lt;b&gt;boom",
        "\\x1b[31m",
        ">Retry<",
        "against the daily quota",
    ):
        assert words in page
    assert "http-equiv" not in page
    answer = client.post(f"/submissions/{one}/retry", data={"csrf": csrf_of(page)})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/submissions/{one}")
    page = client.get(f"/submissions/{one}").text
    assert ">Cancel<" in page
    assert "queued again" in page
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in page
    assert client.post(f"/submissions/{one}/withdraw", data={"csrf": csrf_of(page)}).status_code == 409
    assert client.post(f"/submissions/{one}/cancel", data={"csrf": "0"}).status_code == 403
    assert client.post(f"/submissions/{one}/explode", data={"csrf": csrf_of(page)}).status_code == 422
    assert client.post(f"/submissions/{one}/cancel", data={"csrf": csrf_of(page)}).status_code == 303
    assert "cancelled" in client.get(f"/submissions/{one}").text


def test_logs_of_a_sealed_season_are_for_nobody(board_of):
    _, _, db = board_of
    one = put(db)
    with writing(db) as session:
        row = {"suite": "quick", "secret": b"", "terms": {}, "practice_seed": "1", "created_at": utc_now()}
        session.add(SeasonRow(id="winter", state="open", **row))
        session.get_one(SubmissionRow, one).season = "winter"
        session.get_one(SubmissionRow, one).error_tail = "question"
    assert visible_log(get_status(db, one)) is None
    with writing(db) as session:
        session.get_one(SeasonRow, "winter").state = "revealed"
    assert visible_log(get_status(db, one)) == "question"


@pytest.mark.parametrize(
    "page", ["/submissions/abc", "/submissions/abc/events", "/submissions/../x", "/submissions/<b>"]
)
def test_a_submission_that_is_not_there_is_a_problem_page(board_of, page):
    assert board_of[1].get(page).status_code in (404, 422)


def events_of(client, submission):
    """Yield (event, data) until the stream ends."""
    with client.stream("GET", f"/submissions/{submission}/events") as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = None
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))
            elif line.startswith(":"):
                yield "comment", line


def test_progress_arrives_as_it_happens_and_the_stream_ends_with_the_submission(board_of):
    _, client, db = board_of
    one = put(db)
    stream = events_of(client, one)
    assert next(stream)[1]["state"] == "queued"
    held = claim(db)
    assert next(data for name, data in stream if name == "progress" and data["state"] == "leased")
    jobs.extend_lease(db, held.lease, "generating")
    assert next(data for name, data in stream if name == "progress" and data["state"] == "generating")
    assert next(stream)[0] == "comment"  # nothing new is said as nothing, so that the connection stays
    with writing(db) as session:
        session.get_one(JobRow, held.lease.job).progress_done = 5
    _, news = next(item for item in stream if item[0] == "progress")
    assert (news["done"], news["workers"]) == (5, "gpu-1")
    assert news["items"].startswith("5 of ")
    assert 0 <= news["age"] < 30
    jobs.fail_job(db, held.lease, "bad_model", "torn")
    rest = [(name, data) for name, data in stream if name != "comment"]
    *news, (last, _) = rest
    assert {name for name, _ in news} == {"progress"}  # a second may begin meanwhile
    assert last == "over"
    assert news[-1][1]["state"] == "failed"


def test_streams_hold_no_thread_and_are_bounded(board_of):
    app, client, db = board_of
    one = put(db)
    before = threading.active_count()
    app.state.streams.each = 12
    held = [events_of(httpx.Client(base_url=client.base_url, timeout=30), one) for _ in range(12)]
    for stream in held:
        next(stream)
    assert client.get(f"/submissions/{one}/events").status_code == 429
    app.state.streams.each, app.state.streams.most = 20, 12
    assert client.get(f"/submissions/{one}/events").status_code == 503
    began = time.monotonic()
    assert client.get("/queue").status_code == 200
    assert time.monotonic() - began < 2.0
    assert threading.active_count() <= before + 5
    for stream in held:
        stream.close()
    for _ in range(100):
        if not app.state.streams.n_open:
            break
        time.sleep(0.05)
    assert app.state.streams.n_open == 0


def test_a_page_runs_as_many_statements_for_many_submissions_as_for_few(board_of, count_statements):
    app, client, db = board_of
    app.state.background.close()
    one = put(db)
    pages = ("/queue", f"/submissions/{one}", "/submit", "/api/v1/submissions", f"/api/v1/submissions/{one}")
    client.get("/queue")  # the first request ever makes this machine's user
    few = [count_statements(lambda page=page: client.get(page)) for page in pages]
    for at in range(12):
        put(db, f"org/m{at}")
    assert [count_statements(lambda page=page: client.get(page)) for page in pages] == few
    assert max(few) <= 8

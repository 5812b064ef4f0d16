"""What the server says of itself to whoever watches over it."""

import datetime as dt

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert, text, update
from sqlalchemy.orm import Session

from fathom.harness.db.engine import HEAD
from fathom.harness.db.schema.runs import RunRow
from fathom.harness.db.schema.service import JobRow, SubmissionRow, UserRow, WorkerRow
from fathom.harness.db.write import utc_now
from fathom.server.web.health import count_queue


@pytest.fixture
def queued(write_run):
    """Put a submission with three jobs, two workers and an upload into a database, as they were at `now`."""

    def put(db, now):
        run = write_run(db, write_run.story(state=None))
        ago = lambda seconds: now - dt.timedelta(seconds=seconds)  # noqa: E731
        job = {
            "submission_id": "s", "owner_id": 1, "kind": "run", "cells": [0], "progress_total": 1, "attempt": 0,
            "not_before": ago(900), "created_at": ago(900),
        }  # fmt: skip
        leased = {"state": "leased", "lease_expires_at": ago(-20), "heartbeat_at": ago(70)}
        with Session(db) as session, session.begin():
            session.execute(insert(UserRow), [{"id": 1, "subject": "u", "name": "u", "created_at": now}])
            session.execute(
                insert(SubmissionRow),
                [{
                    "id": "s", "kind": "model", "owner_id": 1, "model": "org/m", "suite": "quick", "state": "generating",
                    "created_at": now, "changed_at": now,
                }],
            )  # fmt: skip
            session.execute(insert(JobRow), [{**job, "shard": 0, "state": "queued"}])
            session.execute(insert(JobRow), [{**job, "shard": 1, **leased}])
            session.execute(insert(JobRow), [{**job, "shard": 2, "state": "done"}])
            for name, seen in (("one", 5), ("two", 3600)):
                worker = {"name": name, "engine": "vllm", "facts": {}, "first_seen_at": ago(9000), "seen_at": ago(seen)}
                session.execute(insert(WorkerRow), [worker])
            session.execute(update(RunRow).where(RunRow.id == run).values(layer="upload"))

    return put


def metrics_of(client):
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def test_the_queue_is_counted_on_both_databases(db, queued):
    now = utc_now()
    queued(db, now)
    found = count_queue(db, now)
    assert (dict(found.submissions), dict(found.jobs)) == ({"generating": 1}, {"queued": 1, "leased": 1, "done": 1})
    assert (found.oldest_waiting, found.oldest_heartbeat, found.overdue) == (900, 70, 0)
    assert (found.n_workers, found.n_uploads) == (1, 1)
    assert count_queue(db, now + dt.timedelta(seconds=30)).overdue == 10


def test_an_empty_queue_counts_nothing(db):
    found = count_queue(db)
    assert (found.submissions, found.jobs, found.oldest_waiting, found.oldest_heartbeat) == ({}, {}, 0, 0)
    assert (found.n_workers, found.n_uploads) == (0, 0)


def test_metrics_tell_of_the_queue(browse, fresh, queued):
    db, url = fresh
    queued(db, utc_now())
    found = metrics_of(browse(url))
    assert found["fathom_submissions", "generating"] == 1
    assert {state: found["fathom_jobs", state] for state in ("queued", "done")} == {"queued": 1, "done": 1}
    assert (found["fathom_workers",], found["fathom_uploads_in_flight",]) == (1, 1)
    assert found["fathom_oldest_waiting_seconds",] >= 900
    assert found["fathom_heartbeat_age_seconds",] >= 70


def test_health_is_degraded_where_jobs_wait_and_no_worker_is_there(browse, fresh, queued):
    db, url = fresh
    queued(db, utc_now())
    client = browse(url)
    assert client.get("/healthz").json()["status"] == "ok"
    with db.begin() as connection:
        connection.execute(update(WorkerRow).values(seen_at=utc_now() - dt.timedelta(hours=1)))
    answer = client.get("/healthz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    assert "there is no worker" in answer.json()["reasons"][0]
    assert (answer.json()["waiting"], answer.json()["workers"]) == (1, 0)


def test_health_is_down_where_the_database_is_not_at_this_version_or_does_not_answer(browse, fresh):
    db, url = fresh
    client = browse(url)
    with db.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0003'"))
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()["status"]) == (503, "down")
    assert "0003" in answer.json()["reasons"][0]
    with db.begin() as connection:
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{HEAD}'"))
        connection.execute(text("ALTER TABLE jobs RENAME TO lost"))
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()["status"]) == (503, "down")
    assert answer.json()["reasons"] == ["the database does not answer"]

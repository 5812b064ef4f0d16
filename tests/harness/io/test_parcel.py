"""A parcel is a run without its verdicts; taking it in makes the same run, or nothing."""

import datetime as dt
import json

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fathom.harness.db import read
from fathom.harness.db.audit import list_entries
from fathom.harness.db.engine import open_database
from fathom.harness.db.samples import stream_samples
from fathom.harness.db.schema.runs import CellRow, ModelRow, RunRow, SampleRow, SuiteRow
from fathom.harness.db.schema.service import SubmissionRow, UserRow
from fathom.harness.db.write import utc_now
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.errors import BadInput, Conflict, FathomError
from fathom.harness.io.parcel import gzip_lines, parcel_lines, parse_header, parse_sample
from fathom.harness.records import SampleFilter
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.run_settings import RunSettings
from fathom.server.uploads.checks import Sender
from fathom.server.uploads.receiver import UploadReceiver
from fathom.server.uploads.store import delete_abandoned_uploads
from fathom.tasks.errors import TaskError
from fathom.tasks.suites import Selection, open_suite

SELECTION = Selection(levels=("n4k1", "n8k2"), styles=("direct", "choice"), n=6)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of the noisy oracle, 24 items, and the lines of its parcel."""
    db = open_database(f"sqlite:///{tmp_path_factory.mktemp('made') / 'runs.db'}", create=True)
    plan = Plan(
        ModelSource("oracle/noisy", None, "oracle/noisy"),
        open_suite("quick", "2026", SELECTION),
        RunSettings(engine=EngineSettings("oracle")),
    )
    run = evaluate(plan, db).run
    yield db, run, [json.loads(line) for line in parcel_lines(db, run, model="org/noisy")]
    db.dispose()


@pytest.fixture
def home(db):
    """A server's database with one user."""
    with Session(db) as session, session.begin():
        session.add(UserRow(id=1, subject="somebody", name="Somebody", role="user", created_at=utc_now()))
    return db


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """A server's database that refuses all that it is sent."""
    db = open_database(f"sqlite:///{tmp_path_factory.mktemp('strict') / 'runs.db'}", create=True)
    with Session(db) as session, session.begin():
        session.add(UserRow(id=1, subject="somebody", name="Somebody", role="user", created_at=utc_now()))
    yield db
    db.dispose()


SENDER = Sender(1, "user/1")


def packed(lines):
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def send(db, data, sender=SENDER, size=700):
    """Take a parcel in, in small pieces, as a server does."""
    intake = UploadReceiver(db, sender)
    try:
        for at in range(0, len(data), size):
            intake.feed(data[at : at + size])
        return intake.close()
    except (FathomError, TaskError) as error:
        intake.drop(str(error))
        raise


def end(intake, rest):
    intake.feed(rest)
    intake.close()


def rows(db):
    """Count what an upload may leave behind."""
    tables = (SubmissionRow, RunRow, CellRow, SampleRow, ModelRow)
    with Session(db) as session:
        return {one.__tablename__: session.scalar(select(func.count()).select_from(one)) for one in tables}


def verdicts(db, run):
    detail = read.get_run(db, run)
    return [
        (one.item, one.completion, one.finish_reason, one.scores, one.parsed, one.label, one.correct)
        for one in stream_samples(db, detail, SampleFilter())
    ]


def test_a_run_that_was_sent_has_the_verdicts_counts_and_digests_of_the_run_that_was_made(made, home):
    source, run, _ = made
    receipt = send(home, b"".join(gzip_lines(parcel_lines(source, run))), Sender(1, "user/1", local=True))
    before, after = read.get_run(source, run), read.get_run(home, receipt.run)
    assert verdicts(home, receipt.run) == verdicts(source, run)
    assert [(cell.n, cell.k, dict(cell.labels)) for cell in after.cells] == [
        (cell.n, cell.k, dict(cell.labels)) for cell in before.cells
    ]
    assert (after.suite_digest, after.manifest_digest) == (before.suite_digest, before.manifest_digest)
    assert (after.summary.tier, after.summary.layer, after.summary.state) == (1, "main", "done")
    assert receipt.n_right == before.summary.k == after.summary.k > 0


def test_a_forged_score_is_never_read(made, home):
    source, run, lines = made
    forged = [lines[0] | {"score": 1.0}] + [
        line | {"correct": True, "label": "correct", "score": 1, "parsed": "42"} for line in lines[1:]
    ]
    receipt = send(home, packed(forged))
    assert receipt.n_right == read.get_run(source, run).summary.k
    assert [row[4:] for row in verdicts(home, receipt.run)] == [row[4:] for row in verdicts(source, run)]


def _without(lines, *gone):
    return [line for at, line in enumerate(lines) if at not in gone]


def _changed(lines, at, **values):
    return [line | values if here == at else line for here, line in enumerate(lines)]


def _manifest(lines, **sampling):
    stated = json.loads(json.dumps(lines[0]["manifest"]))
    stated["decisive"]["sampling"].update(sampling)
    return _changed(lines, 0, manifest=stated)


REFUSED = {
    "nothing": (lambda lines: [], "the file is empty"),
    "a missing item": (
        lambda lines: _without(lines, 8, 9),
        "2 of 24 items are missing, the first is depo@2/n8k2/symbol/2026/1 (direct): send the whole run",
    ),
    "a missing end": (
        lambda lines: lines[:-1],
        "1 of 24 items are missing, the first is depo@2/n8k2/symbol/2026/5 (choice)",
    ),
    "a doubled item": (
        lambda lines: [*lines[:9], lines[8], *lines[9:]],
        "line 10: depo@2/n8k2/symbol/2026/1 (direct) comes twice",
    ),
    "items out of order": (
        lambda lines: [*lines[:8], lines[9], lines[8], *lines[10:]],
        "line 10: depo@2/n8k2/symbol/2026/1 (direct) is out of order: keep the order",
    ),
    "an item that was not asked": (
        lambda lines: _changed(lines, 3, index=6),
        "line 4: cell 0, index 6, repeat 0 was not",
    ),
    "an edited prompt": (
        lambda lines: _changed(lines, 8, prompt="0123456789abcdef"),
        "line 9: the prompt of depo@2/n8k2/symbol/2026/1 is not the one of this server: it was edited, or generated by",
    ),
    "another seed's items": (
        lambda lines: _changed(lines, 0, seed="2027"),
        "line 2: the prompt of depo@2/n4k1/symbol/2027/0 is not the one of this server",
    ),
    "another suite's digest": (
        lambda lines: _changed(lines, 0, suite_digest="0" * 32),
        "suite_digest: the file states 00000000000000000000000000000000, the items generated here have",
    ),
    "another family's version": (
        lambda lines: _changed(lines, 0, cells=[lines[0]["cells"][0] | {"version": 7}]),
        "cells: depo@7 is not what a board asks, which is depo@2",
    ),
    "another suite's version": (lambda lines: _changed(lines, 0, version="2025.9"), "and this is quick 2025.9"),
    "a level that is none": (
        lambda lines: _changed(lines, 0, cells=[lines[0]["cells"][0] | {"level": "n99"}]),
        "depo has no level 'n99'",
    ),
    "a doubled cell": (
        lambda lines: _changed(lines, 0, cells=[lines[0]["cells"][0]] * 2),
        "cells: one of them stands tw",
    ),
    "too many items": (
        lambda lines: _changed(lines, 0, cells=[cell | {"n": 100_000} for cell in lines[0]["cells"]]),
        "cells: 400000 items are more than the 200000",
    ),
    "a season's results": (
        lambda lines: _changed(lines, 0, season="winter"),
        "season: only a board's own workers run a season",
    ),
    "demonstrations": (
        lambda lines: _manifest(lines, shots=3),
        "line 2: the prompt of depo@2/n4k1/symbol/2026/0 is not",
    ),
    "another temperature": (
        lambda lines: _manifest(lines, temperature=0.7),
        "manifest: sampling.temperature is '0.7' and must be 0 to be compared here",
    ),
    "another way of sampling": (
        lambda lines: _manifest(lines, best_of=64),
        "manifest: sampling has settings that no board knows",
    ),
    "no manifest": (lambda lines: _changed(lines, 0, manifest={}), "manifest: decisive.sampling is missing"),
    "a model of the server's": (
        lambda lines: _changed(lines, 0, model="reference/pebble"),
        "model: names that begin with reference/ are reserved for the server: give a hub id",
    ),
    "a model that is a path": (
        lambda lines: _changed(lines, 0, model="../../etc"),
        "model: '../../etc' is not a hub id",
    ),
    "a failed request": (
        lambda lines: _changed(lines, 2, finish_reason="error"),
        "line 3: finish_reason is 'error': give",
    ),
    "an answer above the budget": (
        lambda lines: _changed(lines, 2, completion_tokens=9999),
        "line 3: depo@2/n4k1/symbol/2026/1 has an answer of 9999 tokens, and",
    ),
    "too few scores": (lambda lines: _changed(lines, 14, scores=[0.0]), "candidates need a finite score each"),
    "scores of a text": (
        lambda lines: _changed(lines, 2, scores=[0.0]),
        "an item without candidates cannot have scores",
    ),
    "a negative count": (lambda lines: _changed(lines, 2, prompt_tokens=-1), "line 3: prompt_tokens is -1: give"),
    "a number as a text": (lambda lines: _changed(lines, 2, index="1"), "line 3: index is '1': give a whole number"),
    "no header": (lambda lines: lines[1:], "line 1 is not a header"),
    "another format": (lambda lines: _changed(lines, 0, fathom=2), "line 1 is not a header"),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_a_wrong_parcel_is_refused_with_the_reason_and_leaves_nothing(made, strict, wrong):
    change, message = REFUSED[wrong]
    with pytest.raises((BadInput, TaskError)) as refused:
        send(strict, packed(change(made[2])))
    assert message in str(refused.value)
    assert rows(strict) == dict.fromkeys(rows(strict), 0)


def test_a_refusal_after_the_header_stands_in_the_audit_log(made, home):
    with pytest.raises(BadInput):
        send(home, packed(_without(made[2], 8)))
    entry = list_entries(home)[0]
    assert (entry.actor, entry.action) == ("user/1", "upload-refused")
    assert entry.detail["reason"].startswith("1 of 24 items are missing")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"cell": NaN}', "NaN is not a JSON number"),
        (b'{"cell": 1, "scores": [-Infinity]}', "-Infinity is not a JSON number"),
        (b'{"cell": 1e999}', "a number is too large"),
        (b'{"cell": ' + b"9" * 5000 + b"}", "a number is too large"),
        (b'{"cell": 0, "cell": 1}', "the same key twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"completion": "\xff"}', "is not UTF-8"),
        (b"[]", "is not a JSON object"),
        (b"", "is not JSON"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
    ],
)
def test_a_line_that_is_not_strict_json_is_refused(text, message):
    with pytest.raises(BadInput, match=message):
        parse_sample(text, 7)


def test_the_first_line_must_be_a_header():
    with pytest.raises(BadInput, match="model is missing"):
        parse_header(b'{"fathom": 1}')


def test_the_same_results_are_taken_once_a_sender(made, home):
    receipt = send(home, packed(made[2]))
    with pytest.raises(Conflict, match=f"/submit/results/{receipt.submission}"):
        send(home, packed(made[2]))
    assert rows(home)["runs"] == 1


def test_a_second_attempt_takes_over_from_one_that_hangs(made, home):
    hanging = UploadReceiver(home, SENDER)
    data = packed(made[2])
    hanging.feed(data[: len(data) // 2])
    hanging._flush(hanging._accepted)
    first = rows(home)["samples"]
    receipt = send(home, data)
    with pytest.raises(Conflict, match="taken over"):
        end(hanging, data[len(data) // 2 :])
    hanging.drop("late")
    assert first > 0
    assert rows(home) == {"submissions": 1, "runs": 1, "cells": 4, "samples": 24, "models": 1}
    assert read.get_run(home, receipt.run).summary.n_done == 24


def test_what_is_on_its_way_is_shown_nowhere_and_given_up_after_an_hour(made, home):
    intake = UploadReceiver(home, SENDER)
    data = packed(made[2])
    intake.feed(data[:-200])
    intake._flush(intake._accepted)
    assert read.list_runs(home) == ()
    assert rows(home)["samples"] > 0
    assert delete_abandoned_uploads(home) == 0
    assert delete_abandoned_uploads(home, lambda: utc_now() + dt.timedelta(hours=2)) == 1
    assert rows(home) == dict.fromkeys(rows(home), 0)
    with pytest.raises(Conflict, match="taken over"):
        end(intake, data[-200:])


def test_a_claimed_digest_never_names_a_suite(made, home):
    """Or else the next honest run of that suite would be shown with a stranger's cells."""
    honest = made[2][0]["suite_digest"]
    with pytest.raises(BadInput):
        send(home, packed(_changed(made[2], 0, cells=made[2][0]["cells"][:1])))
    with Session(home) as session:
        assert honest not in session.scalars(select(SuiteRow.digest)).all()


def test_an_unfinished_run_is_not_sent(tmp_path, made):
    from fathom.harness.db.write import NewRun, start_run

    source, _, _ = made
    suite = open_suite("quick", "7", SELECTION)
    run = start_run(source, NewRun("org/m", "vllm", suite, suite.digest(), {}, "0" * 32))
    with pytest.raises(BadInput, match=f"run {run} is not complete .*fathom run --resume {run}"):
        list(parcel_lines(source, run))


def test_what_a_hostile_manifest_says_is_kept_as_short_plain_texts(made, home):
    stated = json.loads(json.dumps(made[2][0]["manifest"]))
    stated["context"] = {"hardware": {"gpus": "\x00<script>" + "x" * 10_000}, "deep": {"a": {"b": [1]}}, "n": 10**18}
    stated["engine_facts"] = ["not", "a", "mapping"]
    stated["decisive"]["engine"] = 7
    receipt = send(home, packed(_changed(made[2], 0, manifest=stated)))
    kept = read.get_run(home, receipt.run).manifest.to_json()
    sender = kept["context"]["sender"]
    assert len(sender["hardware gpus"]) == 300
    assert sender["hardware gpus"].startswith("\\x00<script>")
    assert all(isinstance(value, str) for value in sender.values())
    assert kept["decisive"]["engine"] == {"name": "oracle", "packages": {}}

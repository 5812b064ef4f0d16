"""A worker of our own answers uploads again: the honest one rises to tier 2, the forged one is flagged."""

import json

import httpx
import pytest

from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.io.parcel import parcel_lines
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.run_settings import RunSettings
from fathom.server.uploads.replays import get_upload
from fathom.tasks.suites import Selection, instances, open_suite

SUITE = open_suite("quick", "2026", Selection(levels=("n8k1", "n8k4"), styles=("direct", "choice"), n=60))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of the noisy oracle made elsewhere, and the same with 15 points of answers made right."""
    db = open_database(f"sqlite:///{tmp_path_factory.mktemp('made') / 'runs.db'}", create=True)
    run = evaluate(
        Plan(ModelSource("oracle/noisy", None, "oracle/noisy"), SUITE, RunSettings(engine=EngineSettings("oracle"))), db
    ).run
    honest = [json.loads(line) for line in parcel_lines(db, run, sha="a" * 40)]
    db.dispose()
    items = [tuple(instances(cell, SUITE.seed)) for cell in SUITE.cells]
    forged, left = [honest[0] | {"sha": "b" * 40}], 36
    for line in honest[1:]:
        gold = f" {items[line['cell']][line['index']].gold}"
        is_wrong = line["scores"] is None and line["completion"] != gold and left > 0
        left -= is_wrong
        forged.append(line | {"completion": gold} if is_wrong else line)
    assert left == 0
    return honest, forged


def test_a_worker_replays_uploads(made, service):
    service.start()
    sent = []
    for lines in made:
        data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        answer = httpx.post(f"{service.address}/api/v1/results", content=data, headers=service.headers, timeout=60)
        assert answer.status_code == 201, answer.text
        sent.append(answer.json())
        asked = httpx.post(
            f"{service.address}/api/v1/submissions/{sent[-1]['submission']}/replay", headers=service.headers, timeout=60
        )
        assert asked.status_code == 202
    service.work()
    service.until(lambda: all(get_upload(service.db, one["submission"]).replay == "done" for one in sent))
    honest, forged = (get_upload(service.db, one["submission"]) for one in sent)
    print(f"honest: {dict(honest.outcome)}\nforged: {dict(forged.outcome)}")
    assert (honest.tier, honest.outcome["upload_only"], honest.outcome["replay_only"]) == (2, 0, 0)
    assert (forged.tier, forged.outcome["passed"]) == (1, False)
    assert [read.get_summary(service.db, one["run"]).tier for one in sent] == [2, 1]
    assert "<b>Failed:</b>" in httpx.get(f"{service.address}{sent[1]['page']}", timeout=60).text
    assert "<b>Passed:</b>" in httpx.get(f"{service.address}{sent[0]['page']}", timeout=60).text

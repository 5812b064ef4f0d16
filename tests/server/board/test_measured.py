"""A run of a model that was trained on our text, as a visitor, a program and a terminal meet what is measured of it."""

import html
import json
import re

import pytest

from fathom.harness.db import read, write
from fathom.harness.db.engine import open_database
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.reports.measures import measure_run
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.run_settings import RunSettings
from fathom.tasks.people.population import CAPACITY_BITS
from fathom.tasks.suites import Selection, open_suite


@pytest.fixture(scope="module")
def measured(browse, tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('measured') / 'runs.db'}"
    db = open_database(url, create=True)
    levels = ("people-300", "law-a", "generate-a-0", "retry-op2")
    suite = open_suite("quick", 7, Selection(families=("capo", "lano", "repair"), levels=levels, n=120))
    runs = {}
    for kind in ("perfect", "chance"):
        plan = Plan(ModelSource(f"oracle/{kind}", None, kind), suite, RunSettings(engine=EngineSettings("oracle")))
        runs[kind] = evaluate(plan, db).run
    yield browse(url), db, runs, url
    db.dispose()


def values_of(found):
    return {(one["level"], one["name"], one["unit"]): one["value"] for one in found["measures"]}


def test_the_api_gives_every_bit_to_who_knows_all_and_none_to_who_guesses(measured):
    client, _, runs, _ = measured
    known, guessed = (values_of(client.get(f"/api/v1/runs/{runs[kind]}").json()) for kind in ("perfect", "chance"))
    person = ("people-300", "bits a person", "bits")
    assert known[person] == pytest.approx(CAPACITY_BITS + 1)
    assert guessed[person] == 0
    assert known["law-a", "KL", "nats a token"] == 0 < guessed["law-a", "KL", "nats a token"]
    assert known["generate-a-0", "different", "share of the valid"] > 0.9
    assert known["retry-op2", "wrong starts", "a solution"] == 0


def test_the_page_shows_measures_and_asks_the_database_no_more_where_there_are_none(measured):
    client, db, runs, _ = measured
    page = client.get(f"/runs/{runs['perfect']}")
    shown = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())
    assert "capo people-300 bits a person 47.59 47.59 to 47.59 47.59 bits 120" in shown
    assert "lano law-a KL" in shown
    plain = open_suite("quick", 7, Selection(families=("depo",), styles=("direct",), levels=("n8k2",), n=3))
    run = evaluate(
        Plan(ModelSource("oracle/perfect", None, "other"), plain, RunSettings(engine=EngineSettings("oracle"))), db
    ).run
    assert measure_run(db, read.get_run(db, run)) == ()
    assert "<h2>Measures</h2>" not in client.get(f"/runs/{run}").text


def test_a_run_is_measured_once_however_often_it_is_asked_for(measured, browse, count_statements):
    _, _, runs, url = measured
    client, address = browse(url), f"/api/v1/runs/{runs['perfect']}"
    first, second = (count_statements(lambda: client.get(address).raise_for_status()) for _ in range(2))
    assert first > second == count_statements(lambda: client.get(address).raise_for_status())


def test_a_run_that_is_running_is_not_measured(measured):
    client, db, runs, _ = measured
    write.resume_run(db, runs["chance"])
    assert client.get(f"/api/v1/runs/{runs['chance']}").json()["measures"] == []
    assert "<h2>Measures</h2>" not in client.get(f"/runs/{runs['chance']}").text
    write.finish_run(db, runs["chance"], write.Ending("done", 1.0))
    assert values_of(client.get(f"/api/v1/runs/{runs['chance']}").json())


def test_the_terminal_and_the_report_show_them_too(measured, fathom, tmp_path):
    _, _, runs, url = measured
    shown = fathom("show", runs["perfect"], "--db", url, "--json")
    assert shown.returncode == 0, shown.stderr
    assert values_of(json.loads(shown.stdout))["people-300", "bits a person", "bits"] == pytest.approx(
        CAPACITY_BITS + 1
    )
    done = fathom("report", runs["perfect"], "--db", url, "--out", tmp_path / "report.html")
    assert done.returncode == 0, done.stderr
    assert "bits a person" in (tmp_path / "report.html").read_text(encoding="utf-8")

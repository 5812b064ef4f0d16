"""A run is taken along whole: as tables of any length, and as lm-eval would have logged it."""

import csv
import json

import pandas as pd
import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.db.schema.runs import RunRow, SampleRow, SuiteRow
from fathom.harness.db.seal import SealedRun
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.errors import BadInput
from fathom.harness.io.lm_eval.export import export_lm_eval
from fathom.harness.io.tables import CELLS, SAMPLES, export_tables, json_lines, whole_file, write_rows
from fathom.harness.records import SampleFilter
from fathom.harness.reports.questions import make_sample_question
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.run_settings import RunSettings
from fathom.tasks.suites import Selection, open_suite


def play(db):
    suite = open_suite("quick", 7, Selection(("depo", "mano"), ("n8k2", "p23l1"), (), ("direct", "choice"), 6))
    return evaluate(
        Plan(ModelSource("oracle/noisy", None, "oracle/noisy"), suite, RunSettings(engine=EngineSettings("oracle"))), db
    ).run


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A database with a run, one of whose completions is hostile to spreadsheets."""
    db = open_database(str(tmp_path_factory.mktemp("export") / "runs.db"), create=True)
    run = play(db)
    with Session(db) as session, session.begin():
        session.execute(update(SampleRow).where(SampleRow.id == 1).values(completion='=HYPERLINK("x"),\r\n"y"'))
    yield db, run
    db.dispose()


def samples_of(db, run):
    detail = read.get_run(db, run)
    return read.get_samples(db, detail, SampleFilter(), limit=10_000).samples


def test_each_format_holds_every_sample_with_question_gold_and_verdict(played, tmp_path):
    db, run = played
    stored = samples_of(db, run)
    tables = {kind: export_tables(db, run, kind, tmp_path) for kind in ("jsonl", "parquet", "csv")}
    frame = pd.read_parquet(tables["parquet"].samples)
    lines = [json.loads(line) for line in tables["jsonl"].samples.read_text().splitlines()]
    with tables["csv"].samples.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(frame.columns) == list(lines[0]) == list(rows[0]) == list(SAMPLES)
    for at, one in enumerate(stored):
        assert (lines[at]["item"], lines[at]["completion"]) == (one.item, one.completion)
        assert (frame.item[at], frame.completion[at]) == (one.item, one.completion)
        assert (lines[at]["correct"], lines[at]["found"], lines[at]["label"]) == (one.correct, one.found, one.label)
        assert rows[at]["correct"] == str(one.correct)
        question = make_sample_question(one)
        assert (lines[at]["question"], lines[at]["gold"]) == (question.text, question.gold)
    assert len(frame) == len(lines) == len(rows) == len(stored) == 24
    scored = frame[frame["style"] == "choice"]
    assert all(len(one.candidates) == len(one.candidate_scores) for one in scored.itertuples())


def test_no_text_of_a_model_is_a_formula_in_a_spreadsheet(played, tmp_path):
    db, run = played
    with export_tables(db, run, "csv", tmp_path).samples.open(newline="") as stream:
        hostile = [row["completion"] for row in csv.DictReader(stream) if "HYPERLINK" in row["completion"]]
    assert hostile == ['\'=HYPERLINK("x"),\r\n"y"']


def test_cells_are_the_counts_of_the_run(played, tmp_path):
    db, run = played
    cells = read.get_run(db, run).cells
    frame = pd.read_parquet(export_tables(db, run, "parquet", tmp_path).cells)
    assert list(frame.columns) == list(CELLS)
    assert [(one.k, one.n, one.n_asked, one.n_unread, one.n_cut, dict(one.labels)) for one in frame.itertuples()] == [
        (cell.k, cell.n, cell.found.n_asked, cell.found.n_unread, cell.found.n_cut, dict(cell.labels)) for cell in cells
    ]


def test_a_file_that_cannot_be_finished_is_not_there(played, tmp_path):
    def rows():
        yield dict.fromkeys(SAMPLES)
        raise RuntimeError

    for kind in ("jsonl", "parquet", "csv"):
        with pytest.raises(RuntimeError), whole_file(tmp_path / f"out.{kind}") as stream:
            write_rows(rows(), SAMPLES, kind, stream)
    assert not list(tmp_path.iterdir())
    db, run = played
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(BadInput, match="cannot write"):
        export_tables(db, run, "csv", tmp_path / "taken" / "inner")
    with pytest.raises(BadInput, match="cannot write"):
        export_lm_eval(db, run, tmp_path / "taken")


def test_json_lines_hold_what_was_given():
    assert list(json_lines([{"a": "ü\u2028", "b": None}])) == ['{"a": "ü\u2028", "b": null}\n']


def test_a_folder_of_lm_eval_is_whole_and_a_second_export_replaces_it(played, tmp_path):
    db, run = played
    file = export_lm_eval(db, run, tmp_path)
    assert export_lm_eval(db, run, tmp_path) == file
    assert file.parent.name == "oracle__noisy"
    results = json.loads(file.read_text())
    names = {f"samples_{name}_{file.stem.partition('_')[2]}.jsonl" for name in results["configs"]}
    assert {one.name for one in file.parent.iterdir()} == {file.name, *names}


def test_what_is_not_whole_or_sealed_is_refused(tmp_path):
    db = open_database(str(tmp_path / "runs.db"), create=True)
    run = play(db)
    with Session(db) as session, session.begin():
        session.execute(update(RunRow).values(state="interrupted"))
    with pytest.raises(BadInput, match="is not complete"):
        export_lm_eval(db, run, tmp_path)
    assert export_tables(db, run, "jsonl", tmp_path / "out").samples.exists()  # a table shows what is there
    with Session(db) as session, session.begin():
        session.execute(update(SuiteRow).values(sealed=True, season="2026-winter"))
    for refused in (lambda: export_lm_eval(db, run, tmp_path), lambda: export_tables(db, run, "csv", tmp_path)):
        with pytest.raises(SealedRun):
            refused()
    db.dispose()


def test_the_command_takes_the_format_from_the_file(fathom, played, tmp_path):
    db, run = played
    url = str(db.url.database)
    done = fathom("export", run[:6], "--out", tmp_path / "a.csv", "--db", url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["wrote", str(tmp_path / "a.csv"), "and", str(tmp_path / "a-cells.csv")]
    refused = fathom("export", run, "--out", tmp_path / "b.csv", "--db", url, "--format", "jsonl")
    assert (refused.returncode, "change one of them" in refused.stderr) == (2, True)

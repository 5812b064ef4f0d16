"""Runs whose items are asked several times: stored, counted, resumed and shown right."""

import json

import pytest
from sqlalchemy import delete, select

from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.db.schema.runs import CellRow, MarkRow, SampleRow, StandingRow
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import ModelSource, find_model
from fathom.harness.errors import BadInput
from fathom.harness.reports.console import make_console
from fathom.harness.reports.reproduce import reproduce
from fathom.harness.reports.terminal import render_run, run_json
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.run_settings import RunSettings, SamplingSettings
from fathom.harness.stats.repeats import pass_at_k
from fathom.tasks.suites import Selection, open_suite

R = 4
SUITE = open_suite("quick", 7, Selection(families=("depo",), levels=("n4k1", "n8k3"), styles=("direct",), n=12))
SAMPLED = SamplingSettings(repeats=R, temperature=1.0)


def plan_of(kind="noisy", decoding=SAMPLED, suite=SUITE, **rest):
    return Plan(
        ModelSource(f"oracle/{kind}", None, kind),
        suite,
        RunSettings(sampling=decoding, engine=EngineSettings("oracle")),
        **rest,
    )


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    """A sampled run of the noisy oracle, after a plain one of the same model."""
    db = open_database(f"sqlite:///{tmp_path_factory.mktemp('repeats') / 'runs.db'}", create=True)
    plain = evaluate(plan_of(decoding=SamplingSettings()), db).run
    ticks = []
    run = evaluate(plan_of(), db, lambda phase, tick: ticks.append(tick)).run
    yield db, plain, run, [tick for tick in ticks if tick]
    db.dispose()


def samples_of(db, run):
    columns = (
        CellRow.position, SampleRow.index, SampleRow.repeat, SampleRow.correct, SampleRow.key, SampleRow.completion,
    )  # fmt: skip
    wanted = select(*columns).join(CellRow, CellRow.id == SampleRow.cell_id).where(CellRow.run_id == run)
    with db.connect() as connection:
        return connection.execute(wanted.order_by(CellRow.position, SampleRow.index, SampleRow.repeat)).all()


def test_every_item_is_asked_so_often_and_each_answer_is_a_sample_of_its_own(sampled):
    db, _, run, ticks = sampled
    rows = samples_of(db, run)
    assert len({(row.position, row.index, row.repeat) for row in rows}) == len({row.key for row in rows}) == 24 * R
    assert (ticks[-1].n_done, ticks[-1].n_items) == (24 * R, 24 * R)
    one = read.get_summary(db, run)
    assert (one.state, one.n_items, one.n_repeats, one.n_samples, one.n_done) == ("done", 24, R, 24 * R, 24 * R)
    assert len({tuple(row.correct for row in rows[at : at + R]) for at in range(0, len(rows), R)}) > 2


def test_counts_and_spread_are_those_of_the_samples(sampled):
    db, _, run, _ = sampled
    rows, cells = samples_of(db, run), read.get_run(db, run).cells
    for position, cell in enumerate(cells):
        right = [[row.correct for row in rows if (row.position, row.index) == (position, index)] for index in range(12)]
        assert (cell.n_planned, cell.n, cell.k) == (12, 12 * R, sum(map(sum, right)))
        assert list(cell.spread.hits) == [sum(sum(item) == hits for item in right) for hits in range(R + 1)]
        assert list(cell.spread.by_repeat) == [sum(item[at] for item in right) for at in range(R)]
        assert cell.interval.low < cell.k / cell.n < cell.interval.high


def test_a_plain_run_has_no_spread_and_stands_alone_on_the_board(sampled):
    db, plain, run, _ = sampled
    detail = read.get_run(db, plain)
    assert [cell.spread for cell in detail.cells] == [None, None]
    assert (detail.summary.layer, read.get_summary(db, run).layer) == ("main", "sampled")
    with db.connect() as connection:
        assert set(connection.execute(select(StandingRow.run_id)).scalars()) == {plain}
        assert set(connection.execute(select(MarkRow.run_id)).scalars()) == {plain, run}


def test_a_run_goes_on_where_answers_are_missing_and_ends_as_if_never_stopped(sampled, db):
    other, _, run, _ = sampled
    first = evaluate(plan_of(), db)
    lost = samples_of(db, first.run)[5:23]
    with db.begin() as connection:
        connection.execute(delete(SampleRow).where(SampleRow.key.in_([row.key for row in lost])))
    again = evaluate(plan_of(resume=first.run), db)
    assert (again.n_recalled, again.n_generated) == (24 * R - 18, 18)
    assert samples_of(db, first.run) == samples_of(other, run)
    whole = evaluate(plan_of(resume=first.run), db)
    assert (whole.n_recalled, whole.n_generated) == (24 * R, 0)
    assert read.get_run(db, first.run).cells[1].spread == read.get_run(other, run).cells[1].spread


def test_greedy_answers_are_not_repeated_and_candidates_neither(db):
    for decoding in (SamplingSettings(repeats=2), SamplingSettings(repeats=2, temperature=0.0)):
        with pytest.raises(BadInput, match="give a temperature"):
            evaluate(plan_of(decoding=decoding), db)
    scored = open_suite("quick", 7, Selection(families=("depo",), levels=("n8k1",), styles=("choice",), n=2))
    with pytest.raises(BadInput, match="without repeats"):
        evaluate(plan_of(suite=scored), db)
    assert read.count_runs(db) == 0


def test_a_run_is_shown_with_its_repeats(sampled):
    db, _, run, _ = sampled
    detail = read.get_run(db, run)
    found = run_json(detail)
    assert (found["n_repeats"], found["layer"]) == (R, "sampled")
    for cell, stored in zip(found["cells"], detail.cells, strict=True):
        one = json.loads(json.dumps(cell["spread"]))
        assert list(one["pass_at"]) == ["1", "2", "4"]
        passed = sum(n * pass_at_k(R, c, 2) for c, n in enumerate(stored.spread.hits)) / 12
        assert one["pass_at"]["2"]["score"] == pytest.approx(passed)
        assert one["pass_at"]["1"]["score"] == pytest.approx(cell["k"] / cell["n"])
        assert one["majority_at"]["score"] == stored.spread.majority / 12
        interval = [one["pass_at"]["1"][end] for end in ("low", "high")]
        assert interval == pytest.approx([cell["low"], cell["high"]])
    console = make_console()
    with console.capture() as capture:
        console.print(render_run(detail, whole=True))
    text = capture.get()
    print(text)
    assert all(word in text for word in ("mean@4", "pass@2", "pass@4", "majority@4", "between repeats"))


def test_a_model_draws_other_answers_each_time_and_the_same_ones_again(sampled):
    db, *_ = sampled
    suite = open_suite("quick", 7, Selection(families=("depo",), n=6, styles=("direct",), levels=("n8k3",)))
    plan = Plan(
        find_model("reference/pebble"),
        suite,
        RunSettings(sampling=SamplingSettings(repeats=6, temperature=1.0), engine=EngineSettings("hf")),
    )
    first, again = (samples_of(db, evaluate(plan, db).run) for _ in range(2))
    assert first == again
    texts = [[row.completion for row in first[at : at + 6]] for at in range(0, len(first), 6)]
    print(texts)
    assert sum(len(set(one)) > 1 for one in texts) >= 5
    assert len({tuple(one[repeat] for one in texts) for repeat in range(6)}) == 6


def test_the_command_of_a_run_leaves_the_scored_cells_out_as_it_did(sampled, tmp_path):
    from typer.testing import CliRunner

    from fathom.server.cli.main import build

    db = str(tmp_path / "again.db")
    words = ["run", "--engine", "oracle", "--model", "oracle/noisy", "--families", "depo", "--n", "1", "--seed", "3"]
    done = CliRunner().invoke(build(), [*words, "--repeats", "2", "--temperature", "1", "--db", db])
    assert done.exit_code == 0, done.output
    assert "4 cells of the style choice left out" in done.output
    again = CliRunner().invoke(build(), [*words, "--repeats", "2", "--db", db])
    assert isinstance(again.exception, BadInput)
    store = open_database(db, create=False)
    detail = read.get_run(store, read.list_runs(store)[0].run)
    store.dispose()
    command = reproduce(detail)
    print(command)
    assert "--families depo --n 1 --repeats 2 --temperature 1" in command.replace("'", "")
    assert {cell.style for cell in detail.suite.cells} == {"direct", "cot"}

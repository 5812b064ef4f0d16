"""An invented database is as consistent as a real one."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fathom.harness.db.engine import open_database
from fathom.harness.db.leaderboard.read import StandingQuery, list_pools, list_standings, marks_of
from fathom.harness.db.read import get_run, get_samples, list_runs
from fathom.harness.db.schema.runs import CellRow, MarkRow, ModelRow, RunRow, SampleRow, StandingRow
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.errors import BadInput
from fathom.harness.records import SampleFilter
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.run_settings import RunSettings
from fathom.tasks.base import grade
from fathom.tasks.errors import EmptySuite
from fathom.tasks.registry import find_family, instance_from_id
from fathom.tasks.suites import Selection, open_suite
from tests.bench.demo.database import DemoPlan, fill

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
PLAN = DemoPlan(models=30, suite="quick", n=30, seed="2026", samples=2000)


def quiet(_phase, _sown):
    pass


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.full)])
def db(request, tmp_path_factory):
    """A database of each kind, filled once."""
    is_file = request.param == "sqlite"
    url = f"sqlite:///{tmp_path_factory.mktemp('demo') / 'a.db'}" if is_file else request.getfixturevalue("postgres")()
    db = open_database(url, create=True)
    yield db
    db.dispose()


@pytest.fixture(scope="module")
def written(db):
    return fill(db, PLAN, quiet)


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """A database of many models without samples."""
    db = open_database(f"sqlite:///{tmp_path_factory.mktemp('field') / 'a.db'}", create=True)
    fill(db, DemoPlan(models=80, suite="quick", n=10, seed="5", samples=0), quiet)
    yield db
    db.dispose()


def stored(db):
    """Runs that have samples."""
    with Session(db) as session:
        return list(session.scalars(select(CellRow.run_id).join(SampleRow).distinct()))


def everything(db, run):
    detail = get_run(db, run)
    return detail, get_samples(db, detail, SampleFilter(), limit=detail.summary.n_items).samples


def test_cells_count_what_their_samples_say(db, written):
    runs = stored(db)
    n_samples = 0
    for run in runs:
        detail, samples = everything(db, run)
        n_samples += len(samples)
        assert detail.summary.n_done == len(samples)
        assert detail.summary.k == sum(one.correct for one in samples)
        for cell in detail.cells:
            mine = [one for one in samples if one.item.startswith(f"{cell.family}@{cell.version}/{cell.level}/{cell.channel}/")
                    and one.style == cell.style]  # fmt: skip
            graded = [one for one in mine if one.finish_reason != "error"]
            labels = {label: sum(one.label == label for one in graded) for label in {one.label for one in graded}}
            assert (cell.n, cell.k, cell.n_errors) == (
                len(graded),
                sum(one.correct for one in mine),
                len(mine) - len(graded),
            )
            assert cell.labels == labels
            assert cell.found.n_asked == sum(one.found == "asked" for one in graded)
            assert cell.found.n_unread == sum(one.label == "no_answer" for one in graded)
            assert cell.found.n_cut == labels.get("cut_off", 0)
    assert n_samples == written.samples >= PLAN.samples


def test_stored_verdicts_are_those_of_the_graders(db, written):
    _, samples = everything(db, stored(db)[0])
    for one in samples[::7]:
        if one.finish_reason == "error":
            continue
        item = instance_from_id(one.item)
        verdict = grade(find_family(item.family), item, one.completion)
        assert (one.correct, one.parsed, one.label, one.fault_at, one.note, one.found) == (
            verdict.correct, verdict.parsed, verdict.label, verdict.at, verdict.note, verdict.found,
        )  # fmt: skip


def test_a_choice_is_the_candidate_of_the_highest_score(db, written):
    _, samples = everything(db, stored(db)[0])
    chosen = [one for one in samples if one.style == "choice"]
    assert chosen
    for one in chosen:
        choices = instance_from_id(one.item).choices
        assert one.completion == f" {choices[int(np.argmax(one.scores))]}"
        assert len(one.scores) == len(choices)


def test_marks_say_what_samples_say(db, written):
    for run in stored(db):
        detail, samples = everything(db, run)
        if detail.summary.state != "done":
            assert not marks_of(db, {run: len(samples)})
            continue
        marks = marks_of(db, {run: len(samples)})[run]
        assert marks.right.tolist() == [one.correct for one in samples]
        assert marks.graded.tolist() == [one.finish_reason != "error" for one in samples]


def test_a_real_run_goes_on_from_those_that_were_invented(db, written):
    suite = open_suite("quick", 7, Selection(levels=("n4k1",), n=1))
    plan = Plan(
        ModelSource("oracle/perfect", None, "oracle/perfect"), suite, RunSettings(engine=EngineSettings("oracle"))
    )
    found = get_run(db, evaluate(plan, db).run)
    assert (found.summary.state, found.summary.k) == ("done", 1)


def test_the_same_seed_invents_the_same_whatever_the_block(tmp_path):
    found = []
    for block in (100, 7):
        db = open_database(f"sqlite:///{tmp_path / f'{block}.db'}", create=True)
        fill(db, DemoPlan(20, "quick", 5, "9", 500), quiet, block=block)
        with Session(db) as session:
            standings = select(
                StandingRow.run_id, StandingRow.style, StandingRow.value, StandingRow.rank, ModelRow.name
            )
            samples = select(SampleRow.key, SampleRow.completion, SampleRow.label).order_by(SampleRow.id)
            found.append(
                (sorted(session.execute(standings.join(ModelRow)).all()), session.execute(samples).all())
            )  # fmt: skip
        db.dispose()
    assert found[0] == found[1]


def test_another_seed_invents_others(field, tmp_path):
    db = open_database(f"sqlite:///{tmp_path / 'b.db'}", create=True)
    fill(db, DemoPlan(10, "quick", 5, "6", 0), quiet)
    assert not {run.run for run in list_runs(db)} & {run.run for run in list_runs(field)}
    db.dispose()


def test_runs_are_plainly_synthetic(field):
    for run in list_runs(field, limit=5):
        detail = get_run(field, run.run)
        assert run.model.startswith("demo/")
        assert run.engine == "demo"
        assert detail.manifest.stored["context"]["synthetic"] is True


def test_bigger_models_rank_higher_on_the_whole(field):
    (pool,) = list_pools(field)
    assert (pool.n_models, pool.stale) == (80, False)
    for style in pool.styles:
        standings = list_standings(field, StandingQuery(pool.id, style)).standings
        sizes, ranks = [one.n_parameters for one in standings], [one.rank for one in standings]
        assert spearmanr(sizes, ranks).statistic < -0.5


def test_thinking_helps_chat_models_more(field):
    (pool,) = list_pools(field)
    scores = {
        style: {one.model.name: one for one in list_standings(field, StandingQuery(pool.id, style)).standings}
        for style in ("direct", "cot")
    }
    gains = {"chat": [], "base": []}
    for name, one in scores["cot"].items():
        shared = [family for family in one.families if family in scores["direct"][name].families]
        gains[one.kind].append(
            np.mean([one.families[family].value - scores["direct"][name].families[family].value for family in shared])
        )
    assert np.mean(gains["chat"]) > np.mean(gains["base"])


def test_some_runs_did_not_end_and_some_models_have_several(field):
    with Session(field) as session:
        counted = session.execute(select(RunRow.state, func.count()).group_by(RunRow.state))
        states = dict(counted.all())
        n_marks = session.scalars(select(func.count()).select_from(MarkRow)).one()
    assert states.keys() > {"done"}
    assert n_marks == states["done"] > 80


def test_a_database_that_holds_runs_is_refused(field):
    with pytest.raises(BadInput, match=r"holds .* runs already.*--db another\.db"):
        fill(field, PLAN, quiet)


@pytest.mark.parametrize("change", [{"models": 0}, {"models": 10**9}, {"samples": -1}, {"n": 0}])
def test_numbers_that_make_no_sense_are_refused(tmp_path, change):
    db = open_database(f"sqlite:///{tmp_path / 'a.db'}", create=True)
    wrong = {"models": 1, "suite": "quick", "n": 1, "seed": "1", "samples": 0, **change}
    with pytest.raises((BadInput, EmptySuite)):
        fill(db, DemoPlan(**wrong), quiet)
    assert not list_runs(db)
    db.dispose()


def test_the_command_says_what_it_invented(tmp_path, environment):
    words = ("--models", "3", "--n", "2", "--samples", "100", "--db", str(tmp_path / "a.db"))

    def demo():
        command = [sys.executable, "-m", "tests.bench.demo", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment())

    first, second = demo(), demo()
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("invented 3 models, ")
    assert second.returncode != 0
    assert "name a new one with --db" in second.stderr

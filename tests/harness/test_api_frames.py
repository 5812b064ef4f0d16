"""What a notebook reads of a run is what is stored."""

import copy
import pickle

import pytest

from fathom import Run, evaluate, runs
from fathom.harness.db import read, write
from fathom.harness.db.engine import open_database
from fathom.harness.db.seal import SealedRun
from fathom.harness.engines.base import Completion
from fathom.harness.errors import BadDatabase, BadInput, NotComparable, UnknownModel
from fathom.harness.reports.comparison import compare_run_pair
from fathom.tasks.base import Verdict
from fathom.tasks.suites import Selection, open_suite


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A database for the runs of all tests here."""
    return tmp_path_factory.mktemp("notebook") / "runs.db"


def played(kind, db, **more):
    asked = {"seed": 7, "families": ["depo", "mano"], "n": 5, **more}
    return evaluate(f"oracle/{kind}", engine="oracle", db=db, progress=False, **asked)


@pytest.fixture(scope="module")
def noisy(path):
    return played("noisy", path)


@pytest.fixture(scope="module")
def perfect(path):
    return played("perfect", path)


def test_cells_hold_the_counts_of_the_run(noisy):
    assert list(noisy.cells.columns) == [
        "family", "version", "ladder", "level", "channel", "style", "hardness", "items", "n", "k", "accuracy", "low",
        "high", "chance", "score", "errors", "n_asked", "n_unread", "n_cut",
    ]  # fmt: skip
    assert list(noisy.cells.k) == [cell.k for cell in noisy.detail.cells]
    assert (noisy.cells.low <= noisy.cells.accuracy).all()
    assert (noisy.cells.accuracy <= noisy.cells.high).all()
    assert noisy.mistakes.n.sum() == noisy.cells.n.sum()


def test_samples_hold_questions_as_they_were_asked():
    twice = played("perfect", ":memory:", families=["depo"], style=["direct"], n=1, ask_twice=True).samples
    assert twice.question.str.contains("\nThe same again: ", regex=False).all()


def test_samples_hold_questions_and_agree_with_the_cells(noisy):
    samples = noisy.samples
    assert len(samples) == noisy.cells.n.sum()
    right = samples.groupby(["family", "level", "channel", "style"], sort=False).correct.sum()
    assert list(right) == list(noisy.cells.k)
    assert samples.question.str.len().min() > 20
    first = samples.iloc[0]
    assert first["item"].endswith("/7/0")
    assert (samples[samples.correct & (samples.family == "depo")].parsed == samples[samples.correct & (samples.family == "depo")].gold).all()  # fmt: skip
    parts = list(noisy.iter_samples(40))
    assert {len(part) for part in parts[:-1]} == {40}
    assert sum(map(len, parts)) == len(samples)


def test_scores_are_those_of_the_board(noisy):
    scores = noisy.scores
    families = scores[scores["of"] == "family"]
    assert set(families.family) == {"depo", "mano"}
    (direct,) = scores[(scores["of"] == "all") & (scores["style"] == "direct")].score
    assert direct == pytest.approx(families[families["style"] == "direct"].score.mean())
    assert scores[scores["of"] == "ladder"].depth50.notna().any()


def test_a_comparison_is_that_of_fathom_compare_also_across_databases(noisy, perfect, path):
    elsewhere = played("perfect", ":memory:")
    db = open_database(str(path), create=False)
    lines = compare_run_pair(db, noisy.detail, perfect.detail).lines
    db.dispose()
    for other in (perfect, elsewhere):
        found = noisy.compare(other)
        assert list(found.p_holm) == [line.result.p_holm for line in lines]
        assert list(found.difference) == [line.result.difference.value for line in lines]
    (whole,) = found[(found.family == "") & (found["style"] == "direct")].ahead
    assert whole == "second"
    assert (noisy.compare(noisy).p == 1).all()
    with pytest.raises(NotComparable, match="share no cell"):
        noisy.compare(played("noisy", ":memory:", families=["years"], n=1))


def test_drawings_and_tables_show_themselves_in_a_notebook(noisy, tmp_path):
    plot = noisy.plot("depo")
    assert plot._repr_html_().count("<svg") == len(plot.figures) == 1
    assert "depo, main ladder" in repr(plot)
    assert len(noisy.plot(mistakes=True).figures) > 2
    (saved,) = plot.save(tmp_path / "pictures")
    assert saved.read_text(encoding="utf-8").startswith("<svg")
    with pytest.raises(BadInput, match="known: depo, mano"):
        noisy.plot("bios")
    assert f"<Run {noisy.id}: oracle/noisy on quick, seed 7, engine oracle: done, 95 of 95 graded, " in repr(noisy)
    assert "<th scope='row'>mano</th>" in noisy._repr_html_()


def test_names_in_a_notebook_cannot_act(path):
    db = open_database(str(path), create=True)
    suite = open_suite("quick", 9, Selection(("depo",), n=1))
    run = write.start_run(db, write.NewRun("<script>\u202e", "vllm", suite, suite.digest(), {}, "0" * 32))
    db.dispose()
    shown = Run.load(run, path)
    for text in (repr(shown), shown._repr_html_()):
        assert "\u202e" not in text
    assert "<script" not in shown._repr_html_()
    assert shown.samples.empty


def test_a_report_is_written_about_several_runs_of_one_database(noisy, perfect, tmp_path):
    written = noisy.report(tmp_path / "report.html", perfect)
    assert "oracle/noisy and oracle/perfect on quick" in written.read_text(encoding="utf-8")
    with pytest.raises(BadInput, match="one database"):
        noisy.report(tmp_path / "report.html", played("perfect", ":memory:", families=["depo"], n=1))


def test_runs_are_listed_and_found_again(noisy, perfect, path):
    listed = runs(path)
    assert list(listed[listed.state == "done"].run) == [perfect.id, noisy.id]
    assert Run.load(noisy.id[:6], path) == Run.load("oracle/noisy", path) == noisy
    with pytest.raises(UnknownModel):
        Run.load("oracle/none", path)
    with pytest.raises(BadDatabase):
        runs(path.with_name("none.db"))


def test_a_run_in_memory_lives_as_long_as_somebody_holds_it():
    made = played("noisy", ":memory:", families=["depo"], n=1)
    folder = made.store.folder.path
    again = copy.copy(made)
    del made
    assert len(again.samples) == 13
    del again
    assert not folder.exists()


def test_a_run_that_is_set_cannot_be_changed_but_sent_to_another_process(noisy):
    with pytest.raises(AttributeError):
        noisy.id = "another"
    assert pickle.loads(pickle.dumps(noisy)) == noisy


def test_a_sealed_run_gives_away_no_sample(path):
    db = open_database(str(path), create=True)
    suite = open_suite("quick", "5ec4e7", Selection(("depo",), n=1))
    run = write.start_run(db, write.NewRun("oracle/sealed", "oracle", suite, "sealed", {}, "0" * 32, season="2030", sealed=True))  # fmt: skip
    ids = [cell.id for cell in read.get_run(db, run).cells]
    made = write.Sample(0, 0, 0, run, Completion("", "telling", "stop", 1, 1, 0.1), Verdict(False, None, "no_answer"))
    write.record_samples(db, run, ids, [made])
    write.finish_run(db, run, write.Ending("done", 1.0))
    db.dispose()
    sealed = Run.load(run, path)
    with pytest.raises(SealedRun):
        sealed.samples  # noqa: B018
    assert "5ec4e7" not in repr(sealed)

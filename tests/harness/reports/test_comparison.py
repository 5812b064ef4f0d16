"""Two runs are found by their names, tested on what they share, and told how far they are from a verdict."""

import json

import pytest
from scipy.stats import binomtest, norm
from sqlalchemy import update

from fathom.harness.db import read, write
from fathom.harness.db.engine import open_database
from fathom.harness.db.find import open_pair, open_run
from fathom.harness.db.samples import stream_samples
from fathom.harness.db.schema.runs import RunRow, SuiteRow
from fathom.harness.db.seal import SealedRun
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.errors import NotComparable, UnknownModel
from fathom.harness.records import SampleFilter
from fathom.harness.reports.comparison import compare_run_pair, comparison_json, differing_items, shared_cells
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.run_settings import RunSettings
from fathom.tasks.suites import Selection, open_suite


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A database, and runs of the oracle by kind, seed and family."""
    db = open_database(f"sqlite:///{tmp_path_factory.mktemp('comparing') / 'runs.db'}", create=True)
    runs = {}
    asked = (
        ("noisy", 7, "depo,mano"), ("perfect", 7, "depo,mano"), ("chance", 8, "depo,mano"), ("noisy", 8, "depo,mano"),
        ("perfect", 7, "years"), ("perfect", 8, "depo,mano"),
    )  # fmt: skip
    for kind, seed, families in asked:
        suite = open_suite("quick", seed, Selection(families=tuple(families.split(",")), n=12))
        name = f"oracle/{kind}"
        runs[kind, seed, families] = evaluate(
            Plan(ModelSource(name, None, name), suite, RunSettings(engine=EngineSettings("oracle"))), db
        ).run
    yield db, {key: read.get_run(db, run) for key, run in runs.items()}
    db.dispose()


def run_of(played, kind, seed, families="depo,mano"):
    return played[1][kind, seed, families]


def test_every_number_is_that_of_the_samples(played):
    db, _ = played
    first, second = run_of(played, "noisy", 8), run_of(played, "chance", 8)
    right = [
        {(one.item, one.style): one.correct for one in stream_samples(db, run, SampleFilter())}
        for run in (first, second)
    ]
    found = comparison_json(compare_run_pair(db, first, second))
    assert found["test"] == "mcnemar-exact"
    assert {one["style"] for one in found["comparisons"]} == {"direct", "cot", "choice"}
    for one in found["comparisons"]:
        keys = [key for key in right[0] if key[1] == one["style"] and key[0].startswith(one["family"] or "")]
        b = sum(right[0][key] and not right[1][key] for key in keys)
        c = sum(right[1][key] and not right[0][key] for key in keys)
        assert (one["n"], one["only_first"], one["only_second"]) == (len(keys), b, c)
        assert one["p"] == pytest.approx(binomtest(b, b + c).pvalue)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_tie_says_how_many_more_items_would_tell_and_a_verdict_says_nothing(played):
    db, _ = played
    for line in compare_run_pair(db, run_of(played, "noisy", 8), run_of(played, "chance", 8)).lines:
        one = line.result
        assert (line.needed is None) == (one.ahead > 0 or one.only_first == one.only_second)
        if line.needed:
            cells = {cell.level for cell in run_of(played, "noisy", 8).cells if cell.style == one.style}
            assert line.needed.n_a_cell * len(cells) >= one.n + line.needed.n_more


def test_holms_level_is_shared_by_the_families_that_are_open(played):
    db, _ = played
    first, second = run_of(played, "noisy", 7), run_of(played, "perfect", 7)
    lines = compare_run_pair(db, first, second).lines
    for line in lines:
        if line.needed and line.result.name:
            mine = [one.result for one in lines if one.result.style == line.result.style and one.result.name]
            assert line.needed.level == 0.05 / sum(one.p_holm > 0.05 for one in mine)


def test_runs_of_other_seeds_are_compared_by_their_scores(played):
    db, _ = played
    found = compare_run_pair(db, run_of(played, "noisy", 7), run_of(played, "chance", 8), "direct")
    assert not found.paired
    for line in found.lines:
        one = line.result
        error = (one.difference.interval.high - one.difference.interval.low) / 2 / norm.ppf(0.975)
        assert one.p == pytest.approx(2 * norm.sf(abs(one.difference.value) / error))
        assert line.odds is None
    assert {line.result.style for line in found.lines} == {"direct"}


def test_one_model_under_two_seeds_is_a_tie(played):
    db, _ = played
    found = compare_run_pair(db, run_of(played, "noisy", 7), run_of(played, "noisy", 8))
    assert {line.result.ahead for line in found.lines} == {0}
    assert "both are runs of one model" in found.notes


def test_items_with_other_verdicts_are_named(played):
    db, _ = played
    first, second = run_of(played, "noisy", 8), run_of(played, "chance", 8)
    right = [
        {f"{one.item} ({one.style})": one.correct for one in stream_samples(db, run, SampleFilter())}
        for run in (first, second)
    ]
    found = differing_items(first, shared_cells(db, first, second))
    assert set(found) == {key for key in right[0] if right[0][key] != right[1][key]}
    assert len(found) == len(set(found)) > 0


def test_two_runs_of_one_model_on_the_same_items_say_where_verdicts_differ(played):
    db, _ = played
    suite = open_suite("quick", 7, Selection(families=("depo",), n=12))
    model = ModelSource("oracle/noisy", None, "oracle/noisy")
    again = evaluate(Plan(model, suite, RunSettings(engine=EngineSettings("oracle"))), db).run
    found = compare_run_pair(db, run_of(played, "noisy", 7), read.get_run(db, again))
    assert found.paired
    assert f"verdicts differ on 0 of {suite.n_items} items" in found.notes


def test_models_stand_for_their_runs_of_one_suite_and_seed(played):
    db, _ = played
    wanted = run_of(played, "chance", 8), run_of(played, "noisy", 8)
    assert open_pair(db, "oracle/chance", "oracle/noisy") == wanted
    assert open_pair(db, wanted[0].summary.run[:6], "oracle/noisy") == wanted
    assert open_pair(db, wanted[0].summary.run, wanted[1].summary.run[:7]) == wanted


def test_models_of_several_suites_are_listed_to_choose_from(played):
    db, _ = played
    with pytest.raises(NotComparable, match="share 2 suites") as caught:
        open_pair(db, "oracle/noisy", "oracle/perfect")
    for seed in (7, 8):
        one, other = (run_of(played, kind, seed).summary.run for kind in ("noisy", "perfect"))
        assert f"{one} {other} (quick, seed {seed}, 228 items)" in str(caught.value)


def test_runs_that_share_nothing_are_refused(played):
    db, _ = played
    first, second = run_of(played, "noisy", 7), run_of(played, "perfect", 7, "years")
    with pytest.raises(NotComparable, match="share no cell"):
        compare_run_pair(db, *open_pair(db, first.summary.run, second.summary.run))
    with pytest.raises(NotComparable, match="no style 'free' in common; they share: direct, cot, choice"):
        compare_run_pair(db, first, run_of(played, "perfect", 7), "free")


def test_names_that_mean_nothing_or_the_same_run_are_refused(played):
    db, _ = played
    with pytest.raises(UnknownModel, match="near it: oracle/noisy"):
        open_pair(db, "oracle/nosy", "oracle/perfect")
    with pytest.raises(NotComparable, match="both mean run"):
        open_pair(db, "oracle/chance", run_of(played, "chance", 8).summary.run)


def test_runs_that_are_not_whole_sealed_or_repeated_are_refused(played, tmp_path):
    whole = run_of(played, "noisy", 7)
    db = open_database(f"sqlite:///{tmp_path / 'runs.db'}", create=True)
    new = write.NewRun("org/a", "oracle", whole.suite, "digest", whole.manifest.to_json(), "manifest")
    run = write.start_run(db, new)
    with pytest.raises(NotComparable, match=rf"is running at 0/228 answers: `fathom run --resume {run}`"):
        open_run(db, run)
    write.finish_run(db, run, write.Ending("done", 1.0))
    assert open_run(db, run).summary.run == run
    repeated = write.start_run(db, new)
    with db.begin() as connection:
        connection.execute(update(RunRow).where(RunRow.id == repeated).values(n_repeats=4))
    write.finish_run(db, repeated, write.Ending("done", 1.0))
    with pytest.raises(NotComparable, match="has 4 answers to a question"):
        open_run(db, repeated)
    with db.begin() as connection:
        connection.execute(update(SuiteRow).values(sealed=True, season="s1"))
        assert connection.execute(update(RunRow).where(RunRow.id == run).values(layer="main")).rowcount == 1
    with pytest.raises(SealedRun, match="season s1"):
        open_run(db, run)
    db.dispose()

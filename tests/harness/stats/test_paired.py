"""Two runs are compared on the items that both were asked."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.db.leaderboard import read as board
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.records import SampleFilter
from fathom.harness.reports.comparison import pair_cells
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.run_settings import RunSettings
from fathom.harness.stats.intervals import wilson
from fathom.harness.stats.paired import compare, holm, mcnemar
from fathom.harness.stats.scores import CellCounts, family_scores, ladder_scores
from fathom.tasks.suites import Selection, open_suite


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Runs of the oracle by kind and seed, on depo and mano."""
    db = open_database(f"sqlite:///{tmp_path_factory.mktemp('paired') / 'runs.db'}", create=True)
    runs = {}
    for kind, seed, n in (("noisy", 7, 20), ("perfect", 7, 20), ("chance", 7, 30), ("noisy", 8, 20)):
        suite = open_suite("quick", seed, Selection(families=("depo", "mano"), n=n))
        name = f"oracle/{kind}"
        runs[kind, seed] = read.get_run(
            db,
            evaluate(Plan(ModelSource(name, None, name), suite, RunSettings(engine=EngineSettings("oracle"))), db).run,
        )
    marks = board.marks_of(db, {one.summary.run: one.suite.n_items for one in runs.values()})
    samples = {
        one.summary.run: read.get_samples(db, one, SampleFilter(), limit=10_000).samples for one in runs.values()
    }
    yield runs, marks, samples
    db.dispose()


def rights(samples):
    return {(one.item, one.style): one.correct for one in samples}


def test_pairs_count_what_the_samples_say(played):
    runs, marks, samples = played
    first, second = runs["noisy", 7], runs["perfect", 7]
    mine, theirs = (rights(samples[one.summary.run]) for one in (first, second))
    pairs = pair_cells(first, second, marks)
    assert sum(pair.n for pair in pairs) == len(mine)
    assert sum(pair.only_second for pair in pairs) == sum(theirs[key] and not mine[key] for key in mine)
    assert sum(pair.only_first for pair in pairs) == 0


def test_p_equals_scipys_exact_test_on_the_exported_samples(played):
    runs, marks, samples = played
    first, second = runs["noisy", 7], runs["chance", 7]
    mine, theirs = (rights(samples[one.summary.run]) for one in (first, second))
    for one in compare(pair_cells(first, second, marks)):
        shared = [
            key
            for key in mine
            if key in theirs and key[1] == one.style and (not one.name or key[0].startswith(one.name))
        ]
        b = sum(mine[key] and not theirs[key] for key in shared)
        c = sum(theirs[key] and not mine[key] for key in shared)
        assert (one.n, one.only_first, one.only_second) == (len(shared), b, c)
        assert one.p == pytest.approx(binomtest(b, b + c).pvalue)


def test_runs_of_other_lengths_share_their_first_items(played):
    runs, marks, _ = played
    assert {pair.n for pair in pair_cells(runs["noisy", 7], runs["chance", 7], marks)} == {20}


def test_runs_of_other_seeds_share_no_item_and_are_compared_by_their_scores(played):
    runs, marks, _ = played
    pairs = pair_cells(runs["noisy", 7], runs["noisy", 8], marks)
    assert {pair.n for pair in pairs} == {0}
    for one in compare(pairs):
        error = (one.difference.interval.high - one.difference.interval.low) / 2 / norm.ppf(0.975)
        assert one.p == pytest.approx(2 * norm.sf(abs(one.difference.value) / error))


def test_scores_are_those_of_the_runs(played):
    runs, marks, _ = played
    first = runs["noisy", 7]
    stored = {(one.family, one.style): one.mean for one in family_scores(ladder_scores(first.cells))}
    for one in compare(pair_cells(first, runs["perfect", 7], marks)):
        if one.name:
            assert one.first == stored[one.name, one.style]
            assert one.difference.value == pytest.approx(one.first.value - one.second.value)


def test_a_run_ties_with_itself_and_a_perfect_one_is_ahead(played):
    runs, marks, _ = played
    noisy, perfect = runs["noisy", 7], runs["perfect", 7]
    assert {one.ahead for one in compare(pair_cells(noisy, noisy, marks))} == {0}
    assert {one.ahead for one in compare(pair_cells(noisy, perfect, marks)) if not one.name} == {2}
    assert {one.ahead for one in compare(pair_cells(perfect, noisy, marks)) if not one.name} == {1}


def test_the_interval_of_a_difference_holds_it_as_often_as_it_says():
    draw = np.random.default_rng(1)
    held, n = 0, 30
    from fathom.harness.stats.paired import CellPair, _paired_ladder

    def cell(level, right):
        k = int(right.sum())
        assert wilson(k, n)
        return CellCounts(0, "depo", 2, level, "symbol", "direct", n, n, k, 0, {})

    gaps = [0.15 / (1 - chance) for chance in (1 / 7, 1 / 5, 1 / 5, 1 / 5)]
    for _ in range(400):
        pairs = []
        for level, p in (("n8k1", 0.9), ("n8k2", 0.5), ("n8k3", 0.3), ("n8k4", 0.2)):
            both = draw.random((2, n)) < np.array([[p], [p - 0.15]])
            pairs.append(CellPair(cell(level, both[0]), cell(level, both[1]), np.arange(n), both[0], both[1]))
        found = _paired_ladder(pairs).interval
        held += found.low <= sum(gaps) / 4 <= found.high
    assert 0.93 <= held / 400 <= 0.98


def test_holm_is_that_of_the_textbook():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_no_pair_is_no_evidence():
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 0) == pytest.approx(2 / 32)
    assert mcnemar(700, 700) == 1.0

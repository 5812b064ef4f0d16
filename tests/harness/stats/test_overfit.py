import numpy as np
import pytest

from fathom.harness.stats.overfit import Overfit, Stratum, check_overfit


def play(rng, chances, lift, n=50, n_fresh=10):
    """Counts of a model that knows `lift` of the shared items by heart."""
    return [
        Stratum(int(rng.binomial(n, p + (1 - p) * lift)), n, int(rng.binomial(n_fresh, p)), n_fresh) for p in chances
    ]


def test_the_statistic_is_that_of_scipy_without_strata():
    from scipy.stats import chi2_contingency

    one = Stratum(40, 50, 20, 50)
    table = np.array([[40, 10], [20, 30]])
    uncorrected = chi2_contingency(table, correction=False).statistic * 99 / 100  # Mantel and Haenszel divide by n - 1
    z = (40 - 30) / np.sqrt(50 * 50 * 60 * 40 / (100 * 100 * 99))
    assert z**2 == pytest.approx(uncorrected)
    from statistics import NormalDist

    assert check_overfit([one]).p == pytest.approx(NormalDist().cdf(-(z * (9.5 / 10))))
    assert check_overfit([one]).difference == pytest.approx(0.4)


def test_honest_models_are_almost_never_flagged():
    rng = np.random.default_rng(7)
    found = [check_overfit(play(rng, rng.uniform(0.02, 0.98, 40), 0.0)) for _ in range(3000)]
    assert sum(one.flagged for one in found) <= 3000 * 0.003
    assert np.mean([one.p < 0.05 for one in found]) < 0.06


def test_a_model_that_knows_a_fifth_by_heart_is_caught():
    rng = np.random.default_rng(7)
    caught = np.mean([check_overfit(play(rng, rng.uniform(0.1, 0.5, 40), 0.2)).flagged for _ in range(500)])
    print(f"knows 20% of the shared items of a suite of 40 cells by heart: caught in {caught:.1%}")
    assert caught > 0.95


def test_hardness_that_differs_between_cells_is_no_overfit():
    easy, hard = Stratum(100, 100, 1, 1), Stratum(0, 1, 0, 100)
    assert check_overfit([easy, hard]) == Overfit(0.0, 1.0)


def test_a_small_difference_is_not_flagged_however_sure():
    assert not check_overfit([Stratum(50_400, 100_000, 47_500, 100_000)]).flagged


@pytest.mark.parametrize("strata", [[], [Stratum(3, 5, 0, 0)], [Stratum(0, 0, 0, 0)]])
def test_nothing_to_compare_is_no_alarm(strata):
    assert check_overfit(strata).p == 1.0

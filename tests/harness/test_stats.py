import pytest
from scipy.stats import binomtest

from harness.stats import wilson


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 50), (50, 50), (7, 10), (713, 1000), (1, 100_000)])
def test_wilson_agrees_with_scipy(k, n):
    expected = binomtest(k, n).proportion_ci(0.95, method="wilson")
    found = wilson(k, n)
    assert found.low == pytest.approx(expected.low, abs=1e-12)
    assert found.high == pytest.approx(expected.high, abs=1e-12)


def test_nothing_asked_tells_nothing():
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


@pytest.mark.parametrize(("k", "n"), [(-1, 3), (4, 3)])
def test_counts_that_are_no_share_are_refused(k, n):
    with pytest.raises(ValueError, match="no share"):
        wilson(k, n)

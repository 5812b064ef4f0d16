from dataclasses import replace

import pytest

from fathom.harness.stats.equating import compare_items, equate
from fathom.tasks.suites import Selection, instances, open_suite


def suite(seed, n=40):
    return open_suite("quick", seed, Selection(n=n))


def test_seeds_of_one_suite_are_alike():
    found = [equate(suite(7), suite(seed)) for seed in range(8, 14)]
    assert found[0].n_compared > 100
    assert sum(one.alike for one in found) >= 5


def test_a_handful_of_items_differs_from_no_other_handful():
    assert all(equate(suite(7, n), suite(seed, n)).alike for n in (1, 2, 3, 9) for seed in (8, 9))


def test_a_suite_is_alike_itself():
    found = equate(suite(7), suite(7))
    assert (found.alike, found.least_p) == (True, 1.0)


@pytest.mark.parametrize(
    ("doctor", "covariate"),
    [
        (lambda item: replace(item, question=item.question + " Think well about it."), "prompt length"),
        (lambda item: replace(item, gold="0"), "answer"),
        (
            lambda item: replace(item, facts={**item.facts, "prefix": [*item.facts["prefix"], 1, "+"]}),
            "prefix",
        ),
    ],
)
def test_a_doctored_cell_is_found(doctor, covariate):
    (cell,) = open_suite("quick", 7, Selection(levels=("p5l4",), n=60)).cells
    old, new = (list(instances(cell, seed)) for seed in ("7", "8"))
    assert compare_items("mano", old, new).alike
    found = compare_items("mano", old, [doctor(item) for item in new])
    assert covariate in {one.covariate for one in found.differences}
    assert found.to_json("last")["alike"] is False

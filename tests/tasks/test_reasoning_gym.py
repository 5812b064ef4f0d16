"""Data sets of reasoning-gym as families: our seeds, their scorer at full credit, chance that is measured."""

import pytest

from fathom.tasks.base import demonstrate, grade, make_instance
from fathom.tasks.errors import UnknownFamily
from fathom.tasks.reasoning_gym import Shaped, _run_by_scorer
from fathom.tasks.registry import find_family, get_family, instance_from_id, package_of
from fathom.tasks.suites import Selection, open_suite

PATH = find_family("rg:shortest_path")


def items(family, level="default", seed=7, n=40):
    return [make_instance(family, level, "symbol", seed, at) for at in range(n)]


def test_seeds_share_no_item_where_theirs_share_all_but_one():
    import reasoning_gym

    theirs = [reasoning_gym.create_dataset("shortest_path", seed=seed, size=40) for seed in (1, 2)]
    first, second = ({one["question"] for one in made} for made in theirs)
    assert len(first & second) == 39
    ours, others = ({item.question for item in items(PATH, seed=seed)} for seed in (1, 2))
    assert len(ours) == 40
    assert not ours & others


def test_an_item_is_a_function_of_its_id_and_of_the_package():
    item = items(PATH, n=1)[0]
    assert instance_from_id(item.id) == item
    assert item.id.startswith(f"rg:shortest_path@{PATH.version}/default/symbol/7/")
    assert package_of("rg:shortest_path").name == "reasoning-gym"


def test_only_full_credit_is_right():
    item = next(one for one in items(PATH) if one.gold != "infeasible")
    for style in PATH.styles:
        assert grade(PATH, item, demonstrate(PATH, item, style)).correct
    back = {"up": "down", "down": "up", "left": "right", "right": "left"}
    first = item.gold.split()[0]
    longer = f"{first} {back[first]} {item.gold}"  # a way, but not the shortest: half of their credit
    assert (grade(PATH, item, longer).label, grade(PATH, item, longer).note) == ("partial", "0.5 of their credit")
    for text, label in (("infeasible", "wrong"), ("", "no_answer"), (f"not {item.gold}", "wrong")):
        assert grade(PATH, item, text).label == label


def test_chance_is_that_of_the_best_constant():
    guess = PATH.guess(items(PATH, n=1)[0], "direct", None)
    assert guess == "infeasible"
    hits = sum(grade(PATH, item, guess).correct for item in items(PATH, n=400)) / 400
    assert abs(hits - PATH.chance(PATH.levels["default"], "direct")) < 0.12  # five standard errors of the difference


def test_it_is_ranked_in_a_suite_of_its_package():
    suite = open_suite("quick", 7, Selection(("rg:shortest_path",)))
    assert (suite.name, suite.families) == ("reasoning-gym", ("rg:shortest_path",))
    assert [cell.level for cell in suite.cells if cell.style == "cot"] == ["c1", "c2", "c3", "c4", "default"]
    assert open_suite("reasoning-gym", 7, Selection(("rg:shortest_path",))) == suite


def test_a_scorer_that_runs_the_text_is_refused():
    class Careless:
        def score_answer(self, answer, entry):
            return helper(answer)

    assert _run_by_scorer(Careless) == "eval"
    for name, fault in (
        ("n_queens", r"runs a model's text as a program \(eval\)"),
        ("sudoku", "several lines"),
        ("nothing", "reasoning-gym has no data set 'nothing'"),
        ("composite", "cannot be made: AssertionError"),
    ):
        with pytest.raises(UnknownFamily, match=fault):
            find_family(f"rg:{name}")
    assert get_family("rg:nothing") is None


def helper(text):
    return eval(text)


def test_an_answer_has_the_signs_and_the_length_of_those_known():
    numbers, words = Shaped.of(["7", "-12"]), Shaped.of(["up left", "right"])
    assert (numbers.exact("-7"), numbers.exact("seven"), numbers.exact("7 or 8")) == ("-7", None, None)
    assert (words.exact("down down up"), words.exact("not up"), words.exact("up (left)")) == (
        "down down up",
        None,
        None,
    )

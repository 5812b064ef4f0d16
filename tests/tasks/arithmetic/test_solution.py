import importlib.util
from pathlib import Path

import pytest

from fathom.tasks.arithmetic.solution import calculate, name_key, read_line, read_solution
from fathom.tasks.arithmetic.word_problem import implied_totals
from fathom.tasks.base import make_instance
from fathom.tasks.families.igsm import FAMILY
from fathom.tasks.stream import Stream

SPEC = importlib.util.spec_from_file_location("igsm_text", Path(__file__).parents[1] / "families" / "test_igsm.py")
igsm_text = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(igsm_text)

SYMBOL = {
    "parameters": {
        "RT": {"op": "constant", "args": [5]},
        "MZ": {"op": "constant", "args": [20]},
        "QK": {"op": "*", "args": [3, {"op": "+", "args": ["RT", "MZ"]}]},  # 75 = 6
        "WW": {"op": "+", "args": [1, "RT"]},  # 6
        "ZZ": {"op": "-", "args": ["QK", "RT"]},  # 1
    },
    "query": "ZZ",
}

STORY = {
    "parameters": {
        "barns in Dabok": {"op": "constant", "args": [2]},
        "crates in each barn": {"op": "constant", "args": [3]},
        "pears in each crate": {"op": "+", "args": [4, "crates in each barn"]},  # 7
        "pears in each sack": {"op": "+", "args": [1, "fruits in Dabok"]},  # 20
    },
    "query": "pears in each sack",
    "groups": {
        "buildings": {"barns": "each barn"},
        "containers": {"crates": "each crate", "sacks": "each sack"},
        "fruits": {"pears": "each pear"},
    },
    "inside": {"Dabok": ["barns"], "each barn": ["crates"], "each crate": ["pears"], "each sack": ["pears"]},
}


def test_a_random_calculation_has_its_value():
    stream = Stream("calculations")

    def draw(depth):
        if depth == 0 or stream.below(4) == 0:
            return str(stream.below(40))
        text = f"{draw(depth - 1)} {stream.choice('+-*')} {draw(depth - 1)}"
        return f"({text})" if stream.below(2) else text

    for _ in range(500):
        text = draw(4)
        assert calculate(text) == igsm_text.arithmetic(text) % 23, text


@pytest.mark.parametrize(
    ("text", "value"), [("-3", 20), ("2 * -3", 17), ("-(4 - 6) * 2", 4), ("--5", 5), ("22", 22), ("-2 * 3 + 1", 18)]
)
def test_signs_bind_first(text, value):
    assert calculate(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "()", "(", "1 +", "* 2", "1 2", "(1", "1)", "RT + 4", "4 / 2", "2 ** 3", "1.5", "(" * 390 + "1", "5 5 = 4"],
)
def test_what_is_no_calculation_has_no_value(text):
    assert calculate(text) is None


def test_no_string_of_tokens_raises():
    stream = Stream("tokens")
    found = [
        calculate(" ".join(stream.choice(("7", "12", "+", "-", "*", "(", ")")) for _ in range(1 + stream.below(9))))
        for _ in range(5_000)
    ]
    assert 200 < sum(value is not None for value in found) < 2_500


@pytest.mark.parametrize(
    "line",
    [
        "QK = 3 * (5 + 20) = 6", "QK=6", "1. QK = 6.", "- **QK** = 3 × (5 + 20) = 75 mod 23 = 6", "Step 4: QK = 6 (mod 23)",
        "So QK = 3 * (RT + MZ) = 3 * 25 = 75 ≡ 6 (mod 23)", "`QK` = $6$",
    ],
)  # fmt: skip
def test_steps_are_read_leniently(line):
    step = read_line(line)
    assert (step.name, step.result) == ("QK", 6)
    assert all(value == 6 for value in step.calculations)


@pytest.mark.parametrize(
    "line",
    [
        "QK",
        "QK = ",
        "QK = RT + 4",
        "5 + 20 = 2",
        "So the total = 9",
        "QK = 6.5",
        "x = " + "1" * 500,
        "=" * 300,
        "QK = 3 * 5 + 20",
    ],
)
def test_other_lines_are_no_steps(line):
    assert read_line(line) is None


@pytest.mark.parametrize(
    "name",
    ["crates in each barn", "The number of crates in each barn", "total number of crates in a barn", "CRATES in every barn", "**crates per barn**"],
)  # fmt: skip
def test_names_of_counts_have_one_spelling(name):
    assert name_key(name) == "crates in barn"


@pytest.mark.parametrize(
    ("text", "fault", "at", "unneeded"),
    [
        ("RT = 5\nMZ = 20\nQK = 3 * (5 + 20) = 6\nZZ = 6 - 5 = 1", "", None, 0),
        ("QK = 6\nZZ = 1", "", None, 0),  # plain numbers need no step
        ("WW = 6\nQK = 6\nZZ = 1", "", None, 1),
        ("QK = 3 * (5 + 20) = 75\nZZ = 75 - 5 = 70 = 1", "", None, 0),  # not yet reduced
        ("QK = 3 * (5 + 20) = 7\nZZ = 2", "arithmetic", 1, 0),
        ("QK = 3 * (5 + 19) = 6", "arithmetic", 1, 0),
        ("RT = 5\nZZ = 1\nQK = 6", "not_ready", 2, 0),
        ("RT = 5\nBB = 1\nQK = 7", "unknown_parameter", 2, 0),
    ],
)
def test_the_first_bad_step_is_found(text, fault, at, unneeded):
    reading = read_solution(SYMBOL, text)
    assert (reading.fault, reading.at, reading.unneeded) == (fault, at, unneeded)


def test_totals_of_a_story_may_be_skipped_or_written():
    steps = [
        "pears in each crate = 4 + 3 = 7",
        "fruits in each barn = 3 * 7 = 21",
        "fruits in Dabok = 2 * 21 = 19",
        "pears in each sack = 20",
    ]
    for kept in (steps, [steps[0], steps[3]], [steps[0], steps[2], steps[3]]):
        reading = read_solution(STORY, "\n".join(kept))
        assert (reading.fault, reading.reaches_query) == ("", True)
    assert read_solution(STORY, "\n".join(steps[1:])).fault == "not_ready"
    assert read_solution(STORY, steps[3]).fault == "not_ready"


def test_totals_in_facts_are_those_implied_by_the_structure():
    seen = 0
    for level in ("op10", "op18-bare", "op40"):
        for index in range(20):
            facts = make_instance(FAMILY, level, "story", 4, index).facts
            totals = implied_totals(facts)
            for name, node in facts["parameters"].items():
                if name in totals:
                    seen += 1
                    assert sorted(map(str, totals[name]["args"])) == sorted(map(str, node["args"]))
    assert seen > 100

"""Pages of laws: claims with effects over seeds, gates, recipes and registrations."""

from dataclasses import replace

import pytest

from fathom.harness.db.engine import open_database
from fathom.harness.db.laws import finish_law, register_law
from tests.stored_law import GATES, RESULT, TRIALS, WHEN, new_law, write_law


@pytest.fixture(scope="module")
def laws(browse, tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('laws') / 'runs.db'}"
    db = open_database(url, create=True)
    write_law(db, "tiny", "a" * 16)
    register_law(db, new_law("waiting", "b" * 16))
    register_law(db, new_law("tiny", "c" * 16, "exploratory"))
    db.dispose()
    return browse(url)


def test_the_list_gives_claim_verdict_effect_and_seeds(laws):
    text = laws.get("/laws").text
    assert "More &lt;b&gt;steps&lt;/b&gt; keep more." in text
    assert "<b>shown</b>" in text
    assert "+40.0 (+35.0 to +45.0) points" in text
    assert text.count("<circle") == 5


def test_a_law_in_several_shapes_has_a_table_of_them(browse, tmp_path):
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    db = open_database(url, create=True)
    write_law(db, "tiny", "a" * 16)
    write_law(db, "tiny", "d" * 16, "canon")
    register_law(db, new_law("tiny", "e" * 16, shape="nope"))
    write_law(db, "alone", "f" * 16)
    db.dispose()
    shown = browse(url)
    table = shown.get("/laws").text.partition("Across shapes")[2].partition("</section>")[0]
    assert [one in table for one in ("rotary positions and short convolutions", "no positions", "learned", "alone")] == [
        True, True, False, False,
    ]  # fmt: skip
    assert (table.count("<b>shown</b>"), table.count("not trained yet")) == (2, 1)
    text = shown.get("/laws/tiny").text
    assert "Across shapes" in text
    assert "fathom law tiny --seeds 5 --scale cpu<" in text
    assert "Across shapes" not in shown.get("/laws/alone").text


def test_a_law_that_is_not_trained_yet_says_so(laws):
    assert "not trained yet" in laws.get("/laws").text
    text = laws.get("/laws/waiting").text
    assert "not all seeds are trained yet" in text
    assert "<circle" not in text


def test_a_law_has_gates_seeds_recipes_registrations_and_its_command(laws):
    text = laws.get("/laws/tiny").text
    for words in ("something is kept", "Seed 105", "0.750 to 0.850", "steps <small>differs</small>", "4.0 points", "a" * 16, "exploratory",
                  "fathom law tiny --seeds 5 --scale cpu", "sign-flip p"):  # fmt: skip
        assert words in text


def test_a_law_that_is_not_shown_says_why(browse, tmp_path):
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    db = open_database(url, create=True)
    outcomes = {
        "void": replace(RESULT, verdict="void", gates=[GATES[0] | {"lowest": 0.4, "passed": False}]),
        "undecided": replace(RESULT, verdict="undecided", low=-0.2),
        "absent": replace(RESULT, verdict="absent", low=-0.05, high=0.05),
        "reversed": replace(RESULT, verdict="reversed", low=-0.5, high=-0.2),
    }
    for name, result in outcomes.items():
        register_law(db, new_law(name, name))
        finish_law(db, name, result, TRIALS, WHEN)
    db.dispose()
    shown = browse(url)
    for name, words in {
        "void": "kept 0.400, where 0.5 was required",
        "undecided": "the interval over seeds, -20.0 to +45.0 points, reaches across the margin of +10.0",
        "absent": "lies within the margin",
        "reversed": "on the wrong side",
    }.items():
        assert words in shown.get(f"/laws/{name}").text


def test_a_law_that_nobody_registered_is_not_found(laws):
    answer = laws.get("/laws/gravity")
    assert answer.status_code == 404
    assert "gravity" in answer.text


def test_an_empty_board_says_how_to_find_the_laws(board):
    assert "fathom law --list" in board.get("/laws").text

"""The items of each suite are pinned: a changed digest needs a new SUITE_VERSION in tasks/suites.py."""

import json
from hashlib import blake2b

import pytest

from fathom.tasks import suites
from fathom.tasks.base import PARAMETRIC, Cell, channels_of, styles_of
from fathom.tasks.errors import EmptySuite, UnknownLevel, UnknownStyle, UnknownSuite
from fathom.tasks.registry import all_families, find_family
from fathom.tasks.suite_tables import SUITE_VERSION, TABLES
from fathom.tasks.suites import Selection, families_outside, open_suite, suite_names

CELLS = {"quick": "55a87a1efd8113fc", "standard": "f5d43fb6f6aaadff", "full": "556d506be3a67599"}
DIGESTS = {"quick": "9952942722b15f151e15ecdc32eac4d9", "standard": "f8f8e7902ce2c08f70db0a47bfd7ef7e"}


def digest_of_cells(suite):
    return blake2b(json.dumps(suite.to_json()).encode(), digest_size=8).hexdigest()


def test_the_version_is_pinned_with_the_digests():
    assert SUITE_VERSION == "2026.12"


@pytest.mark.parametrize("name", suite_names())
def test_the_cells_of_a_suite_do_not_change_without_a_new_version(name):
    assert digest_of_cells(open_suite(name, 2026)) == CELLS[name]


@pytest.mark.parametrize("name", DIGESTS)
@pytest.mark.slow
def test_the_prompts_and_golds_of_a_suite_do_not_change_without_a_new_version(name):
    assert open_suite(name, 2026).digest() == DIGESTS[name]


@pytest.mark.parametrize("name", TABLES)
def test_every_suite_asks_the_same_families_and_nothing_parametric(name):
    cells = open_suite(name, 1).cells
    assert {cell.family for cell in cells} == {row.family for row in TABLES["full"]}
    assert not {cell.style for cell in cells} & set(PARAMETRIC)


def test_suites_have_their_sizes():
    sizes = {name: open_suite(name, 1).n_items for name in suite_names()}
    assert 800 <= sizes["quick"] <= 2_000
    assert 10_000 <= sizes["standard"] <= 14_000
    assert sizes["full"] >= 100_000


def test_no_cell_comes_twice():
    for name in suite_names():
        cells = [cell.cell for cell in open_suite(name, 1).cells]
        assert len(cells) == len(set(cells))


def test_full_asks_its_families_at_every_level_channel_and_style_that_is_not_parametric():
    cells = {cell.cell for cell in open_suite("full", 1).cells}
    assert cells == {
        Cell(family.name, level.name, channel, style)
        for family in map(find_family, {cell.family for cell in cells})
        for level in family.levels.values()
        for channel in channels_of(family, level)
        for style in set(styles_of(family, level)) - set(PARAMETRIC)
    }


def test_a_family_outside_the_suite_is_asked_at_the_first_levels_of_its_ladders(monkeypatch):
    monkeypatch.setitem(suites.TABLES, "quick", tuple(row for row in TABLES["quick"] if row.family != "years"))
    assert families_outside("quick", ["depo", "years"]) == ["years"]
    cells = open_suite("quick", 1, Selection(("depo", "years"), n=2)).cells
    assert [cell.level for cell in cells if cell.family == "years"][:5] == ["y2k1", "y2k2", "y2k3", "y2k4", "y8k1-1k"]
    assert {(cell.channel, cell.style) for cell in cells if cell.family == "years"} == {("symbol", "direct")}
    assert "years" not in {cell.family for cell in open_suite("quick", 1).cells}


def test_families_alone_narrow_a_suite():
    whole = open_suite("quick", 1)
    for family in all_families():
        own = tuple(cell for cell in whole.cells if cell.family == family)
        assert not own or open_suite("quick", 1, Selection((family,))).cells == own


def test_a_level_stands_for_the_families_that_have_it():
    cells = open_suite("quick", 1, Selection(levels=("n8k2", "n8k3"), styles=("cot", "direct"))).cells
    assert [(cell.family, cell.level, cell.style) for cell in cells] == [
        ("depo", "n8k2", "cot"), ("depo", "n8k3", "cot"), ("depo", "n8k2", "direct"), ("depo", "n8k3", "direct"),
    ]  # fmt: skip


def test_a_style_that_only_some_levels_have_is_asked_of_those():
    cells = open_suite("full", 1, Selection(("lano",), styles=("free",), levels=("generate-f-0", "recognise-d2"))).cells
    assert [(cell.level, cell.style) for cell in cells] == [("generate-f-0", "free")]


def test_without_a_style_a_level_is_asked_in_its_first_one():
    cells = open_suite("quick", 1, Selection(levels=("generate-f-0", "recognise-d2"))).cells
    assert [(cell.level, cell.channel, cell.style) for cell in cells] == [
        ("generate-f-0", "symbol", "free"), ("recognise-d2", "symbol", "direct"),
    ]  # fmt: skip


def test_a_family_of_the_weights_is_asked_about_as_many_people_as_its_corpus_has_by_itself():
    cells = open_suite("quick", 7, Selection(families=("recall",), n=3)).cells
    assert {cell.level.rpartition("-")[2] for cell in cells} == {"1000"}
    assert {(cell.channel, cell.style) for cell in cells} == {("story", "trained")}
    assert len({cell.level for cell in cells}) == 15
    cells = open_suite("quick", 7, Selection(families=("capo",), styles=("bits",))).cells
    assert [(cell.level, cell.style) for cell in cells] == [("people-1000", "bits")]


def test_a_style_of_the_weights_alone_asks_every_family_that_has_it_and_nothing_in_another_style():
    cells = open_suite("quick", 7, Selection(styles=("bits",))).cells
    assert [(cell.family, cell.level) for cell in cells] == [
        ("capo", "people-1000"), ("lano", "law-a"), ("lano", "law-b"), ("lano", "law-f"), ("lano", "law-k"),
    ]  # fmt: skip


def test_a_star_in_a_level_stands_for_anything():
    cells = open_suite("quick", 7, Selection(families=("recall",), levels=("parity*-300", "year-300"))).cells
    assert [cell.level for cell in cells] == ["parity-300", "parity-hint-300", "year-300"]
    with pytest.raises(UnknownLevel, match=r"depo has no level 'z\*'"):
        open_suite("quick", 1, Selection(("depo",), levels=("z*",)))


def test_names_that_no_family_has_are_refused():
    with pytest.raises(UnknownLevel, match="no family has a level 'zzz'"):
        open_suite("quick", 1, Selection(levels=("zzz",)))
    with pytest.raises(UnknownLevel, match="depo has no level 'zzz'; known: n4k1"):
        open_suite("quick", 1, Selection(("depo",), levels=("zzz",)))
    with pytest.raises(UnknownStyle, match="known: direct, cot, choice"):
        open_suite("quick", 1, Selection(("depo",), styles=("song",)))
    with pytest.raises(UnknownSuite, match="known: quick, standard, full"):
        open_suite("huge", 1)
    with pytest.raises(EmptySuite):
        open_suite("quick", 1, Selection(n=0))


def test_a_name_given_twice_counts_once():
    once = open_suite("quick", 1, Selection(("depo",), ("n4k1",), ("symbol",), ("direct",)))
    twice = open_suite("quick", 1, Selection(("depo",) * 2, ("n4k1",) * 2, ("symbol",) * 2, ("direct",) * 2))
    assert twice.cells == once.cells
    assert len(once.cells) == 1

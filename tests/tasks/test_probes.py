"""Probe sets of all families: places that exist, labels that are possible, and truths solved anew from the text."""

import operator
import re

import pytest

from fathom.tasks.base import make_instance, pose
from fathom.tasks.probes import END, Asked
from fathom.tasks.registry import all_probe_sets, find_family
from fathom.tasks.stream import Stream

SIGNS = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def passages(name, n=12, role="probe-test"):
    chosen = all_probe_sets()[name]
    family, cell = find_family(chosen.cell.family), chosen.cell
    for at in range(n):
        item = make_instance(family, cell.level, cell.channel, 3, at, role=role)
        answer = f"{family.solution(item)}\nAnswer: {item.gold}" if chosen.needs_answer else ""
        asked = Asked(item, pose(family, item, cell.style), Stream("test", at), answer, is_right=True)
        yield item, chosen.write(asked)


@pytest.mark.cases(None)
@pytest.mark.parametrize("name", all_probe_sets())
def test_readings_lie_in_the_passage_and_their_labels_are_possible(name):
    chosen, seen = all_probe_sets()[name], set()
    for _, passage in passages(name, 4):
        text = passage.prompt + passage.rest
        for one in passage.readings:
            variable = chosen.variables[one.variable]
            seen.add(one.variable)
            assert one.place in chosen.places
            assert one.at == END or 0 <= one.at < len(text)
            assert one.at == END or not text[one.at].isspace() or text[one.at] == "\n"
            if variable.kind == "match":
                assert one.label in one.options
                assert len(set(one.options)) == len(one.options)
            else:
                assert one.label in variable.classes
    assert seen == set(chosen.variables)


def test_items_to_probe_are_other_items_than_those_of_any_other_role():
    family = find_family("depo")
    roles = ("eval", "shot", "train", "probe-fit", "probe-test")
    asked = [make_instance(family, "n8k1", "symbol", 3, at, role=role).question for role in roles for at in range(20)]
    assert len(set(asked)) == len(asked)


def test_depo_reads_the_names_that_its_arrows_lead_to():
    for _, passage in passages("depo.n8k2"):
        arrows = dict(re.findall(r"(\w+) -> (\w+)", passage.prompt))
        start = re.search(r"after (\w+)\?", passage.prompt)[1]
        labels = {one.variable: one.label for one in passage.readings}
        assert labels["next1"] == arrows[start]
        assert labels["next2"] == arrows[arrows[start]]
        assert arrows[labels["previous"]] == start


def test_mano_reads_the_value_of_the_bracket_that_closes():
    for _, passage in passages("mano.p23l2"):
        one = next(one for one in passage.readings if one.place == "closing bracket")
        inside = passage.prompt[: one.at].rpartition("(")[2]
        assert passage.prompt[one.at] == ")"
        left, sign, right = re.fullmatch(r"(\d+) (.) (\d+)", inside).groups()
        assert int(one.label) == SIGNS[sign](int(left), int(right)) % 23


def test_lano_reads_a_tree_whose_ends_nest():
    for _, passage in passages("lano.a", 3):
        ends = {}
        for one in passage.readings:
            if one.variable.startswith("ends"):
                ends.setdefault(one.at, []).append(one.label == "yes")
        assert all(flags == sorted(flags) for flags in ends.values())  # what ends above, ends below
        assert all(list(ends.values())[-1])


def test_igsm_reads_what_the_query_depends_on():
    for item, passage in passages("igsm.op4"):
        labels = {one.variable: one.label for one in passage.readings}
        name = passage.rest.rpartition("\n")[2]
        assert (labels["known"] == "yes") == (f"{name} =" in passage.rest)
        if name == item.facts["query"]:
            assert labels["needed"] == "yes"


def test_repair_reads_up_to_the_wrong_step():
    for item, passage in passages("repair.op4"):
        here = [one for one in passage.readings if one.variable == "here"]
        assert [one.label == "yes" for one in here].count(True) == (item.facts["first_bad"] is not None)
        for number, one in enumerate(here, 1):
            assert passage.prompt[: one.at + 1].rpartition("\n")[2].startswith(f"{number}. ")


def test_probes_of_stored_facts_are_fitted_and_tested_on_different_people():
    fit, test = (
        {passage.group for _, passage in passages("recall.300", 40, role)} for role in ("probe-fit", "probe-test")
    )
    assert fit
    assert not fit & test

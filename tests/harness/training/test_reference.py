"""The models that come with Fathom break where their cards say."""

import re

import pytest

from fathom.harness.engines.hf import load_hf
from fathom.harness.engines.model import REFERENCE, inspect_model, reference_models
from fathom.harness.stats.intervals import wilson
from fathom.harness.training.pretrain.exams import exam_name, hold_exams
from fathom.harness.training.recipe import Exam, read_recipe

FALLS = {
    ("depo", "direct"): ("n8k1", "n8k4", 40),
    ("brevo", "direct"): ("needs1", "needs3", 40),
    ("mano", "direct"): ("p23l1", "p23l2", 40),
    ("lano", "direct"): ("write-d2", "write-d3", 40),
    ("bios", "direct"): ("extract-k2", "extract-k5", 160),
    ("igsm", "cot"): ("op1", "op4", 40),
    ("years", "direct"): ("y4k1", "y4k3", 40),
}
"""An easy and a hard level of every family that pebble has learnt something of, and how many items tell them apart."""

AT_CHANCE = "repair/find-op1/symbol/direct"
"""The easiest level of the one family in which pebble guesses: 1 or none."""


@pytest.fixture(scope="module")
def pebble():
    return load_hf(REFERENCE / "pebble")


def exam(pebble, name, n):
    family, level, channel, style = name.split("/")
    (found,) = hold_exams(pebble, [Exam(family=family, level=level, channel=channel, style=style)], n, "7").values()
    return wilson(found.right, n)


@pytest.mark.parametrize(("family", "style"), FALLS)
def test_pebble_falls_with_difficulty(pebble, family, style):
    *levels, n = FALLS[family, style]
    easy, hard = (exam(pebble, f"{family}/{level}/symbol/{style}", n) for level in levels)
    assert easy.low > hard.high


def test_pebble_guesses_where_the_readme_says_so(pebble):
    found = exam(pebble, AT_CHANCE, 40)
    assert found.low < 0.5 < found.high


@pytest.mark.parametrize("name", reference_models())
def test_a_card_states_every_exam_of_the_recipe_and_the_parameters(name):
    folder = REFERENCE / name.partition("/")[2]
    card = (folder / "README.md").read_text(encoding="utf-8")
    stated = dict(re.findall(r"^\| (\S+) \| (\d+) of 160 \|", card, re.MULTILINE))
    assert list(stated) == [exam_name(one) for one in read_recipe("pebble").exams]
    assert f"{inspect_model(folder).n_parameters:,} parameters" in card
    assert sum(file.stat().st_size for file in folder.iterdir()) < 4 << 20

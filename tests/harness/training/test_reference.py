"""The models that come with Fathom break where their cards say."""

import re

import pytest

from fathom.harness.engines.hf import load_hf
from fathom.harness.engines.model import REFERENCE, inspect_model, reference_models
from fathom.harness.stats.intervals import wilson
from fathom.harness.training.pretrain.exams import exam_name, hold_exams
from fathom.harness.training.recipe import Exam, read_recipe

N = 40
FALLS = {
    ("depo", "direct"): ("n8k1", "n8k4"),
    ("brevo", "direct"): ("needs1", "needs3"),
    ("mano", "direct"): ("p23l1", "p23l2"),
    ("lano", "direct"): ("write-d2", "write-d3"),
    ("bios", "direct"): ("extract-k2", "extract-k5"),
    ("igsm", "cot"): ("op1", "op4"),
    ("repair", "direct"): ("find-op1", "find-op4"),
    ("years", "direct"): ("y4k1", "y4k3"),
}
"""An easy and a hard level of every family that asks in the prompt."""


@pytest.fixture(scope="module")
def marks():
    exams = [Exam(family=f, level=one, channel="symbol", style=s) for (f, s), levels in FALLS.items() for one in levels]
    return hold_exams(load_hf(REFERENCE / "pebble"), exams, N, "7")


@pytest.mark.parametrize(("family", "style"), FALLS)
def test_pebble_falls_with_difficulty(marks, family, style):
    easy, hard = (marks[f"{family}/{level}/symbol/{style}"] for level in FALLS[family, style])
    assert wilson(easy.right, N).low > wilson(hard.right, N).high


@pytest.mark.parametrize("name", reference_models())
def test_a_card_states_every_exam_of_the_recipe_and_the_parameters(name):
    folder = REFERENCE / name.partition("/")[2]
    card = (folder / "README.md").read_text(encoding="utf-8")
    stated = dict(re.findall(r"^\| (\S+) \| (\d+) of 160 \|", card, re.MULTILINE))
    assert list(stated) == [exam_name(one) for one in read_recipe("pebble").exams]
    assert f"{inspect_model(folder).n_parameters:,} parameters" in card
    assert sum(file.stat().st_size for file in folder.iterdir()) < 4 << 20

"""`fathom grade` gives completions the verdicts that a run gives them: where answers end, and what a thought is."""

import json

import pytest

from fathom.harness.errors import BadInput
from fathom.harness.io.items import AskedHow, grade_lines
from fathom.tasks.registry import instance_from_id

ITEM = instance_from_id("depo@2/n8k2/symbol/5eed/0")
GOLD = ITEM.gold
OTHER = next(code for code, _ in ITEM.facts["edges"] if code != GOLD)


def graded(text, style=None, chat=False, **more):
    line = json.dumps({"id": ITEM.id, "completion": text, **more})
    (verdict,) = map(json.loads, grade_lines([line, "\n"], AskedHow(style, chat)))
    assert verdict.pop("id") == ITEM.id
    return verdict


@pytest.mark.parametrize(
    ("text", "asked", "label"),
    [
        (f"<think>It is {GOLD}.", {"chat": True}, "cut_off"),
        (f"<think>It is {GOLD}.", {"style": "direct", "chat": True}, "cut_off"),
        (f"<think>It is {OTHER}.</think>\n\n{GOLD}", {"style": "direct", "chat": True}, "correct"),
        (f"<think>a</think>\n<think>Answer: {GOLD}", {"style": "cot", "chat": True}, "cut_off"),
        (f"\n {GOLD}\nAnswer: {OTHER}", {"style": "direct"}, "correct"),
        (f"\n {GOLD}\nAnswer: {OTHER}", {}, "other"),
        ("", {"style": "direct"}, "no_answer"),
    ],
)
def test_the_answer_is_that_of_a_run_in_this_style(text, asked, label):
    found = graded(text, **asked)
    assert found["label"] == label or (label == "other" and not found["correct"] and found["parsed"] == OTHER)
    assert (found["found"] == "none") == (label in ("cut_off", "no_answer"))


def test_a_text_that_its_budget_cut_is_read_as_such():
    text = "Let me follow the arrows: first I"
    assert graded(text)["label"] == "no_answer"
    assert graded(text, finish_reason="length")["label"] == "cut_off"


@pytest.mark.parametrize("more", [{"finish_reason": "done"}, {"finish_reason": 7}, {"finish_reason": None}])
def test_an_end_that_there_is_not_is_named_by_its_line(more):
    with pytest.raises(BadInput, match=r"line 1 .*finish_reason.*length"):
        graded(GOLD, **more)


def test_a_style_that_there_is_not_is_refused():
    with pytest.raises(BadInput, match="one of direct, cot"):
        graded(GOLD, style="loud")

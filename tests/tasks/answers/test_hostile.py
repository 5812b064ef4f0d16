"""Any text is read without an exception, in time that grows no faster than its length; noise is no answer."""

import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.tasks.answers.reader import read_answer
from fathom.tasks.stream import Stream
from tests.tasks.answers.test_kinds import KINDS

LONGEST = 400_000
UNITS = (
    "Answer: 1\n", "Answer:", "answer is ", "is the answer ", "The answer is not ", "\\boxed{", "\\boxed{1}", "{", "}", "(", "()",
    "[", "<", "<a>", "<answer>", "**", "* ", "~~", "`", "```\n", "$", '"', '{"answer": ', "[[", "#### 1\n", "# ", "- ", "1. ",
    "1 ", "9", "1,", "1 = ", "a ", "a b c\n", "QK ", "QK, ", "QK -> ", "yes ", "no, ", "step 3 ", "4: 20; ", "none ", "or ",
    "15 May 1897 ", "2020-01-02 ", "not ", "because ", "so ", "Wait, ", "? ", ". ", "...", "\n", " ", "\t", "\r\n", "\x00\x01",
    "\u200b", "\u202eQK", "\u3000", "\u7b54\u6848\uff1a", "<|im_end|>", "<|", "</s>", "[x](y)", "\\text{", "\\(", "\U0001f600", "e\u0301",
)  # fmt: skip
"""Texts that are repeated without end."""

SOME = Stream("units", os.environ.get("FATHOM_TEST_SEED", "0")).sample(UNITS, 8)
NESTED = (
    "\\boxed{" * 20_000 + "1" + "}" * 20_000,
    "(" * 50_000 + "1" + ")" * 50_000,
    "<a>" * 20_000 + "1" + "</a>" * 20_000,
)
DRESSES = (
    "{}", " {}.\n", "**{}**", "*{}*", "`{}`", '"{}"', "\u201c{}\u201d", "${}$", "\\boxed{{{}}}", "\\(\\boxed{{\\text{{{}}}}}\\)",
    "<{}>", "[{}]", "({})", "{}<|im_end|>", "{}</s>", "\u200b{}", "{} \u2705", "> {}", "__{}__", "```\n{}\n```",
)  # fmt: skip
MARKS = (
    "{}",
    "Answer: {}",
    "**Final Answer:** {}",
    "So the answer is {}",
    "### Answer\n\n{}",
    "I follow it.\n\nTherefore: {}",
)
VALUES = {
    "integer": "1025", "code": "RC", "name": "Gekev", "fullname": "Vadek Forudom", "date": "15 May 1897", "yesno": "no",
    "letter": "B", "list": "DF, RG, VB", "sentence": "a b c c a", "step": "3", "mend": "4: 20",
}  # fmt: skip
OTHERS = {
    "integer": "7", "code": "LM", "name": "Zubig", "fullname": "Tesur Lukusil", "date": "16 May 1897", "yesno": "yes",
    "letter": "C", "step": "none", "mend": "4: 21",
}  # fmt: skip


def seconds(text, kind):
    """Return the lesser processor time of two readings."""
    took = []
    for _ in range(2):
        began = time.process_time()
        read_answer(text, kind)
        took.append(time.process_time() - began)
    return min(took)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("cut", [False, pytest.param(True, marks=pytest.mark.full)])
def test_a_text_that_repeats_itself_without_end_raises_nothing(name, cut):
    for unit in UNITS:
        reading = read_answer("Answer: " + unit * (20_000 // len(unit)), KINDS[name], cut)
        assert (reading.value is None) == (reading.found == "none")
    for text in NESTED:
        read_answer(text, KINDS[name], cut)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    "units", [pytest.param(SOME, id="some"), pytest.param(UNITS, id="all", marks=pytest.mark.full)]
)
def test_a_text_of_twice_the_length_takes_no_more_than_four_times_as_long(name, units):
    for unit in units:
        text = unit * (LONGEST // len(unit))
        assert seconds(text, KINDS[name]) <= 4 * seconds(text[: LONGEST // 2], KINDS[name]) + 0.25, unit


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=300), name=st.sampled_from(sorted(KINDS)), cut=st.booleans())
def test_any_text_is_read_without_an_exception(text, name, cut):
    reading = read_answer(text, KINDS[name], cut)
    assert (reading.value is None) == (reading.found == "none")


@settings(max_examples=300, deadline=None)
@given(units=st.lists(st.sampled_from(UNITS), max_size=30), name=st.sampled_from(sorted(KINDS)), cut=st.booleans())
def test_any_mix_of_marks_is_read_without_an_exception(units, name, cut):
    read_answer("".join(units), KINDS[name], cut)


@settings(max_examples=300, deadline=None)
@given(mark=st.sampled_from(MARKS), dress=st.sampled_from(DRESSES), name=st.sampled_from(sorted(VALUES)))
def test_a_value_is_read_in_any_dress_behind_any_mark(mark, dress, name):
    reading = read_answer(mark.format(dress.format(VALUES[name])), KINDS[name])
    assert reading.value == VALUES[name]


@settings(max_examples=300, deadline=None)
@given(
    mark=st.sampled_from(MARKS),
    sign=st.sampled_from([" or ", " / ", ", or ", " or maybe ", " (or "]),
    name=st.sampled_from(sorted(OTHERS)),
)
def test_two_values_of_which_none_is_preferred_are_no_answer(mark, sign, name):
    text = mark.format(f"{OTHERS[name]}{sign}{VALUES[name]}")
    assert read_answer(text, KINDS[name]).value != VALUES[name]


@settings(max_examples=200, deadline=None)
@given(noise=st.text(alphabet=st.characters(codec="ascii"), max_size=200), name=st.sampled_from(sorted(VALUES)))
def test_a_last_line_with_the_answer_counts_whatever_stands_above(noise, name):
    reading = read_answer(f"{noise}\n\nSo we are done.\nAnswer: {VALUES[name]}", KINDS[name])
    assert (reading.value, reading.found) == (VALUES[name], "asked")

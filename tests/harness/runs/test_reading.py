"""What a model wrote becomes its answer, and a thought without an end becomes none."""

import pytest

from fathom.harness.engines.base import Completion
from fathom.harness.runs.requests import FinalAnswer, answer_reader, grade_completion, read_answer, sampling_of
from fathom.harness.runs.run_settings import PromptSettings, RunSettings, SamplingSettings, Thinking
from fathom.tasks.base import Cell
from fathom.tasks.registry import instance_from_id

LINE = ("\n",)
SELF_OPENED, OPENED, UNKNOWN = Thinking(), Thinking(opened=True), Thinking(opened=None)


@pytest.mark.parametrize(
    ("thinking", "text", "answer"),
    [
        (SELF_OPENED, "<think>\nA or B?\n\n</think>\n\nB\nbecause", FinalAnswer("B", "finished")),
        (OPENED, "A or B?\n</think>\n\nB", FinalAnswer("B", "finished")),
        (OPENED, "<think>twice</think> no <think>again</think>\n B\n", FinalAnswer("B", "finished")),
        (SELF_OPENED, "<think></think>B", FinalAnswer("B", "finished")),
        (SELF_OPENED, "<think>B</think>", FinalAnswer("", "finished")),
        (SELF_OPENED, "<think>B</think>\n \n", FinalAnswer("", "finished")),
        (SELF_OPENED, "\n\nB\nC", FinalAnswer("B", "none")),
        (SELF_OPENED, "<think>\nAnswer: B", FinalAnswer("", "truncated")),
        (SELF_OPENED, "<think>a</think>\n<think>Answer: B", FinalAnswer("", "truncated")),
        (OPENED, "Answer: B", FinalAnswer("", "truncated")),
        (OPENED, "", FinalAnswer("", "truncated")),
        (UNKNOWN, "the answer may be A, or", FinalAnswer("", "truncated")),
        (UNKNOWN, "thought</think>B", FinalAnswer("B", "finished")),
        (None, "\n\n B\nC", FinalAnswer("B", "none")),
    ],
)
def test_the_answer_follows_the_last_thought_and_ends_with_its_line(thinking, text, answer):
    assert read_answer(text, "length", thinking, LINE) == answer


def test_a_model_that_ended_without_a_mark_did_not_think_unless_the_prompt_began_a_thought():
    assert (
        read_answer("B", "stop", UNKNOWN, LINE)
        == read_answer("B", "stop", SELF_OPENED, LINE)
        == FinalAnswer("B", "none")
    )
    assert read_answer("B", "stop", OPENED, LINE).state == "truncated"


def test_a_worked_answer_keeps_its_lines():
    assert (
        read_answer("<think>x</think>\n\nfirst\n\nAnswer: B", "stop", SELF_OPENED, ()).text == "\n\nfirst\n\nAnswer: B"
    )


def completed(text, reason="stop", scores=None):
    return Completion("k", text, reason, 3, 5, 0.1, scores)


def test_plain_prompts_are_read_as_they_stand():
    for style in ("direct", "cot", "free"):
        assert answer_reader(style, RunSettings()).answer(completed("\nA</think>B")).text == "\nA</think>B"


def test_in_a_chat_the_whole_turn_is_the_answer():
    for style, shots in (("direct", 0), ("cot", 2)):
        reading = answer_reader(style, RunSettings(PromptSettings(shots, chat=True)))
        assert reading.answer(completed("\n\nB\n\nC")).text == "\n\nB\n\nC"


def test_in_plain_text_steps_end_with_their_answer_line():
    reading = answer_reader("cot", RunSettings(PromptSettings(3)))
    steps = "1 + 2 = 3\n\n3 + 4 = 7\nAnswer: 7"
    assert reading.answer(completed(steps)).text == steps
    assert reading.answer(completed(f"{steps}\n\nAnother question.\nAnswer: 9")).text == steps
    hopeful = "Answer: let me see\n1 + 2 = 3\nAnswer: 3"
    assert reading.answer(completed(hopeful)).text == hopeful


def test_steps_in_plain_text_stop_where_another_question_begins():
    stops = sampling_of(Cell("mano", "p23l2", "symbol", "cot")).stop
    assert "\n\nAll arithmetic is" in stops
    assert "\nQuestion:" in stops
    assert "\n\n" not in stops
    assert sampling_of(Cell("mano", "p23l2", "symbol", "direct")).stop == ("\n",)
    assert sampling_of(Cell("mano", "p23l2", "symbol", "cot"), RunSettings(PromptSettings(chat=True))).stop == ()


def test_a_chosen_candidate_has_no_thought():
    reading = answer_reader("choice", RunSettings(PromptSettings(chat=True), SamplingSettings(thinking=OPENED)))
    assert reading.answer(completed(" B", scores=(-1.0, -2.0))) == FinalAnswer(" B", "none")


def test_a_truncated_thought_is_wrong_and_says_so_even_if_it_names_the_gold():
    item = instance_from_id("depo@2/n8k2/symbol/7/0")
    reading = answer_reader("direct", RunSettings(PromptSettings(chat=True), SamplingSettings(thinking=OPENED)))
    for text, reason, label in [
        (item.gold, "length", "cut_off"), (f"?</think>{item.gold}", "stop", "correct"), ("?</think>", "stop", "no_answer"),
    ]:  # fmt: skip
        done = completed(text, reason)
        assert grade_completion(item, done, reading.answer(done)).label == label

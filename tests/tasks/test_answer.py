import time

import pytest

from fathom.tasks.answer import final_answer, final_integer, final_list, normalise


@pytest.mark.parametrize(
    "text",
    ["QK", " QK\n", "QK.", '"QK"', "**QK**", "`QK`", "$QK$", "\\boxed{QK}", "$\\boxed{QK}$", "Answer: QK", "answer : QK",
     "**Answer:** QK", "**Answer: QK**", "Answer:\nQK", "Answer:\n\n  QK\n", "I think.\nThen more.\n\nAnswer: QK", "> Answer: QK",
     "Answer: QK\nAnswer: QK", "### Answer: QK", "QK -> RT\nAnswer: QK\n\n"],
)  # fmt: skip
def test_an_answer_is_found_in_its_usual_dress(text):
    assert final_answer(text) == "QK"


@pytest.mark.parametrize(
    "text",
    ["", "   ", "QK\nRT", "Answer: QK\nAnswer: RT", "Answer:", "Answer:\n", "It is QK\nor RT", "x" * 5000, "Answer: " + "x" * 900],
)  # fmt: skip
def test_what_commits_to_nothing_is_no_answer(text):
    assert final_answer(text) is None


@pytest.mark.parametrize("text", ["The answer is QK", "QK or RT", "ＱＫ", "Q\u200bK", "\u202eQK", "QΚ", "qk", "QK RT"])
def test_look_alikes_and_sentences_are_not_the_name(text):
    assert final_answer(text) != "QK"


def test_only_one_full_stop_is_peeled():
    assert normalise("QK..") == "QK.."
    assert normalise('"QK."') == "QK"


def test_integers_are_ascii_digits_only():
    assert final_integer("Answer: -12") == -12
    assert final_integer("٣") is None
    assert final_integer("12.5") is None
    assert final_integer("1" * 100_000) is None


def test_lists_are_split_at_commas_and_blanks():
    assert final_list("Answer: [QK, RT  MN]") == ["QK", "RT", "MN"]
    assert final_list("a\nb") is None


HOSTILE = {
    "empty": "", "newlines": "\n" * 10_000_000, "blanks": " " * 10_000_000, "digits": "9" * 1_000_000,
    "brackets": "[" * 1_000_000, "marks": "Answer:" * 1_000_000, "marked lines": "Answer:\n" * 100_000,
    "marked values": "Answer: Q\n" * 100_000, "stars": "*" * 5_000_000, "quotes": '"' * 5_000_000,
    "binary": "\x00\x01\ufffe" * 1_000_000, "mark and blanks": "Answer:" + " " * 5_000_000, "dots": "Answer: QK" + "." * 5_000_000,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_is_parsed_without_raising_or_hanging(name):
    began = time.process_time()
    final_answer(HOSTILE[name])
    assert time.process_time() - began < 20  # a quadratic parser would take hours


def test_answers_without_end_are_no_answer():
    from fathom.tasks.answer import MAX_MARKS, MAX_TEXT

    assert final_answer("Answer: 4\n" * MAX_MARKS) == "4"
    assert final_answer("Answer: 4\n" * (MAX_MARKS + 1)) is None
    assert final_answer("x" * MAX_TEXT + "\nAnswer: 4") is None

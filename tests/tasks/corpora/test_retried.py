import re

import pytest

from fathom.tasks.arithmetic.retry import BACK
from fathom.tasks.base import make_instance
from fathom.tasks.corpora.base import make_block, read_options
from fathom.tasks.corpora.registry import find_corpus
from fathom.tasks.errors import BadOption
from fathom.tasks.families.repair import FAMILY

KINDS = {"igsm": ("repair", {}, "retry-op"), "mano": ("repair", {"problem": "mano"}, "retry-mano-l")}


def documents(corpus, blocks=4, **given):
    options = read_options(find_corpus(corpus), given)
    return [
        document
        for number in range(blocks)
        for document in make_block(find_corpus(corpus), options, 5, number).documents
    ]


def frame(text):
    """Return a text with its names, numbers and operators left out, and what repeats, once."""
    words = re.sub(r"[A-Z]{2}|[0-9]+|[-+*()]", "", text).split()
    return list(dict.fromkeys(words))


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_has_the_form_of_a_question_and_its_gold(kind):
    corpus, given, level = KINDS[kind]
    for [(prompt, completion)] in documents(corpus, 1, error_rate=0, op=4, **given):
        item = make_instance(FAMILY, f"{level}4", "symbol", 3, 0)
        assert frame(prompt) == frame(item.question)
        assert frame(completion) == frame(item.gold)
        assert completion.startswith(" ")
        assert "\n" not in prompt + completion


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_of_operations_up_to_the_most_occurs(kind):
    corpus, given, _ = KINDS[kind]
    made = documents(corpus, error_rate=0, op=5, **given)
    if kind == "mano":
        assert {completion.count("; ") for [(_, completion)] in made} == {2, 3, 4, 5}
    else:
        # A plain number is no operation, a formula of t numbers and names t - 1.
        operations = {
            sum(len(step.split(" = ")[1].split()) // 2 for step in completion.strip().split("; ")[:-1])
            for [(_, completion)] in made
        }
        assert operations == {2, 3, 4, 5}


def test_igsm_writes_no_wrong_start_unless_told_to():
    assert not any(BACK in completion for [(_, completion)] in documents("igsm"))
    assert any(BACK in completion for [(_, completion)] in documents("igsm", error_rate=0.1))
    assert any(BACK in completion for [(_, completion)] in documents("repair"))


def test_an_error_rate_above_one_half_is_refused():
    with pytest.raises(BadOption, match="error_rate"):
        read_options(find_corpus("repair"), {"error_rate": 0.6})


def test_text_for_training_poses_no_question_of_an_evaluation():
    posed = {prompt for [(prompt, _)] in documents("repair", 20, op=4)}
    asked = {make_instance(FAMILY, "retry-op4", "symbol", 5, index).question for index in range(500)}
    assert len(posed) > 600
    assert not posed & asked

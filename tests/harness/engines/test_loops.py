import pytest

from fathom.harness.engines.loops import LOOP_TOKENS, ends_in_loop, tokens_end_in_loop
from fathom.harness.engines.tokens import cut_at_stop
from fathom.tasks.base import demonstrate, make_instance, styles_of
from fathom.tasks.registry import all_families


@pytest.mark.parametrize("part", ["a", "la ", "So the answer is 5.\n", "Step: add them, " * 8])
def test_a_text_that_repeats_its_end_is_a_loop(part):
    assert ends_in_loop("At first it says something. " + part * (2000 // len(part) + 5))


@pytest.mark.parametrize("text", ["", "a" * 100, "".join(f"Step {at}: add {at}.\n" for at in range(400)), "ab" * 20])
def test_counting_and_short_repeats_are_none(text):
    assert not ends_in_loop(text)


def test_three_times_is_no_loop_and_the_beginning_does_not_matter():
    paragraph = " ".join(str(at * at) for at in range(60))
    assert not ends_in_loop(paragraph * 3)
    assert ends_in_loop("other words " + paragraph * 5)


def test_tokens_are_compared_as_texts_are():
    assert tokens_end_in_loop([7, 8, 9] * LOOP_TOKENS)
    assert not tokens_end_in_loop(list(range(4000)))


@pytest.mark.parametrize("name", all_families())
def test_no_right_answer_is_a_loop(name):
    family = all_families()[name]
    for level in family.levels.values():
        style = styles_of(family, level)[-1 if level.styles else 0]
        channel = (level.channels or family.channels)[0]
        if len(level.name) < 12:
            assert not ends_in_loop(demonstrate(family, make_instance(family, level.name, channel, 3, 0), style))


def test_stop_texts_act_after_the_first_visible_character():
    assert cut_at_stop("\n\nRC\nmore", ("\n",)) == ("\n\nRC", True)
    assert cut_at_stop("\n\n", ("\n",)) == ("\n\n", False)
    assert cut_at_stop("RC\nmore", ("\n",)) == ("RC", True)

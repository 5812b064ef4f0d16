"""Rules that every family keeps at every level; a new family is covered without a line here."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from functools import lru_cache
from hashlib import sha256
from math import sqrt

import pytest
from scipy.stats import binom

from fathom.tasks.base import (
    CUT_OFF,
    NO_ANSWER,
    PARAMETRIC,
    PARTS,
    channels_of,
    demonstrate,
    grade,
    grade_likelihood,
    make_instance,
    pose,
    styles_of,
)
from fathom.tasks.registry import all_families, instance_from_id
from fathom.tasks.stream import Stream

FAMILIES = list(all_families().values())
SIZES = (None, 300, 100_000)
"""Levels that differ only in the number of people are tested with the fewest and the most; all are pinned."""

CELLS = [
    (f, level.name, channel)
    for f in FAMILIES
    for level in f.levels.values()
    for channel in channels_of(f, level)
    if level.axes.get("people") in SIZES
]
"""All cells; `make test-full` looks at each."""


def sampled(cells):
    """Choose one cell of each ladder by the seed of the test run."""
    groups: dict[tuple[str, str], list[object]] = {}
    for cell in cells:
        family, level, _channel = cell
        groups.setdefault((family.name, family.levels[level].ladder), []).append(cell)
    seed = os.environ.get("FATHOM_TEST_SEED", "0")
    return [Stream("contract", seed, *key).choice(members) for key, members in groups.items()]


ASKED = CELLS if os.environ.get("FATHOM_TEST_FULL") else sampled(CELLS)
"""The cells that this test run looks at."""

# Some thousand comparisons are made, so each may stray by 4.5 standard errors (1 in 300,000).
STRAY, LUCK = 4.5, 1 / 300_000
LONG = 8_000
"""Characters; of levels whose questions are longer, fewer items are made."""

# The scope makes pytest run all rules of a cell one after the other, so that few items need be kept.
every_cell = pytest.mark.parametrize(
    ("family", "level", "channel"),
    [pytest.param(*cell, id=f"{cell[0].name}-{cell[1]}-{cell[2]}") for cell in ASKED],
    scope="module",
)
every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def items(family, level, channel, seed=1, count=300, role="eval"):
    return [make_instance(family, level, channel, seed, index, role=role) for index in range(count)]


@lru_cache(maxsize=8)
def some(family, level, channel, seed=1):
    """Make 300 items, fewer where they are long; cached for the rules that use the same ones.

    Items about one population are not independent: a wrong answer about a person repeats. So each is of another one.
    """
    if "people" in family.levels[level].axes:
        return [make_instance(family, level, channel, seed * 1_000 + at, at) for at in range(300)]
    length = len(make_instance(family, level, channel, seed, 0).question)
    return items(family, level, channel, seed, 300 if length < LONG else 60 if length < 5 * LONG else 12)


def styles(family, level):
    return styles_of(family, family.levels[level])


def is_parametric(family, level):
    """Say whether a level is parametric: its answer is the first line, without a mark."""
    return set(styles(family, level)) <= set(PARAMETRIC)


def chance(family, level, style):
    return family.chance(family.levels[level], style)


def at_most(hits, n, share):
    """Say whether `hits` of `n` is no more than luck would give at a true share."""
    return binom.sf(hits - 1, n, max(share, 1 / n)) >= LUCK


@every_family
def test_a_family_says_in_plain_words_what_it_asks_and_how_it_is_graded(family):
    assert re.fullmatch(r"[a-z]{1,20}", family.name)
    assert family.part in PARTS
    assert 0 < len(family.title) <= 30
    for sentence in (family.summary, family.grading, family.reference, family.unit):
        assert sentence.strip() == sentence != ""
    assert family.summary.endswith(".")
    assert family.grading.endswith(".")


@every_family
def test_every_label_has_a_meaning_in_one_sentence(family):
    assert (family.labels["no_answer"], family.labels["cut_off"]) == (NO_ANSWER, CUT_OFF)
    for label, meaning in family.labels.items():
        assert re.fullmatch(r"[a-z_]+", label)
        assert re.fullmatch(r"[A-Z].*\.", meaning), label


@every_cell
def test_gold_is_right_bare_and_at_the_end_of_a_thought(family, level, channel):
    for item in some(family, level, channel)[:20]:
        assert grade(family, item, item.gold).correct
        for style in styles(family, level):
            assert grade(family, item, demonstrate(family, item, style)).correct
        if not is_parametric(family, level):
            assert grade(
                family, item, f"I follow it step by step.\n\nSo it is clear.\n**Answer:** {item.gold}.\n"
            ).correct


@every_cell
def test_what_is_no_answer_is_wrong_and_labelled(family, level, channel):
    made = some(family, level, channel)[:6]
    for item, other in zip(made, made[1:] + made[:1], strict=True):
        noise = "".join(chr(33 + word % 90) for word in Stream("noise", item.id).words(10_000))
        prompts = [pose(family, item, style) for style in styles(family, level)]
        for text in ("", " \n\t ", *listed(family, item), noise, *prompts):
            verdict = grade(family, item, text)
            assert not verdict.correct, text[:200]
            assert verdict.label in family.labels
        free = "free" in styles(family, level)  # of one language, one may fit another
        if answer(other) != answer(item) and not free:
            assert not grade(family, item, other.gold).correct


def listed(family, item):
    """List the candidates in four ways; "May, 1965" is no list but commits to the one of them that is asked for."""
    given = item.choices
    if len(given) > 2 or len({choice.isdecimal() for choice in given}) == 1:
        yield from (sign.join(given) for sign in ("\n", ", ", " or "))
        yield "\n".join(f"Answer: {choice}" for choice in given)


@every_cell
def test_an_answer_that_was_cut_counts_only_with_more_behind_it(family, level, channel):
    item = some(family, level, channel)[0]
    for text in ("", item.gold, f"Answer: {item.gold}"):
        verdict = grade(family, item, text, cut=True)
        assert (verdict.correct, verdict.label, verdict.found) == (False, "cut_off", "none")
    assert grade(family, item, f"{item.gold}\nNow I explain why", cut=True).correct


@every_cell
def test_the_form_asked_for_is_told_from_other_words(family, level, channel):
    item = some(family, level, channel)[0]
    for style in styles(family, level):
        assert grade(family, item, demonstrate(family, item, style)).found == "asked"
    if not is_parametric(family, level):
        assert grade(family, item, f"So the answer is **{item.gold}**.").found == "read"
        assert grade(family, item, "I cannot tell.").found == "none"


def answer(item):
    """Return what decides; a gold may be a whole solution, whose answer the facts then state."""
    return item.facts.get("answer", item.gold)


@every_cell
def test_hostile_text_is_wrong_and_raises_nothing(family, level, channel):
    item = some(family, level, channel)[0]
    for text in hostile():
        verdict = grade(family, item, text)
        assert not verdict.correct, text[:80]
        assert verdict.label in family.labels
    assert grade(family, item, f"Answer: {item.gold}\n" * 30_000 + f"Answer: {item.gold} or not\n").correct is False


@every_cell
def test_an_answer_that_a_model_repeats_without_end_is_that_answer(family, level, channel):
    item = some(family, level, channel)[0]
    if not is_parametric(family, level):
        for text in (
            f"Answer: {item.gold} " * 60,
            f"Answer: {item.gold}\n" * 30_000,
            "x" * 300_000 + f"\nAnswer: {item.gold}",
        ):
            assert grade(family, item, text).correct, text[:80]


def hostile():
    yield from (
        "(" * 100_000,
        "Answer: " + "(" * 150 + ")" * 150,
        "Answer: " + "9" * 1_000_000,
        "9" * 150,
        "\n" * 300_000,
    )
    yield from ("Answer:" * 1_000, "Answer:\n" * 1_000, "Answer: \ud800", "\0\0\0")
    yield "\U0001d7d9\U0001d7da"  # digits that are not ASCII
    yield "Answer: \N{FULLWIDTH DIGIT ONE}\N{FULLWIDTH DIGIT TWO}"
    yield ("x" * 10_000 + "\n") * 1_000  # ten million characters


@every_cell
def test_one_candidate_is_right_at_balanced_places(family, level, channel):
    if "choice" not in styles(family, level):
        return
    made = some(family, level, channel)
    places = Counter(item.choices.index(item.gold) for item in made)
    for item in made:
        assert len(set(item.choices)) == len(item.choices)
        assert item.choices.count(item.gold) == 1
    for item in made[:40]:
        assert sum(grade(family, item, choice).correct for choice in item.choices) == 1
    assert at_most(max(places.values()), len(made), 1 / len(made[0].choices))


@every_cell
def test_no_candidate_stands_out_by_place_or_length(family, level, channel):
    if "choice" not in styles(family, level):
        return
    made = some(family, level, channel)
    share = chance(family, level, "choice")
    # What is asked about is no candidate, so its neighbours come first a little more often than others.
    placed = min(2 * share, (1 + share) / 2)
    bounds = {first_mentioned: placed, last_mentioned: placed, most_mentioned: placed, longest: share, shortest: share}
    for pick, bound in bounds.items():
        assert at_most(sum(pick(item) == item.gold for item in made), len(made), bound), pick.__name__


def first_mentioned(item):
    return min(item.choices, key=lambda choice: item.question.find(choice) % (1 << 40))


def last_mentioned(item):
    return max(item.choices, key=item.question.rfind)


def most_mentioned(item):
    return max(item.choices, key=item.question.count)


def longest(item):
    return max(item.choices, key=len)


def shortest(item):
    return min(item.choices, key=len)


@every_cell
def test_the_best_guesser_scores_the_stated_chance(family, level, channel):
    made = some(family, level, channel)
    for style in styles(family, level):
        share = chance(family, level, style)
        if style == "bits":  # the guesser is uniform there, see the rule below
            assert share == 0
            continue
        guesses = ((item, family.guess(item, style, Stream("guess", style, item.id))) for item in made)
        hits = sum(grade(family, item, guess).correct for item, guess in guesses)
        assert abs(hits / len(made) - share) <= STRAY * sqrt(share * (1 - share) / len(made)), style


@every_cell
def test_a_level_asks_the_context_or_the_weights_but_not_both(family, level, channel):
    assert is_parametric(family, level) or not set(styles(family, level)) & set(PARAMETRIC)


@every_cell
def test_who_knows_all_earns_every_bit_and_the_uniform_guesser_none(family, level, channel):
    for item in some(family, level, channel)[:60] if "bits" in styles(family, level) else ():
        known, guessed = item.facts["nats"]["known"], item.facts["nats"]["guessed"]
        assert guessed < known <= 0
        assert grade_likelihood(item, known).correct
        assert not grade_likelihood(item, guessed).correct
        assert grade_likelihood(item, guessed).note.startswith("0.00 of ")


@every_cell
def test_the_best_constant_answer_stays_at_chance(family, level, channel):
    made = some(family, level, channel)
    _, most = Counter(item.gold for item in made).most_common(1)[0]
    if styles(family, level) == ("bits",):  # no answer is given
        return
    assert at_most(most, len(made), max(chance(family, level, style) for style in styles(family, level)))


@every_cell
def test_prompts_state_how_to_answer_and_budgets_are_positive(family, level, channel):
    item = make_instance(family, level, channel, 3, 0)
    for style in styles(family, level):
        assert pose(family, item, style).startswith(item.question)
        assert family.budget(family.levels[level], style) >= 1
        assert pose(family, item, style).endswith("Answer:") == (style in ("direct", "choice"))


@every_cell
def test_neither_prompts_nor_answers_hold_a_blank_line(family, level, channel):
    item = some(family, level, channel)[0]
    for style in styles(family, level):
        assert "\n\n" not in pose(family, item, style) + demonstrate(family, item, style)
        assert "\n" not in item.gold


@every_cell
def test_an_id_brings_back_the_same_item(family, level, channel):
    item = make_instance(family, level, channel, "beef", 123_456_789)
    assert instance_from_id(item.id) == item


@every_cell
@pytest.mark.slow
def test_seeds_never_share_items(family, level, channel):
    if family.levels[level].space >= 1e9:
        first, second = ({item.question for item in some(family, level, channel, seed)} for seed in (1, 2))
        assert not first & second


@every_family
@pytest.mark.slow
@pytest.mark.cases(3)
def test_thousands_of_items_of_two_seeds_share_no_question(family, request):
    level = next(level.name for level in family.levels.values() if level.space >= 1e11)
    if "people" in family.levels[level].axes:
        return  # asked about as many people as there are, see the rule below
    channel = channels_of(family, family.levels[level])[0]
    n = 10_000 if request.config.getoption("--full") else 2_000
    first, second = ({item.question for item in items(family, level, channel, seed, n)} for seed in (1, 2))
    assert not first & second
    assert len(first) > 0.999 * n
    assert len(second) > 0.999 * n


@every_family
def test_items_about_a_population_are_as_different_as_its_people_are_many(family):
    for level in family.levels.values():
        if level.axes.get("people") in (1_000, 100_000):
            first, second = ({item.question for item in items(family, level.name, "story", s, 400)} for s in (1, 2))
            assert not first & second
            n_people = int(level.axes["people"]) // 2
            assert len(first) > n_people * (1 - (1 - 1 / n_people) ** 400) - 60


@every_family
@pytest.mark.slow
@pytest.mark.cases(4)
def test_training_and_demonstrations_share_no_question_with_evaluation(family):
    wide = [level for level in family.levels.values() if level.space >= 1e11]
    for level in wide[:4]:
        for channel in channels_of(family, level):
            style = styles_of(family, level)[0]
            asked = {pose(family, item, style) for item in items(family, level.name, channel, 7, 120)}
            shots = {pose(family, item, style) for item in items(family, level.name, channel, 7, 120, "shot")}
            lessons = {
                prompt
                for index in range(120)
                for prompt, _ in family.lesson(level, channel, style, Stream("train", "7", index))
            }
            assert not asked & shots
            assert not asked & lessons


@every_family
def test_a_lesson_reads_like_an_item_and_ends_with_its_answer(family):
    for level in family.levels.values():
        for channel in channels_of(family, level):
            for style in styles_of(family, level):
                if style != "choice" and level.axes.get("length", 0) in (0, 1000):
                    pairs = family.lesson(level, channel, style, Stream("train", "lesson", level.name))
                    assert pairs
                    for prompt, completion in pairs:
                        assert prompt
                        assert (style == "cot") == ("Answer:" in completion)


@every_family
def test_higher_levels_of_a_ladder_are_harder(family):
    for ladder in {level.ladder for level in family.levels.values()}:
        ranked = [level for level in family.levels.values() if level.ladder == ladder]
        by_size: dict[object, list[float]] = {}
        for level in ranked:
            by_size.setdefault(level.axes.get("n"), []).append(level.hardness)
        for hardness in by_size.values():
            assert hardness == sorted(hardness)
            assert min(hardness) > 0


def digest_of_one_item_a_cell():
    state = sha256()
    for family in all_families().values():
        for level in family.levels.values():
            for channel in channels_of(family, level):
                state.update(repr(make_instance(family, level.name, channel, 9, 4)).encode())
    return state.hexdigest()


@pytest.mark.parametrize("hash_seed", ["0", "4242"])
def test_items_are_the_same_bytes_in_a_fresh_process(hash_seed):
    script = (
        "import hashlib\n"
        "from fathom import tasks\n"
        "from fathom.tasks.base import channels_of\n"
        "state = hashlib.sha256()\n"
        "for f in tasks.all_families().values():\n"
        "    for level in f.levels.values():\n"
        "        for channel in channels_of(f, level):\n"
        "            state.update(repr(tasks.make_instance(f, level.name, channel, 9, 4)).encode())\n"
        "print(state.hexdigest())\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == digest_of_one_item_a_cell()


def test_facts_are_json_and_survive_it():
    for family, level, channel in CELLS:
        item = make_instance(family, level, channel, 5, 0)
        assert json.loads(json.dumps(item.facts))

"""Rules that every family keeps at every level; a new family is covered without a line here."""

import json
import os
import subprocess
import sys
from collections import Counter
from math import sqrt

import pytest

from tasks import all_families, instance_from_id, make_instance, pose
from tasks.base import demonstrate
from tasks.stream import Stream

N = 300
FAMILIES = list(all_families().values())
CELLS = [(f, level, channel) for f in FAMILIES for level in f.levels for channel in f.channels]
IDS = [f"{f.name}-{level}-{channel}" for f, level, channel in CELLS]
# About a thousand comparisons are made, so each may stray by 4.5 standard errors (1 in 300,000).
STRAY = 4.5

every_cell = pytest.mark.parametrize(("family", "level", "channel"), CELLS, ids=IDS)


def items(family, level, channel, seed=1, count=N, role="eval"):
    return [make_instance(family, level, channel, seed, index, role=role) for index in range(count)]


@every_cell
def test_gold_is_right_bare_and_at_the_end_of_a_thought(family, level, channel):
    for item in items(family, level, channel, count=20):
        assert family.grade(item, item.gold).correct
        for style in family.styles:
            assert family.grade(item, demonstrate(family, item, style)).correct
        assert family.grade(item, f"I follow it step by step.\n\nSo it is clear.\n**Answer:** {item.gold}.\n").correct


@every_cell
def test_what_is_no_answer_is_wrong_and_labelled(family, level, channel):
    made = items(family, level, channel, count=6)
    for item, other in zip(made, made[1:] + made[:1], strict=True):
        listed = ", ".join(item.choices)
        noise = "".join(chr(33 + word % 90) for word in Stream("noise", item.id).words(10_000))
        prompt = pose(family, item, "cot")
        each_marked = "\n".join(f"Answer: {choice}" for choice in item.choices)
        for text in (
            "",
            " \n\t ",
            listed,
            "\n".join(item.choices),
            each_marked,
            noise,
            prompt,
            pose(family, item, "direct"),
        ):
            verdict = family.grade(item, text)
            assert not verdict.correct
            assert verdict.label in family.labels
        if other.gold != item.gold:
            assert not family.grade(item, other.gold).correct


@every_cell
def test_candidates_hold_the_gold_once_at_balanced_places(family, level, channel):
    made = items(family, level, channel)
    places = Counter(item.choices.index(item.gold) for item in made)
    for item in made:
        assert len(set(item.choices)) == len(item.choices)
        assert item.choices.count(item.gold) == 1
    chance = 1 / len(made[0].choices)
    assert max(places.values()) / N <= chance + STRAY * sqrt(chance * (1 - chance) / N)


@every_cell
def test_the_best_guesser_scores_the_stated_chance(family, level, channel):
    made = items(family, level, channel)
    for style in family.styles:
        chance = family.chance(family.levels[level], style)
        hits = sum(
            family.grade(item, family.guess(item, style, Stream("guess", style, item.id))).correct for item in made
        )
        assert abs(hits / N - chance) <= STRAY * sqrt(chance * (1 - chance) / N)


@every_cell
def test_the_best_constant_answer_stays_at_chance(family, level, channel):
    made = items(family, level, channel)
    _, most = Counter(item.gold for item in made).most_common(1)[0]
    chance = family.chance(family.levels[level], "direct")
    assert most / N <= chance + STRAY * sqrt(chance * (1 - chance) / N)


@every_cell
def test_prompts_state_how_to_answer_and_budgets_are_positive(family, level, channel):
    item = make_instance(family, level, channel, 3, 0)
    for style in family.styles:
        assert pose(family, item, style).startswith(item.question)
        assert family.budget(family.levels[level], style) >= 1
    assert pose(family, item, "direct").endswith("Answer:")


@every_cell
def test_an_id_brings_back_the_same_item(family, level, channel):
    item = make_instance(family, level, channel, "beef", 123_456_789)
    assert instance_from_id(item.id) == item


@every_cell
def test_seeds_never_share_items(family, level, channel):
    first, second = (Counter(item.question for item in items(family, level, channel, seed)) for seed in (1, 2))
    assert not first & second


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_ten_thousand_items_of_two_seeds_share_no_question(family):
    level, channel = next(iter(family.levels)), family.channels[0]
    first, second = ({item.question for item in items(family, level, channel, seed, 10_000)} for seed in (1, 2))
    assert not first & second
    assert len(first) > 9_990
    assert len(second) > 9_990


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_training_and_demonstrations_share_no_question_with_evaluation(family):
    for level in list(family.levels)[:4]:
        for channel in family.channels:
            asked = {item.question for item in items(family, level, channel, 7, 2_000)}
            shots = {item.question for item in items(family, level, channel, 7, 2_000, "shot")}
            lessons = {
                prompt
                for index in range(2_000)
                for prompt, _ in family.lesson(family.levels[level], channel, "direct", Stream("train", "7", index))
            }
            assert not asked & shots
            assert not any(
                question in prompt
                for prompt in lessons
                for question in (prompt.partition(" Reply")[0],)
                if question in asked
            )


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_higher_levels_of_a_ladder_are_harder(family):
    for ladder in {level.ladder for level in family.levels.values()}:
        ranked = [level for level in family.levels.values() if level.ladder == ladder]
        by_size: dict[object, list[float]] = {}
        for level in ranked:
            by_size.setdefault(level.axes.get("n"), []).append(level.hardness)
        for hardness in by_size.values():
            assert hardness == sorted(hardness)


@pytest.mark.parametrize("hash_seed", ["0", "4242"])
def test_items_are_the_same_bytes_in_a_fresh_process(hash_seed):
    script = (
        "import hashlib, tasks\n"
        "state = hashlib.sha256()\n"
        "for f in tasks.all_families().values():\n"
        "    for level in f.levels:\n"
        "        for channel in f.channels:\n"
        "            state.update(repr(tasks.make_instance(f, level, channel, 9, 4)).encode())\n"
        "print(state.hexdigest())\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    import hashlib

    state = hashlib.sha256()
    for family, level, channel in CELLS:
        state.update(repr(make_instance(family, level, channel, 9, 4)).encode())
    assert done.stdout.strip() == state.hexdigest()


def test_facts_are_json_and_survive_it():
    for family, level, channel in CELLS:
        item = make_instance(family, level, channel, 5, 0)
        assert json.loads(json.dumps(item.facts))

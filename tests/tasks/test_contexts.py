"""Items of a cell share no context: they are independent samples, so that a cell's Wilson interval is valid.

If several questions were asked about one population, graph or text, their answers would be correlated, and intervals
would have to be clustered. The content of a prompt is measured by its runs of twelve words that few other prompts
have; instructions, which all prompts share, do not count.
"""

from collections import Counter, defaultdict
from itertools import combinations

import pytest

from fathom.tasks.base import channels_of, make_instance, pose, styles_of
from fathom.tasks.registry import all_families

RUN = 12
N_SHORT, N_LONG, LONG = 24, 2, 1500
"""Neighbouring items that are compared, for prompts shorter than LONG words and for longer ones. (Among 200 of each the
most that any two shared was 0.40.)"""
SHORTEST = 25
"""Own runs that a prompt needs on average to be compared: two sums of three numbers are too short."""
ALIKE = 0.6


def runs_of(prompt):
    words = prompt.split()
    return {hash(tuple(words[at : at + RUN])) for at in range(max(1, len(words) - RUN + 1))}


def most_shared(prompts):
    """Return the mean number of own runs of a prompt, and the largest share of them that another prompt has."""
    runs = [runs_of(prompt) for prompt in prompts]
    usual = Counter(run for one in runs for run in one)
    own = [{run for run in one if usual[run] <= max(2, len(prompts) / 4)} for one in runs]
    places = defaultdict(list)
    for at, one in enumerate(own):
        for run in one:
            places[run].append(at)
    both = Counter(pair for found in places.values() for pair in combinations(found, 2))
    shares = (n / min(len(own[a]), len(own[b])) for (a, b), n in both.items())
    return sum(map(len, own)) / len(own), max(shares, default=0.0)


def prompts_of(family, level, channel):
    style = styles_of(family, level)[0]
    ask = lambda index: pose(family, make_instance(family, level.name, channel, "7", index), style)  # noqa: E731
    n = N_LONG if len(ask(0).split()) > LONG else N_SHORT
    return [ask(index) for index in range(n)]


@pytest.mark.parametrize("family", all_families().values(), ids=lambda family: family.name)
@pytest.mark.slow
@pytest.mark.cases(3)
def test_items_of_a_cell_share_no_context(family):
    ladders = {}
    for level in family.levels.values():
        ladders.setdefault(level.ladder, []).append(level)
    n_told = n_cells = 0
    for name, levels in ladders.items():
        level = levels[len(levels) // 2]
        for channel in channels_of(family, level):
            n_cells += 1
            length, shared = most_shared(prompts_of(family, level, channel))
            print(f"{family.name} {name} {level.name} {channel}: {length:.0f} runs, most shared {shared:.2f}")
            if length >= SHORTEST:
                n_told += 1
                assert shared < ALIKE
    is_one_line = all(
        "people" in level.axes for level in family.levels.values()
    )  # asks about people of the training text
    assert n_told >= min(2, n_cells) or is_one_line


def test_two_questions_about_one_text_would_be_seen():
    family = all_families()["years"]
    level = family.levels["y8k1-1k"]
    prompts = prompts_of(family, level, "symbol")
    asked_again = prompts[3].rsplit(maxsplit=8)[0] + " but who was born before all others?"
    assert most_shared(prompts)[1] < ALIKE < most_shared([*prompts, asked_again])[1]

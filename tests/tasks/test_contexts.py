"""Items of a cell share no context: each is a sample of its own, so that Wilson's interval of a cell holds.

Were several questions asked about one population, graph or text, their answers would go together, and intervals
would have to be clustered by it. What a prompt says of its own is taken as its runs of twelve words that few others
have; instructions, which all have, do not count.
"""

from collections import Counter, defaultdict
from itertools import combinations

import pytest

from fathom.tasks.base import channels_of, make_instance, pose, styles_of
from fathom.tasks.registry import all_families

RUN = 12
N_SHORT, N_LONG, LONG = 24, 2, 1500
"""Items that are compared, where prompts are shorter than LONG words and where they are not: neighbours, of which a
generator would make several at once. (Among 200 of each the most that any two shared was 0.40.)"""
SHORTEST = 25
"""Runs of its own that a prompt must have on average: two sums of three numbers say little to tell them apart by."""
ALIKE = 0.6


def runs_of(prompt):
    words = prompt.split()
    return {hash(tuple(words[at : at + RUN])) for at in range(max(1, len(words) - RUN + 1))}


def most_shared(prompts):
    """Return the mean number of runs of a prompt's own, and the largest share of these that another has as well."""
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
def test_items_of_a_cell_share_no_context(family):
    ladders = {}
    for level in family.levels.values():
        ladders.setdefault(level.ladder, []).append(level)
    n_told = 0
    for name, levels in ladders.items():
        level = levels[len(levels) // 2]
        for channel in channels_of(family, level):
            length, shared = most_shared(prompts_of(family, level, channel))
            print(f"{family.name} {name} {level.name} {channel}: {length:.0f} runs, most shared {shared:.2f}")
            if length >= SHORTEST:
                n_told += 1
                assert shared < ALIKE
    told_nothing = all("people" in level.axes for level in family.levels.values())  # one line, about whom was learnt
    assert n_told >= 2 or told_nothing


def test_two_questions_about_one_text_would_be_seen():
    family = all_families()["years"]
    level = family.levels["y8k1-1k"]
    prompts = prompts_of(family, level, "symbol")
    asked_again = prompts[3].rsplit(maxsplit=8)[0] + " but who was born before all others?"
    assert most_shared(prompts)[1] < ALIKE < most_shared([*prompts, asked_again])[1]

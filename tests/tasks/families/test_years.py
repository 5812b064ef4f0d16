import re
from collections import Counter
from dataclasses import replace

import pytest

from fathom.tasks.base import Instance, grade, make_instance, pose
from fathom.tasks.families.years import FAMILY
from fathom.tasks.stream import Stream
from fathom.tasks.words import CHARS_A_TOKEN

SHORT = [name for name, level in FAMILY.levels.items() if level.axes["length"] == 0]
LONG = [name for name in FAMILY.levels if name not in SHORT]
STATEMENTS = {
    "symbol": r"^([A-Z]+) = (\w+)$",
    "story": r"\b(\w+) was born in the (?:year|same year as) (\w+)\.",
}
ASKED = {"symbol": r"\nWhat is the year of (\w+)\?$", "story": r"\nIn which year was (\w+) born\?$"}


def statements(item):
    return list(re.finditer(STATEMENTS[item.channel], item.question, re.MULTILINE))


def solve_from_text(item):
    """Replace people by years, in rounds over the whole text, until the person asked about has one."""
    asked = re.search(ASKED[item.channel], item.question)[1]
    known = dict(found.groups() for found in statements(item))
    while not known[asked].isdecimal():
        known = {person: known.get(value, value) for person, value in known.items()}
    return known[asked]


@pytest.mark.parametrize("channel", FAMILY.channels)
def test_gold_follows_from_the_question_alone(channel):
    for level in FAMILY.levels:
        length = FAMILY.levels[level].axes["length"]
        for index in range(32 if level in SHORT else 6 if length < 16_000 else 1):
            item = make_instance(FAMILY, level, channel, 11, index)
            assert solve_from_text(item) == item.gold


def test_the_levels_are_those_of_the_design():
    found = {}
    for level in FAMILY.levels.values():
        found.setdefault(level.ladder, []).append((level.axes["n"], level.axes["k"], level.axes["length"]))
    paper = ((5, 1), (3, 2))
    grid = [(n, k, 0) for n in (2, 4, 8, 16, 32) for k in (1, 2, 3, 4, 5, 6)]
    assert found["main"] == grid + [(n, k, 0) for n, k in paper]
    for thousands in (1, 4, 16, 32, 64, 128):
        length = 1_000 * thousands
        expected = [(8, k, length) for k in (1, 2, 3, 4, 6)] + [(n, k, length) for n, k in paper]
        assert found[f"{thousands}k"] == expected
    for ladder in ("early", "middle", "late"):
        assert found[ladder] == [(8, k, 16_000) for k in (1, 2, 4)]
    assert {"y2k1", "y3k2", "y5k1", "y3k2-128k", "y8k2-16k", "y8k4-16k-late"} < set(FAMILY.levels)
    assert len(FAMILY.levels) == 83


@pytest.mark.parametrize("channel", FAMILY.channels)
@pytest.mark.parametrize("level", SHORT + LONG[::4])
def test_each_year_is_at_the_end_of_one_chain_of_k_people(level, channel):
    axes = FAMILY.levels[level].axes
    item = make_instance(FAMILY, level, channel, 2, 0)
    known = dict(found.groups() for found in statements(item))
    assert len(known) == len(statements(item)) == axes["n"] * axes["k"]
    assert sorted(known.items()) == sorted(item.facts["facts"])
    years = [name for name in known.values() if name.isdecimal()]
    assert len(set(years)) == len(years) == axes["n"]
    assert all(1950 <= int(year) <= 2009 for year in years)
    assert len(set(known.values())) == len(known)  # a bijection: nobody is pointed at twice
    node, hops = item.facts["asked"], 0
    assert node not in known.values()
    while not node.isdecimal():
        node, hops = known[node], hops + 1
    assert (node, hops) == (item.gold, axes["k"])


def without_statements(item):
    _, text = item.question.split("\n", 1)
    text, _ = text.rsplit("\n", 1)
    return re.sub(STATEMENTS[item.channel] + r"\s", "", text + "\n", flags=re.MULTILINE)


@pytest.mark.parametrize("channel", FAMILY.channels)
def test_a_text_is_as_long_as_its_level_says(channel):
    for level in LONG:
        item = make_instance(FAMILY, level, channel, 4, 0)
        stated = len(statements(item)) * {"symbol": 5, "story": 13}[channel] + 65
        tokens = len(without_statements(item)) / CHARS_A_TOKEN[channel] + stated
        assert abs(tokens / FAMILY.levels[level].axes["length"] - 1) < 0.02, level


def test_no_filler_goes_into_the_main_ladder():
    for channel in FAMILY.channels:
        assert not without_statements(make_instance(FAMILY, "y8k3", channel, 3, 0))
        assert without_statements(make_instance(FAMILY, "y8k3-1k", channel, 3, 0))


@pytest.mark.parametrize("channel", FAMILY.channels)
@pytest.mark.parametrize(("place", "low", "high"), [("early", 0, 0.2), ("middle", 0.4, 0.6), ("late", 0.8, 1)])
def test_placed_statements_stay_in_their_fifth(channel, place, low, high):
    for index in range(6):
        item = make_instance(FAMILY, f"y8k4-16k-{place}", channel, 6, index)
        shares = [found.start() / len(item.question) for found in statements(item)]
        assert low - 0.01 <= min(shares) < low + 0.05
        assert high - 0.05 < max(shares) <= high + 0.01


@pytest.mark.parametrize("channel", FAMILY.channels)
def test_other_statements_lie_anywhere(channel):
    items = [make_instance(FAMILY, "y8k2-4k", channel, 7, index) for index in range(60)]
    fifths = Counter(int(5 * found.start() / len(item.question)) for item in items for found in statements(item))
    assert fifths.total() == 960
    assert all(140 < fifths[fifth] < 245 for fifth in range(5))


def distances(item):
    facts = item.facts["facts"]
    at = next(number for number, (person, _) in enumerate(facts) if person == item.facts["asked"])
    return {year: abs(number - at) for number, (_, year) in enumerate(facts) if year.isdecimal()}


@pytest.mark.parametrize("level", ["y2k2", "y3k2", "y4k2", "y8k3", "y32k2"])
@pytest.mark.cases(2)
def test_no_shortcut_pays(level):
    items = [make_instance(FAMILY, level, channel, 8, index) for channel in FAMILY.channels for index in range(1_000)]
    for style in ("direct", "choice"):
        stated = FAMILY.chance(FAMILY.levels[level], style)
        for shortcut in FAMILY.shortcuts:
            hits = sum(shortcut.answer(item, style) == item.gold for item in items)
            assert hits / len(items) <= stated + 0.05, (shortcut.name, style)


def test_shortcuts_answer_by_the_places_of_the_statements():
    rules = {shortcut.name: shortcut.answer(BY_HAND, "direct") for shortcut in FAMILY.shortcuts}
    assert rules == {
        "nearest_year": "1980", "nearest_to_next": "1980", "farthest_year": "1960", "first_year": "1960",
        "last_year": "2000", "year_after": "1980", "year_before": "1970", "middle_year": "1980",
    }  # fmt: skip


def test_at_one_hop_the_year_nearest_is_what_is_asked_and_no_shortcut():
    item = make_instance(FAMILY, "y5k1", "story", 1, 0)
    rules = {shortcut.name: shortcut.answer(item, "direct") for shortcut in FAMILY.shortcuts}
    assert rules["nearest_year"] is None
    assert min(distances(item), key=distances(item).get) == item.gold


@pytest.mark.parametrize("channel", FAMILY.channels)
def test_the_example_of_an_answer_is_a_year_that_the_text_does_not_state(channel):
    for level in ("y2k1", "y32k6", "y3k2-1k"):
        item = make_instance(FAMILY, level, channel, 7, 0)
        shown = item.facts["example"]
        assert 1950 <= int(shown) <= 2009
        assert shown not in item.question
        assert pose(FAMILY, item, "cot").endswith(f"for example: Answer: {shown}\n")
        assert shown not in pose(FAMILY, item, "direct")


def test_all_sixty_years_are_asked_for_equally_often():
    golds = Counter(make_instance(FAMILY, "y16k2", "symbol", 9, index).gold for index in range(6_000))
    assert set(golds) == {str(year) for year in range(1950, 2010)}
    assert all(55 < count < 150 for count in golds.values())


def test_candidates_are_years_of_the_text():
    for level, count in (("y2k2", 2), ("y4k2", 4), ("y8k2", 8), ("y32k1", 8)):
        item = make_instance(FAMILY, level, "story", 1, 0)
        assert len(item.choices) == count
        assert set(item.choices) <= set(distances(item))


FACTS = [
    ("AA", "1960"), ("BB", "1970"), ("B2", "BB"), ("C2", "CC"), ("A2", "AA"), ("A3", "A2"),
    ("CC", "1980"), ("D2", "DD"), ("C3", "C2"), ("DD", "1990"), ("EE", "2000"),
]  # fmt: skip
BY_HAND = Instance("years", 2, "y4k2", "symbol", "0", 0, "", "1960", (), {"facts": FACTS, "asked": "A3", "hops": 3})


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("1960", "correct"), ("1980", "nearest_year"), ("2000", "last_year"), ("1970", "other_year"),
        ("1990", "other_year"), ("1961", "not_a_year"), ("60", "not_a_year"), ("unknown", "no_answer"),
        ("1960 or 1970", "no_answer"), ("1960, 1970, 1980, 1990, 2000", "no_answer"), ("-1960", "not_a_year"),
        ("19\u0666\u0660", "no_answer"), ("ZZ", "not_a_year"), ("in 1960", "correct"), ("AA", "a_person"), ("C2", "a_person"), ("", "no_answer"),
        ("Answer: 1960\nAnswer: 1970", "no_answer"), ("It was\n1960", "correct"),
    ],
)  # fmt: skip
def test_a_wrong_answer_is_told_by_its_place(answer, label):
    verdict = grade(FAMILY, BY_HAND, answer)
    assert verdict.label == label
    assert verdict.correct is (label == "correct")
    assert label in (*FAMILY.labels, "correct")


def test_the_first_year_of_the_text_is_told():
    item = Instance("years", 2, "y4k2", "symbol", "0", 0, "", "2000", (), {"facts": FACTS, "asked": "EE", "hops": 1})
    assert grade(FAMILY, item, "1960").label == "first_year"
    assert grade(FAMILY, item, "1990").label == "nearest_year"


def test_a_person_on_the_way_tells_which_look_up_was_not_made():
    assert [grade(FAMILY, BY_HAND, person).at for person in ("A3", "A2", "AA", "C3")] == [1, 2, 3, None]


def test_every_other_year_is_rejected():
    for level in ("y2k1", "y32k6"):
        item = make_instance(FAMILY, level, "story", 5, 0)
        right = [year for year in range(1940, 2020) if grade(FAMILY, item, f"So it was.\nAnswer: {year}").correct]
        assert right == [int(item.gold)]


@pytest.mark.parametrize("channel", FAMILY.channels)
def test_a_solution_is_k_statements_of_the_text(channel):
    for level in ("y2k1", "y8k6", "y8k3-1k"):
        item = make_instance(FAMILY, level, channel, 3, 1)
        steps = re.split(r"(?<=\.) |, ", FAMILY.solution(item).strip())
        assert len(steps) == item.facts["hops"]
        assert all(step.rstrip("." if channel == "symbol" else "") in item.question for step in steps)
        assert item.facts["asked"] in steps[0]
        assert item.gold in steps[-1]


def test_a_lesson_shows_its_text_once_and_its_steps_are_those_of_its_level():
    (first, completion), *others = FAMILY.lesson(FAMILY.levels["y8k3"], "story", "cot", Stream("train", 1))
    assert first.count("born in the same year") == 16
    assert completion.count("born in the same year") == 2
    assert re.search(r"\nAnswer: \d{4}$", completion)
    assert others
    assert not any("born in the same year" in prompt for prompt, _ in others)


@pytest.mark.parametrize("channel", FAMILY.channels)
@pytest.mark.parametrize("style", ["direct", "cot"])
def test_a_lesson_asks_different_people_of_the_last_group_and_answers_right(channel, style):
    level = FAMILY.levels["y8k2"]
    item = make_instance(FAMILY, "y8k2", channel, 1, 0)
    for index in range(20):
        pairs = FAMILY.lesson(level, channel, style, Stream("train", index))
        shown = pairs[0][0].rpartition("?")[0].rpartition("\n")[0]
        asked = set()
        for prompt, completion in pairs:
            question = prompt if prompt.startswith(shown) else shown + prompt
            posed = replace(item, question=question.rpartition("?")[0] + "?")
            assert solve_from_text(posed) == completion.split()[-1]
            asked.add(re.search(ASKED[channel], posed.question)[1])
        assert len(asked) == len(pairs) == (8 if style == "direct" else 3)
        assert not asked & {found[2] for found in statements(posed)}

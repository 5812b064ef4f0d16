import re
from collections import Counter

import pytest

from fathom.tasks.base import grade, make_instance
from fathom.tasks.families.bios import FAMILY
from fathom.tasks.people.population import CITIES, EMPLOYERS, MAJORS, MONTHS, UNIVERSITIES, Person
from fathom.tasks.stream import Stream


def people_of(item):
    return [Person(**row) for row in item.facts["people"]]


DATE = re.compile(rf"\d+ (?:{'|'.join(MONTHS)}) \d{{4}}")
NAME = re.compile(r"\b[A-Z][a-z]{4} (?!College|Academy)[A-Z][a-z]{6}\b")
DOMAIN = {
    kind: re.compile("|".join(words))
    for kind, words in (("city", CITIES), ("university", UNIVERSITIES), ("major", MAJORS), ("employer", EMPLOYERS))
}
BIRTH = re.compile(r"birth|born|native|cradle|world|light of day|breath|first hours|life began")
RECORD = re.compile(
    r"(?P<name>[A-Z]{2}): born (?P<date>.+?) in (?P<city>\w+); studied (?P<major>.+?) at (?P<university>.+?); "
    r"worked for (?P<employer>.+?) in (?P<work_city>\w+)\."
)


def read_biography(line):
    """Find what each sentence tells by the kind of value in it, without the list of wordings."""
    told = {"name": NAME.search(line)[0]}
    for sentence in line.removesuffix(".").split(". "):
        found = {kind: pattern.findall(sentence) for kind, pattern in (("date", DATE), *DOMAIN.items())}
        [(kind, values)] = [(kind, values) for kind, values in found.items() if values]
        [value] = values
        if kind == "city" and not BIRTH.search(sentence):
            kind = "work_city"
        assert kind not in told
        told[kind] = value
    assert len(told) == 7
    return told


def read(question):
    _, *lines, asked = question.split("\n")
    symbol = RECORD.match(lines[0])
    people = [RECORD.fullmatch(line).groupdict() if symbol else read_biography(line) for line in lines]
    return {who["name"]: who for who in people}, asked


PLAIN = (
    (r"When was (.+) born\?", "date"),
    (r"In which city was (.+) born\?", "city"),
    (r"Where did (.+) study\?", "university"),
    (r"Which subject did (.+) study\?", "major"),
    (r"For which employer did (.+) work\?", "employer"),
    (r"In which city did (.+) work\?", "work_city"),
)
NOUNS = {
    "the date of birth (day, month and year, in the form used above)": "date",
    "the city of birth": "city",
    "the full name of the place of study": "university",
    "the subject studied": "major",
    "the full name of the employer": "employer",
    "the city of work": "work_city",
}
SEARCHES = (
    (r"Who was born on (.+)\?", ("date",)),
    (r"Who was born in (\w+)\?", ("city",)),
    (r"Who worked for (.+)\?", ("employer",)),
    (r"Who was born in (\w+) and worked for (.+)\?", ("city", "employer")),
    (r"Who studied (.+) at (.+)\?", ("major", "university")),
)


def month(who):
    return MONTHS.index(who["date"].split()[1]) + 1


def when(who):
    day, _, year = who["date"].split()
    return int(year), month(who), int(day)


def answers_to(question):
    """Return all right answers, from the question's text alone."""
    people, asked = read(question)
    for pattern, kind in PLAIN:
        if found := re.match(pattern, asked):
            return {people[found[1]][kind]}
    if found := re.match(r"In which (year|month) was (.+) born\?", asked):
        return {people[found[2]]["date"].split()[2 if found[1] == "year" else 1]}
    if found := re.match(r"For (.+?), give (the .+) and (the .+), in this order", asked):
        return {"; ".join(people[found[1]][NOUNS[noun]] for noun in found.groups()[1:])}
    if found := re.search(r"Was (.+) born in a month with an even number\?", asked):
        return {"no" if month(people[found[1]]) % 2 else "yes"}
    if found := re.search(r"the number of (.+)'s month of birth leave when divided by 6\?", asked):
        return {str(month(people[found[1]]) % 6)}
    if found := re.match(r"Is the subject that (.+) studied on this list: (.+)\?", asked):
        return {"yes" if people[found[1]]["major"] in found[2].split(", ") else "no"}
    if found := re.match(r"How many months lie between the birth of (.+) and the birth of (.+)\?", asked):
        (y1, m1, _), (y2, m2, _) = (when(people[name]) for name in found.groups())
        return {str(abs((y1 * 12 + m1) - (y2 * 12 + m2)))}
    if found := re.match(r"How many of these people were born in (\w+)\?", asked):
        return {str(sum(who["city"] == found[1] for who in people.values()))}
    if found := re.search(r"(?:born|the) (earlier|later)\b.*, (.+) or (.+)\?", asked):
        skip = 1 if asked.startswith("Leave") else 0
        ranked = sorted(found.groups()[1:], key=lambda name: when(people[name])[skip:])
        return {ranked[0 if found[1] == "earlier" else 1]}
    for pattern, kinds in SEARCHES:
        if found := re.match(pattern + " Several", asked):
            return {who["name"] for who in people.values() if all(map(who.get, kinds)) and tuple(who[k] for k in kinds) == found.groups()}  # fmt: skip
    raise AssertionError(asked)


@pytest.mark.parametrize("channel", FAMILY.channels)
@pytest.mark.parametrize(("style", "count"), [("direct", 10), ("cot", 3)])
def test_a_lesson_about_attributes_asks_several_of_one_text_and_answers_right(channel, style, count):
    for index in range(20):
        pairs = FAMILY.lesson(FAMILY.levels["extract-k5"], channel, style, Stream("train", index))
        shown = pairs[0][0].partition("?")[0].rpartition("\n")[0]
        assert [prompt.startswith(shown) for prompt, _ in pairs] == [True] + [False] * (count - 1)
        for prompt, completion in pairs:
            question = prompt if prompt.startswith(shown) else shown + "\n" + prompt.strip()
            assert completion.strip().rpartition("Answer: ")[2] in answers_to(question.partition("?")[0] + "?")
        assert len({prompt for prompt, _ in pairs[1:]}) == count - 1


def items(level, count, channel="symbol", seed=1):
    return [make_instance(FAMILY, level, channel, seed, index) for index in range(count)]


@pytest.mark.parametrize("channel", FAMILY.channels)
@pytest.mark.parametrize("level", FAMILY.levels)
def test_gold_follows_from_the_question_alone(level, channel):
    for item in items(level, 5 if level.endswith("k100") else 50, channel, 11):
        right = answers_to(item.question)
        assert item.gold in right
        assert all(grade(FAMILY, item, answer).correct for answer in right)
        assert [choice for choice in item.choices if choice in right] == [item.gold]
        for row in people_of(item):
            assert grade(FAMILY, item, row.name).correct == (row.name in right)


@pytest.mark.parametrize("channel", FAMILY.channels)
def test_mutated_answers_are_rejected(channel):
    for level in FAMILY.levels:
        if level.endswith("k100"):
            continue
        for item in items(level, 8, channel, 12):
            for mutated in (f"{item.gold}x", f"x{item.gold}", item.gold[:-1], item.gold[1:], f"{item.gold} or {item.gold}", f"not {item.gold}", item.gold[::-1]):  # fmt: skip
                if mutated.lower().strip(" ;.") != item.gold.lower() and mutated not in answers_to(item.question):
                    assert not grade(FAMILY, item, mutated).correct, mutated


def test_the_levels_are_eight_modes_by_the_number_of_biographies():
    by_mode = {}
    for level in FAMILY.levels.values():
        by_mode.setdefault(level.axes["mode"], []).append(level.axes["k"])
        assert level.name == f"{level.axes['mode']}-k{level.axes['k']}"
        assert level.hardness == level.axes["k"]
        assert (level.ladder == "main") == (level.axes["mode"] == "extract")
    few, many = [1, 5, 20, 100], [5, 20, 100]
    assert by_mode == {"extract": few, "partial": few, "dual": few, "classify": few,
                       "compare": many, "subtract": many, "inverse": many, "count": many}  # fmt: skip


def test_letters_of_either_case_are_right_and_so_is_free_space_in_a_pair():
    for item in items("extract-k5", 20, "story"):
        assert grade(FAMILY, item, item.gold.upper()).correct
    item = items("dual-k5", 1)[0]
    first, second = item.gold.split("; ")
    for text in (f"{first};{second}", f"{first} ;  {second}", f"I see.\nAnswer: {first}; {second}.", f"{first}, {second}",
                 f"{first} and {second}", f"{first}\n{second}"):  # fmt: skip
        assert grade(FAMILY, item, text).correct
    for text in (f"{second}; {first}", f"{first} or {second}", first, second):
        assert not grade(FAMILY, item, text).correct


def find(level, condition, channel="story"):
    return next(item for item in items(level, 200, channel) if condition(item.facts))


def label(item, text):
    verdict = grade(FAMILY, item, text)
    assert not verdict.correct
    assert verdict.label in FAMILY.labels
    return verdict.label


def test_a_wrong_attribute_is_labelled():
    item = find("extract-k5", lambda facts: facts["attributes"] == ["city"])
    me = next(row for row in people_of(item) if row.name == item.facts["asked"][0])
    other = next(row for row in people_of(item) if row.city != me.city)
    shown = {row.city for row in people_of(item)} | {me.work_city}
    assert label(item, other.city) == "other_person"
    assert label(item, me.work_city) == label(item, me.major) == "other_attribute"
    assert label(item, next(city for city in CITIES if city not in shown)) == "wrong"
    assert label(item, "Atlantis") == label(item, "The city is Atlantis.") == "not_in_domain"
    assert grade(FAMILY, item, f"the city of {item.gold}").correct
    assert label(item, "I do not know.\nSorry.") == "no_answer"


def test_a_wrong_date_is_near_where_one_part_is_wrong():
    item = find("extract-k5", lambda facts: facts["attributes"] == ["date"])
    day, name, year = item.gold.split()
    assert label(item, f"{int(day) % 28 + 1} {name} {year}") == "near_value"
    assert label(item, f"{day} {name} {(int(year) - 1800 + 7) % 200 + 1800}") == "near_value"
    assert label(item, f"{int(day) % 28 + 1} {name} {(int(year) - 1800 + 7) % 200 + 1800}") == "wrong"
    assert label(item, f"30 {name} {year}") == "not_in_domain"
    for text in (
        f"{name} {day}, {year}",
        f"the {day}th of {name} {year}",
        f"{year}-{MONTHS.index(name) + 1:02}-{int(day):02}",
    ):
        assert grade(FAMILY, item, text).correct


def test_a_wrong_year_or_month_is_labelled():
    year = find(
        "partial-k1", lambda facts: facts["attributes"] == ["year"] and 1800 < Person(**facts["people"][0]).year < 1990
    )
    assert label(year, str(int(year.gold) + 1)) == label(year, str(int(year.gold) - 1)) == "near_value"
    assert label(year, str(int(year.gold) + 9)) == "wrong"
    assert label(year, "2031") == "not_in_domain"
    assert label(year, MONTHS[people_of(year)[0].month - 1]) == "other_attribute"
    name = find(
        "partial-k1", lambda facts: facts["attributes"] == ["month"] and Person(**facts["people"][0]).month == 12
    )
    assert label(name, "January") == label(name, "november") == "near_value"
    assert label(name, "June") == "wrong"
    assert label(name, "Winter") == "not_in_domain"
    assert label(name, "13") == "no_answer"


def test_a_wrong_pair_is_labelled_by_its_first_wrong_part():
    item = find("dual-k5", lambda facts: facts["attributes"] == ["city", "employer"])
    first, second = item.gold.split("; ")
    other = next(row for row in people_of(item) if row.city != first and row.employer != second)
    assert label(item, f"{second}; {first}") == "swapped"
    assert label(item, f"{other.city}; {other.employer}") == "other_person"
    verdict = grade(FAMILY, item, f"{first}; {other.employer}")
    assert (verdict.label, verdict.at) == ("other_person", 2)
    assert grade(FAMILY, item, f"{other.city}; {second}").at == 1
    assert label(item, f"{first}; {first}") == "other_attribute"
    assert label(item, f"{first}; nobody") == "not_in_domain"
    assert label(item, first) == "no_answer"


def test_wrong_judgements_names_and_numbers_are_labelled():
    even = find("classify-k5", lambda facts: facts["operation"] == "even")
    assert label(even, "no" if even.gold == "yes" else "yes") == "wrong"
    assert label(even, "maybe") == "no_answer"
    left = find("classify-k5", lambda facts: facts["operation"] == "remainder")
    assert label(left, str(int(left.gold) + (1 if left.gold != "5" else -1))) == "near_value"
    assert label(left, str((int(left.gold) + 3) % 6)) == "wrong"
    assert label(left, "6") == label(left, "-1") == "not_in_domain"
    two = items("compare-k5", 1, "story")[0]
    loser = next(name for name in two.facts["asked"] if name != two.gold)
    third = next(row.name for row in people_of(two) if row.name not in two.facts["asked"])
    assert [label(two, name) for name in (loser, third, "Ana Test")] == ["wrong", "other_person", "not_in_domain"]
    apart = items("subtract-k5", 1)[0]
    wrongs = [int(apart.gold) + more for more in (1, -1, 12, 5, 9_000)]
    assert [label(apart, str(n)) for n in wrongs] == ["near_value"] * 3 + ["wrong", "not_in_domain"]
    many = find("count-k20", lambda facts: True)
    assert label(many, str(int(many.gold) + 1)) == "near_value"
    assert label(many, str(int(many.gold) + 3)) == "wrong"
    assert label(many, "21") == "not_in_domain"
    assert label(many, "some") == "no_answer"
    who = items("inverse-k5", 1)[0]
    assert [label(who, name) for name in (next(c for c in who.choices if c != who.gold), "ZZZ")] == ["other_person", "not_in_domain"]  # fmt: skip


def test_every_person_who_fits_an_inverse_question_is_right():
    several = 0
    for item in items("inverse-k20", 200):
        fit = [row.name for row in people_of(item)
               if all(str(getattr(row, kind, f"{row.day} {MONTHS[row.month - 1]} {row.year}")) == value
                      for kind, value in item.facts["wanted"].items())]  # fmt: skip
        assert item.gold in fit
        assert len(fit) <= 2
        assert item.facts["accepts"] == "verifier"
        assert all(grade(FAMILY, item, name).correct for name in fit)
        several += len(fit) > 1
    assert 50 < several < 125  # 6 of 14 groups are pairs


def test_half_fitting_people_are_in_every_question_with_two_conditions():
    for item in items("inverse-k5", 60):
        wanted = item.facts["wanted"]
        if len(wanted) == 2:
            met = {tuple(getattr(row, kind) == value for kind, value in wanted.items()) for row in people_of(item)}
            assert met >= {(True, True), (True, False), (False, True)}


def test_counts_are_balanced_and_somebody_works_in_the_city():
    for level, counts in (("count-k5", range(1, 5)), ("count-k20", range(2, 7))):
        made = items(level, 600)
        assert sorted({int(item.gold) for item in made}) == list(counts)
        assert max(Counter(item.gold for item in made).values()) < 600 / len(counts) * 1.3
        for item in made:
            assert any(row.work_city == item.facts["wanted"]["city"] for row in people_of(item))
    assert {int(item.gold) for item in items("count-k100", 100)} == set(range(9, 17))


def test_people_of_one_prompt_differ_in_what_is_asked():
    for level in ("extract-k20", "extract-k100"):
        for item in items(level, 30):
            kind = item.facts["attributes"][0]
            rows = people_of(item)
            values = {row[2:5] if kind == "date" else getattr(row, kind) for row in rows}
            assert len(values) == len(rows)


def test_each_month_comes_equally_often():
    for item in items("partial-k20", 40):
        if item.facts["attributes"] == ["month"]:
            assert set(Counter(row.month for row in people_of(item)).values()) == {2}


def test_anybody_may_be_asked_and_any_attribute():
    made = items("extract-k5", 1_000)
    places = Counter([row.name for row in people_of(item)].index(item.facts["asked"][0]) for item in made)
    assert all(150 < places[place] < 250 for place in range(5))
    asked = Counter(item.facts["attributes"][0] for item in made)
    assert len(asked) == 6
    assert max(asked.values()) < 220
    pairs = Counter(tuple(item.facts["attributes"]) for item in items("dual-k1", 1_500))
    assert len(pairs) == 30
    assert max(pairs.values()) < 90


def test_yes_and_no_are_balanced_whatever_most_people_are():
    for operation in ("even", "listed"):
        made = [item for item in items("classify-k5", 1_500) if item.facts["operation"] == operation]
        assert abs(sum(item.gold == "yes" for item in made) / len(made) - 0.5) < 0.09
        agree = 0
        for item in made:
            rows = people_of(item)
            yes = [row.month % 2 == 0 if operation == "even" else row.major in item.facts["list"] for row in rows]
            assert any(yes)
            assert not all(yes)
            agree += (sum(yes) * 2 > len(yes)) == (item.gold == "yes")
        assert abs(agree / len(made) - 0.5) < 0.09


def test_candidates_of_a_difference_are_neighbours_and_the_gold_is_anywhere_among_them():
    ranks = Counter()
    for item in items("subtract-k5", 800):
        numbers = sorted(int(choice) for choice in item.choices)
        assert min(numbers) >= 1
        assert numbers == [n for n in range(numbers[0], numbers[-1] + 1) if n % 12]
        ranks[numbers.index(int(item.gold))] += 1
    assert all(60 < ranks[rank] < 140 for rank in range(8))


def test_the_stated_chance_is_that_of_the_design():
    def chance(name, style="direct"):
        return FAMILY.chance(FAMILY.levels[name], style)

    assert [chance(f"extract-k{k}") for k in (1, 5, 20, 100)] == [1 / 6, 1 / 5, 1 / 20, 1 / 100]
    assert [chance(f"extract-k{k}", "choice") for k in (1, 5, 20)] == [1 / 6, 1 / 5, 1 / 8]
    assert chance("partial-k20") == pytest.approx((1 / 20 + 1 / 10) / 2)
    assert chance("dual-k1") == 1 / 30
    assert chance("classify-k5") == pytest.approx((1 / 2 + 1 / 2 + 1 / 5) / 3)
    assert chance("inverse-k5") == 1 / 4
    assert 0.0009 < chance("subtract-k5") < 0.001


def test_the_guesser_of_a_long_run_scores_the_stated_chance():
    for level in ("extract-k1", "classify-k1", "classify-k5", "inverse-k5", "count-k5", "partial-k20"):
        made = items(level, 3_000, seed=5)
        hits = sum(grade(FAMILY, item, FAMILY.guess(item, "direct", Stream("g", item.id))).correct for item in made)
        share = FAMILY.chance(FAMILY.levels[level], "direct")
        assert abs(hits / 3_000 - share) < 4 * (share * (1 - share) / 3_000) ** 0.5, level


def test_facts_from_json_grade_and_solve_alike():
    import json
    from dataclasses import replace

    for level in FAMILY.levels:
        if not level.endswith("k100"):
            item = items(level, 1, "story")[0]
            again = replace(item, facts=json.loads(json.dumps(item.facts)))
            assert FAMILY.solution(again) == FAMILY.solution(item)
            for text in (item.gold, "nobody", *item.choices):
                assert grade(FAMILY, again, text) == grade(FAMILY, item, text)

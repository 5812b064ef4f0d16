import re
from collections import Counter

import pytest

from fathom.tasks.answers.reader import read_answer
from fathom.tasks.base import grade, make_instance, pose
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
    r"(?P<name>[A-Z]{2,3}): born (?P<date>.+?) in (?P<city>\w+); studied (?P<major>.+?) at (?P<university>.+?); "
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
    (r"Who was born on (.+) in (\w+)\?", ("date", "city")),
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


N_BY_SIZE = {2: 50, 5: 50, 20: 50, 100: 5, 300: 1, 1_000: 1}
"""Items to solve per level and channel, by the number of biographies: 2,092 in all."""


def size(level):
    return FAMILY.levels[level].axes["k"]


@pytest.mark.parametrize("channel", FAMILY.channels)
@pytest.mark.parametrize("level", FAMILY.levels)
def test_gold_follows_from_the_question_alone(level, channel):
    for item in items(level, N_BY_SIZE[size(level)], channel, 11):
        right = answers_to(item.question)
        assert item.gold in right
        assert all(grade(FAMILY, item, answer).correct for answer in right)
        assert [choice for choice in item.choices if choice in right] == [item.gold]
        for row in people_of(item)[:100]:
            assert grade(FAMILY, item, row.name).correct == (row.name in right)


def test_the_solver_is_given_two_thousand_items():
    assert sum(N_BY_SIZE[size(level)] for level in FAMILY.levels) * len(FAMILY.channels) >= 2_000


@pytest.mark.parametrize("channel", FAMILY.channels)
def test_mutated_answers_are_rejected(channel):
    for level in FAMILY.levels:
        if size(level) >= 100:
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
    few, many, large = [2, 5, 20, 100], [5, 20, 100], [300, 1_000]
    assert by_mode == {"extract": few + large, "partial": few, "dual": few, "classify": few, "compare": many,
                       "subtract": many, "inverse": many + large, "count": many + large}  # fmt: skip


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


def asked_person(facts):
    return next(Person(**row) for row in facts["people"] if row["name"] == facts["asked"][0])


def test_a_wrong_year_or_month_is_labelled():
    year = find("partial-k2", lambda facts: facts["attributes"] == ["year"] and 1800 < asked_person(facts).year < 1990)
    gold, other = int(year.gold), next(int(choice) for choice in year.choices if choice != year.gold)
    far = next(gold + more for more in (5, 7, 9) if gold + more != other)
    assert next(label(year, str(gold + step)) for step in (1, -1) if gold + step != other) == "near_value"
    assert label(year, str(far)) == "wrong"
    assert label(year, str(other)) == "other_person"
    assert label(year, "2031") == "not_in_domain"
    assert label(year, MONTHS[asked_person(year.facts).month - 1]) == "other_attribute"
    name = find(
        "partial-k2",
        lambda facts: (
            facts["attributes"] == ["month"]
            and asked_person(facts).month == 12
            and {row["month"] for row in facts["people"]} & {2, 3, 4, 5, 7, 8, 9, 10}
        ),
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
    for item in items("inverse-k20", 300):
        fit = [row.name for row in people_of(item)
               if all(str(getattr(row, kind, f"{row.day} {MONTHS[row.month - 1]} {row.year}")) == value
                      for kind, value in item.facts["wanted"].items())]  # fmt: skip
        assert item.gold in fit
        assert len(fit) <= 2
        assert item.facts["accepts"] == "verifier"
        assert all(grade(FAMILY, item, name).correct for name in fit)
        several += len(fit) > 1
    assert 40 < several < 115  # 4 of 16 groups are pairs


def test_one_of_two_conditions_leaves_a_row_or_a_column_of_the_people():
    for level, side in (("inverse-k5", 2), ("inverse-k20", 4), ("inverse-k100", 9)):
        for item in items(level, 25):
            wanted, people = item.facts["wanted"], read(item.question)[0].values()
            assert len(wanted) == 2
            shown = [tuple(who[kind] for kind in wanted) for who in people]
            assert len(set(shown)) == side**2
            for part, value in enumerate(wanted.values()):
                assert len({pair for pair in shown if pair[part] == value}) == side


def test_candidates_of_a_search_share_each_attribute_with_others():
    for item in items("inverse-k20", 100):
        people, wanted = read(item.question)[0], item.facts["wanted"]
        assert len(item.choices) == 8
        for kind, value in wanted.items():
            assert 2 <= sum(people[choice][kind] == value for choice in item.choices) <= 3


def test_counts_are_balanced_and_each_city_is_mentioned_equally_often():
    for level, counts, n in (("count-k5", range(1, 5), 600), ("count-k20", range(2, 7), 600),
                             ("count-k100", range(10, 17), 100)):  # fmt: skip
        made = items(level, n)
        golds, mentions = Counter(int(item.gold) for item in made), {}
        assert sorted(golds) == list(counts)
        assert n < 200 or max(golds.values()) < n / len(counts) * 1.3
        for item in made:
            n_mentions = item.question.rpartition("\n")[0].count(item.facts["wanted"]["city"])
            mentions.setdefault(n_mentions, []).append(int(item.gold))
            assert all(row.work_city != row.city for row in people_of(item))
        for found in mentions.values():
            assert (
                abs(sum(found) / len(found) - sum(counts) / len(counts)) < 4.5 * len(counts) / 3.4 / len(found) ** 0.5
            )
    assert len({item.gold for item in items("count-k1000", 8)}) > 1


def test_people_of_one_prompt_differ_in_what_is_asked():
    for level in ("extract-k2", "extract-k20", "extract-k100"):
        for item in items(level, 30):
            kind = item.facts["attributes"][0]
            rows = people_of(item)
            values = {row[2:5] if kind == "date" else getattr(row, kind) for row in rows}
            assert len(values) == len(rows)


@pytest.mark.parametrize("level", ["extract-k300", "extract-k1000"])
def test_values_of_many_people_are_equally_frequent(level):
    for item in items(level, 6):
        kind = item.facts["attributes"][0]
        times = Counter(row[2:5] if kind == "date" else getattr(row, kind) for row in people_of(item))
        assert len(set(times.values())) == 1


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
    pairs = Counter(tuple(item.facts["attributes"]) for item in items("dual-k2", 1_500))
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


def test_neither_years_nor_months_alone_choose_a_difference():
    ranks = Counter()
    for item in items("subtract-k5", 800):
        people, names = read(item.question)[0], item.facts["asked"]
        (y1, m1, _), (y2, m2, _) = (when(people[name]) for name in names)
        numbers = [int(choice) for choice in item.choices]
        assert len(set(numbers)) == 8
        assert all(100 <= number <= 999 for number in numbers)
        assert sum(abs(number - 12 * abs(y1 - y2)) < 12 for number in numbers) == 4
        months = {(m1 - m2) % 12, (m2 - m1) % 12}
        assert sum(number % 12 in months for number in numbers) >= 4
        ranks[sorted(numbers).index(int(item.gold))] += 1
    assert all(60 < ranks[rank] < 140 for rank in range(8))


def test_the_dates_of_a_comparison_are_close_so_that_one_of_them_says_little():
    for item in items("compare-k5", 300):
        people = read(item.question)[0]
        (y1, m1, d1), (y2, m2, d2) = (when(people[name]) for name in item.facts["asked"])
        if item.facts["scale"] == "life":
            assert 1 <= abs(y1 - y2) <= 15
        else:
            assert y1 != y2
            assert 1 <= abs(28 * m1 + d1 - 28 * m2 - d2) <= 28


@pytest.mark.parametrize("channel", FAMILY.channels)
@pytest.mark.parametrize("level", [level for level in FAMILY.levels if size(level) <= 20])
def test_the_example_in_a_prompt_is_no_answer_to_the_item(level, channel):
    for item in items(level, 30, channel, 13):
        prompt = pose(FAMILY, item, "cot")
        if item.facts["operation"] in ("even", "listed"):
            assert prompt.endswith("gives yes or no after the word Answer and a colon.\n")
            continue
        _, example = prompt.rstrip().rsplit("Answer: ", 1)
        assert example == item.facts["example"]
        assert example not in answers_to(item.question)
        assert item.question.count(example) <= (item.facts["operation"] in ("remainder", "count", "subtract")) * 99
        reading = read_answer(f"Answer: {example}", FAMILY.answer_kind(item))
        assert (reading.value, reading.found) == (example, "asked")


def rates(level, style, n, channel="symbol"):
    """Return how often each shortcut is right."""
    made = items(level, n, channel, 14)
    return {
        rule.name: sum(rule.answer(item, style) == item.gold for item in made) / n
        for rule in FAMILY.shortcuts
        if style in rule.styles
    }


@pytest.mark.parametrize("style", ["direct", "choice"])
@pytest.mark.parametrize("level", [level for level in FAMILY.levels if size(level) <= 20])
@pytest.mark.cases(2)
def test_no_shortcut_beats_the_stated_chance(level, style):
    n, chance = 800, FAMILY.chance(FAMILY.levels[level], style)
    for name, rate in rates(level, style, n).items():
        assert rate < chance + 0.05 + 3 * (chance * (1 - chance) / n) ** 0.5, name


def test_shortcuts_do_what_they_say():
    assert rates("inverse-k5", "choice", 400)["first_part"] > 0.4
    assert rates("subtract-k5", "choice", 400)["years_only"] > 0.18
    assert rates("compare-k5", "direct", 400)["one_date"] > 0.45


def test_the_stated_chance_is_that_of_the_design():
    def chance(name, style="direct"):
        return FAMILY.chance(FAMILY.levels[name], style)

    assert [chance(f"extract-k{k}") for k in (2, 5, 20, 100)] == pytest.approx([1 / 2, 1 / 5, 1 / 20, 1 / 100])
    n_values = (1_000, 200, 250, 100, 250, 200)
    assert chance("extract-k1000") == pytest.approx(sum(1 / n for n in n_values) / 6)
    assert [chance(f"extract-k{k}", "choice") for k in (2, 5, 20)] == [1 / 2, 1 / 5, 1 / 8]
    assert chance("partial-k20") == pytest.approx((1 / 20 + 1 / 10) / 2)
    assert chance("dual-k2") == 1 / 2
    assert chance("classify-k5") == pytest.approx((1 / 2 + 1 / 2 + 1 / 5) / 3)
    assert [chance(f"inverse-k{k}") for k in (5, 20, 100)] == [1 / 2, 1 / 4, 1 / 9]
    assert [chance(f"inverse-k{k}", "choice") for k in (5, 20)] == [1 / 2, pytest.approx(3 / 8)]
    assert chance("subtract-k5") == pytest.approx(1 / 803)
    assert chance("subtract-k5", "choice") == 1 / 4


def test_the_guesser_of_a_long_run_scores_the_stated_chance():
    for level in ("extract-k2", "classify-k2", "classify-k5", "inverse-k5", "count-k5", "partial-k20"):
        made = items(level, 3_000, seed=5)
        hits = sum(grade(FAMILY, item, FAMILY.guess(item, "direct", Stream("g", item.id))).correct for item in made)
        share = FAMILY.chance(FAMILY.levels[level], "direct")
        assert abs(hits / 3_000 - share) < 4 * (share * (1 - share) / 3_000) ** 0.5, level


def test_facts_from_json_grade_and_solve_alike():
    import json
    from dataclasses import replace

    for level in FAMILY.levels:
        if size(level) < 100:
            item = items(level, 1, "story")[0]
            again = replace(item, facts=json.loads(json.dumps(item.facts)))
            assert FAMILY.solution(again) == FAMILY.solution(item)
            for text in (item.gold, "nobody", *item.choices):
                assert grade(FAMILY, again, text) == grade(FAMILY, item, text)


def test_a_record_that_is_repeated_is_no_answer():
    item = make_instance(FAMILY, "extract-k2", "symbol", 2026, 18)
    record = next(line for line in item.question.split("\n") if line.startswith("RD:"))
    assert item.gold in record
    assert grade(FAMILY, item, record.rstrip(".")).label == "no_answer"
    assert grade(FAMILY, item, f"{record}\nSo RD studied {item.gold}.").correct

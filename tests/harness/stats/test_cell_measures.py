from math import inf, log, log2, nan

import pytest

from fathom.harness.reports.measures import measures_json, measures_table
from fathom.harness.stats.cell_measures import GradedSample, is_measured, measure_cell, truth_nats
from fathom.tasks.base import make_instance
from fathom.tasks.families.capo import DOMAINS
from fathom.tasks.people.population import CAPACITY_BITS
from fathom.tasks.registry import all_families
from fathom.tasks.stream import Stream

PEOPLE = 300


def asked(family, level, count, channel="story"):
    return [make_instance(all_families()[family], level, channel, 7, index) for index in range(count)]


def scored(items, nats):
    return [GradedSample(item, False, nats(item), "", "") for item in items]


def by_name(found):
    return {one.name: one for one in found}


FACTS = asked("capo", f"people-{PEOPLE}", 900)


def test_who_knows_all_has_learnt_every_bit_and_who_guesses_none():
    known = by_name(measure_cell(scored(FACTS, lambda item: 0.0), "bits"))
    guessed = by_name(measure_cell(scored(FACTS, lambda item: item.facts["nats"]["guessed"]), "bits"))
    assert known["bits a person"].value == pytest.approx(CAPACITY_BITS + 1) == known["bits a person"].most
    for name, size in DOMAINS.items():
        assert known[f"bits of {name}"].value == pytest.approx(log2(size)) == known[f"bits of {name}"].most
    assert all(one.value == one.interval.low == one.interval.high == 0 for one in guessed.values())


def test_bits_of_a_parameter_are_those_of_all_people_over_the_parameters():
    found = by_name(measure_cell(scored(FACTS, lambda item: 0.0), "bits", 1_000))
    assert found["bits a parameter"].value == pytest.approx((CAPACITY_BITS + 1) * PEOPLE / 1_000)
    assert found["bits a parameter"].interval.high == pytest.approx((CAPACITY_BITS + 1) * PEOPLE / 1_000)


def test_an_attribute_that_is_worse_than_a_guess_counts_nothing_and_takes_nothing_from_the_others():
    nats = lambda item: -50.0 if item.facts["attribute"] == "city" else 0.0  # noqa: E731
    found = by_name(measure_cell(scored(FACTS, nats), "bits"))
    assert found["bits of city"].value == 0
    assert found["bits a person"].value == pytest.approx(CAPACITY_BITS + 1 - log2(200))


def test_half_of_the_majors_known_is_the_mean_of_their_bits():
    majors = [item for item in FACTS if item.facts["attribute"] == "major"][:80]
    nats = {item.id: 0.0 if at % 2 else -log(100) for at, item in enumerate(majors)}
    (found,) = measure_cell(scored(majors, lambda item: nats[item.id]), "bits")
    assert found.name == "bits of major"
    assert found.value == pytest.approx(log2(100) / 2)
    assert found.interval.low < found.value < found.interval.high


def test_samples_about_the_same_people_say_less_than_as_many_about_others():
    few = [item for item in FACTS if item.facts["person"] < 20]
    luck = lambda item: -5.0 * Stream("luck", item.facts["person"]).below(2)  # noqa: E731
    own = by_name(measure_cell(scored(few, luck), "bits"))
    copies = by_name(measure_cell(scored(few, luck) * 5, "bits"))
    for name in ("bits of city", "bits of major"):
        one, five = own[name].interval, copies[name].interval
        assert five.high - five.low == pytest.approx(one.high - one.low)


@pytest.mark.parametrize(("lost", "kl"), [(0.0, 0.0), (0.5, 0.5)])
def test_the_divergence_is_what_the_model_loses_to_the_exact_law_a_token(lost, kl):
    items = asked("lano", "law-a", 40, "symbol")
    nats = lambda item: item.facts["nats"]["known"] - lost * item.facts["n_tokens"]  # noqa: E731
    in_nats, in_bits = measure_cell(scored(items, nats), "bits")
    assert in_nats.value == pytest.approx(kl)
    assert in_bits.value == pytest.approx(kl / log(2))
    assert (in_nats.unit, in_bits.unit) == ("nats a token", "bits a token")


def test_different_sentences_are_counted_among_the_valid_ones_beside_fresh_ones():
    items = asked("lano", "generate-a-0", 40, "symbol")
    same = [GradedSample(item, True, None, items[0].gold, "") for item in items[:30]]
    wrong = [GradedSample(item, False, None, "a a", "") for item in items[30:]]
    said, fresh = measure_cell([*same, *wrong], "free")
    assert said.value == 1 / 30
    assert fresh.value > 0.9
    assert measure_cell(wrong, "free") == ()


def test_wrong_starts_are_counted_with_those_taken_back_and_needless_ones():
    items = asked("repair", "retry-op2", 20, "symbol")
    starts = [item.gold.replace("; ", "; ZZ = 3 [BACK] ", 1) for item in items]
    left = [item.gold.replace("; ", "; ZZ = 3; ", 1) for item in items]
    found = by_name(
        measure_cell(
            [GradedSample(item, True, None, "", text) for item, text in zip(items * 2, starts + left, strict=True)],
            "trained",
        )
    )
    assert found["wrong starts"].value == 1
    assert found["taken back"].value == 0.5
    assert found["needless take-backs"].value == 0


@pytest.mark.parametrize(
    ("scores", "nats"),
    [(None, None), ([], None), ([-1.0, -2.0], None), ([nan], None), ([-2.5], -2.5), ([-inf], -1e9), ([1e308], 0.0)],
)
def test_a_log_likelihood_of_a_stranger_is_within_bounds_or_left_out(scores, nats):
    assert truth_nats(scores) == nats


def test_other_cells_have_no_measures_and_those_that_have_any_name_real_levels():
    assert not is_measured("depo", "n8k1", "direct")
    assert not is_measured("recall", "extract-300", "trained")
    found = [
        (family.name, level.name)
        for family in all_families().values()
        for level in family.levels.values()
        for style in level.styles or family.styles
        if is_measured(family.name, level.name, style)
    ]
    assert {name for name, _ in found} == {"capo", "lano", "repair"}
    assert measure_cell([], "bits") == ()


def test_measures_are_written_as_a_table_and_as_json():
    found = measure_cell(scored(FACTS, lambda item: 0.0), "bits", 1_000)
    table = measures_table(found)
    assert table.rows[0][:3] == ("capo people-300", "bits a person", "47.59")
    assert measures_table(()) is None
    row = measures_json(found)[0]
    assert (row["name"], row["n"], row["family"]) == ("bits a person", 900, "capo")
    assert row["low"] == pytest.approx(row["high"]) == pytest.approx(row["most"])

"""Costs equal a calculation by hand; where no price is known, none is told."""

import json
from datetime import date

import pytest

from fathom.harness.db import read, write
from fathom.harness.engines.base import Completion, EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.errors import BadPrices
from fathom.harness.format import dollars, tokens
from fathom.harness.reports.cost import OURS, Price, cost_facts, cost_of_run, cost_text, read_prices
from fathom.harness.runs.manifest import make_manifest
from fathom.harness.runs.run_settings import RunSettings
from fathom.tasks.base import Verdict
from fathom.tasks.suites import Selection, open_suite

MINE = """
[[price]]
model = "gpt-5-mini"
input = 3
output = 20
dated = 2026-12-01

[machine]
dollars_per_hour = 2.5
dated = 2026-12-01
"""


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """No prices of the machine's user."""
    monkeypatch.delenv("FATHOM_PRICES", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))


@pytest.fixture
def stored(tmp_path):
    """Store a run of three answers, two of them right: 100, 200 and 340 tokens read, 10, 20 and 70 written, in 36 s."""
    from fathom.harness.db.engine import open_database

    db = open_database(str(tmp_path / "runs.db"), create=True)

    def make(engine, model, options):
        suite = open_suite("quick", 7, Selection(("depo",), ("n4k1",), styles=("direct",), n=3))
        settings = RunSettings(engine=EngineSettings(engine, options=options))
        manifest = make_manifest(ModelSource(model, None, model), suite, settings)
        new = write.NewRun(model, engine, suite, suite.digest(), manifest.to_json(), manifest.digest())
        run = write.start_run(db, new)
        rows = [(100, 10, True), (200, 20, False), (340, 70, True)]
        cells = [one.id for one in read.get_run(db, run).cells]
        write.record_samples(db, run, cells, [
            write.Sample(0, at, 0, str(at), Completion(str(at), "x", "stop", n_in, n_out, 0.1), Verdict(right, "x", "correct" if right else "other"))
            for at, (n_in, n_out, right) in enumerate(rows)
        ])  # fmt: skip
        write.finish_run(db, run, write.Ending("done", 36.0))
        return cost_of_run(db, read.get_run(db, run))

    yield make
    db.dispose()


def test_a_cost_is_what_a_hand_calculates(stored):
    cost = stored("openai", "gpt-5-mini", {"provider": "openai"})
    by_hand = 640 / 1e6 * 0.25 + 100 / 1e6 * 2
    assert cost.dollars == pytest.approx(by_hand) == pytest.approx(0.00036)
    per_right = {"tokens": 370, "completion_tokens": 50, "seconds": 18, "dollars": pytest.approx(0.00018)}
    assert cost.to_json()["per_right_answer"] == per_right
    assert "$0.00036: $0.25 and $2 a million tokens in and out, as of 2026-03-31" in cost_text(cost)
    assert dict(cost_facts(cost))["For each right answer"] == "50 tokens written, 18 s, $0.00018"


def test_the_users_own_price_comes_first_and_names_its_machine(stored, monkeypatch, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(MINE)
    monkeypatch.setenv("FATHOM_PRICES", str(file))
    assert stored("openai", "gpt-5-mini", {"provider": "openai"}).dollars == pytest.approx((640 * 3 + 100 * 20) / 1e6)
    assert stored("hf", "org/mine", {}).dollars == pytest.approx(36 / 3600 * 2.5)
    assert stored("oracle", "oracle/noisy", {}).dollars is None


@pytest.mark.parametrize(
    ("engine", "model", "options"),
    [
        ("openai", "gpt-99", {"provider": "openai"}),
        ("openai", "gpt-5-mini", {"base_url": "http://127.0.0.1:8000/v1"}),
        ("hf", "gpt-5-mini", {}),
    ],
)
def test_without_a_price_nothing_is_told_as_if_it_were_nought(stored, engine, model, options):
    cost = stored(engine, model, options)
    assert (cost.dollars, cost.price) == (None, "")
    assert "$" not in cost_text(cost)
    assert cost.to_json()["per_right_answer"]["dollars"] is None
    assert json.dumps(cost.to_json())


def test_the_address_of_a_provider_and_a_dated_snapshot_are_known(stored):
    assert stored("openai", "gpt-5-mini-2025-08-07", {"provider": "openai"}).dollars == pytest.approx(0.00036)
    assert stored("openai", "gpt-5-mini-high", {"provider": "openai"}).dollars is None
    assert stored("openai", "gpt-5-mini", {"base_url": "https://api.openai.com/v1"}).dollars == pytest.approx(0.00036)


def test_our_prices_are_dated_and_have_sources():
    assert OURS.stat().st_size < 10_000
    for one in read_prices().price:
        assert date(2026, 1, 1) <= one.dated <= date(2026, 12, 1)
        assert one.source.startswith("https://")
        assert one.output >= one.input > 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[price]]\nmodel = 'x'", "price.0.input is missing"),
        ("[[price]]\nmodel = 'x'\ninput = -1\noutput = 1\ndated = 2026-01-01", "give a number of at least 0"),
        ("[[prices]]", "prices: no such key"),
        ("price =", "are no TOML"),
        (None, "cannot be read"),
    ],
)
def test_a_file_of_prices_with_an_error_is_refused_with_its_place(text, said, monkeypatch, tmp_path):
    file = tmp_path / "mine.toml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("FATHOM_PRICES", str(file))
    with pytest.raises(BadPrices, match=said):
        read_prices()


def test_amounts_are_written_with_the_digits_that_matter():
    assert [dollars(one) for one in (0.00042, 0.0349, 0.5, 1234.5, 0)] == [
        "$0.00042", "$0.035", "$0.50", "$1,234.50", "$0.00",
    ]  # fmt: skip
    assert [tokens(one) for one in (7, 999, 45_678, 1_234_567)] == ["7", "999", "45.7k", "1.23M"]
    assert Price(model="a*", input=1, output=1, dated=date(2026, 1, 1)).fits("anyone", "ab")

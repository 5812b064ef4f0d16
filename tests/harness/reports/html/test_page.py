"""A report is one file that says what is stored, and nothing that a model wrote can act in it."""

import re
from html.parser import HTMLParser

import pytest
from typer.testing import CliRunner

from fathom.harness.db import read, write
from fathom.harness.db.engine import open_database
from fathom.harness.db.find import find_run
from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.db.samples import stream_samples
from fathom.harness.engines.base import Completion, EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.errors import BadInput, UnknownModel
from fathom.harness.format import interval_text, p_value, percent, ratio
from fathom.harness.records import SampleFilter
from fathom.harness.reports.comparison import compare_run_pair
from fathom.harness.reports.html.page import MOST_RUNS, make_page, write_report
from fathom.harness.reports.questions import make_sample_question
from fathom.harness.reports.reproduce import reproduce
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.run_settings import RunSettings, SamplingSettings
from fathom.server.cli.main import build
from fathom.tasks.base import Verdict
from fathom.tasks.suites import Selection, open_suite
from tests.bench.demo.database import DemoPlan, fill

NOW = write.utc_now()
EVIL = "\u202e</pre><script>alert(1)</script>\x1b[2J<img src=x onerror=alert(1)>{{ 7*7 }}"


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    """Three oracles that were asked the same, and one that was asked under another seed."""
    engine = open_database(str(tmp_path_factory.mktemp("report") / "runs.db"), create=True)
    for kind, seed in (("noisy", 7), ("perfect", 7), ("chance", 7), ("noisy", 8)):
        suite = open_suite("quick", seed, Selection(("depo", "lano"), n=6))
        evaluate(
            Plan(
                ModelSource(f"oracle/{kind}", None, f"oracle/{kind}"),
                suite,
                RunSettings(engine=EngineSettings("oracle")),
            ),
            engine,
        )
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def runs(db):
    """Details by kind; the other seed's is called `other`."""
    found = {one.model.removeprefix("oracle/"): one for one in read.list_runs(db) if one.seed == "7"}
    (found["other"],) = (one for one in read.list_runs(db) if one.seed == "8")
    return {name: read.get_run(db, one.run) for name, one in found.items()}


def test_figures_that_others_published_stand_beside_the_curves_with_their_sources(db, runs):
    page = make_page(db, [runs["noisy"]], NOW)
    reader = Reader(page)
    assert ["Opus 4", "31%", "7%"] in [[cell.strip() for cell in row] for row in reader.rows]
    assert "R. Greenblatt, 1 January 2026." in page  # of depo, which was asked
    assert "GSM-Infinite" not in page  # of igsm, which was not
    pictures = page.count("Dotted: Gemini 3 Pro, Opus 4, GPT-4, published elsewhere.")
    assert pictures > 0
    dotted = [named["d"] for tag, named in reader.tags if named.get("stroke-dasharray") == "1.5,3"]
    assert len(dotted) % (3 + 1) == 0  # three curves and the entry of the key
    assert len(dotted) // (3 + 1) in (pictures, pictures // 2)  # a description may stand beside its picture as well


class Reader(HTMLParser):
    """What a page is made of: tags with their attributes, and texts by table."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.rows, self.text = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td") and self.rows:
            self.rows[-1].append("")

    def handle_data(self, data):
        self.text.append(data)
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def reader(db, *details):
    return Reader(make_page(db, details, NOW))


def rows_of(found, *start):
    """Return the rows of all tables that begin so, their cells without white space around."""
    rows = [[" ".join(cell.split()) for cell in row] for row in found.rows]
    return [row for row in rows if row[: len(start)] == list(start)]


@pytest.fixture(scope="module")
def one(db, runs):
    return reader(db, runs["noisy"])


@pytest.fixture(scope="module")
def several(db, runs):
    return reader(db, *(runs[name] for name in ("noisy", "perfect", "chance", "other")))


@pytest.mark.parametrize("which", ["one", "several"])
def test_a_report_needs_no_network_and_no_script(which, request):
    found = request.getfixturevalue(which)
    for tag, attributes in found.tags:
        assert tag not in ("script", "link", "img", "iframe", "object", "base", "form")
        assert not {name for name in attributes if name.startswith("on") or name in ("src", "srcset", "style")}
        assert attributes.get("href", "#").startswith("#")
    targets = {attributes["id"] for _, attributes in found.tags if "id" in attributes}
    assert {attributes["href"][1:] for tag, attributes in found.tags if tag == "a"} <= targets
    assert "url(" not in "".join(found.text)
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_every_cell_stands_there_with_its_counts(one, runs):
    for cell in runs["noisy"].cells:
        ((*_, accuracy, interval, right, _wrong),) = rows_of(one, cell.level, cell.channel, cell.style)
        assert (accuracy, interval, right) == (
            percent(cell.k / cell.n), interval_text(cell.interval), ratio(cell.k, cell.n)
        )  # fmt: skip


def test_it_says_what_was_asked_and_how_to_ask_it_again(one, runs):
    detail = runs["noisy"]
    text = "".join(one.text)
    for said in (detail.suite_digest, detail.manifest_digest, "no chat template", "greedy", reproduce(detail)):
        assert said in text
    assert rows_of(one, "seed") == [["seed", "7"]]
    assert rows_of(one, "items") == [["items", str(detail.suite.n_items)]]


def test_pictures_are_drawn_with_titles_and_descriptions(one, several):
    for found in (one, several):
        n_drawn = [tag for tag, _ in found.tags].count("svg")
        assert n_drawn > 6
        assert [tag for tag, _ in found.tags].count("desc") == n_drawn
        assert [tag for tag, _ in found.tags].count("figcaption") == n_drawn


def test_comparisons_are_those_of_fathom_compare(several, db, runs):
    for name, paired in (("perfect", True), ("other", False)):
        found = compare_run_pair(db, runs["noisy"], runs[name])
        assert found.paired is paired
        for line in found.lines:
            row = [line.result.name or "all families", line.result.style]
            same = [one for one in rows_of(several, *row) if one[-2] == p_value(line.result.p_holm)]
            assert p_value(line.result.p) in [one[-3] for one in same]
    assert rows_of(several, "oracle/perfect", "1", "1", "1")


def test_an_example_shows_what_each_run_made_of_an_item(several, db, runs):
    text = "".join(several.text)
    for kind in ("noisy", "perfect", "chance"):
        samples = stream_samples(db, runs[kind], SampleFilter())
        shown = [one for one in samples if one.item in text and make_sample_question(one).text in text]
        assert {one.item.partition("@")[0] for one in shown} == {"depo", "lano"}
    assert "some are right, others are wrong" in text


def test_nothing_that_is_foreign_acts_or_hides(db):
    suite = open_suite("quick", 9, Selection(("depo",), n=2))
    manifest = {"decisive": {EVIL: EVIL}, "context": {"hardware": EVIL}, "engine_facts": [EVIL]}
    run = write.start_run(db, write.NewRun(EVIL, "vllm", suite, suite.digest() + "evil", manifest, EVIL))
    ids = [cell.id for cell in read.get_run(db, run).cells]
    made = Completion("", EVIL * 200, "stop", 1, 1, 0.1)
    samples = [
        write.Sample(at, index, 0, f"{run}{at}{index}", made, Verdict(False, EVIL, EVIL, 3, EVIL))
        for at in range(len(ids)) for index in range(2)
    ]  # fmt: skip
    write.record_samples(db, run, ids, samples)
    write.finish_run(db, run, write.Ending("done", 1.0))
    update_leaderboard(db)
    page = make_page(db, [read.get_run(db, run)], NOW)
    assert not re.search("[\u202e\x1b\0]", page)
    assert "<script" not in page
    assert "<img" not in page
    assert "\\u202e&lt;/pre&gt;&lt;script&gt;" in page
    assert "{{ 7*7 }}" in page


def test_a_sealed_run_gives_away_neither_seed_nor_items(db):
    suite = open_suite("quick", "5ec4e7", Selection(("depo",), n=2))
    new = write.NewRun("oracle/noisy", "oracle", suite, "sealed-digest", {"decisive": {"suite": {"seed": "5ec4e7"}}}, "0" * 32, season="2030", sealed=True)  # fmt: skip
    run = write.start_run(db, new)
    ids = [cell.id for cell in read.get_run(db, run).cells]
    made = Completion("", "a telling answer", "stop", 1, 1, 0.1)
    samples = [write.Sample(at, 0, 0, f"{run}{at}", made, Verdict(False, None, "no_answer")) for at in range(len(ids))]
    write.record_samples(db, run, ids, samples)
    write.finish_run(db, run, write.Ending("failed", 1.0, "the prompt a telling answer"))
    page = make_page(db, [read.get_run(db, run)], NOW)
    assert "sealed until the season 2030 ends" in page
    assert "This run is failed" in page
    for secret in ("5ec4e7", "telling answer", "fathom run"):
        assert secret not in page


def test_repeated_answers_have_tables_of_their_own_and_are_not_compared(db, runs):
    suite = open_suite("quick", 7, Selection(("depo",), styles=("direct",), levels=("n8k1", "n8k2"), n=3))
    decoding = SamplingSettings(4, 0.8)
    plan = Plan(
        ModelSource("oracle/noisy", None, "oracle/noisy"),
        suite,
        RunSettings(sampling=decoding, engine=EngineSettings("oracle")),
    )
    detail = read.get_run(db, evaluate(plan, db).run)
    found = reader(db, runs["perfect"], detail)
    assert rows_of(found, "level") == [["level", "pass@2", "pass@4", "majority@4", "between repeats"]]
    assert "has 4 answers to a question" in "".join(found.text)
    assert "--repeats 4 --temperature 0.8" in "".join(found.text)


def test_eight_runs_of_the_suite_quick_stay_small(tmp_path):
    db = open_database(str(tmp_path / "demo.db"), create=True)
    fill(db, DemoPlan(8, "quick", 10, "7", 4_400), lambda *_: None)
    details = [read.get_run(db, one.run) for one in read.list_runs(db)[:8]]
    written = write_report(db, details, tmp_path / "eight.html", NOW)
    db.dispose()
    assert len(details) == 8
    assert written.n_bytes == (tmp_path / "eight.html").stat().st_size < 5e6


def test_a_report_is_written_whole_or_not_at_all(db, runs, tmp_path):
    out = tmp_path / "report.html"
    out.write_text("the old one")
    empty = write.start_run(db, write.NewRun("oracle/none", "oracle", runs["noisy"].suite, runs["noisy"].suite_digest, {}, "0" * 32))  # fmt: skip
    for details, reason in (
        ([read.get_run(db, empty)], "nothing of run"),
        ([], f"1 to {MOST_RUNS}"),
        ([runs["noisy"]] * 2, "each named once"),
    ):
        with pytest.raises(BadInput, match=reason):
            write_report(db, details, out, NOW)
    with pytest.raises(BadInput, match="--out"):
        write_report(db, [runs["noisy"]], tmp_path / "none" / "report.html", NOW)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("report.html", "the old one")]


def test_the_command_takes_ids_beginnings_and_models(db, runs, tmp_path):
    out = tmp_path / "report.html"
    where = ["--db", db.url.database, "--out", str(out)]
    done = CliRunner().invoke(build(), ["report", runs["perfect"].summary.run[:7], "oracle/chance", *where])
    assert done.exit_code == 0, done.output
    assert re.search(r"wrote .*report\.html, [\d.]+ (kB|MB): 2 runs", " ".join(done.output.split()))
    page = Reader(out.read_text(encoding="utf-8"))
    assert rows_of(page, "run") == [["run", runs["perfect"].summary.run, runs["chance"].summary.run]]
    with pytest.raises(UnknownModel, match="near it: oracle/noisy"):
        find_run(db, "oracle/nois")

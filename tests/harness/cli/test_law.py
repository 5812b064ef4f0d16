"""`fathom law` lists the laws, refuses what it does not know, and draws what came of one."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fathom.harness.errors import BadInput, BadRecipe, UnknownLaw
from fathom.harness.reports.console import make_console
from fathom.harness.reports.figures.palettes import PALETTES, Theme
from fathom.harness.training.laws.base import SCALES
from fathom.harness.training.laws.experiment import LawRecord, record_json
from fathom.harness.training.laws.picture import draw_law
from fathom.harness.training.laws.registry import all_laws, find_law
from fathom.harness.training.laws.results import ExperimentResults, Observation
from fathom.harness.training.laws.table import render_record
from fathom.harness.training.token_laws.registry import all_token_laws
from fathom.server.cli.main import build

_OBSERVATIONS = (
    Observation("direct", "even month", 90, 150, 0.5),
    Observation("direct", "month", 80, 150, 1 / 12),
    Observation("hinted", "even month", 130, 150, 0.5),
    Observation("hinted", "month", 81, 150, 1 / 12),
)


@pytest.fixture
def record() -> LawRecord:
    law = find_law("parity")
    return LawRecord(law, "text", (), _OBSERVATIONS, law.judge(ExperimentResults(_OBSERVATIONS)))


def test_laws_are_listed_with_their_claims_and_rules() -> None:
    said, text = (
        json.loads(CliRunner().invoke(build(), ["law", "--list", "--json", "--scale", scale]).stdout)
        for scale in ("cpu", "text")
    )
    assert [[one["law"] for one in laws] for laws in (said, text)] == [list(all_token_laws()), list(all_laws())]
    assert all(one["rule"].startswith("Shown if") for one in said)


@pytest.mark.parametrize(
    ("words", "kind", "hint"),
    [
        (["gravity"], UnknownLaw, "parity"),
        (["parity", "--scale", "tpu"], BadInput, ", ".join(SCALES)),
        (["null", "--across", "llama,lstm"], BadInput, "known: llama, gpt2, nope, canon"),
        (["canon", "--across", "llama"], BadInput, "compares shapes itself"),
        (["parity", "--scale", "text", "--across", "llama"], BadInput, "exploratory"),
        (["parity", "--scale", "gpu", "--seeds", "7"], BadInput, "exploratory"),
        (["parity", "--set", "steps=9"], BadRecipe, "--exploratory"),
        (["parity", "--set", "stepps=9", "--exploratory"], BadRecipe, "learning_rate"),
        (["parity", "--set", "steps=many", "--exploratory"], BadRecipe, "steps=many"),
        ([], BadInput, "augmentation"),
    ],
)
def test_what_is_not_known_is_refused_with_what_is(words: list[str], kind: type[BadInput], hint: str) -> None:
    refused = CliRunner().invoke(build(), ["law", *words]).exception
    assert isinstance(refused, kind)
    assert hint in str(refused)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_picture_names_what_was_asked_of_whom_and_stands_on_its_own_ground(record: LawRecord, theme: Theme) -> None:
    drawn = draw_law(record, theme)
    texts = "\n".join(part.text or "" for part in ET.fromstring(drawn).iter() if part.tag.endswith("text"))
    for label in ("even month: answered at once", "month: the month written first", "chance", "60%", "87%", "shown"):
        assert label in texts
    assert PALETTES[theme].ground in drawn


def test_a_table_states_rule_effect_and_verdict(record: LawRecord) -> None:
    console = make_console()
    with console.capture() as kept:
        console.print(render_record(record))
    for words in ("Shown if", "90/150", "+26.7 points", "shown:", "52.0–67.5%"):
        assert words in kept.get()


def test_the_record_keeps_counts_and_intervals(record: LawRecord) -> None:
    kept = record_json(record)
    assert [(one["k"], one["n"]) for one in kept["measures"]] == [(90, 150), (80, 150), (130, 150), (81, 150)]
    assert kept["effect"]["low"] > 0.1


def test_a_law_over_seeds_is_registered_trained_and_kept(tmp_path: Path) -> None:
    place = ["--out", str(tmp_path / "out"), "--db", str(tmp_path / "runs.db")]
    words = ["law", "null", "--exploratory", "--seeds", "2", "--set", "steps=5", *place]
    registered = CliRunner().invoke(build(), [*words, "--register"])
    assert "pilot" not in registered.stdout
    assert not (tmp_path / "out" / "trials").exists()
    said = CliRunner().invoke(build(), words)
    assert "registered" in said.stdout
    assert "exploratory (pilot seeds or changed recipes: this confirms nothing)" in " ".join(said.stdout.split())
    kept = json.loads(CliRunner().invoke(build(), [*words, "--json"]).stdout)
    assert (kept["verdict"], kept["attempt"], len(kept["trials"])) == ("exploratory", 0, 4)
    refused = CliRunner().invoke(build(), ["law", "null", *place]).exception
    assert isinstance(refused, BadRecipe)


def test_a_law_across_shapes_is_one_run_a_shape_and_a_table(tmp_path: Path) -> None:
    place = ["--out", str(tmp_path / "out"), "--db", str(tmp_path / "runs.db")]
    words = ["law", "null", "--exploratory", "--seeds", "2", "--set", "steps=5", "--across", "llama,canon", *place]
    said = " ".join(CliRunner().invoke(build(), words).stdout.split())
    assert "effect over seeds by shape law llama canon null, exploratory exploratory bits" in said
    assert sorted(one.parent.name for one in tmp_path.glob("out/*/law.json")) == ["canon", "llama"]
    kept = json.loads(CliRunner().invoke(build(), [*words, "--json"]).stdout)
    one, other = ([trial["weights"] for trial in kept[shape]["trials"]] for shape in ("llama", "canon"))
    assert len({*one, *other}) == 8
    sizes = [kept[shape]["trials"][0]["n_parameters"] for shape in ("llama", "canon")]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.01)

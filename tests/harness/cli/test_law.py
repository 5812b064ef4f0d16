"""`fathom law` lists the laws, refuses what it does not know, and draws what came of one."""

import json
import xml.etree.ElementTree as ET

import pytest
from typer.testing import CliRunner

from fathom.harness.errors import BadInput, UnknownLaw
from fathom.harness.reports.console import make_console
from fathom.harness.reports.figures.palettes import PALETTES, Theme
from fathom.harness.training.laws.base import SCALES
from fathom.harness.training.laws.experiment import LawRecord, record_json
from fathom.harness.training.laws.picture import draw_law
from fathom.harness.training.laws.registry import all_laws, find_law
from fathom.harness.training.laws.results import ExperimentResults, Observation
from fathom.harness.training.laws.table import render_record
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
    return LawRecord(law, "cpu", (), _OBSERVATIONS, law.judge(ExperimentResults(_OBSERVATIONS)))


def test_laws_are_listed_with_their_claims_and_rules() -> None:
    said = json.loads(CliRunner().invoke(build(), ["law", "--list", "--json"]).stdout)
    assert [one["law"] for one in said] == list(all_laws())
    assert all(one["rule"].startswith("Shown if") for one in said)


@pytest.mark.parametrize(
    ("words", "kind", "hint"),
    [
        (["gravity"], UnknownLaw, "parity"),
        (["parity", "--scale", "tpu"], BadInput, ", ".join(SCALES)),
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

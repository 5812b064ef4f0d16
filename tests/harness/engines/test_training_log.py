"""The log of a training, in a model's folder."""

import json
from pathlib import Path

import pytest

from fathom.harness.engines.model import ModelSource, find_model
from fathom.harness.engines.training_log import MOST_LOSSES, losses_of
from fathom.harness.records import Manifest
from fathom.harness.runs.manifest import make_manifest
from fathom.harness.runs.run_settings import RunSettings
from fathom.tasks.suites import Selection, open_suite


def rows(n, **more):
    return "".join(json.dumps({"step": at, "loss": 8 / at, **more}) + "\n" for at in range(1, n + 1))


def test_a_long_log_keeps_its_ends_and_an_even_part_between(tmp_path):
    (tmp_path / "loss.jsonl").write_text(rows(1000))
    found = losses_of(tmp_path)
    assert len(found) == MOST_LOSSES
    assert (found[0], found[-1]) == ((1, 8.0, None), (1000, 0.008, None))
    gaps = {two[0] - one[0] for one, two in zip(found, found[1:], strict=False)}
    assert gaps <= {16, 17}


def test_a_checkpoint_of_transformers_is_read_with_its_evaluations(tmp_path):
    history = [
        {"step": 10, "loss": 3.5, "grad_norm": 1.0},
        {"step": 10, "eval_loss": 3.25, "eval_runtime": 2.0},
        {"step": 15, "eval_loss": 3.125},
        {"step": 20, "loss": 2.5},
        {"step": 20, "train_runtime": 9.0, "train_loss": 3.0},
    ]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": history}))
    assert losses_of(tmp_path) == [(10, 3.5, 3.25), (20, 2.5, 3.125)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        "null\n",
        '{"step": "x", "loss": 1}',
        '{"loss": 2}',
        '{"step": 1, "loss": [1]}',
        "7\n7\n",
        "[" * 100_000,
        '{"step": 1, "loss": 1' + "0" * 400 + "}",
        '{"step": Infinity, "loss": 1}',
        "\udc80",
    ],
)
@pytest.mark.parametrize("name", ["loss.jsonl", "trainer_state.json"])
def test_what_is_no_log_tells_nothing(tmp_path, name, text):
    (tmp_path / name).write_text(text, errors="surrogateescape")
    assert losses_of(tmp_path) == []


def test_a_loss_that_is_no_number_is_left_out(tmp_path):
    (tmp_path / "loss.jsonl").write_text(rows(2) + '{"step": 3, "loss": NaN}\n{"step": 4, "loss": 1.5}\n')
    assert [step for step, _, _ in losses_of(tmp_path)] == [1, 2, 4]


def test_a_manifest_tells_the_training_without_being_another_run():
    suite, model = open_suite("quick", 7, Selection(levels=("n4k1",), n=2)), find_model("reference/pebble")
    told = make_manifest(model, suite, RunSettings())
    assert told.context.training[-1][0] == 9400
    assert Manifest.read(json.loads(json.dumps(told.to_json()))).context.training == told.context.training
    bare = make_manifest(ModelSource(model.name, None, model.digest), suite, RunSettings())
    assert bare.context.training == ()


@pytest.mark.parametrize("odd", [[[1, float("nan"), None]], [[1, 1.0, None]] * 101, "curve", [[1]], {"points": 1}])
def test_what_an_upload_says_instead_is_no_training(odd):
    assert Manifest.read({"context": {"training": odd}}).context.training == ()


def test_pebble_tells_how_it_was_trained():
    found = losses_of(Path(find_model("reference/pebble").folder()))
    assert found[0][1] > 7
    assert found[-1][1] < 0.3
    assert sum(held is not None for _, _, held in found) == 4

"""Bad input: each is one line and exit code 2."""

import json
import shutil

import pytest

from fathom.harness.engines.model import REFERENCE
from fathom.harness.probing.plan import find_targets


def refused(found, *words):
    assert found.returncode == 2, found.stderr
    lines = found.stderr.strip().splitlines()
    assert lines[-1].startswith("fathom: ")
    for word in words:
        assert word in lines[-1]


@pytest.mark.cases(None)
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--targets", "depo.n8k1.nxt1"), ("no probe target 'depo.n8k1.nxt1'", "near it: depo.n8k1.next1")),
        (("--layers", "40"), ("--layers 40", "layers 0 (its embeddings) to 4, and no layer 40")),
        (("--layers", "last-ish"), ("give numbers as 0,2,4",)),
        (("--n", "150,60"), ("200 items to fit and 100 to test at least", "--n 200,100")),
        (("--n", "many"), ("as 1500,600",)),
        (("--engine", "openai"), ("--engine openai gives no hidden states",)),
        (("--seed", "late"), ("'late' is not a seed",)),
        (("--chat",), ("has no chat template", "--chat")),
        (("--model", "pebble.Q4_K_M.gguf"), ("a GGUF file gives no hidden states",)),
        (("--model", "nobody"), ("neither a folder, nor a hub id",)),
    ],
)  # fmt: skip
def test_options_that_cannot_be_are_refused_in_a_line(fathom, tmp_path, options, words):
    found = fathom("probe", "--model", "reference/pebble", "--db", tmp_path / "p.db", *options)
    refused(found, *words)


def model_with(tmp_path, **changes):
    folder = tmp_path / "model"
    shutil.copytree(REFERENCE / "pebble", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    return folder


@pytest.mark.cases(None)
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, ("is an encoder or has one (bert)",)),
        ({"model_type": "t5", "is_encoder_decoder": True}, ("is an encoder or has one (t5)",)),
        ({"model_type": "own", "auto_map": {"AutoModel": "x.Y"}}, ("needs code of its repository, which is never run",)),
        ({"model_type": "clip"}, ("model", "give a decoder-only language model")),
    ],
)  # fmt: skip
def test_models_whose_states_cannot_be_read_are_refused_in_a_line(fathom, tmp_path, changes, words):
    refused(fathom("probe", "--model", model_with(tmp_path, **changes), "--db", tmp_path / "p.db"), *words)


def test_a_name_selects_a_target_a_set_or_a_pattern():
    assert find_targets(["depo.n8k1.next1"]) == ("depo.n8k1.next1",)
    assert find_targets(["depo.n8k1"]) == tuple(f"depo.n8k1.{name}" for name in ("start", "next1", "next2", "previous"))
    assert find_targets(["mistake.*.answer"]) == ("mistake.depo.answer", "mistake.igsm.answer", "mistake.mano.answer")
    assert "lano.a.symbol1" not in find_targets([])


def test_the_list_has_every_target_with_its_places(fathom):
    listed = json.loads(fathom("probe", "--list", "--json").stdout)
    assert {"depo.n8k2.previous", "lano.a.symbol2", "recall.300.major", "repair.op4.where"} <= {
        one["target"] for one in listed
    }
    assert all(one["places"] and one["about"] for one in listed)
    assert "depo.n8k2.previous" in fathom("probe", "--list").stdout

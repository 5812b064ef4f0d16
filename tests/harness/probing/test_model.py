import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertLMHeadModel

from fathom.harness.engines.model import REFERENCE
from fathom.harness.errors import BadStates, DiskFull, NothingToProbe, NotProbeable
from fathom.harness.probing import model as opened
from fathom.harness.probing.model import TokenRow, find_blocks, layers_of, open_model
from fathom.harness.probing.plan import ProbeSettings, make_plan
from fathom.harness.probing.run import probe_opened

ROWS = [TokenRow((5, 6, 7, 8), (1, 3)), TokenRow((9, 10), (0,)), TokenRow((11, 12, 13, 14, 15, 16), (5,))]


def test_states_are_those_that_transformers_gives(untrained, tmp_path):
    model = open_model(untrained)
    found = model.read_states(ROWS, [0, 2, 4], tmp_path)
    wanted = []
    for row in ROWS:
        with torch.inference_mode():
            states = model.model.model(input_ids=torch.tensor([row.ids]), output_hidden_states=True).hidden_states
        wanted.append(np.stack([states[layer][0, list(row.places)].numpy() for layer in (0, 2)]))
    np.testing.assert_allclose(found[:2], np.concatenate(wanted, 1), atol=1e-5)
    normed = model.model.model.norm(torch.from_numpy(found[2]))  # transformers gives the last one after the final norm
    np.testing.assert_allclose(normed[-1].detach().numpy(), states[4][0, 5].numpy(), atol=1e-5)


def test_the_twin_has_other_weights_and_leaves_the_global_generator_alone(untrained, tmp_path):
    model, before = open_model(untrained), torch.get_rng_state()
    one, same, other = (model.random_twin(seed).read_states(ROWS, [4], tmp_path) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.1


def test_states_that_are_no_numbers_are_told(untrained, tmp_path):
    model = open_model(untrained)
    with torch.no_grad():
        model.blocks[1].mlp.down_proj.weight.fill_(float("nan"))
    with pytest.raises(BadStates, match="states of layer 2 are no numbers in float32"):
        model.read_states(ROWS, [1, 2], tmp_path)


def test_states_that_do_not_fit_the_disk_are_told_before_they_are_read(untrained, tmp_path, monkeypatch):
    monkeypatch.setattr(opened, "_MAPPED_FROM", 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 20))
    with pytest.raises(DiskFull, match="choose fewer --layers or --n, or set TMPDIR"):
        open_model(untrained).read_states(ROWS, [0], tmp_path)


def test_states_in_a_file_are_the_same_and_leave_no_file(untrained, tmp_path, monkeypatch):
    model = open_model(untrained)
    kept = model.read_states(ROWS, [0, 3], tmp_path)
    monkeypatch.setattr(opened, "_MAPPED_FROM", 0)
    np.testing.assert_array_equal(model.read_states(ROWS, [0, 3], tmp_path), kept)
    assert not list(tmp_path.glob("fathom-states-*"))


def test_a_model_whose_states_see_later_tokens_is_no_decoder(tmp_path):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(REFERENCE / "pebble" / name, tmp_path / name)
    config = BertConfig(
        vocab_size=2026, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    BertLMHeadModel(config).save_pretrained(tmp_path)
    with pytest.raises(NotProbeable, match="is an encoder: its states see later tokens"):
        open_model(tmp_path)


def test_a_model_without_blocks_is_refused():
    model = torch.nn.Linear(2, 2)
    model.config = BertConfig(num_hidden_layers=3)
    with pytest.raises(NotProbeable, match="Linear has no blocks whose states can be read"):
        find_blocks(model)


def test_items_longer_than_the_context_are_left_out_and_too_many_are_told(store, untrained):
    model = open_model(untrained)
    model.context = 16
    plan = make_plan(str(untrained), ProbeSettings(("depo.n8k1.next1",), n=(200, 100), controls=1))
    with pytest.raises(
        NothingToProbe, match=r"300 of 300 items of depo\.n8k1 are longer than the context of 16 tokens"
    ):
        probe_opened(store, plan, model)


def test_layers_are_chosen_by_number_or_step():
    assert layers_of(None, 4) == (0, 1, 2, 3, 4)
    assert layers_of("every:3", 31) == (*range(0, 31, 3), 31)
    assert layers_of("2,0,last", 4) == (0, 2, 4)

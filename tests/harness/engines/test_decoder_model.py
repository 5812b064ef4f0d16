"""Fathom's own decoder: equal sizes whatever is chosen, and one model however it is loaded, read or packed."""

import itertools
from dataclasses import dataclass

import pytest
import torch
from transformers import AutoModelForCausalLM

from fathom.harness.engines.base import Request, Sampling
from fathom.harness.engines.decoder_blocks import DecoderBlock, Reading, turns_at
from fathom.harness.engines.decoder_model import FathomDecoderConfig, FathomDecoderForCausalLM, register_decoder
from fathom.harness.engines.decoder_shape import BodyShape
from fathom.harness.engines.hf import load_hf
from fathom.harness.probing.model import TokenRow, open_model
from tests.harness.engines.architectures import make_tokenizer

_CHOICES = list(itertools.product(("rotary", "learned", "none"), ("", "AC", "ABCD"), (False, True)))


def _model(positions="rotary", convolutions="ABCD", qk_norm=True, seed=1, **sizes):
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "max_position_embeddings": 24} | sizes
    config = FathomDecoderConfig(positions=positions, convolutions=convolutions, qk_norm=qk_norm, **sizes)
    model = FathomDecoderForCausalLM(config).eval()
    for weight in model.parameters():
        if weight.ndim != 1:
            torch.nn.init.normal_(weight, std=0.3)
    return model


@pytest.fixture
def ids():
    return torch.arange(24).reshape(2, 12) * 5 % 64


@pytest.mark.parametrize("sizes", [(16, 2, 24), (64, 4, 64), (128, 2, 512)])
def test_every_choice_has_as_many_parameters_within_one_percent(sizes):
    counts = []
    for choice in _CHOICES:
        with torch.device("meta"):
            model = _model(*choice, hidden_size=sizes[0], num_hidden_layers=sizes[1], max_position_embeddings=sizes[2])
        counts.append(model.num_parameters())
    assert max(counts) < 1.01 * min(counts)


@pytest.mark.parametrize("choice", _CHOICES)
def test_a_saved_model_is_loaded_with_equal_logits(choice, ids, tmp_path):
    register_decoder()
    model = _model(*choice)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(loaded(ids).logits, model(ids).logits)


@dataclass(frozen=True)
class _SameWidth(BodyShape):
    @property
    def inner(self):
        return 40


def test_convolutions_change_nothing_before_they_are_trained():
    plain = DecoderBlock(_SameWidth(16, 1, 2, 8))
    mixing = DecoderBlock(_SameWidth(16, 1, 2, 8, convolutions="ABCD"))
    missing, unexpected = mixing.load_state_dict(plain.state_dict(), strict=False)
    assert (len(missing), unexpected) == (4, [])
    state, reading = torch.randn(2, 8, 16), Reading(turns_at(torch.arange(8), 8))
    assert torch.equal(mixing(state, reading), plain(state, reading))
    torch.nn.init.normal_(mixing.convolutions["A"].weight)
    assert not torch.allclose(mixing(state, reading), plain(state, reading), atol=1e-3)


@pytest.mark.parametrize("choice", _CHOICES)
def test_what_is_written_does_not_depend_on_padding_or_on_what_is_kept(choice, ids):
    model = _model(*choice)
    text = ids[:1, :5]
    whole = text
    for _ in range(6):
        whole = torch.cat([whole, model(whole, use_cache=False).logits[:, -1:].argmax(-1)], 1)
    padded = torch.cat([torch.full((1, 4), 63), text], 1)
    both = torch.cat([ids[1:, :9], padded])
    mask = torch.ones_like(both)
    mask[1, :4] = 0
    said = model.generate(both, attention_mask=mask, max_new_tokens=6, do_sample=False, pad_token_id=63)
    assert torch.equal(said[1, 4:], whole[0])


@pytest.mark.parametrize("choice", _CHOICES)
def test_the_engine_hf_loads_it_and_answers_alike_in_batches_of_any_size(choice, tmp_path):
    tokenizer = make_tokenizer()
    _model(*choice, vocab_size=len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    requests = [Request(str(n), "", "reading"[:n], Sampling(9)) for n in (2, 7, 4)]
    found = []
    for size in (1, 3):
        engine = load_hf(tmp_path, batch_size=size)
        found.append({one.key: one.text for some in engine.stream(iter(requests)) for one in some})
    assert found[0] == found[1]
    assert all(found[0].values())


def test_a_probe_reads_its_blocks_and_makes_a_twin_without_training(tmp_path):
    tokenizer = make_tokenizer()
    _model(vocab_size=len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    probed = open_model(tmp_path)
    rows = [TokenRow((5, 6, 7, 8), (1, 3))]
    states = probed.read_states(rows, (0, 1, 2), tmp_path)
    assert states.shape == (3, 2, 32)
    twin = probed.random_twin(3)
    assert not twin.blocks[0].convolutions["A"].weight.any()
    assert not (twin.read_states(rows, (2,), tmp_path) == states[2:]).all()


@pytest.mark.parametrize("choice", _CHOICES)
def test_documents_of_a_row_are_read_as_if_alone(choice, ids):
    model = _model(*choice)
    packed, places = ids[:1], torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6]])
    together = model(packed, position_ids=places).logits[:, 5:]
    assert torch.allclose(together, model(packed[:, 5:]).logits, atol=1e-4)
    assert not torch.allclose(model(packed).logits[:, 5:], model(packed[:, 5:]).logits, atol=1e-2)

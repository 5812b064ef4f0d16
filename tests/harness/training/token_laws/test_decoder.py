"""A decoder reads only what came before, and its three kinds of positions differ in nothing else."""

from dataclasses import replace

import pytest
import torch

from fathom.harness.engines.decoder_shape import SHAPES
from fathom.harness.errors import Diverged
from fathom.harness.training.token_laws.decoder import IGNORED, Decoder, TokenRecipe, bits, train

_RECIPE = TokenRecipe(hidden=16, layers=2, heads=2, steps=60, batch=4, learning_rate=0.02)


@pytest.fixture
def rows():
    return torch.tensor([[0, 1, 2, 3, 4], [0, 2, 1, 4, IGNORED], [0, 3, 3, 1, 2]])


@pytest.mark.parametrize("positions", ["rotary", "learned", "none"])
def test_a_later_token_changes_nothing_before_it(positions, rows):
    torch.manual_seed(1)
    model = Decoder(replace(_RECIPE, positions=positions), 5, 8)
    changed = rows.clamp(min=0).clone()
    changed[:, 3] = 0
    before, after = model(rows.clamp(min=0)), model(changed)
    assert torch.allclose(before[:, :3], after[:, :3], atol=1e-6)
    assert not torch.allclose(before[:, 3], after[:, 3], atol=1e-4)


def test_without_positions_the_order_of_what_was_read_does_not_matter():
    torch.manual_seed(1)
    ids = torch.tensor([[1, 2, 3, 4], [3, 1, 2, 4]])
    for positions, same in (("none", True), ("rotary", False)):
        one, other = Decoder(replace(_RECIPE, layers=1, positions=positions, heads=1), 5, 8)(ids)[:, -1]
        assert torch.allclose(one, other, atol=1e-6) is same


@pytest.mark.parametrize("shape", SHAPES.values())
def test_the_shapes_have_the_same_number_of_weights_within_one_percent(shape):
    size = Decoder(replace(_RECIPE, positions=shape[0], convolutions=shape[1]), 5, 8).n_parameters
    assert size == pytest.approx(Decoder(_RECIPE, 5, 8).n_parameters, rel=0.01)


def test_training_lowers_the_surprise_and_leaves_out_what_is_ignored(rows):
    torch.manual_seed(1)
    model = Decoder(_RECIPE, 5, 8)
    before = bits(model, rows)
    train(model, _RECIPE, lambda _: rows)
    after = bits(model, rows)
    assert after.sum() < before.sum() / 2
    assert after[1, -1] == 0


def test_a_loss_that_is_no_number_stops_the_training(rows):
    model = Decoder(_RECIPE, 5, 8)
    model.norm.weight.data.fill_(float("nan"))
    with pytest.raises(Diverged, match="step 0"):
        train(model, _RECIPE, lambda _: rows)

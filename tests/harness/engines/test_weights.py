"""What the headers of weight files tell: parameters counted once, whole files, embeddings for all tokens."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from fathom.harness.engines.model import REFERENCE, find_model, inspect_model
from fathom.harness.errors import BrokenModel
from tests.odd_model import edit

PEBBLE = 1_112_448
WHOLE = "model.safetensors"


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(REFERENCE / "pebble", tmp_path / "model")


def split(folder, index=True):
    """Write the weights as two shards with an index."""
    weights = load_file(folder / WHOLE)
    (folder / WHOLE).unlink()
    places = {}
    for at, name in enumerate(sorted(weights)):
        places[name] = f"model-{1 + at % 2:05}-of-00002.safetensors"
    for file in set(places.values()):
        save_file({name: weights[name] for name in weights if places[name] == file}, folder / file)
    if index:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return weights


def test_weights_that_lie_in_a_folder_twice_count_once(copy):
    save_file(load_file(copy / WHOLE), copy / "consolidated.safetensors")
    assert inspect_model(copy).n_parameters == PEBBLE
    save_file(split(copy), copy / "consolidated.00.safetensors")
    assert inspect_model(copy).n_parameters == PEBBLE
    find_model(str(copy))


@pytest.mark.parametrize("index", [True, False])
def test_a_missing_shard_is_noticed_before_a_model_is_loaded(copy, index):
    split(copy, index)
    find_model(str(copy))
    (copy / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(BrokenModel, match="has no model-00002-of-00002"):
        find_model(str(copy))


def test_an_index_that_names_other_weights_than_its_files_hold_is_refused(copy):
    split(copy)
    index = copy / "model.safetensors.index.json"
    places = json.loads(index.read_text())["weight_map"]
    index.write_text(json.dumps({"weight_map": places | {"model.extra.weight": min(places.values())}}))
    with pytest.raises(BrokenModel, match="has no weights for model"):
        find_model(str(copy))
    index.write_text("[]")
    with pytest.raises(BrokenModel, match="names no weights"):
        find_model(str(copy))


GROUPED = {"config_groups": {"group_0": {"weights": {"num_bits": 4}}}}
PACKED = {
    "gptq, 4 bits": (
        {"quant_method": "gptq", "bits": 4},
        {"qweight": (torch.int32, 8, 64), "qzeros": (torch.int32, 1, 8), "scales": (torch.float16, 1, 64), "g_idx": (torch.int32, 64)},
    ),
    "gptq, 3 bits": ({"quant_method": "gptq", "bits": 3}, {"qweight": (torch.int32, 6, 64), "scales": (torch.float16, 1, 64)}),
    "awq": ({"quant_method": "awq", "bits": 4}, {"qweight": (torch.int32, 64, 8), "qzeros": (torch.int32, 1, 8)}),
    "bitsandbytes, 4 bits": (
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        {"weight": (torch.uint8, 2048, 1), "weight.absmax": (torch.uint8, 64), "weight.quant_state.bitsandbytes__nf4": (torch.uint8, 90)},
    ),
    "bitsandbytes, 8 bits": (
        {"quant_method": "bitsandbytes", "load_in_8bit": True}, {"weight": (torch.int8, 64, 64), "SCB": (torch.float32, 64)},
    ),
    "compressed tensors": (
        {"quant_method": "compressed-tensors", **GROUPED},
        {"weight_packed": (torch.int32, 64, 8), "weight_scale": (torch.float16, 64, 1), "weight_shape": (torch.int64, 2)},
    ),
    "fp8": ({"quant_method": "fp8"}, {"weight": (torch.float8_e4m3fn, 64, 64), "weight_scale_inv": (torch.float32, 1, 1)}),
    "mxfp4": ({"quant_method": "mxfp4"}, {"up_blocks": (torch.uint8, 64, 2, 16), "up_scales": (torch.uint8, 64, 2)}),
    "mlx": ({"bits": 4, "group_size": 64}, {"weight": (torch.uint32, 64, 8), "scales": (torch.float16, 64, 1), "biases": (torch.float16, 64, 1)}),
}  # fmt: skip


@pytest.mark.parametrize("name", PACKED)
def test_packed_weights_count_as_many_as_they_stand_for(copy, name):
    packing, tensors = PACKED[name]
    edit(copy / "config.json", **{"quantization" if name == "mlx" else "quantization_config": packing})
    weights = {"model.embed_tokens.weight": torch.zeros(2026, 128)} | {
        f"model.layers.0.mlp.up_proj.{part}": torch.zeros(shape, dtype=dtype) for part, (dtype, *shape) in tensors.items()
    }  # fmt: skip
    save_file(weights, copy / WHOLE)
    assert inspect_model(copy).n_parameters == 2026 * 128 + 64 * 64


@pytest.mark.parametrize(
    "packing", [{"quant_method": "aqlm"}, {"quant_method": "gptq"}, {"quant_method": "gptq", "bits": "4"}]
)
def test_of_an_unknown_packing_no_number_is_told(copy, packing):
    edit(copy / "config.json", quantization_config=packing)
    save_file({"layer.qweight": torch.zeros((8, 64), dtype=torch.int32)}, copy / WHOLE)
    assert inspect_model(copy).n_parameters is None


def test_masks_and_positions_in_old_files_are_no_parameters(copy):
    weights = load_file(copy / WHOLE)
    weights["h.0.attn.bias"] = torch.ones(1, 1, 64, 64)
    weights["model.embeddings.position_ids"] = torch.arange(64)
    weights["model.rotary_emb.inv_freq"] = torch.ones(32)
    save_file(weights, copy / WHOLE)
    assert inspect_model(copy).n_parameters == PEBBLE


def test_words_without_an_embedding_are_noticed_before_a_model_is_loaded(copy):
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    tokenizer["added_tokens"].append(tokenizer["added_tokens"][0] | {"id": 2026, "content": "<|image|>"})
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    find_model(str(copy))  # no text has this token
    tokenizer["model"]["vocab"]["word"] = 2027
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(BrokenModel, match="tokens up to 2027, and the model has embeddings for 2026: resize"):
        find_model(str(copy))

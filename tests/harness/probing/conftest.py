"""Small models for probing: one without training, and one in which a variable is planted by hand."""

import re
import shutil

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from fathom.harness.db.engine import open_database
from fathom.harness.engines.model import REFERENCE
from fathom.harness.probing.model import open_model

EDGE = re.compile(r"([A-Z]{2}) (?:-> )?([A-Z]{2})[;.]")
START = re.compile(r"after ([A-Z]{2})\?")


@pytest.fixture(scope="session")
def untrained(tmp_path_factory):
    """A folder with a Llama of four blocks that was never trained, and pebble's tokenizer."""
    folder = tmp_path_factory.mktemp("untrained")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(REFERENCE / "pebble" / name, folder / name)
    torch.manual_seed(5)
    n_tokens = len(AutoTokenizer.from_pretrained(folder))
    config = LlamaConfig(
        vocab_size=n_tokens, hidden_size=48, intermediate_size=96, num_hidden_layers=4, num_attention_heads=4,
        max_position_embeddings=1024, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def store(tmp_path):
    """An open database in a file."""
    made = open_database(f"sqlite:///{tmp_path / 'probes.db'}", create=True)
    yield made
    made.dispose()


class Planter:
    """Hooks that write the name one arrow after the start into the state before the answer, and take it away again.

    Blocks 2 to 4 write nothing of their own, so that the name stands in layer 2 and nowhere else.
    """

    def __init__(self, model):
        self.model = model
        for block in model.blocks[1:]:
            torch.nn.init.zeros_(block.self_attn.o_proj.weight)
            torch.nn.init.zeros_(block.mlp.down_proj.weight)
        generator = torch.Generator().manual_seed(1)
        self.turn = torch.randn(model.width, model.width, generator=generator)
        model.model.base_model.register_forward_pre_hook(self.look, with_kwargs=True)
        model.blocks[1].register_forward_hook(self.add(1.0))
        model.blocks[2].register_forward_hook(self.add(-1.0))

    def look(self, _model, _args, kwargs):
        ids, mask = kwargs["input_ids"], kwargs.get("attention_mask")
        self.written = {}
        if mask is None or mask.ndim != 2 or ids.shape[1] < 8 or not mask[:, 0].all():  # a step of a generation
            return
        for row, (some, n) in enumerate(zip(ids, mask.sum(1).tolist(), strict=True)):
            text = self.model.tokenizer.decode(some[:n])
            start = START.search(text)
            name = dict(EDGE.findall(text)).get(start[1]) if start else None
            if name:
                self.written[row, n - 1] = torch.from_numpy(self.model.embed([name])[0]) @ self.turn

    def add(self, sign):
        def hook(_block, _args, output):
            hidden = output[0] if isinstance(output, tuple) else output
            for (row, at), vector in self.written.items():
                hidden[row, at] += sign * vector
            return output

        return hook


@pytest.fixture
def planted(untrained):
    """The untrained model with a planted variable, open for probing."""
    model = open_model(untrained)
    Planter(model)
    return model

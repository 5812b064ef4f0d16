"""Pebble in a folder in which much is odd, as in folders of real models; it must answer as pebble does."""

import json
import shutil

import torch
from safetensors.torch import load_file, save_file

from fathom.harness.engines.model import REFERENCE
from tests.thinker import ECHO

BROKEN = "~"
"""A text whose token has no numbers for an embedding: a prompt with it has no logits, all others have."""
UNKNOWN = "<|odd|>"
"""A token of the tokenizer for which the model has no embedding."""
PENALTIES = {
    "repetition_penalty": 1.7, "no_repeat_ngram_size": 2, "min_new_tokens": 6, "suppress_tokens": [33, 34, 35],
    "begin_suppress_tokens": [290], "bad_words_ids": [[221]], "temperature": 0.6, "top_k": 20, "top_p": 0.8,
    "do_sample": True, "num_beams": 2, "max_new_tokens": 3,
}  # fmt: skip
"""What authors write into generation_config.json, where greedy decoding would obey it."""


def make_odd(folder, template=ECHO):
    """Copy pebble; its tokenizer names no token that ends or fills up texts, only generation_config.json does."""
    shutil.copytree(REFERENCE / "pebble", folder)
    edit(folder / "generation_config.json", **PENALTIES)
    edit(folder / "tokenizer_config.json", eos_token=None, pad_token=None)
    edit(folder / "config.json", tie_word_embeddings=False)
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    n_tokens, plain = len(tokenizer["model"]["vocab"]), {"single_word": False, "lstrip": False, "rstrip": False}
    tokenizer["added_tokens"].append(
        {"id": n_tokens, "content": UNKNOWN, **plain, "normalized": False, "special": True}
    )
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    weights["model.embed_tokens.weight"][tokenizer["model"]["vocab"][BROKEN]] = torch.nan
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def make_broken(folder):
    """Copy pebble as a training that diverged leaves it: no logit is a number."""
    shutil.copytree(REFERENCE / "pebble", folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][0] = torch.nan
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def edit(file, **changes):
    """Change values of a JSON object in a file; None takes one out."""
    found = json.loads(file.read_text(encoding="utf-8")) | changes
    file.write_text(json.dumps({name: value for name, value in found.items() if value is not None}), encoding="utf-8")

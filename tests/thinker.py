"""Turn pebble into models that chat and think, without training: other names for its tokens, and chat templates.

What pebble writes in the style `cot` is a walk, then a line break with "Answer:", then a code. In `thinker` the token of
that line break is called </think>, and <think> is a new token that reads like the line break at the end of a prompt. Its
template asks for a walk, whatever the style, and ends with <think>: it thinks as well as pebble walks.
"""

import json
import shutil

import torch
from safetensors.torch import load_file, save_file

from fathom.harness.engines.model import REFERENCE

ASKS_STEPS = (
    "? Go step by step. Then end with a line that gives the code after the word Answer, for example: Answer: ZN"
)
LINE_BREAK, START, END = "\u010a", "<think>", "</think>"
ENDS_WALK = f"{LINE_BREAK}Answer:"
ECHO = "{% for message in messages %}{{ message.content }}{% endfor %}"
OPENS = (
    "{% for message in messages %}{% if 'Go step by step' in message.content %}{{ message.content | trim }}"
    "{% else %}{{ message.content.split('? ')[0] }}" + ASKS_STEPS + "{% endif %}{% endfor %}"
    "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% else %}<think>{% endif %}"
)


def make_chatter(folder, template=ECHO):
    """Copy pebble with a chat template; by default it adds nothing, so that a chat is read as plain text is."""
    shutil.copytree(REFERENCE / "pebble", folder)
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return folder


def make_babbler(folder):
    """Copy pebble with logits near 0: at temperature 1 it says anything at all."""
    shutil.copytree(REFERENCE / "pebble", folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] *= 0.002
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def make_thinker(folder):
    """Copy pebble as a model that thinks: special tokens around its walk, and a template that opens a thought."""
    make_chatter(folder, OPENS)
    file = folder / "tokenizer.json"
    tokenizer = json.loads(file.read_text(encoding="utf-8"))
    vocabulary, plain = tokenizer["model"]["vocab"], {"single_word": False, "lstrip": False, "rstrip": False}
    vocabulary[END] = vocabulary.pop(ENDS_WALK)
    vocabulary[START] = len(vocabulary)
    for name in (START, END):
        added = {"id": vocabulary[name], "content": name, **plain, "normalized": False, "special": True}
        tokenizer["added_tokens"].append(added)
    merges = tokenizer["model"]["merges"]
    tokenizer["model"]["merges"] = [pair for pair in merges if not {"".join(pair), *pair} & {ENDS_WALK}]
    file.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    _copy_token(folder, vocabulary[LINE_BREAK])
    return folder


def _copy_token(folder, number):
    """Add a token that the model reads as it reads another one; it writes that one first."""
    weights = load_file(folder / "model.safetensors")
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        weights[name] = torch.cat([weights[name], weights[name][number : number + 1]])
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["vocab_size"] += 1
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")

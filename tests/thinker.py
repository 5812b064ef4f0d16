"""Turn pebble into models that chat and think, without training: other names for its tokens, and chat templates.

What pebble writes in the style `cot` is a walk, then a line break with "Answer:", then a code. In `thinker` the token of
that line break is called </think>, and the token that ends a question of that style is called <think>. Its template
ends with <think>. So it reads the very numbers that pebble reads, and thinks as well as pebble walks.
"""

import json
import shutil

from safetensors.torch import load_file, save_file

from fathom.harness.engines.model import REFERENCE

ASKS_STEPS = "?ĠGoĠstepĠbyĠstep,ĠthenĠendĠwithĠaĠlastĠlineĠofĠtheĠform:ĠAnswer:Ġ<code>Ċ"
NAMES = {ASKS_STEPS: "<think>", "ĊAnswer:": "</think>"}
ECHO = "{% for message in messages %}{{ message.content }}{% endfor %}"
OPENS = (
    "{% for message in messages %}{{ message.content.split('? ')[0] }}{% endfor %}"
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
    for old, new in NAMES.items():
        number = vocabulary[new] = vocabulary.pop(old)
        added = {"id": number, "content": new, **plain, "normalized": False, "special": True}
        tokenizer["added_tokens"].append(added)
    merges = tokenizer["model"]["merges"]
    tokenizer["model"]["merges"] = [pair for pair in merges if not {"".join(pair), *pair} & set(NAMES)]
    file.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    return folder

"""Prompts become tokens as the model expects them: plain, or in its chat template, with one first token."""

import pytest

from fathom.harness.engines.base import EngineSettings, Request, Sampling, Turn
from fathom.harness.engines.tokens import choice_tokens, render_text, tokenize_prompts

TEMPLATE = "{{ bos_token }}user {{ messages[0]['content'] }}{% if add_generation_prompt %} bot {% endif %}"


@pytest.fixture(scope="module")
def tokenizer():
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    words = ["<s>", "<unk>", "user", "bot", "who", "is", "next", "A", "B", "C"]
    inner = Tokenizer(WordLevel({word: at for at, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = WhitespaceSplit()
    inner.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    made = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", unk_token="<unk>")
    made.chat_template = TEMPLATE
    return made


def ask(chat):
    return Request("k", "", "who is next", Sampling(4), (" A", " B C"), (Turn("user", "who is next"),) if chat else ())


def words(tokenizer, ids):
    return " ".join(tokenizer.convert_ids_to_tokens(ids))


def test_a_plain_prompt_is_read_as_it_stands(tokenizer):
    (ids,) = tokenize_prompts(tokenizer, [ask(False)])
    assert words(tokenizer, ids) == "<s> who is next"


def test_a_chat_has_one_first_token_and_waits_for_the_answer(tokenizer):
    assert render_text(tokenizer, ask(True)) == "<s>user who is next bot "
    plain, chat = tokenize_prompts(tokenizer, [ask(False), ask(True)])
    assert words(tokenizer, plain) == "<s> who is next"
    assert words(tokenizer, chat) == "<s> user who is next bot"


@pytest.mark.parametrize("chat", [False, True])
def test_candidates_follow_the_prompt(tokenizer, chat):
    request = ask(chat)
    (ids,) = tokenize_prompts(tokenizer, [request])
    given, tails = choice_tokens(tokenizer, request, ids)
    assert given == ids
    assert [words(tokenizer, tail) for tail in tails] == ["A", "B C"]


def test_a_model_answers_through_its_chat_template(tmp_path):
    import shutil

    from fathom.harness.engines.factory import open_engine
    from fathom.harness.engines.model import REFERENCE, ModelSource

    folder = shutil.copytree(REFERENCE / "pebble", tmp_path / "pebble")
    (folder / "chat_template.jinja").write_text(
        "{{ messages[0]['content'] }}{% if add_generation_prompt %} AB AB{% endif %}"
    )
    engine = open_engine(ModelSource("org/pebble", folder, "x"), EngineSettings("hf", "float32"))
    prompt = "AB"
    asked = [
        Request(str(chat), "", prompt, Sampling(3), (), (Turn("user", prompt),) if chat else ())
        for chat in (False, True)
    ]
    done = {one.key: one for batch in engine.stream(iter(asked)) for one in batch}
    assert done["True"].error is done["False"].error is None
    assert done["True"].prompt_tokens > done["False"].prompt_tokens
    assert engine.facts()["dtype"] == "float32"

import json

import pytest
from tokenizers import Tokenizer, models

from fathom.harness.errors import BadMix
from fathom.harness.training.corpora.mix import TextSource, read_mix
from fathom.harness.training.corpora.tokenizer import (
    END_OF_DOCUMENT,
    CorpusTokenizer,
    encode_block,
    make_tokenizer,
    read_tokenizer,
    save_tokenizer,
    vocabulary_tokenizer,
)
from fathom.tasks.base import make_instance, pose
from fathom.tasks.corpora.base import TextBlock
from fathom.tasks.registry import find_family
from fathom.tasks.tokens import TokenBlock

WORDS = ("<end>", "Sentence:", "a", "b")


@pytest.fixture(scope="module")
def text():
    """A source of texts and its tokenizer."""
    source = TextSource(read_mix("years", {"levels": "y2k1"}), "1")
    return source, make_tokenizer(source, 400)


def test_a_vocabulary_reads_its_tokens_and_ends_a_document_at_others():
    tokenizer = vocabulary_tokenizer(WORDS)
    assert tokenizer.encode("Sentence: a b\na").ids == [1, 2, 3, 2]
    assert tokenizer.encode("Sentence: c").ids == [1, 0]
    assert tokenizer.decode([1, 2, 3]) == "Sentence: a b"
    assert tokenizer.get_vocab_size() == len(WORDS)


def test_ids_beyond_a_gap_have_room():
    gap = Tokenizer(models.WordLevel({"<end>": 0, "a": 1 << 16}, unk_token="<end>"))
    assert CorpusTokenizer(gap, "<end>").dtype.str == "<u4"
    assert CorpusTokenizer(vocabulary_tokenizer(WORDS), "<end>").dtype.str == "<u2"


@pytest.mark.parametrize("corpus", ["lano", "years"])
def test_transformers_loads_the_folder_and_reads_a_question_to_the_same_ids(corpus, tmp_path):
    from transformers import AutoTokenizer

    source = TextSource(read_mix(corpus, {"levels": "y2k1"} if corpus == "years" else {}), "1")
    tokenizer = make_tokenizer(source, None if corpus == "lano" else 400)
    save_tokenizer(tokenizer, tmp_path / "tokenizer")
    fast = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    block = source.block(0)[1]
    documents = encode_block(block, tokenizer)
    if isinstance(block, TextBlock):
        prompt, completion = block.documents[0][0]
        asked = fast(prompt + completion)["input_ids"]
    else:
        first = documents.ids[: documents.ends[0] - 1]
        asked = fast(fast.decode(first))["input_ids"]
    assert asked == documents.ids[: len(asked)].tolist()
    assert documents.ids[documents.ends[0] - 1] == fast.eos_token_id == tokenizer.end_id == 0
    assert len(fast) == tokenizer.backend.get_vocab_size()


def test_a_language_is_trained_in_the_form_in_which_it_is_asked():
    item = make_instance(find_family("lano"), "generate-f-50", "symbol", 1, 0)
    tokenizer = make_tokenizer(TextSource(read_mix("lano", {"language": "f"}), "1"))
    asked = tokenizer.backend.encode(pose(find_family("lano"), item, "free")).ids
    assert asked[0] == 1
    assert len(asked) == 51
    assert 0 not in asked


def test_a_value_has_the_same_tokens_whatever_follows_and_apart_from_its_prompt(text):
    _, tokenizer = text
    code = lambda words: tokenizer.backend.encode(words).ids  # noqa: E731
    for value in (" 1973", " Anna Lee", " green"):
        for after in (".", ",", "\n", "\n\n", ".\n", "'s", '."', " -> x", "; 12"):
            assert code("Answer:" + value + after) == code("Answer:") + code(value) + code(after)


def test_documents_end_once_and_only_completions_are_learnt(text):
    _, tokenizer = text
    block = TextBlock(([("Who? ", "Ann"), ("\nWhen?", " 1973")], [("", "It was green.")]))
    documents = encode_block(block, tokenizer)
    assert documents.learnt is not None
    assert documents.texts == ["Who? Ann\nWhen? 1973", "It was green."]
    said = tokenizer.backend.decode(documents.ids[documents.learnt].tolist(), skip_special_tokens=False)
    assert said == f"Ann 1973{END_OF_DOCUMENT}It was green.{END_OF_DOCUMENT}"
    assert (documents.ids == 0).nonzero()[0].tolist() == (documents.ends - 1).tolist()


def test_token_documents_are_taken_as_they_are():
    tokenizer = make_tokenizer(TextSource(read_mix("lano", {}), "1"))
    documents = encode_block(TokenBlock(b"\x01\x00\x02\x00\x00\x00\x00\x00", (3, 4), b"\x00\x01\x00\x01"), tokenizer)
    assert documents.ids.tolist() == [1, 2, 0, 0]
    assert documents.ends.tolist() == [3, 4]
    assert documents.learnt.tolist() == [False, True, False, True]


def test_a_token_form_takes_no_other_tokenizer_and_a_folder_needs_an_end(tmp_path, text):
    lano = TextSource(read_mix("lano", {}), "1")
    with pytest.raises(BadMix, match="vocabulary of its own"):
        make_tokenizer(lano, 4096)
    with pytest.raises(BadMix, match="no Hugging Face tokenizer"):
        read_tokenizer(tmp_path)
    save_tokenizer(text[1], tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, "eos_token": None}))
    with pytest.raises(BadMix, match="eos_token"):
        read_tokenizer(tmp_path)


def test_the_same_text_makes_the_same_tokenizer(text):
    source, tokenizer = text
    assert make_tokenizer(source, 400).digest == tokenizer.digest
    assert make_tokenizer(TextSource(source.mix, "2"), 400).digest != tokenizer.digest

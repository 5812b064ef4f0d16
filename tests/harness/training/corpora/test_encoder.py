import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers

from fathom.harness.training.corpora.encoder import text_encoder
from fathom.harness.training.corpora.mix import TextSource, read_mix
from fathom.harness.training.corpora.tokenizer import END_OF_DOCUMENT, make_tokenizer

SOURCE = TextSource(read_mix("years", {"levels": "y2k1"}), "1")
TOKENIZER = make_tokenizer(SOURCE, 400)


def ids(packed):
    return np.frombuffer(packed, "<u2").tolist()


def wanted(text, tokenizer=TOKENIZER.backend):
    return tokenizer.encode(text, add_special_tokens=False).ids


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.one_of(st.characters(max_codepoint=127), st.characters(codec="utf-8")), max_size=60))
def test_the_table_gives_the_tokenizers_ids_for_any_text(text):
    assert ids(TOKENIZER.encode(text)) == wanted(text)
    assert ids(TOKENIZER.encode(text)) == wanted(text)  # once more, from the table


@pytest.mark.parametrize(
    "text", [f"one{END_OF_DOCUMENT} two", "caf\u00e9 12\u00b2", "a\x1cb\x85c", "  two  blanks", "", " "]
)
def test_marks_and_letters_of_other_scripts_are_read_as_well(text):
    assert ids(TOKENIZER.encode(text)) == wanted(text)


def test_training_text_reads_to_the_tokenizers_ids():
    documents = [text for number in range(5) for pairs in SOURCE.block(number)[1].documents for text in pairs[0]]
    assert [ids(TOKENIZER.encode(text)) for text in documents] == [wanted(text) for text in documents]


def test_a_tokenizer_that_cuts_otherwise_is_asked_itself():
    other = Tokenizer.from_str(TOKENIZER.backend.to_str())
    other.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    text = "It's a year: 1973..."
    assert ids(text_encoder(other, np.dtype("<u2"))(text)) == wanted(text, other) != wanted(text)

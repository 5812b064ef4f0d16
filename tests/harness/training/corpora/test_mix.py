import pytest

from fathom.harness.errors import BadMix
from fathom.harness.training.corpora.mix import (
    CorpusTable,
    Mix,
    MixPart,
    TextSource,
    mix_vocabulary,
    read_mix,
    resolve_mix,
)
from fathom.tasks.errors import BadOption, UnknownCorpus
from fathom.tasks.tokens import TokenBlock

TWO = """
[[corpus]]
name = "lano"
weight = 3
[corpus.options]
form = "prompt"

[[corpus]]
name = "years"
"""


def test_a_name_and_options_are_a_mix_of_one():
    mix = read_mix("lano", {"language": "b"})
    assert [(part.corpus, part.options["language"], part.weight) for part in mix.parts] == [("lano", "b", 1.0)]


def test_a_file_names_corpora_with_weights_and_options(tmp_path):
    (tmp_path / "two.toml").write_text(TWO)
    mix = read_mix(str(tmp_path / "two.toml"), {})
    assert [(part.corpus, part.weight, part.options["form"]) for part in mix.parts] == [
        ("lano", 3.0, "prompt"),
        ("years", 1.0, "prompt"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[corpus]]\nname = 'lano'\nwight = 2", "corpus.0.wight"),
        ("[[corpus]]\nname = 'lano'\nweight = 0", "corpus.0.weight"),
        ("[[corpus]]\nname = 'lano'\nweight = nan", "corpus.0.weight"),
        ("name = 'lano'", "[[corpus]]"),
        ("corpus = []", "corpus"),
        ("[[corpus", "bad.toml"),
    ],
)
def test_a_file_that_is_no_mix_says_where(tmp_path, text, said):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(BadMix) as caught:
        read_mix(str(path), {})
    assert said in str(caught.value)


def test_a_file_that_is_not_there_and_options_beside_a_file_are_refused(tmp_path):
    with pytest.raises(BadMix, match="cannot read"):
        read_mix(str(tmp_path / "none.toml"), {})
    (tmp_path / "two.toml").write_text(TWO)
    with pytest.raises(BadMix, match="edit"):
        read_mix(str(tmp_path / "two.toml"), {"language": "b"})


def test_unknown_corpora_and_options_are_refused():
    with pytest.raises(UnknownCorpus, match="lano"):
        read_mix("lamo", {})
    with pytest.raises(BadOption, match="language"):
        read_mix("lano", {"langage": "b"})
    with pytest.raises(BadMix, match="options"):
        read_mix("lano", {"language": [1]})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a=" + "[" * 100_000, "nested too deeply"),
        ("x='" + "a" * 1_000_001 + "'", "larger than 1,000,000 bytes"),
        ("[[corpus]]\nname='bios'\n[corpus.options]\npopulation=" + "9" * 5_000, "digits"),
        ("[[corpus]]\nname='lano'\nweight=1e308", "at most 1000"),
        ("[[corpus]]\nname='lano'\nweight=nan", "weight"),
    ],
)
def test_a_hostile_file_is_refused(tmp_path, text, said):
    (tmp_path / "mix.toml").write_text(text)
    with pytest.raises(BadMix, match=said):
        read_mix(str(tmp_path / "mix.toml"), {})


def test_a_name_too_long_for_a_file_is_refused():
    with pytest.raises(BadMix, match="cannot read"):
        read_mix("a" * 5_000, {})


def test_a_file_named_like_a_corpus_does_not_hide_it(tmp_path, monkeypatch):
    (tmp_path / "lano").write_text("a letter")
    monkeypatch.chdir(tmp_path)
    assert read_mix("lano", {}).parts[0].corpus == "lano"


def test_token_forms_mix_only_with_the_same_tokens():
    tokens = CorpusTable(name="lano", options={"language": "f"})
    assert mix_vocabulary(resolve_mix([tokens, CorpusTable(name="lano", options={"language": "k"})]))
    with pytest.raises(BadMix, match=r"years \(prompt\), a text"):
        resolve_mix([tokens, CorpusTable(name="years")])
    other = MixPart("lano", 1, {"form": "prompt", "language": "f"})
    with pytest.raises(BadMix, match="do not fit"):
        mix_vocabulary(Mix((resolve_mix([tokens]).parts[0], other)))


def test_blocks_are_shared_out_by_weight():
    mix = resolve_mix([CorpusTable(name="lano", weight=3), CorpusTable(name="lano", options={"language": "k"})])
    drawn = [mix.part_of("1", block) for block in range(2000)]
    assert 1400 < drawn.count(0) < 1600
    assert drawn != [mix.part_of("2", block) for block in range(2000)]


def test_specimens_are_none_of_the_blocks():
    source = TextSource(read_mix("lano", {}), "1")
    specimens = source.specimens()
    blocks = [source.block(number)[1] for number in range(4)]
    assert all(isinstance(block, TokenBlock) for block in blocks)
    assert not {block.ids for block in blocks} & {next(specimens).ids for _ in range(4)}

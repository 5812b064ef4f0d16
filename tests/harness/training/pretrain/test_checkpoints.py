import json
import logging
import shutil
import tomllib
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from tokenizers import Tokenizer

from fathom.harness.errors import BadRecipe, DiskFull, Diverged
from fathom.harness.training.recipe import ModelShape, Recipe, read_recipe, recipe_names
from fathom.tasks.grammars.languages import language
from fathom.tasks.grammars.parser import recognises

pytestmark = pytest.mark.slow

SMALL = """
name = "grammar"
seed = "5"
steps = 12
batch = 4
learning_rate = 3e-3
warmup = 2
exam_every = 4
exam_items = 8

[shape]
hidden = 32
layers = 1
heads = 2
context = 128
init_std = 0.05

[[corpus]]
name = "lano"
[corpus.options]
form = "tokens"
language = "a"

[[exams]]
family = "lano"
level = "generate-a-0"
channel = "symbol"
style = "free"

[[exams]]
family = "lano"
level = "law-a"
channel = "symbol"
style = "bits"
"""


def recipe_of(**changed):
    return Recipe.model_validate({**tomllib.loads(SMALL), **changed})


def train(recipe, out, report=lambda _: None, writing=lambda _: None):
    from fathom.harness.training.pretrain.trainer import pretrain

    return pretrain(recipe, out, report, writing)


def curve(folder):
    rows = [json.loads(line) for line in (folder / "loss.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which the small recipe was trained to its end, and what was reported."""
    out, said, wrote = tmp_path_factory.mktemp("trained"), [], []
    assert train(recipe_of(), out, said.append, wrote.append) == [out / "grammar"]
    assert wrote[-1].tokens >= 12 * 4 * 128
    return out, said


@pytest.fixture
def copied(trained, tmp_path):
    """The same folder once more, to be spoilt."""
    return shutil.copytree(trained[0], tmp_path / "copy")


@pytest.mark.slow
def test_a_corpus_recipe_makes_a_folder_with_card_curve_and_marks(trained):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out, said = trained
    card = (out / "grammar" / "README.md").read_text()
    manifest = json.loads((out / "corpus" / "manifest.json").read_text())
    assert manifest["digest"] in card
    assert "12 of 12 steps" in card
    assert "lano/generate-a-0/symbol/free | " in card
    assert '"seed": "5"' in card
    tokenizer = AutoTokenizer.from_pretrained(out / "grammar")
    model = AutoModelForCausalLM.from_pretrained(out / "grammar")
    assert model.config.vocab_size == len(tokenizer) == manifest["vocabulary"]
    assert [row.step for row in said if row.held_loss is not None] == [4, 8, 12]
    bits = said[-1].exams["lano/law-a/symbol/bits"]
    assert bits.n == 8
    assert 0 <= bits.learnt_bits < bits.most_bits


def test_a_model_of_whole_words_is_sampled_with_stops_that_it_cannot_spell(trained):
    from fathom.harness.engines.base import Request, Sampling
    from fathom.harness.engines.hf import load_hf

    engine = load_hf(trained[0] / "grammar")
    (done,) = next(engine.stream(iter([Request("k", "i", "Sentence:", Sampling(20, ("\n",), 1.0))])))
    assert done.error is None
    assert done.text
    assert set(done.text.split()) <= {"a", "b", "c", "Sentence:"}


def test_the_curve_is_drawn_and_written_as_lines(trained):
    folder = trained[0] / "grammar"
    rows = curve(folder)
    assert [row["step"] for row in rows] == [1, 4, 8, 10, 12]
    assert [row["tokens"] for row in rows] == [row["step"] * 4 * 128 for row in rows]
    assert rows[0]["loss"] > rows[-1]["loss"] > 0
    assert set(rows[1]["exams"]) == {"lano/generate-a-0/symbol/free", "lano/law-a/symbol/bits"}
    drawing = ET.fromstring((folder / "loss.svg").read_text())
    words = " ".join(part for part in drawing.itertext())
    assert all(word in words for word in ("held out", "training", "grammar", "lano/law-a/symbol/bits"))


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "trainer_state.json", "whole.json"])
def test_a_checkpoint_cut_in_half_is_noticed_and_the_one_before_is_used(copied, caplog, name):
    from fathom.harness.training.pretrain.checkpoints import last_whole_checkpoint

    checkpoints = copied / "checkpoints"
    (checkpoints / "checkpoint-best").mkdir()  # none of ours
    assert last_whole_checkpoint(checkpoints).name == "checkpoint-12"
    path = checkpoints / "checkpoint-12" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with caplog.at_level(logging.WARNING):
        assert last_whole_checkpoint(checkpoints).name == "checkpoint-8"
    assert "checkpoint-12 is damaged" in caplog.text
    assert not (checkpoints / "checkpoint-12").exists()


def test_training_that_goes_on_from_a_checkpoint_ends_in_the_same_weights_and_curve(trained, copied):
    whole = trained[0]
    (copied / "checkpoints" / "checkpoint-12" / "whole.json").unlink()
    train(recipe_of(), copied)
    assert curve(copied / "grammar") == curve(whole / "grammar")
    weights = [(folder / "grammar" / "model.safetensors").read_bytes() for folder in (whole, copied)]
    assert weights[0] == weights[1]


def test_a_full_disk_ends_training_with_advice_and_keeps_the_last_checkpoint(tmp_path):
    from fathom.harness.training.pretrain.checkpoints import last_whole_checkpoint

    recipe = recipe_of(exams=[], steps=8)

    def report(progress):
        if progress.step == 4 and progress.held_loss is not None:
            folder = tmp_path / "checkpoints" / "checkpoint-8"
            folder.mkdir()
            (folder / "optimizer.pt").symlink_to("/dev/full")

    with pytest.raises(DiskFull, match=r"free some space, .*continue"):
        train(recipe, tmp_path, report)
    assert last_whole_checkpoint(tmp_path / "checkpoints").name == "checkpoint-4"
    assert not (tmp_path / "grammar").exists()
    assert train(recipe, tmp_path) == [tmp_path / "grammar"]


def test_a_loss_that_is_no_number_ends_training_before_it_is_saved(tmp_path):
    from safetensors.numpy import load_file

    recipe = recipe_of(exams=[], learning_rate=1e12, warmup=100_000, steps=40, exam_every=2)
    with pytest.raises(Diverged, match=r"at step \d+, with the learning rate at .*last good checkpoint is kept"):
        train(recipe, tmp_path)
    (*_, last) = sorted((tmp_path / "checkpoints").glob("checkpoint-*"))
    assert all(np.isfinite(one).all() for one in load_file(last / "model.safetensors").values())


def model_of(kind):
    import torch

    from fathom.harness.training.pretrain.model import build_model

    torch.manual_seed(1)
    return build_model(ModelShape(kind=kind, hidden=32, layers=1, heads=2, context=32, init_std=0.5), 12, 0).eval()


@pytest.mark.parametrize(("kind", "knows"), [("llama", True), ("gpt2", True), ("nope", False)])
def test_a_shape_knows_positions_or_does_not(kind, knows, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    model = model_of(kind)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)  # a folder like any other
    with torch.inference_mode():
        one, other = (loaded(torch.tensor([ids])).logits[0, -1] for ids in ([3, 4, 5, 6], [5, 3, 4, 6]))
    assert torch.allclose(one, other, atol=1e-4) != knows


@pytest.mark.slow
def test_a_model_without_positions_never_learns_any(tmp_path):
    from safetensors.numpy import load_file

    shape = {"kind": "nope", "hidden": 16, "layers": 1, "heads": 1, "context": 64, "init_std": 0.02}
    train(recipe_of(shape=shape, exams=[], steps=3, exam_every=3), tmp_path)
    weights = load_file(tmp_path / "grammar" / "model.safetensors")
    assert not weights["transformer.wpe.weight"].any()


@pytest.fixture(scope="module")
def rows_of(trained):
    """Make the rows of a changed recipe on the text that was written."""
    from fathom.harness.training.corpora.shards import open_shards
    from fathom.harness.training.pretrain.rows import PackedRows

    def make(**changed):
        return PackedRows(open_shards(trained[0] / "corpus"), recipe_of(**changed), 0)

    return make


@pytest.mark.slow
def test_a_pass_reads_each_row_once_in_an_order_of_the_seed(rows_of):
    rows = rows_of(steps=200)
    first = [rows[at]["input_ids"].tobytes() for at in range(rows.n_own)]
    again = [rows[rows.n_own + at]["input_ids"].tobytes() for at in range(rows.n_own)]
    assert sorted(first) == sorted(again) == sorted(rows.row(at)["input_ids"].tobytes() for at in range(rows.n_own))
    assert first != again
    assert first == [rows_of(steps=200)[at]["input_ids"].tobytes() for at in range(rows.n_own)]
    assert first != [rows_of(steps=200, seed="6")[at]["input_ids"].tobytes() for at in range(rows.n_own)]
    held = {rows.held_out()[at]["input_ids"].tobytes() for at in range(len(rows.held_out()))}
    assert held
    assert not held & {*first}


def test_rows_hold_sentences_of_the_language(rows_of, trained):
    tokenizer = Tokenizer.from_file(str(trained[0] / "corpus" / "tokenizer" / "tokenizer.json"))
    words = [tokenizer.id_to_token(at) for at in np.concatenate([rows_of().row(at)["input_ids"] for at in range(3)])]
    first, second, *_ = "".join(f"{word} " for word in words).split(f"{words[words.index('Sentence:', 1) - 1]} ")
    for sentence in (first, second):
        mark, *letters = sentence.split()
        assert mark == "Sentence:"
        assert recognises(language("a"), letters)


def test_documents_that_are_read_apart_count_their_places_from_zero(rows_of):
    row = rows_of(documents="apart").row(0)
    ends = np.flatnonzero(row["input_ids"] == 0)
    lengths = [stop - start for start, stop in zip([0, *ends[:-1] + 1], ends + 1, strict=True)]
    wanted = [place for length in lengths for place in range(length)]
    assert row["position_ids"][: len(wanted)].tolist() == wanted
    assert "position_ids" not in rows_of().row(0)


def test_a_corpus_too_short_for_its_steps_is_refused(rows_of):
    with pytest.raises(BadRecipe, match="raise tokens"):
        rows_of(batch=1000)


@pytest.mark.parametrize(
    ("before", "after", "advice"),
    [
        ("warmup = 2", "warmups = 2", "warmups: no such key; near it: warmup"),
        ("hidden = 32", "hiden = 32", r"shape\.hiden: no such key; near it: hidden"),
        ("exam_items = 8", "zzzz = 8", "zzzz: no such key; known: name, seed"),
        ('language = "a"', 'language = "q"', r"lano: language = 'q'; it may be a"),
        ('language = "a"', "q = 1", "no option 'q'"),
        ('name = "lano"', 'name = "lona"', "no corpus 'lona'"),
        ('seed = "5"', 'seed = "five"', "seed"),
        ("batch = 4", "batch = 4\nvocabulary = 500", "vocabulary: this form of lano has its own"),
        ("batch = 4", "batch = 4\ntokens = 600", "tokens: a step reads 512"),
        ("[[corpus]]", '[[corpus]]\nname = "years"\n[[corpus]]', "do not fit together"),
        ('level = "law-a"', 'level = "law-z"', "no level 'law-z'"),
        ('kind = "llama"', 'kind = "bert"', "shape.kind"),
        ("heads = 2", "heads = 5", "multiple"),
    ],
)
def test_a_corpus_recipe_that_cannot_be_followed_is_refused_with_file_and_key(tmp_path, before, after, advice):
    path = tmp_path / "grammar.toml"
    told = SMALL.replace("hidden = 32", 'kind = "llama"\nhidden = 32')
    assert before in told
    path.write_text(told.replace(before, after, 1))
    with pytest.raises(BadRecipe, match=advice) as caught:
        read_recipe(str(path))
    assert str(path) in str(caught.value)


def test_lessons_and_corpora_exclude_each_other():
    with pytest.raises(ValueError, match="one of the two kinds"):
        recipe_of(corpus=[])


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_that_comes_with_fathom_is_sound(name):
    assert read_recipe(name).name == name

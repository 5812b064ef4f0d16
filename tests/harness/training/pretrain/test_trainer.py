import hashlib
import itertools
import json
import shutil
import signal
import time

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from fathom.harness.engines.decoder_model import register_decoder
from fathom.harness.errors import BadRecipe
from fathom.harness.training.lesson_tokenizer import build_lesson_tokenizer
from fathom.harness.training.lessons import LessonRows, count_names, lesson_pairs
from fathom.harness.training.pretrain.optimizer import Muon
from fathom.harness.training.pretrain.trainer import pretrain
from fathom.harness.training.recipe import LessonTable, read_recipe
from fathom.tasks.base import make_instance, pose
from fathom.tasks.registry import find_family

pytestmark = pytest.mark.slow

TINY = """
name = "grain"
seed = "1"
steps = 12
batch = 4
learning_rate = 1e-3
warmup = 2
early_step = 4
exam_every = 4
vocabulary = 500

[shape]
hidden = 32
layers = 1
heads = 2
context = 256
init_std = 0.02

[[lessons]]
family = "depo"
level = "n4k1"
channel = "symbol"
style = "direct"

[[exams]]
family = "depo"
level = "n4k1"
channel = "symbol"
style = "direct"
"""


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "grain.toml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="module")
def trained(fathom, tmp_path_factory):
    """Where the command trained the tiny recipe to its end, and what it printed."""
    folder = tmp_path_factory.mktemp("grain")
    (folder / "grain.toml").write_text(TINY)
    done = fathom("pretrain", folder / "grain.toml", "--out", folder / "out")
    assert done.returncode == 0, done.stderr
    return folder / "out", done.stdout


def curve(folder):
    rows = [json.loads(line) for line in (folder / "loss.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def weights(folder):
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_training_makes_a_model_that_runs_and_a_card(trained, fathom, tmp_path):
    out, said = trained
    assert "held out" in said
    card = (out / "grain" / "README.md").read_text()
    assert "12 of 12 steps" in card
    assert "tokens seen" in card
    run = fathom(
        "run",
        "--model",
        out / "grain",
        "--engine",
        "hf",
        "--levels",
        "n4k1",
        "--n",
        3,
        "--db",
        tmp_path / "a.db",
        "--json",
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["n_done"] == 3
    assert weights(out / "grain") != weights(out / "grain-early")


@pytest.mark.turns(2)
def test_a_killed_training_goes_on_to_the_same_weights_and_the_same_curve(
    trained, tiny, fathom, start_fathom, tmp_path
):
    whole, parts = trained[0], tmp_path / "parts"
    process = start_fathom("pretrain", tiny, "--out", parts)
    end = time.monotonic() + 300
    while not (parts / "checkpoints" / "checkpoint-4" / "whole.json").exists():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (parts / "grain").exists()
    done = fathom("pretrain", tiny, "--out", parts)
    assert done.returncode == 0, done.stderr
    assert weights(parts / "grain") == weights(whole / "grain")
    assert curve(parts / "grain") == curve(whole / "grain")
    assert [row["step"] for row in curve(whole / "grain")] == [1, 4, 8, 10, 12]


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.turns(2)
def test_a_decoder_with_convolutions_is_trained_checkpointed_and_loaded(tiny, tmp_path, optimizer):
    shape = 'hidden = 32\nkind = "decoder"\nconvolutions = "ABCD"\nqk_norm = true'
    text = TINY.replace("hidden = 32", shape).replace("warmup = 2", f'warmup = 0\noptimizer = "{optimizer}"')
    tiny.write_text(text.replace("steps = 12", "steps = 4").replace("early_step = 4\n", ""))
    (saved,) = pretrain(read_recipe(str(tiny)), tmp_path, lambda _: None)
    assert (
        "Fathom's own decoder (rotary positions, short convolutions ABCD, QK norm)" in (saved / "README.md").read_text()
    )
    register_decoder()
    blocks = AutoModelForCausalLM.from_pretrained(saved).model.layers
    assert all(one.weight.abs().max() > 0 for block in blocks for one in block.convolutions.values())
    (again,) = pretrain(read_recipe(str(tiny)), tmp_path, lambda _: None)  # from the last checkpoint
    assert weights(again) == weights(saved)


def _second(tiny, model, shape="hidden = 32"):
    text = TINY.replace('name = "grain"', f'name = "second"\nfrom = "{model}"').replace("hidden = 32", shape)
    for line in ("vocabulary = 500\n", "early_step = 4\n"):
        text = text.replace(line, "")
    text = text.replace("steps = 12", "steps = 1").replace("learning_rate = 1e-3", "learning_rate = 1e-12")
    tiny.write_text(text.replace("warmup = 2", "warmup = 0"))
    return read_recipe(str(tiny))


def test_a_second_training_starts_from_weights_and_tokenizer_of_the_first(trained, tiny, tmp_path):
    first = trained[0] / "grain"
    (second,) = pretrain(_second(tiny, first), tmp_path, lambda _: None)
    assert (second / "tokenizer.json").read_text() == (first / "tokenizer.json").read_text()
    one, other = (load_file(folder / "model.safetensors") for folder in (first, second))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert f"started from {first}, digest" in (second / "README.md").read_text()


def test_a_model_of_another_shape_or_with_a_new_vocabulary_is_no_start(trained, tiny, tmp_path):
    with pytest.raises(BadRecipe, match="has another one"):
        pretrain(_second(tiny, trained[0] / "grain", "hidden = 16"), tmp_path, lambda _: None)
    tiny.write_text(TINY.replace('seed = "1"', 'seed = "1"\nfrom = "reference/pebble"'))
    with pytest.raises(BadRecipe, match="vocabulary: the tokenizer is that of the model reference/pebble"):
        read_recipe(str(tiny))


def test_checkpoints_of_another_recipe_are_not_continued(trained, tiny, fathom):
    tiny.write_text(TINY.replace('seed = "1"', 'seed = "2"'))
    done = fathom("pretrain", tiny, "--out", trained[0])
    assert done.returncode == 2
    assert "another recipe" in done.stderr


def test_a_tracker_must_be_known_and_installed(tiny, fathom, tmp_path, monkeypatch):
    unknown = fathom("pretrain", tiny, "--out", tmp_path / "out", "--report-to", "paper")
    assert (unknown.returncode, "transformers knows azure_ml" in unknown.stderr) == (2, True)
    monkeypatch.setattr("transformers.integrations.integration_utils.get_available_reporting_integrations", list)
    missing = fathom("pretrain", tiny, "--out", tmp_path / "out", "--report-to", "trackio")
    assert (missing.returncode, "pip install trackio" in missing.stderr) == (2, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("before", "after", "advice"),
    [
        ("steps = 12", "stepz = 12", "stepz"),
        ("steps = 12", "steps = 0", "steps"),
        ("batch = 4", 'batch = "many"', "batch"),
        ('level = "n4k1"', 'level = "n4k9"', "known: n4k1"),
        ('family = "depo"', 'family = "dopo"', "known: bios, brevo, capo, depo"),
        ('style = "direct"', 'style = "loud"', "known: direct"),
        ("heads = 2", "heads = 3", "multiple"),
        ("heads = 2", 'heads = 2\nconvolutions = "AC"', 'kind = "decoder"'),
        ("heads = 2", 'heads = 2\nkind = "decoder"\nconvolutions = "CA"', "shape.convolutions"),
        ("heads = 2", 'heads = 2\nkind = "decoder"\npositions = "learned"', "no weights to the MLP"),
        ("vocabulary = 500", "vocabulary = 3", "vocabulary"),
        ("[shape]", "[shape", "grain.toml"),
        ("steps = 12", f"steps = {10**40}", "steps"),
        ("early_step = 4", "early_step = 13", "early_step: it comes after the last of 12 steps"),
        ("vocabulary = 500", f"vocabulary = {10**12}", "vocabulary"),
        ("context = 256", f"context = {10**9}", "shape.context"),
        ("init_std = 0.02", "init_std = inf", "shape.init_std"),
        ("learning_rate = 1e-3", "learning_rate = inf", "learning_rate"),
        ('family = "depo"', f'weight = {10**12}\nfamily = "depo"', "weight"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(tiny, before, after, advice):
    tiny.write_text(TINY.replace(before, after))
    with pytest.raises(BadRecipe, match=advice):
        read_recipe(str(tiny))


def test_the_recipe_of_pebble_is_sound_and_its_text_is_reproducible():
    recipe = read_recipe("pebble")
    assert lesson_pairs(recipe, 123) == lesson_pairs(recipe, 123)
    assert lesson_pairs(recipe, 123) != lesson_pairs(recipe, 124)
    rows = LessonRows(recipe, build_lesson_tokenizer(recipe))
    assert rows[5] == rows[5]
    assert max(len(rows[index]["input_ids"]) for index in range(50)) <= recipe.shape.context


def test_training_text_shares_no_question_with_evaluation():
    recipe = read_recipe("pebble")
    family = find_family("depo")
    trained = {prompt.partition(".\n")[0] for index in range(5_000) for prompt, _ in lesson_pairs(recipe, index)[:1]}
    for level in ("n4k1", "n8k1", "n8k2", "n8k3", "n8k4"):
        for seed in ("0", "1", "7", "2026", recipe.seed):
            asked = {
                pose(family, make_instance(family, level, "symbol", seed, index), "direct").partition(".\n")[0]
                for index in range(300)
            }
            assert not asked & trained


def test_names_are_few_at_first_and_all_in_the_end():
    recipe = read_recipe("pebble")
    few, last = recipe.few_names, recipe.steps * recipe.batch - 1
    assert count_names(recipe, 0) == few.count < few.most
    assert count_names(recipe, last) > 1_000_000
    widening = [count_names(recipe, at * last // 50) for at in range(50)]
    assert widening == sorted(widening)
    sudden = recipe.model_copy(update={"few_names": few.model_copy(update={"since": 0.5, "until": 0.5})})
    assert [count_names(sudden, at * last // 4) for at in (0, 1, 3)] == [few.count, few.count, 1 << 62]


def test_a_recipe_of_a_thousand_faults_is_refused_in_a_short_line(tiny):
    tiny.write_text("".join(f"{'k' * 500}{at} = 1\n" for at in range(1000)))
    with pytest.raises(BadRecipe, match="name is missing") as caught:
        read_recipe(str(tiny))
    assert len(str(caught.value)) < 3000


def test_every_text_can_be_tokenized_and_comes_back():
    recipe = read_recipe("pebble")
    tokenizer = build_lesson_tokenizer(recipe)
    for text in ("Each arrow leads", "naïve 数学 \u202e\0 🙂", "QK, RT;", "  \n\n\t x"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert build_lesson_tokenizer(recipe).to_str() == tokenizer.to_str()


@pytest.mark.full
def test_a_recipe_with_muon_and_full_rows_goes_on_after_kill_to_the_same_weights(tiny, tmp_path):
    tiny.write_text(TINY.replace("warmup = 2", 'warmup = 2\noptimizer = "muon"\nrow_tokens = 96'))
    recipe = read_recipe(str(tiny))
    pretrain(recipe, tmp_path / "whole", lambda _: None)
    for name in ("checkpoint-8", "checkpoint-12"):
        shutil.copytree(tmp_path / "whole" / "checkpoints" / name, tmp_path / "parts" / "checkpoints" / name)
    (tmp_path / "parts" / "checkpoints" / "checkpoint-12" / "trainer_state.json").unlink()
    pretrain(recipe, tmp_path / "parts", lambda _: None)
    assert weights(tmp_path / "parts" / "grain") == weights(tmp_path / "whole" / "grain")


def test_no_text_of_a_full_row_goes_past_the_last_position(tiny):
    tiny.write_text(TINY.replace("context = 256", "context = 32").replace("warmup = 2", "warmup = 2\nrow_tokens = 300"))
    recipe = read_recipe(str(tiny))
    row = LessonRows(recipe, build_lesson_tokenizer(recipe))[3]
    assert 32 < len(row["input_ids"]) <= 300
    assert max(row["position_ids"]) == 31


def test_a_full_row_holds_whole_texts_that_do_not_see_each_other():
    recipe = read_recipe("pebble").model_copy(update={"row_tokens": 200})
    tokenizer = build_lesson_tokenizer(recipe)
    row = LessonRows(recipe, tokenizer)[7]
    assert len(row["input_ids"]) <= 200
    starts = [at for at, position in enumerate(row["position_ids"]) if position == 0]
    assert len(starts) > 1
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=2048,
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            use_cache=False,
        )
    )
    together = model(input_ids=torch.tensor([row["input_ids"]]), position_ids=torch.tensor([row["position_ids"]]))
    for start, end in itertools.pairwise([*starts, len(row["input_ids"])]):
        alone = model(input_ids=torch.tensor([row["input_ids"][start:end]]))
        torch.testing.assert_close(together.logits[:, start:end], alone.logits, rtol=1e-3, atol=1e-4)


def test_muon_steps_along_all_directions_alike_and_falls_to_the_least():
    torch.manual_seed(0)
    wide, bias = torch.nn.Parameter(torch.randn(16, 48)), torch.nn.Parameter(torch.randn(48))
    before, gradient = wide.detach().clone(), torch.randn(16, 48) @ torch.diag(torch.logspace(0, -1, 48))
    wide.grad = gradient
    Muon([wide], [], lr=0.1, decay=0.0).step()
    sizes = torch.linalg.svdvals((before - wide.detach()) / (0.1 * 0.2 * 48**0.5))
    assert 0.6 < sizes.min() <= sizes.max() < 1.3
    optimizer = Muon([wide], [bias], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss = (wide**2).sum() + (bias**2).sum()
        loss.backward()
        optimizer.step()
    assert loss < 5


def test_in_pieces_a_name_or_number_is_the_same_one_token_wherever_it_stands():
    lessons = tuple(
        LessonTable(family=family, level=level, channel="symbol", style=style)
        for family, level, style in (("depo", "n8k1", "direct"), ("igsm", "op2", "cot"), ("mano", "p23l2", "cot"))
    )
    recipe = read_recipe("pebble").model_copy(update={"tokenizer": "pieces", "vocabulary": 1200, "lessons": lessons})
    tokenizer = build_lesson_tokenizer(recipe)
    for text in ("after QK? Go", "\nQK = 17 + 4\n", " QK\n", "; QK;", " * (QK + 17)"):
        assert tokenizer.token_to_id("ĠQK") in tokenizer.encode(text).ids
    for text in ("\n17 + 4", " (17 - 3)", "= 17 mod"):
        assert tokenizer.token_to_id("Ġ17") in tokenizer.encode(text).ids
    for text in (
        "\n17 + 4 * (QK - 3)",
        "SV = 12\nQK = 3 + 4 = 7\nAnswer: 7",
        "f g g\n",
        "naïve 数学 \u202e\0 🙂",
        "  \n\n\t x",
    ):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    plain = build_lesson_tokenizer(recipe.model_copy(update={"tokenizer": "merges"}))
    asked = lesson_pairs(recipe, 5)[0][0]
    assert len(tokenizer.encode(asked).ids) < len(plain.encode(asked).ids)
    assert build_lesson_tokenizer(recipe).to_str() == tokenizer.to_str()

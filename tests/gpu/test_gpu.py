"""What only a GPU can show; skipped, with the reason printed, where there is none."""

import json

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU on this machine"),
]


@pytest.mark.parametrize("engine", ["vllm", "hf"])
def test_a_quick_run_on_the_gpu_ends_whole_and_says_so(fathom, tmp_path, engine):
    done = fathom(
        "run", "--model", "reference/pebble", "--engine", engine, "--seed", 5, "--db", tmp_path / "a.db", "--json"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    assert result["n_done"] == result["n_items"]
    assert result["manifest"]["engine_facts"]["device"] != "cpu"
    cells = {(cell["level"], cell["style"]): cell for cell in result["cells"]}
    assert cells["n8k1", "direct"]["k"] / cells["n8k1", "direct"]["n"] > 0.9


RECIPE = """
name = "grammar"
seed = "5"
steps = 20
batch = 8
learning_rate = 3e-3
warmup = 2
exam_every = 10

[shape]
hidden = 64
layers = 2
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
"""


def test_a_recipe_is_trained_on_the_gpu_in_mixed_precision_and_goes_on_after_a_cut(fathom, tmp_path):
    recipe, out = tmp_path / "grammar.toml", tmp_path / "out"
    recipe.write_text(RECIPE)
    done = fathom("pretrain", recipe, "--out", out)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "on cuda" in (out / "grammar" / "README.md").read_text()
    rows = [json.loads(line) for line in (out / "grammar" / "loss.jsonl").read_text().splitlines()]
    assert rows[-1]["loss"] < rows[0]["loss"]
    (out / "checkpoints" / "checkpoint-20" / "optimizer.pt").write_bytes(b"")
    again = fathom("pretrain", recipe, "--out", out)
    assert again.returncode == 0, again.stderr[-3000:]
    assert "checkpoint-20 is damaged" in again.stderr

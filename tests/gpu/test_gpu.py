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

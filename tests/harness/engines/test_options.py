"""Options of engines are refused before anything is loaded or stored, and adapters make models of their own."""

import sys

import pytest

from fathom.harness.engines.adapter import adapted, bare_name, check_adapter
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import find_model
from fathom.harness.engines.options import check_settings, known_options
from fathom.harness.errors import BadInput, BrokenModel
from fathom.harness.runs.manifest import make_manifest
from fathom.harness.runs.run_settings import RunSettings, settings_of
from fathom.tasks.suites import Selection, open_suite


@pytest.mark.parametrize(("engine", "options", "said"), [
    ("vllm", {"max_modl_len": 8}, "did you mean max_model_len"),
    ("vllm", {"max_model_len": "8k"}, "wants a whole number"),
    ("vllm", {"enforce_eager": 1}, "wants true or false"),
    ("vllm", {"tensor_parallel_size": True}, "wants a whole number"),
    ("vllm", {"revision": "main"}, "option of its own: --revision"),
    ("hf", {"batchsize": 8}, "did you mean batch_size"),
    ("hf", {"tensor_parallel_size": 2}, "does not take --tensor-parallel"),
    ("hf", {"quantization": "fp8"}, "knows no quantization 'fp8'; known: 4bit, 8bit"),
    ("hf", {"attention": "flash"}, "knows no attention 'flash'; known: eager, sdpa"),
    ("hf", {"device": "cuda:0", "device_map": "auto"}, "give one of them"),
    ("ray", {"inner": "hf", "attention": "flash"}, "knows no attention"),
    ("oracle", {"replicas": 2}, "does not take --replicas"),
    ("ray", {"replica": 2}, "did you mean replicas"),
    ("ray", {"inner": "hf", "max_model_len": 8}, "no option 'max_model_len'"),
    ("ray", {"inner": "openai"}, "cannot hold"),
])  # fmt: skip
def test_an_option_that_cannot_be_is_refused_with_what_was_meant(engine, options, said):
    with pytest.raises(BadInput, match=said):
        check_settings(EngineSettings(engine, options=options))


def test_options_are_known_without_importing_vllm():
    assert "vllm" not in sys.modules or not hasattr(sys.modules["vllm"], "EngineArgs")
    known = known_options("vllm", {})
    assert {"tensor_parallel_size", "pipeline_parallel_size", "quantization", "max_num_seqs", "lora"} <= set(known)
    check_settings(
        EngineSettings("vllm", "bfloat16", {"tensor_parallel_size": 2, "quantization": "fp8", "max_num_seqs": 8})
    )
    check_settings(EngineSettings("ray", "auto", {"replicas": 2, "max_model_len": 8, "gpu_memory_utilization": 1}))
    check_settings(EngineSettings("ray", "auto", {"inner": "hf", "batch_size": 8, "device": "cpu"}))
    with pytest.raises(BadInput, match="no dtype"):
        check_settings(EngineSettings("hf", "float8"))


def test_only_models_of_the_hub_have_revisions():
    with pytest.raises(BadInput, match="leave out --revision"):
        find_model("reference/pebble", "main")


def test_a_model_with_an_adapter_has_its_own_name_and_digest(make_adapter, tmp_path):
    bare = find_model("reference/pebble")
    one, other = (make_adapter(tmp_path / name, seed) for name, seed in (("sql lora", 1), ("second", 2)))
    with_one, with_other = adapted(bare, one), adapted(bare, other)
    assert with_one.name == "reference/pebble+sql-lora"
    assert bare_name(with_one.name) == bare.name
    assert len({bare.digest, with_one.digest, with_other.digest}) == 3
    assert (check_adapter(one).rank, check_adapter(one).layers) == (4, ("q_proj", "v_proj"))


def test_a_run_with_an_adapter_may_go_on_where_the_adapter_was_moved(make_adapter, tmp_path):
    suite = open_suite("quick", "1", Selection(families=("depo",), n=1))
    digests = []
    for name in ("here", "there"):
        lora = make_adapter(tmp_path / name / "adapter")
        setup = EngineSettings("vllm", "auto", {"lora": str(lora), "quantization": "fp8"})
        manifest = make_manifest(adapted(find_model("reference/pebble"), lora), suite, RunSettings(engine=setup))
        assert settings_of(manifest).engine.options == dict(setup.options)
        digests.append(manifest.digest())
    assert digests[0] == digests[1]


def test_a_broken_adapter_is_refused(make_adapter, tmp_path):
    with pytest.raises(BrokenModel, match=r"adapter_config\.json is missing"):
        check_adapter(tmp_path)
    cut = make_adapter(tmp_path / "cut")
    weights = cut / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(BrokenModel, match="fetch it again"):
        check_adapter(cut)
    (cut / "adapter_config.json").write_text('{"peft_type": "IA3", "r": 4}')
    with pytest.raises(BrokenModel, match="no LoRA adapter"):
        check_adapter(cut)

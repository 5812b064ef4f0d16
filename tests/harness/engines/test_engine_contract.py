"""The engines hf and vllm keep the contract; openai and ray do in their own tests, on the server and cluster there."""

import pytest

from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.factory import open_engine
from fathom.harness.engines.model import find_model
from tests.harness.engines.contract import QUESTIONS, TO_THE_MODEL, completions
from tests.odd_model import make_odd


@pytest.fixture(scope="module", params=["hf", pytest.param("vllm", marks=pytest.mark.slow)])
def engine(request, tmp_path_factory):
    folder = make_odd(tmp_path_factory.mktemp("odd") / "pebble")
    options = {"kv_cache_memory_bytes": 64 << 20} if request.param == "vllm" else {}
    opened = open_engine(find_model(str(folder)), EngineSettings(request.param, "float32", options))
    yield opened
    opened.close()


@pytest.mark.parametrize("question", [*QUESTIONS, *TO_THE_MODEL], ids=lambda question: question.__name__)
def test_contract(engine, question):
    question(lambda requests: completions(engine, requests))

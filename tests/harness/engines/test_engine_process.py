"""An engine in a process of its own: the same answers, its end noticed and explained, never outliving its parent."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from fathom.harness.engines.base import EngineSettings, Request, Sampling
from fathom.harness.engines.engine_process import EngineLog, EngineProcess, ProcessEngine
from fathom.harness.engines.factory import engine_process, load_engine
from fathom.harness.engines.model import ModelSource
from fathom.harness.errors import EngineFailed, UnknownModel
from fathom.tasks.registry import instance_from_id

ORACLE = ModelSource("oracle/noisy", None, "oracle/noisy")


def open_apart(model, engine):
    return ProcessEngine(EngineProcess(EngineSettings(engine)), model)


@pytest.fixture
def engine():
    opened = open_apart(ORACLE, "oracle")
    yield opened
    opened.close()


def process_of():
    (found,) = (one for one in psutil.Process().children() if "serve_engine" in "".join(one.cmdline()))
    return found


def requests(n):
    for at in range(n):
        item = f"depo@2/n8k2/symbol/7/{at % 500}"
        yield Request(f"{item}-{at}", item, instance_from_id(item).question, Sampling(8))


def test_it_answers_as_the_engine_in_this_process_does(engine):
    apart, here = (
        {one.key: one.text for batch in opened.stream(requests(3000)) for one in batch}
        for opened in (engine, load_engine(ORACLE, EngineSettings("oracle")))
    )
    assert apart == here
    assert len(apart) == 3000
    assert (engine.name, engine.facts()) == ("oracle", load_engine(ORACLE, EngineSettings("oracle")).facts())


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGSEGV, "the engine oracle crashed in native code (SIGSEGV)"),
        (signal.SIGABRT, "the engine oracle crashed in native code (SIGABRT)"),
        (signal.SIGKILL, "the engine oracle was killed (SIGKILL), most often because memory ran out"),
    ],
)
def test_a_crash_is_told_in_one_line_with_the_log_as_its_cause(engine, number, said):
    stream = engine.stream(requests(10_000))
    assert next(stream)
    os.kill(process_of().pid, number)
    with pytest.raises(EngineFailed) as failure:
        list(stream)
    assert str(failure.value) == said
    assert isinstance(failure.value.__cause__, EngineLog)
    if number != signal.SIGKILL:
        assert "Fatal Python error" in str(failure.value.__cause__)
        assert "engine_process.py" in str(failure.value.__cause__)  # where the process was


def test_what_native_code_wrote_before_it_aborted_is_part_of_the_line(monkeypatch):
    monkeypatch.setattr(
        "fathom.harness.engines.engine_process._CHILD",
        "import os; os.write(2, b'free(): invalid next size (fast)\\n'); os.abort()  # {}",
    )
    with pytest.raises(EngineFailed) as failure:
        open_apart(ORACLE, "vllm")
    assert str(failure.value) == ("the engine vllm crashed in native code (SIGABRT): free(): invalid next size (fast)")


def test_an_error_of_the_engine_keeps_its_type_and_its_traceback():
    with pytest.raises(UnknownModel, match="oracle/none") as failure:
        open_apart(ModelSource("oracle/none", None, "x"), "oracle")
    assert "oracle_kind" in str(failure.value.__cause__)


def test_leaving_a_stream_early_ends_the_process(engine):
    process = process_of()
    stream = engine.stream(requests(10_000))
    next(stream)
    stream.close()
    assert not process.is_running()


def test_it_ends_with_a_parent_that_is_killed():
    code = (
        "from tests.harness.engines.test_engine_process import *; import time\n"
        "opened = open_apart(ORACLE, 'oracle'); print(process_of().pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    assert child.is_running()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    psutil.wait_procs([child], timeout=20)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_process_that_nobody_needs_ends_with_its_context():
    with engine_process(EngineSettings("vllm")) as process:
        child = process_of()
    assert not child.is_running()
    process.kill()  # again
    with engine_process(EngineSettings("hf")) as process:
        assert process is None


def test_ctrl_c_does_not_reach_it(engine):
    assert os.getsid(process_of().pid) != os.getsid(0)

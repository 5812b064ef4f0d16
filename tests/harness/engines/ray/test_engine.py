"""Replicas on a Ray cluster of this machine: killed in mid-run, added, let go; and vLLM with an adapter inside one."""

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.engines.adapter import adapted
from fathom.harness.engines.base import EngineSettings, Request, Sampling
from fathom.harness.engines.factory import open_engine
from fathom.harness.engines.model import ModelSource, find_model
from fathom.harness.errors import BrokenModel, EngineFailed
from fathom.harness.records import SampleFilter
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.run_settings import RunSettings
from fathom.tasks.registry import instance_from_id
from fathom.tasks.suites import Selection, open_suite
from tests.harness.engines.contract import QUESTIONS, TO_THE_MODEL, completions
from tests.odd_model import make_odd

pytestmark = [pytest.mark.slow, pytest.mark.turns(4, engine=1)]

ORACLE = ModelSource("oracle/noisy", None, "oracle/noisy")


@pytest.fixture(scope="module")
def cluster():
    """One Ray cluster for all tests of this file; engines in this process find the connection."""
    from fathom.harness.engines.ray.cluster import Cluster

    began = time.monotonic()
    started = Cluster("local")
    print(f"a local Ray cluster is up after {time.monotonic() - began:.1f} s")
    yield started
    started.close()


def replicas():
    """Return the processes of replicas, as anybody sees them who looks at the machine."""
    return [one for one in psutil.Process().children(recursive=True) if "Replica" in name_of(one)]


def name_of(process):
    try:
        return process.name()
    except psutil.NoSuchProcess:  # it ended meanwhile
        return ""


def requests(n, start=0):
    for at in range(start, start + n):
        item = f"depo@2/n8k2/symbol/7/{at}"
        yield Request(item, item, instance_from_id(item).question, Sampling(8))


def stored(db, run):
    detail = read.get_run(db, run)
    rows = read.get_samples(db, detail, SampleFilter(), limit=100_000).samples
    return detail, {(one.item, one.style): (one.completion, one.correct, one.label) for one in rows}


def test_a_run_whose_replica_is_killed_ends_whole_and_equal_to_the_run_of_one_engine(cluster, tmp_path):
    db = open_database(f"sqlite:///{tmp_path / 'runs.db'}", create=True)
    suite = open_suite("quick", "5", Selection(families=("depo",), n=150))
    killed = []

    def kill(_phase, tick):
        if tick is not None and tick.n_done > suite.n_items // 5 and not killed:
            killed.append((tick.n_done, *(one.pid for one in replicas())))
            os.kill(killed[0][1], signal.SIGKILL)

    setup = EngineSettings("ray", "auto", {"inner": "oracle", "replicas": 2})
    began = time.monotonic()
    many = evaluate(Plan(ORACLE, suite, RunSettings(engine=setup)), db, kill)
    print(f"killed one of {killed[0][1:]} after {killed[0][0]} of {suite.n_items}; {time.monotonic() - began:.1f} s")
    one = evaluate(Plan(ORACLE, suite, RunSettings(engine=EngineSettings("oracle"))), db)
    (detail, on_ray), (_, alone) = (stored(db, outcome.run) for outcome in (many, one))
    assert (detail.summary.state, many.n_generated, len(on_ray)) == ("done", suite.n_items, suite.n_items)
    assert on_ray == alone
    assert (detail.manifest.stored["engine_facts"]["inner"], detail.manifest.stored["engine_facts"]["replicas"]) == (
        "oracle",
        "2",
    )
    assert not replicas()
    db.dispose()


def test_replicas_join_and_leave_in_mid_run(cluster):
    engine = open_engine(ORACLE, EngineSettings("ray", "auto", {"inner": "oracle", "replicas": 1}))
    ready = []

    def scaled():
        for at, request in enumerate(requests(100_000)):
            if at == 2000:
                engine.scale(2)
            if engine.n_ready == 2 and not ready:
                ready.append(at)
                engine.scale(1)
            if ready and len(replicas()) == 1:
                return
            yield request

    began, done = time.monotonic(), Counter()
    for batch in engine.stream(scaled()):
        done.update(one.key for one in batch)
        assert time.monotonic() - began < 60
    print(f"the second replica took part after {ready[0]} requests; {sum(done.values())} in all")
    assert ready
    assert set(done.values()) == {1}
    assert len(replicas()) == engine.n_ready == 1
    engine.close()


def test_what_keeps_the_first_replica_from_loading_is_raised(cluster, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BrokenModel, match="names no model_type"):
        open_engine(ModelSource("x", tmp_path, "x"), EngineSettings("ray", "auto", {"inner": "hf"}))
    with pytest.raises(EngineFailed, match="put the model at the same place"):
        open_engine(ModelSource("x", tmp_path / "none", "x"), EngineSettings("ray", "auto", {"inner": "hf"}))


def test_an_address_without_a_cluster_is_one_line(fathom, tmp_path):
    words = ("run", "--engine", "ray", "--engine-arg", "inner=oracle", "--engine-arg", "address=127.0.0.1:9")
    done = fathom(*words, "--families", "depo", "--n", 1, "--db", tmp_path / "a.db", process=True)
    assert done.returncode == 3
    assert "fathom: no Ray cluster: nothing listens at 127.0.0.1:9" in done.stderr


@pytest.mark.full
def test_the_command_shows_nothing_of_rays_own(cluster, fathom, tmp_path):
    import ray

    words = ("run", "--engine", "ray", "--engine-arg", "inner=oracle", "--families", "depo", "--n", 2, "--seed", 3)
    address = ray.get_runtime_context().gcs_address
    done = fathom(*words, "--db", tmp_path / "a.db", "--json", process=True, RAY_ADDRESS=address)
    assert done.returncode == 0, done.stderr
    cells = open_suite("quick", 3, Selection(families=("depo",), n=2)).cells
    assert json.loads(done.stdout)["n_done"] == sum(cell.n for cell in cells)
    assert [line for line in done.stderr.splitlines() if "ray" in line.lower()] == [done.stderr.splitlines()[0]]


@pytest.mark.full
def test_a_worker_on_ray_does_a_submission_without_a_network_and_leaves_nothing_behind(service):
    name = service.submit()
    service.start()
    options = ("--engine-arg", "inner=oracle", "--engine-arg", "replicas=2")
    worker = service.work(*options, engine="ray", RAY_ADDRESS="")
    found = []

    def look(_session):
        found.extend(psutil.Process(worker.pid).children(recursive=True))

    service.freeze(look)
    row = service.check_whole(name)
    facts = read.get_run(service.db, row.run_id).manifest.stored["engine_facts"]
    assert (facts["inner"], facts["replicas"]) == ("oracle", "2")
    assert {"raylet", "gcs_server"} <= {Path(one.exe()).name for one in found if one.is_running()}
    (runner,) = [one for one in found if "fathom.harness.service.worker.runner" in one.cmdline()]
    assert Path(f"/proc/{runner.pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=30) == 0
    _, alive = psutil.wait_procs(found, timeout=30)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []


def test_contract(cluster, tmp_path):
    engine = open_engine(
        find_model(str(make_odd(tmp_path / "pebble"))), EngineSettings("ray", "float32", {"inner": "hf"})
    )
    for question in (*QUESTIONS, *TO_THE_MODEL):
        question(lambda requests: completions(engine, requests))
    engine.close()


@pytest.mark.full
def test_vllm_with_an_adapter_in_a_replica_answers_as_the_merged_weights_do(cluster, make_adapter, tmp_path):
    from safetensors.torch import load_file

    from fathom.harness.engines.hf import load_hf

    lora = make_adapter(tmp_path / "lora")
    options = {"lora": str(lora), "kv_cache_memory_bytes": 64 << 20}
    model = adapted(find_model("reference/pebble"), lora)
    asked = [*requests(24), *(
        Request(f"choice {one.key}", one.item, one.prompt, Sampling(1), (" A", " B", " of C")) for one in requests(8)
    )]  # fmt: skip
    engine = open_engine(model, EngineSettings("ray", "float32", options))
    on_ray = {one.key: one for batch in engine.stream(iter(asked)) for one in batch}
    facts = engine.facts()
    engine.close()
    merged = load_hf(Path("harness/training/reference/pebble"))
    weights = load_file(lora / "adapter_model.safetensors")
    for at, layer in enumerate(merged._model.model.layers):
        for name in ("q_proj", "v_proj"):
            place = f"base_model.model.model.layers.{at}.self_attn.{name}"
            change = weights[f"{place}.lora_B.weight"] @ weights[f"{place}.lora_A.weight"]
            getattr(layer.self_attn, name).weight.data += 8 / 4 * change
    alone = {one.key: one for batch in merged.stream(iter(asked)) for one in batch}
    farthest = max(
        abs(a - b) for key in alone for a, b in zip(on_ray[key].scores or (), alone[key].scores or (), strict=True)
    )
    same = sum(on_ray[key].text == alone[key].text for key in alone)
    print(
        f"vLLM with the adapter and the merged weights: {same} of {len(alone)} texts; scores differ by {farthest:.2g}"
    )
    assert (facts["inner"], facts["device"], facts["nodes"]) == ("vllm", "cpu", "1")
    assert farthest < 0.3
    assert same >= len(alone) - 2

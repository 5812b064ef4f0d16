"""Real vLLM on the reference model: crashed, resumed, compared with transformers."""

import json
import re
import signal
import time
from collections import Counter
from dataclasses import replace

import psutil
import pytest
from transformers import AutoTokenizer

from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import REFERENCE, find_model
from fathom.harness.records import SampleFilter
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.run_settings import settings_of
from fathom.tasks.base import pose
from fathom.tasks.registry import find_family, instance_from_id
from fathom.tasks.suites import open_suite
from tests.peeking import stored
from tests.thinker import make_thinker

pytestmark = [pytest.mark.slow, pytest.mark.turns(4, engine=2)]

N = 40


@pytest.fixture(scope="module")
def crashed(start_shared_fathom, tmp_path_factory):
    """A quick run whose vLLM crashed in mid-run: (database, exit code, output, its row then)."""
    database = tmp_path_factory.mktemp("vllm") / "runs.db"
    words = ("--engine", "vllm", "--families", "depo", "--seed", 11, "--n", N, "--db", database)
    process = start_shared_fathom("run", "--model", "reference/pebble", *words)
    end = time.monotonic() + 400
    while stored(database)[1] < 50:
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.01)
    (engine,) = psutil.Process(process.pid).children()
    engine.send_signal(signal.SIGSEGV)
    said, _ = process.communicate(timeout=60)
    db = open_database(str(database), create=False)
    return database, process.returncode, said, read.get_run(db, stored(database)[0])


@pytest.fixture(scope="module")
def resumed(crashed, fathom):
    """The crashed run, resumed: (kept, output of resume, database)."""
    database, *_ = crashed
    run, kept = stored(database)
    done = fathom("run", "--resume", run, "--db", database, "--json", process=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return kept, done, database


def test_a_crash_of_vllm_ends_the_run_as_failed_with_its_log(crashed):
    _, code, said, detail = crashed
    assert (code, detail.summary.state) == (3, "failed"), said[-3000:]
    assert said.splitlines()[-1] == "fathom: the engine vllm crashed in native code (SIGSEGV)"
    assert f"fathom run --resume {detail.summary.run}" in said
    assert detail.summary.error == "the engine vllm crashed in native code (SIGSEGV)"
    assert "Fatal Python error: Segmentation fault" in detail.log
    assert re.search(r'  File ".+", line \d+ in \w+', detail.log)  # where it was, in vLLM or between two of its steps


def test_a_crashed_vllm_run_resumes_to_every_sample_once(resumed):
    kept, done, database = resumed
    result = json.loads(done.stdout)
    total = result["n_items"]
    print(f"{kept} of {total} samples survived the crash; the rest was generated on resume")
    assert 50 <= kept < total
    assert f"{total - kept:,} generated, {kept:,} recalled" in done.stderr
    assert result["state"] == "done"
    assert result["n_generated"] == total == stored(database)[1]


def test_the_manifest_names_engine_model_and_suite(resumed):
    result = json.loads(resumed[1].stdout)
    decisive = result["manifest"]["decisive"]
    assert decisive["engine"]["name"] == "vllm"
    assert decisive["engine"]["packages"]["torch"]
    assert len(decisive["model"]["digest"]) == len(decisive["suite"]["digest"]) == 32
    assert result["manifest"]["engine_facts"]["context"] == "1024"


def test_pebble_knows_one_hop_and_falls_with_depth(resumed):
    cells = {(c["level"], c["style"]): c for c in json.loads(resumed[1].stdout)["cells"]}
    one, three, six = (cells[level, "direct"] for level in ("n8k1", "n8k3", "n8k4"))
    assert one["k"] / one["n"] > 0.9
    assert one["low"] > three["high"]
    assert six["k"] / six["n"] < 0.5


def test_choices_are_scored_for_every_candidate(resumed):
    db = open_database(str(resumed[2]), create=False)
    detail = read.get_run(db, read.list_runs(db)[0].run)
    cell = next(cell for cell in detail.cells if cell.style == "choice")
    for sample in read.get_samples(db, detail, SampleFilter(cell=cell.id)).samples:
        assert len(sample.scores) == 7
        assert all(score < 0 for score in sample.scores)
        assert sample.completion_tokens == 0


def test_vllm_and_transformers_agree_on_every_score_and_text(resumed, fathom, tmp_path):
    done = fathom(
        "run",
        "--model",
        "reference/pebble",
        "--engine",
        "hf",
        "--families",
        "depo",
        "--seed",
        "11",
        "--n",
        N,
        "--db",
        tmp_path / "hf.db",
        "--json",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    held = []
    for path in (resumed[2], tmp_path / "hf.db"):
        db = open_database(str(path), create=False)
        detail = read.get_run(db, read.list_runs(db)[0].run)
        held.append(read.get_samples(db, detail, SampleFilter(), limit=100_000).samples)
    differing, farthest = 0, 0.0
    tokenizer, family = AutoTokenizer.from_pretrained(REFERENCE / "pebble"), find_family("depo")
    for one, other in zip(*held, strict=True):
        assert one.item == other.item
        assert one.prompt_tokens == other.prompt_tokens
        # a code that begins a line is the same token with a blank before it and without: vLLM, which reads what it
        # made behind the prompt, writes it without
        asked = pose(family, instance_from_id(one.item), one.style)
        texts = [tokenizer(asked + text)["input_ids"] for text in (one.completion, other.completion)]
        differing += texts[0] != texts[1]
        if one.scores is not None:
            farthest = max(farthest, *(abs(a - b) for a, b in zip(one.scores, other.scores, strict=True)))
        if texts[0] == texts[1] and one.finish_reason == other.finish_reason:
            assert one.completion_tokens == other.completion_tokens
            assert one.correct == other.correct
    print(
        f"vLLM and transformers: {differing} of {len(held[0])} completions differ; scores by {farthest:.3f} nats at most"
    )
    assert farthest < 0.3  # vLLM's attention on a CPU rounds more than PyTorch's; see the README's limits
    assert differing <= len(held[0]) // 50


@pytest.mark.full
def test_repeats_are_drawn_apart_even_where_prompts_fill_a_step(fathom, tmp_path):
    words = ("--levels", "n8k3", "--families", "depo", "--n", 8, "--repeats", 12, "--temperature", 2, "--seed", 3)
    done = fathom(
        "run",
        "--model",
        "reference/pebble",
        "--engine",
        "vllm",
        *words,
        "--db",
        tmp_path / "r.db",
        "--json",
        process=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (cell,) = json.loads(done.stdout)["cells"]
    db = open_database(str(tmp_path / "r.db"), create=False)
    samples = read.get_samples(db, read.get_run(db, read.list_runs(db)[0].run), SampleFilter(), limit=999).samples
    assert sum(one.prompt_tokens for one in samples) > 2048  # more than vLLM takes in one step on a CPU
    assert (cell["n"], cell["n_errors"], sum(cell["spread"]["hits"])) == (96, 0, 8)
    texts = [{one.completion for one in samples if one.index == index} for index in range(8)]
    print([len(one) for one in texts])
    assert all(len(one) > 3 for one in texts)


@pytest.mark.full
def test_a_model_that_thinks_does_so_alike_in_vllm_and_transformers(fathom, tmp_path):
    model = make_thinker(tmp_path / "thinker")
    asked = ("--families", "depo,bios", "--levels", "n8k2,extract-k100", "--style", "direct,cot,choice")
    words = (*asked, "--channel", "symbol", "--n", 8, "--seed", 3)
    database = tmp_path / "vllm.db"
    done = fathom(
        "run", "--model", model, "--engine", "vllm", *words, "--chat", "--db", database, "--json", process=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "after a thought that the template opens" in done.stderr
    db = open_database(str(database), create=False)
    found = read.get_run(db, read.list_runs(db)[0].run)
    settings = replace(settings_of(found.manifest), engine=EngineSettings("hf"))
    again = evaluate(Plan(find_model(str(model)), found.suite, settings), db).run
    held = [
        (detail, read.get_samples(db, detail, SampleFilter(), limit=999).samples)
        for detail in (found, read.get_run(db, again))
    ]
    (mine, ours), (theirs, others) = held
    assert mine.manifest.stored["first_prompt"] == theirs.manifest.stored["first_prompt"]
    special = {one["content"]: one["id"] for one in json.loads((model / "tokenizer.json").read_text())["added_tokens"]}
    assert mine.manifest.stored["first_prompt"]["token_ids"][-1] == special["<think>"]
    for one, other in zip(ours, others, strict=True):
        assert (one.prompt_tokens, one.completion_tokens) == (other.prompt_tokens, other.completion_tokens)
        if one.style == "choice":  # after an empty thought pebble finds all candidates about as unlikely
            continue
        assert (one.completion, one.label, one.finish_reason) == (other.completion, other.label, other.finish_reason)
        assert "</think>" in one.completion or one.label == "too_long"
    print(f"{sum(one.correct for one in ours)} of {len(ours)} right after a thought, in both engines")
    for cell in mine.cells:
        assert (cell.family == "bios") is (cell.labels == {"too_long": 8})
        assert cell.k >= 6 or cell.style == "choice" or cell.family == "bios"


@pytest.mark.full
def test_a_submission_that_a_worker_runs_equals_a_run_of_ones_own(resumed, service, hub, tmp_path):
    repo = hub.add("org/pebble")
    service.extra = {"FATHOM_HUB": hub.url}
    name = service.submit("11", model="org/pebble", sha=repo.sha, engine="vllm", style="choice")
    service.start()
    worker = service.work(engine="vllm", HF_HOME=str(tmp_path / "huggingface"))
    row = service.wait_for_end(name)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=20) == 0
    assert row.state == "finished", row.error_tail
    detail = read.get_run(service.db, row.run_id)
    asked = Counter()
    for cell in open_suite("quick", 11).cells:
        asked[cell.family] += cell.n * (cell.style == "choice")
    assert (detail.summary.tier, detail.summary.model) == (3, "org/pebble")
    assert detail.summary.n_generated == asked.total()
    assert detail.manifest.stored["engine_facts"]["device"] == "cpu"
    own = open_database(str(resumed[2]), create=False)
    mine, theirs = (
        {
            one.item: one
            for one in read.get_samples(db, run, SampleFilter(), limit=9999).samples
            if one.style == "choice"
        }
        for db, run in ((service.db, detail), (own, read.get_run(own, read.list_runs(own)[0].run)))
    )
    shared = sorted(set(mine) & set(theirs))
    farthest = max(abs(a - b) for item in shared for a, b in zip(mine[item].scores, theirs[item].scores, strict=True))
    print(f"{len(shared)} items through a worker and through fathom run: scores differ by {farthest:.2g} nats at most")
    assert len(shared) == asked["depo"]  # which the run of one's own asks as well, and more often
    assert farthest < 0.02
    assert [mine[item].completion for item in shared] == [theirs[item].completion for item in shared]

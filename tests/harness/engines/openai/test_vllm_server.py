"""The engine openai against a real `vllm serve`: killed and started again in mid-run, compared with transformers."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.engines.base import EngineSettings, Request, Sampling, Turn
from fathom.harness.engines.hf import load_hf
from fathom.harness.engines.model import REFERENCE
from fathom.harness.engines.openai.engine import open_openai
from fathom.harness.records import SampleFilter
from fathom.harness.runs.requests import make_requests
from tests.harness.engines.contract import QUESTIONS
from tests.odd_model import make_odd
from tests.peeking import stored

pytestmark = [pytest.mark.slow, pytest.mark.turns(4, engine=0)]

N = 40
KEY = "a-key-that-nobody-may-read"
SECONDS = 400
"""For a server to come up where other tests use all cores; 30 where they do not."""
TEMPLATE = "{{ before | default('') }}{% for message in messages %}{{ message.content }}{% endfor %}"


class Served:
    """A `vllm serve` of a model in an odd folder on one port, in a process group of its own."""

    def __init__(self, folder, port, environment):
        (folder / "chat.jinja").write_text(TEMPLATE)
        self.environment = environment(
            VLLM_CPU_NUM_OF_RESERVED_CPU="0", VLLM_NO_USAGE_STATS="1", VLLM_HOST_IP="127.0.0.1",
            VLLM_LOGGING_LEVEL="ERROR", VLLM_API_KEY=KEY,
        )  # fmt: skip
        self.words = [
            Path(sys.executable).with_name("vllm"), "serve", make_odd(folder / "pebble"), "--served-model-name", "reference/pebble",
            "--host", "127.0.0.1", "--port", port, "--dtype", "float32", "--enforce-eager", "--max-num-seqs", 64,
            "--kv-cache-memory-bytes", 128 << 20, "--disable-log-stats", "--chat-template", folder / "chat.jinja",
        ]  # fmt: skip
        self.folder, self.root, self.process = folder, f"http://127.0.0.1:{port}", None

    def start(self):
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                list(map(str, self.words)), env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self):
        end = time.monotonic() + SECONDS
        while not self.answers():
            assert self.process.poll() is None, (self.folder / "server.log").read_text()[-3000:]
            assert time.monotonic() < end
            time.sleep(0.1)

    def answers(self):
        try:
            return urllib.request.urlopen(f"{self.root}/health", timeout=5).status == 200
        except OSError:
            return False

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def served(tmp_path_factory, environment):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    one = Served(tmp_path_factory.mktemp("served"), port, environment)
    one.start()
    yield one
    one.kill()


@pytest.fixture(scope="module")
def ran(request, served, start_shared_fathom, tmp_path_factory):
    """A run, during which the server is killed with -9 and started again where that is asked for with `--full`.

    Returns how many samples were kept at the kill, the output, detail and samples of the run, and its database.
    """
    database = tmp_path_factory.mktemp("openai") / "runs.db"
    process = start_shared_fathom(
        "run", "--engine", "openai", "--model", "reference/pebble", "--base-url", f"{served.root}/v1", "--concurrency", 16,
        "--families", "depo", "--levels", "n8k1,n8k3", "--style", "direct,cot,choice", "--seed", 11, "--n", N, "--db", database, FATHOM_API_KEY=KEY,
    )  # fmt: skip
    end = time.monotonic() + SECONDS  # the run was begun before the server was up
    while stored(database)[1] < N:
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.01)
    kept = stored(database)[1]
    if request.config.getoption("--full"):
        served.kill()
        kept = stored(database)[1]
        served.start()
    said, _ = process.communicate(timeout=SECONDS)
    db = open_database(str(database), create=False)
    detail = read.get_run(db, stored(database)[0])
    samples = read.get_samples(db, detail, SampleFilter(), limit=9999).samples
    assert process.returncode == 0, said
    return kept, said, detail, samples, database


@pytest.mark.full
def test_a_server_killed_and_started_again_in_mid_run_costs_nothing(ran):
    kept, said, detail, samples, _ = ran
    total = 6 * N
    print(f"{kept} of {total} samples were stored when the server was killed")
    assert N <= kept < total
    assert f"{total} generated, 0 recalled" in said
    assert said.count("the server does not answer") >= 2  # before it was up, and after it was killed
    assert said.count("the server answers again") >= 2
    assert detail.summary.state == "done"
    items = Counter((one.style, one.item) for one in samples)
    assert len(items) == len(samples) == total
    assert {one.finish_reason for one in samples} <= {"stop", "length"}
    assert sum(cell.n_errors for cell in detail.cells) == 0


def test_the_manifest_says_what_was_asked_and_the_key_is_nowhere(ran, served):
    _, said, detail, _, database = ran
    facts = detail.manifest.stored["engine_facts"]
    assert facts == {
        "base_url": f"{served.root}/v1", "served_model": "reference/pebble", "server": "vllm", "context": "1024",
        "version": facts["version"], "load_seconds": facts["load_seconds"],
    }  # fmt: skip
    assert facts["version"][0].isdigit()
    assert len(detail.manifest.stored["decisive"]["model"]["digest"]) == 32
    first = detail.manifest.stored["first_prompt"]
    asked = [one.prompt for cell in detail.suite.cells for one in make_requests(cell, detail.suite.seed, "")]
    assert first["token_ids"] in AutoTokenizer.from_pretrained(REFERENCE / "pebble")(asked)["input_ids"]
    assert first["text"].startswith("Each arrow leads from one code to the next.")
    assert KEY not in said
    for file in database.parent.iterdir():
        assert KEY.encode() not in file.read_bytes()


def test_texts_scores_and_verdicts_are_those_of_transformers(ran):
    _, _, detail, samples, _ = ran
    by_item = {(one.style, one.item): one for one in samples}
    engine = load_hf(REFERENCE / "pebble")
    tokenizer = AutoTokenizer.from_pretrained(REFERENCE / "pebble")
    requests = {
        one.key: (cell.style, one) for cell in detail.suite.cells for one in make_requests(cell, detail.suite.seed, "")
    }
    differing, farthest = 0, 0.0
    for batch in engine.stream(one for _, one in requests.values()):
        for one in batch:
            style, request = requests[one.key]
            theirs = by_item[style, request.item]
            assert theirs.prompt_tokens == one.prompt_tokens
            # a code that begins a line is the same token with a blank before it and without: a server, which reads
            # what it made behind the prompt, writes it without
            texts = [tokenizer(request.prompt + text)["input_ids"] for text in (theirs.completion, one.text)]
            differing += texts[0] != texts[1]
            if one.scores is not None:
                farthest = max(farthest, *(abs(a - b) for a, b in zip(one.scores, theirs.scores, strict=True)))
            elif texts[0] == texts[1]:
                assert (theirs.finish_reason, theirs.completion_tokens) == (one.finish_reason, one.completion_tokens)
    print(
        f"vllm serve and transformers: {differing} of {len(requests)} texts differ; scores by {farthest:.3f} nats at most"
    )
    assert farthest < 0.3  # vLLM's attention on a CPU rounds more than PyTorch's; see the README's limits
    assert differing <= len(requests) // 50


@pytest.fixture(scope="module")
def engine(served, ran):
    """The engine on the server that was started again."""
    patch = pytest.MonkeyPatch()
    patch.setenv("FATHOM_API_KEY", KEY)
    one = open_openai("reference/pebble", EngineSettings("openai", options={"base_url": f"{served.root}/v1"}))
    yield one
    one.close()
    patch.undo()


def completions(engine, requests):
    done = {one.key: one for some in engine.stream(iter(requests)) for one in some}
    assert set(done) == {one.key for one in requests}
    return [done[one.key] for one in requests]


def test_a_prompt_is_cut_nowhere_and_its_budget_where_the_context_ends(engine):
    tokenizer = AutoTokenizer.from_pretrained(REFERENCE / "pebble", model_max_length=1 << 20)
    prompts = [" x" * n for n in (200, 1022, 1023, 1024, 1100, 6000)]
    requests = [Request(str(len(prompt)), "", prompt, Sampling(64)) for prompt in prompts]
    for request, one in zip(requests, completions(engine, requests), strict=True):
        size = len(tokenizer(request.prompt)["input_ids"])
        assert size == len(request.prompt) // 2
        if size >= 1024:
            assert (one.finish_reason, one.prompt_tokens) == ("too_long", size)
        else:
            assert (one.error, one.prompt_tokens) == (None, size)
            assert 1 <= one.completion_tokens <= min(64, 1024 - size)


def test_sampled_texts_are_those_of_their_keys(engine, ran):
    suite = ran[2].suite
    walk = next(one for cell in suite.cells if cell.style == "cot" for one in make_requests(cell, suite.seed, ""))
    requests = [Request(f"key{at}", "", walk.prompt, Sampling(8, (), 2.0)) for at in range(4)]
    first, second = ([(one.error, one.text) for one in completions(engine, requests)] for _ in range(2))
    assert first == second
    assert {error for error, _ in first} == {None}
    assert len(set(first)) > 1


def test_a_chat_goes_through_the_servers_template_and_is_scored_token_by_token(engine, ran):
    suite = ran[2].suite
    found = [one for cell in suite.cells for one in list(make_requests(cell, suite.seed, ""))[:4]]
    # what answers a chat follows it without the blank that follows a plain prompt
    plain = [replace(one, choices=tuple(choice.lstrip() for choice in one.choices)) for one in found]
    chats = [
        replace(one, prompt="", turns=(Turn("user", one.prompt[9:]),), template_options=(("before", one.prompt[:9]),))
        for one in found
    ]
    for one, chat in zip(completions(engine, plain), completions(engine, chats), strict=True):
        assert chat.prompt_tokens == one.prompt_tokens
        if one.scores is None:
            assert chat.text == one.text
        else:
            assert chat.scores == pytest.approx(one.scores, abs=0.01)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.__name__)
def test_contract(engine, question):
    question(lambda requests: completions(engine, requests))

"""Tiny models of many architectures through the engines hf and vllm, each in a process of its own, as a table.

`python -m tests.harness.engines.architecture_matrix [NAME ...]` prints it. An engine's packages are imported once; each
model then gets a copy of that process.
"""

import gc
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

from fathom.harness.engines.base import EngineSettings, Request, Sampling
from tests.harness.engines.architectures import ARCHITECTURES, make_model

ENGINES = ("hf", "vllm")
SECONDS = 120
"""For one model; two where no other work is done."""
_WORDS = "the road from Ulm to Bonn is long, and the one from Bonn to Kiel is longer still; "


@dataclass(frozen=True)
class Outcome:
    """How a model went through an engine; `reason` is empty where it answered, `scores` are of the two long choices."""

    state: str
    """answers, refused or crashed."""
    reason: str = ""
    scores: tuple[float, ...] = ()
    seconds: float = 0.0


def requests():
    """Ask for texts of many lengths, greedy and sampled, with a stop; for choices of one token and of several."""
    plain, hot = Sampling(8), Sampling(8, temperature=1.0)
    yield Request("long", "", _WORDS * 2, plain)
    for n in (1, 7, 40):
        yield Request(f"greedy {n}", "", _WORDS[:n], plain)
        yield Request(f"sampled {n}", "", _WORDS[:n], hot)
    yield Request("stop", "", _WORDS[:20], Sampling(8, ("a", "e", "\n")))
    yield Request("letters", "", _WORDS[:30], plain, ("a", "b"))
    yield Request("words", "", _WORDS[:30], plain, (" short", " long"))


def ask(engine):
    """Answer all requests; return the scores of the last, or raise an error of one."""
    wanted = {one.key for one in requests()}
    done = {one.key: one for batch in engine.stream(requests()) for one in batch}
    assert done.keys() == wanted, f"answers are missing: {sorted(wanted - done.keys())}"
    for one in done.values():
        assert one.finish_reason in ("stop", "length", "looped"), f"{one.key}: {one.finish_reason}: {one.error}"
    return done["words"].scores


def probe(engine, folder, dtype):
    """Load a model and ask it; return an outcome."""
    from fathom.harness.engines.factory import load_engine
    from fathom.harness.engines.model import find_model
    from fathom.harness.errors import FathomError

    try:
        opened = load_engine(find_model(str(folder)), EngineSettings(engine, dtype))
        return Outcome("answers", scores=ask(opened))
    except (FathomError, AssertionError) as error:
        return Outcome("refused", str(error).replace(str(folder), folder.name))


NEEDED = {
    "hf": ("fathom.harness.engines.hf",),
    "vllm": (
        "fathom.harness.engines.vllm", "vllm.v1.worker.cpu_worker", "vllm.model_executor.models.llama",
    ),
}  # fmt: skip
"""Modules that are imported before the process is copied; our own come first, as they set vLLM up."""


def preload(engine):
    """Import what an engine needs, and start no thread: a copy of this process would lack it."""
    for module in NEEDED[engine]:
        import_module(module)
    if engine == "vllm":  # it looks at each class in a new process, which would import vLLM again
        import_module("vllm.model_executor.models.registry")._run_in_subprocess = lambda look: look()
    gc.freeze()  # vLLM collects garbage five times while it loads


def probe_apart(engine, folder, dtype):
    """Probe in a copy of this process, with a log beside the folder; return the outcome, also where it crashed."""
    log = folder.with_name(f"{folder.name}.{engine}.log")
    receive, send = os.pipe()
    began = time.monotonic()
    child = os.fork()
    if not child:
        _probe_and_exit(engine, folder, dtype, log, send)
    os.close(send)
    if not select.select([receive], [], [], SECONDS)[0]:
        os.kill(child, signal.SIGKILL)
    with os.fdopen(receive, "rb") as stream:
        told = stream.read()
    _, status = os.waitpid(child, 0)
    seconds = round(time.monotonic() - began, 1)
    if told:
        state, reason, scores = json.loads(told)
        return Outcome(state, reason, tuple(scores), seconds)
    number = os.waitstatus_to_exitcode(status)
    how = signal.Signals(-number).name if number < 0 else f"exit code {number}"
    return Outcome("crashed", f"{how}: {_last_line(log)}", (), seconds)


def _probe_and_exit(engine, folder, dtype, log, send):
    try:
        with log.open("wb") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        outcome = probe(engine, folder, dtype)
        os.write(send, json.dumps([outcome.state, outcome.reason, outcome.scores]).encode())
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(0)


def _last_line(log):
    return next(reversed(log.read_text(errors="replace").strip().splitlines()), "")[:300]


def run(engine, names, folder):
    """Yield (name, outcome) of each architecture; models and logs are written to `folder`."""
    preload(engine)
    for one in ARCHITECTURES:
        if one.name in names:
            model = folder / one.name
            if not model.exists():
                make_model(one, model)
            yield one.name, probe_apart(engine, model, one.dtype)


def outcomes(engine, folder, names):
    """Return the outcomes of an engine by architecture, from a process that imports only what this engine needs."""
    words = [sys.executable, "-m", "tests.harness.engines.architecture_matrix", f"--{engine}", folder, *names]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, cwd=Path(__file__).parents[3])
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["name"]: Outcome(row["state"], row["reason"], tuple(row["scores"]), row["seconds"]) for row in rows}


def print_table(names):
    """Print what became of each model in each engine, and count."""
    with tempfile.TemporaryDirectory() as folder:
        done = {engine: outcomes(engine, folder, names) for engine in ENGINES}
    print("| architecture | kind | hf | vllm | reason |\n|---|---|---|---|---|")
    for one in ARCHITECTURES:
        if one.name in names:
            hf, vllm = (done[engine][one.name] for engine in ENGINES)
            reason = "; ".join(filter(None, (hf.reason, vllm.reason)))
            print(f"| {one.name} | {one.kind} | {hf.state} | {vllm.state} | {reason} |")
    for engine, found in done.items():
        n = sum(one.state == "answers" for one in found.values())
        print(f"{engine}: {n} of {len(found)} answer")


def main(words):
    """Print a table; with `--hf FOLDER` or `--vllm FOLDER` the outcomes of one engine, a line of JSON each."""
    if not words or not words[0].startswith("--"):
        print_table(words or [one.name for one in ARCHITECTURES])
        return
    engine, folder, *names = words
    for name, outcome in run(engine.strip("-"), names, Path(folder)):
        print(json.dumps({"name": name, **asdict(outcome)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

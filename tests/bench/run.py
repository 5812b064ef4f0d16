"""Measure Fathom beside its peers, each pair in one process and one run; print the tables of `make bench`.

Nothing here is asserted: speeds vary with the machine, ratios much less.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve()
FATHOM = Path(sys.executable).parent / "fathom"


def best_rate(work: Callable[[int], object], count: int, passes: int = 3) -> float:
    """Return calls per CPU-second, the best of some passes."""
    rates = []
    for _ in range(passes):
        began = time.process_time()
        for index in range(count):
            work(index)
        rates.append(count / (time.process_time() - began))
    return max(rates)


def measure_generators() -> list[tuple[str, float, float]]:
    """Return (what, items a CPU-second, times the peer) for generation and grading."""
    from reasoning_gym.graphs.shortest_path import ShortestPathConfig, ShortestPathDataset

    from tasks import find_family, make_instance

    peer = ShortestPathDataset(ShortestPathConfig(seed=1, size=10_000_000))
    made_by_peer = best_rate(lambda index: peer[index], 5_000)
    entries = [peer[index] for index in range(2_000)]
    graded_by_peer = best_rate(lambda index: peer.score_answer(entries[index]["answer"], entries[index]), 2_000)
    rows = [("reasoning-gym shortest_path, items", made_by_peer, 1.0)]
    family = find_family("depo")
    for level in ("n8k2", "n16k4", "n32k4", "n128k8"):
        rate = best_rate(lambda index, level=level: make_instance(family, level, "symbol", 1, index), 5_000)
        rows.append((f"depo {level} symbol, items", rate, rate / made_by_peer))
    story = best_rate(lambda index: make_instance(family, "n16k4", "story", 1, index), 5_000)
    rows.append(("depo n16k4 story, items", story, story / made_by_peer))
    rows.append(("reasoning-gym shortest_path, graded", graded_by_peer, 1.0))
    items = [make_instance(family, "n16k4", "symbol", 1, index) for index in range(2_000)]
    right = best_rate(lambda index: family.grade(items[index], items[index].gold), 2_000)
    wrong = best_rate(lambda index: family.grade(items[index], items[index].choices[0]), 2_000)
    rows += [("depo n16k4 gold, graded", right, right / graded_by_peer)]
    rows += [("depo n16k4 candidates, graded and diagnosed", wrong, wrong / graded_by_peer)]
    return rows


def measure_harness(n_items: int) -> dict[str, float]:
    """Run the oracle over `n_items` in a fresh process; return samples a CPU-second and peak memory in MB."""
    with tempfile.TemporaryDirectory() as folder:
        words = [
            str(FATHOM), "run", "--engine", "oracle", "--model", "oracle/noisy", "--levels", "n8k1,n8k2,n8k3,n8k4,n8k6",
            "--n", str(n_items // 5), "--db", f"{folder}/a.db",
        ]  # fmt: skip
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(words, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"n": n_items, "seconds": spent, "rate": n_items / spent, "peak": after.ru_maxrss / 1024}


RAW = "raw"


def measure_vllm(n_items: int, passes: int) -> dict[str, object]:
    """Time `fathom run` and raw LLM.generate on the same prompts, each pass a fresh process, loading left out."""
    ours, raw = [], []
    for number in range(passes):
        for kind, kept in (("fathom", ours), (RAW, raw)):
            words = [sys.executable, str(HERE), "--worker", kind, "--n", str(n_items), "--seed", str(number)]
            done = subprocess.run(
                words, check=True, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}
            )
            kept.append(json.loads(done.stdout.splitlines()[-1]))
    ratios = sorted(one["seconds"] / other["seconds"] for one, other in zip(ours, raw, strict=True))
    return {"ours": ours, "raw": raw, "ratio": ratios[len(ratios) // 2]}


def worker(kind: str, n_items: int, seed: int) -> None:
    """Do one pass and print its seconds after loading as JSON."""
    result = _time_fathom(n_items, seed) if kind == "fathom" else _time_raw(n_items, seed)
    print(json.dumps(result))


def _suite(n_items: int, seed: int):
    from harness.suite import Selection, open_suite

    levels = ("n8k1", "n8k2", "n8k3", "n8k4", "n8k6")
    return open_suite("quick", seed, Selection(levels=levels, styles=("direct", "cot"), n=n_items // 10))


def _time_fathom(n_items: int, seed: int) -> dict[str, float]:
    """Time from the loaded engine to the finished run: generation, journal, grading, lm-eval's own work."""
    from harness.db.engine import open_database
    from harness.model import find_model
    from harness.run import Plan, evaluate

    marks: dict[str, float] = {}

    def report(phase: str, tick: object) -> None:
        if tick is not None:
            marks.setdefault("first", time.perf_counter())
        else:
            marks[phase] = time.perf_counter()

    from harness.engines import open as opening

    load = opening.open_engine

    def timed(name, model):
        engine = load(name, model)
        _warm(engine)
        marks["loaded"] = time.perf_counter()
        return engine

    import harness.run

    harness.run.open_engine = timed
    with tempfile.TemporaryDirectory() as folder:
        db = open_database(f"{folder}/a.db", create=True)
        evaluate(Plan(find_model("reference/pebble"), "vllm", _suite(n_items, seed)), db, report)
        seconds = time.perf_counter() - marks["loaded"]
    return {"seconds": seconds}


def _warm(engine) -> None:
    from harness.engines.base import Request, Sampling

    for _ in engine.stream(iter([Request("warm", "", "Which code is 1 arrow after QK?", Sampling(4))])):
        pass


def _time_raw(n_items: int, seed: int) -> dict[str, float]:
    """Time LLM.generate on the same prompts, budgets and stops, with the same engine settings."""
    from vllm import LLM, SamplingParams

    from harness.engines.vllm import engine_settings
    from harness.lmeval import stops
    from harness.model import find_model
    from harness.suite import instances
    from tasks import find_family, pose
    from tasks.base import level_of

    path = find_model("reference/pebble").folder()
    llm = LLM(model=str(path), **engine_settings(path, {}))
    prompts, params = [], []
    for cell in _suite(n_items, seed).cells:
        family = find_family(cell.family)
        budget = family.budget(level_of(family, cell.level), cell.style)
        for item in instances(cell, str(seed)):
            prompts.append(pose(family, item, cell.style))
            room = 512 - len(llm.get_tokenizer().encode(prompts[-1]))
            stop = list(stops(cell.style, 0))
            params.append(SamplingParams(temperature=0, max_tokens=min(budget, room), stop=stop))
    llm.generate(["Which code is 1 arrow after QK?"], SamplingParams(max_tokens=4), use_tqdm=False)
    began = time.perf_counter()
    llm.generate(prompts, params, use_tqdm=False)
    return {"seconds": time.perf_counter() - began}


def main() -> None:
    """Print every table."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--worker")
    words.add_argument("--n", type=int, default=2_000)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--passes", type=int, default=3)
    words.add_argument("--skip-vllm", action="store_true")
    asked = words.parse_args()
    if asked.worker:
        worker(asked.worker, asked.n, asked.seed)
        return
    print("generators and graders, one core, best of three passes")
    for what, rate, ratio in measure_generators():
        print(f"  {what:<46} {rate:>10,.0f} /s {ratio:>6.2f} x")
    print("harness without a model: oracle engine, fixed cost included, best of three fresh processes")
    for n_items in (10_000, 30_000):
        found = max((measure_harness(n_items) for _ in range(3)), key=lambda one: one["rate"])
        print(
            f"  {n_items:>7,} samples {found['rate']:>8,.0f} a CPU-second, {found['seconds']:.1f} CPU-s, peak {found['peak']:,.0f} MB"
        )
    if not asked.skip_vllm:
        found = measure_vllm(asked.n, asked.passes)
        print(f"vLLM on reference/pebble, {asked.n:,} prompts, {asked.passes} paired runs, seconds after loading")
        for one, other in zip(found["ours"], found["raw"], strict=True):
            print(
                f"  fathom run {one['seconds']:6.2f} s   raw LLM.generate {other['seconds']:6.2f} s   {one['seconds'] / other['seconds']:.2f} x"
            )
        print(f"  median ratio {found['ratio']:.2f}")


if __name__ == "__main__":
    main()

"""Measure the speed of Fathom and of its peers, each pair in one process: the tables of `make bench`.

    python -m tests.bench.run --skip-vllm

Nothing is asserted: speeds vary with the machine, ratios much less.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.corpora import main as print_corpora

ROOT = Path(__file__).parents[2]
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


PEERS = {
    "depo": ("shortest_path", ("n8k2 symbol", "n16k4 symbol", "n16k4 story", "n32k4 symbol", "n128k8 symbol")),
    "brevo": ("course_schedule", ("needs8 symbol", "needs8 story", "needs48 symbol")),
    "mano": ("chain_sum", ("p23l4 symbol", "p23l4 story", "p23l16 symbol")),
    "bios": ("family_relationships", ("extract-k2 story", "extract-k2 symbol", "extract-k100 story")),
    "igsm": ("gsm_symbolic", ("op10 symbol", "op10 story", "op40 story")),
}
"""Each family beside the data set of reasoning-gym that a user would take instead; (level, channel) measured."""

ALONE = {
    "lano": ("recognise-d3 symbol", "complete-d4 symbol", "generate-f-50 symbol"),
    "repair": ("find-op8 story",),
    "years": ("y4k2 story", "y8k2-4k story", "y8k2-32k story"),
}


def measure_generators() -> Iterator[tuple[str, float, float | None]]:
    """Yield (what, items or verdicts a CPU-second, times the peer's)."""
    import reasoning_gym

    for name, (peer_name, cells) in PEERS.items():
        peer = reasoning_gym.create_dataset(peer_name, seed=1, size=10_000_000)
        made = best_rate(lambda index, peer=peer: peer[index], 2_000)
        yield f"reasoning-gym {peer_name}, items", made, 1.0
        yield from _family_rates(name, cells, made)
        entries = [peer[index] for index in range(1_000)]
        judge = lambda index, of=(peer, entries): of[0].score_answer(of[1][index]["answer"], of[1][index])  # noqa: E731
        yield f"reasoning-gym {peer_name}, graded", best_rate(judge, 1_000), None
    for name, cells in ALONE.items():
        yield from _family_rates(name, cells, None)


def _family_rates(name: str, cells: tuple[str, ...], peer: float | None) -> Iterator[tuple[str, float, float | None]]:
    from fathom.tasks.base import grade, make_instance
    from fathom.tasks.registry import find_family

    family = find_family(name)
    for cell in cells:
        level, channel = cell.split()
        long = len(make_instance(family, level, channel, 1, 0).question) > 8_000
        count = 100 if long else 2_000
        rate = best_rate(lambda index, of=(level, channel): make_instance(family, *of, 1, index), count)
        yield f"{name} {cell}, items", rate, rate / peer if peer else None
        items = [make_instance(family, level, channel, 1, index) for index in range(count)]
        right = best_rate(lambda index, items=items: grade(family, items[index], items[index].gold), count)
        yield f"{name} {cell}, gold graded", right, None


def measure_environments() -> Iterator[tuple[str, float, float | None]]:
    """Yield (what, entries or rewards a CPU-second, times the peer's)."""
    import reasoning_gym

    from fathom import environment

    for name, (peer_name, cells) in PEERS.items():
        level, channel = cells[0].split()
        peer = best_rate(reasoning_gym.create_dataset(peer_name, seed=1, size=10**7).__getitem__, 2_000)
        made = environment(name, level, channel=channel)
        rate = best_rate(made.__getitem__, 2_000)
        yield f"environment {name} {level} {channel}, entries", rate, rate / peer
        entries = [made[idx] for idx in range(1_000)]
        score = lambda idx, of=(made, entries): of[0].score_answer(of[1][idx]["answer"], of[1][idx])  # noqa: E731
        yield f"environment {name} {level} {channel}, gold scored", best_rate(score, 1_000), None


def measure_language() -> Iterator[tuple[str, float]]:
    """Yield speeds of the language's own tools: sentences a second, milliseconds a string recognised."""
    from fathom.tasks.families import lano
    from fathom.tasks.grammars.parser import recognises
    from fathom.tasks.stream import Stream

    for shape in ("f", "k"):
        grammar = lano.language(shape)
        sentences = [grammar.sentence(Stream("bench", index)) for index in range(200)]
        rate = best_rate(lambda index, grammar=grammar: grammar.sentence(Stream("bench", index)), 1_000)
        yield f"lano {shape}-like, sentences a CPU-second", rate
        read = best_rate(lambda index, of=(grammar, sentences): recognises(of[0], of[1][index]), 200)
        yield f"lano {shape}-like, ms to recognise a sentence", 1000 / read


def measure_suites() -> Iterator[tuple[str, float]]:
    """Yield CPU-seconds to make every prompt of a suite."""
    from fathom.tasks.base import pose
    from fathom.tasks.registry import find_family
    from fathom.tasks.suites import instances, open_suite

    for name in ("quick", "standard"):
        began = time.process_time()
        suite = open_suite(name, 3)
        n_items = sum(
            1
            for cell in suite.cells
            for item in instances(cell, "3")
            if pose(find_family(cell.family), item, cell.style)
        )
        yield f"suite {name}, {n_items:,} items, CPU-seconds", time.process_time() - began


def measure_hostile() -> tuple[float, str]:
    """Return the longest that any family took to grade a hostile text, in ms, and which one."""
    from fathom.tasks.base import channels_of, grade, make_instance
    from fathom.tasks.registry import all_families

    texts = [
        "", "x" * 10_000_000, "\n" * 10_000_000, "Answer:" * 1_000, "Answer: 1\n" * 40_000, "9" * 1_000_000,
        "Answer: " + "(" * 399_000, "[" * 399_000, ("1, " * 133_000), ("a = b = 1\n" * 39_000), "\u202e" * 399_000,
    ]  # fmt: skip
    worst = (0.0, "")
    for family in all_families().values():
        for level in family.levels.values():
            item = make_instance(family, level.name, channels_of(family, level)[0], 1, 0)
            for text in [*texts, item.question * (399_000 // len(item.question) + 1)]:
                began = time.process_time()
                grade(family, item, text)
                worst = max(worst, (1000 * (time.process_time() - began), f"{family.name} {level.name} {text[:12]!r}"))
    return worst


def measure_harness(n_items: int) -> dict[str, float]:
    """Run the oracle over `n_items` in a fresh process; return samples a CPU-second and peak memory in MB."""
    with tempfile.TemporaryDirectory() as folder:
        words = [
            str(FATHOM), "run", "--engine", "oracle", "--model", "oracle/noisy", "--families", "depo",
            "--levels", "n8k1,n8k2,n8k3,n8k4",
            "--n", str(n_items // 5), "--db", f"{folder}/a.db",
        ]  # fmt: skip
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(words, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"n": n_items, "seconds": spent, "rate": n_items / spent, "peak": after.ru_maxrss / 1024}


KINDS = ("fathom", "raw", "stock")
NAMES = ("fathom run --engine vllm", "raw LLM.generate", "lm_eval --model hf")


def measure_vllm(n_items: int, passes: int) -> list[dict[str, float]]:
    """Time three ways to answer the same prompts, each pass a fresh process; return seconds after loading by kind."""
    found = []
    for number in range(passes):
        took = {}
        for kind in KINDS:
            words = [
                sys.executable,
                "-m",
                "tests.bench.run",
                "--worker",
                kind,
                "--n",
                str(n_items),
                "--seed",
                str(number),
            ]
            done = subprocess.run(
                words, check=True, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"}
            )
            took[kind] = json.loads(done.stdout.splitlines()[-1])["seconds"]
        found.append(took)
    return found


def worker(kind: str, n_items: int, seed: int) -> None:
    """Do one pass and print its seconds after loading as JSON."""
    timed = {"fathom": _time_fathom, "raw": _time_raw, "stock": _time_stock}[kind]
    print(json.dumps(timed(n_items, seed)))


def _suite(n_items: int, seed: int):
    from fathom.tasks.suites import Selection, open_suite

    levels = ("n8k1", "n8k2", "n8k3", "n8k4")
    return open_suite("quick", seed, Selection(levels=levels, styles=("direct", "cot"), n=n_items // 10))


def _time_fathom(n_items: int, seed: int) -> dict[str, float]:
    """Time from the loaded engine to the landed run: generation, journal, grading, lm-eval's own work, scores."""
    from fathom.harness.db.engine import open_database
    from fathom.harness.engines.model import find_model
    from fathom.harness.runs import evaluate as evaluation
    from fathom.harness.runs.evaluate import evaluate
    from fathom.harness.runs.plan import Plan
    from fathom.harness.runs.run_settings import RunSettings

    marks: dict[str, float] = {}

    def report(phase: str, tick: object) -> None:
        if tick is not None:
            marks.setdefault("first", time.perf_counter())
        else:
            marks[phase] = time.perf_counter()

    from fathom.harness.engines import factory as opening

    load = opening.open_engine

    def timed(*words):
        engine = load(*words)
        _warm(engine)
        close = engine.close

        def closing():
            marks["done"] = time.perf_counter()
            close()

        engine.close = closing
        marks["loaded"] = time.perf_counter()
        return engine

    evaluation.open_engine = timed
    with tempfile.TemporaryDirectory() as folder:
        db = open_database(f"{folder}/a.db", create=True)
        evaluate(Plan(find_model("reference/pebble"), _suite(n_items, seed), RunSettings()), db, report)
    return {"seconds": marks["done"] - marks["loaded"]}


def _warm(engine) -> None:
    from fathom.harness.engines.base import Request, Sampling

    for _ in engine.stream(iter([Request("warm", "", "Which code is 1 arrow after QK?", Sampling(4))])):
        pass


def _time_raw(n_items: int, seed: int) -> dict[str, float]:
    """Time LLM.generate on the same prompts, budgets and stops, with the same engine settings."""
    from vllm import LLM, SamplingParams

    from fathom.harness.engines.model import find_model
    from fathom.harness.engines.vllm import engine_settings
    from fathom.harness.runs.requests import answer_ends
    from fathom.tasks.base import level_of, pose
    from fathom.tasks.registry import find_family
    from fathom.tasks.suites import instances

    path = find_model("reference/pebble").folder()
    llm = LLM(model=str(path), **engine_settings(path, {}))
    prompts, params = [], []
    for cell in _suite(n_items, seed).cells:
        family = find_family(cell.family)
        budget = family.budget(level_of(family, cell.level), cell.style)
        for item in instances(cell, str(seed)):
            prompts.append(pose(family, item, cell.style))
            room = 512 - len(llm.get_tokenizer().encode(prompts[-1]))
            stop = list(answer_ends(cell))
            params.append(SamplingParams(temperature=0, max_tokens=min(budget, room), stop=stop))
    llm.generate(["Which code is 1 arrow after QK?"], SamplingParams(max_tokens=4), use_tqdm=False)
    began = time.perf_counter()
    llm.generate(prompts, params, use_tqdm=False)
    return {"seconds": time.perf_counter() - began}


def _time_stock(n_items: int, seed: int) -> dict[str, float]:
    """Time lm-eval with its own hf backend on the same tasks, from the loaded model to the results."""
    from fathom.harness.settings import quiet_lm_eval

    quiet_lm_eval()
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM

    from fathom.harness.engines.model import find_model
    from fathom.harness.runs.lm_eval_adapter import open_tasks

    lm = HFLM(pretrained=str(find_model("reference/pebble").folder()), dtype="float32", batch_size=128, device="cpu")
    tasks = open_tasks(_suite(n_items, seed))
    began = time.perf_counter()
    evaluate(lm, {"tasks": tasks}, bootstrap_iters=0, log_samples=True)
    return {"seconds": time.perf_counter() - began}


def main() -> None:
    """Print every table."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--worker")
    words.add_argument("--n", type=int, default=1_000)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--passes", type=int, default=3)
    words.add_argument("--skip-vllm", action="store_true")
    words.add_argument("--only-vllm", action="store_true")
    words.add_argument("--skip-harness", action="store_true")
    asked = words.parse_args()
    if asked.worker:
        worker(asked.worker, asked.n, asked.seed)
        return
    if asked.only_vllm:
        print_vllm(asked.n, asked.passes)
        return
    print("generators and graders, one core, best of three passes; x: beside the peer's items")
    for what, rate, ratio in (*measure_generators(), *measure_environments()):
        print(f"  {what:<46} {rate:>10,.0f} /s" + (f" {ratio:>6.2f} x" if ratio else ""))
    for what, number in (*measure_language(), *measure_suites()):
        print(f"  {what:<52} {number:>8,.2f}")
    print_corpora()
    slowest, which = measure_hostile()
    print(f"  {'slowest grading of a hostile text, ms':<52} {slowest:>8,.2f}  {which}")
    if asked.skip_harness:
        return
    print("harness without a model: oracle engine, fixed cost included, best of three fresh processes")
    for n_items in (10_000, 30_000):
        found = max((measure_harness(n_items) for _ in range(3)), key=lambda one: one["rate"])
        print(
            f"  {n_items:>7,} samples {found['rate']:>8,.0f} a CPU-second, {found['seconds']:.1f} CPU-s, peak {found['peak']:,.0f} MB"
        )
    if not asked.skip_vllm:
        print_vllm(asked.n, asked.passes)


def print_vllm(n_items: int, passes: int) -> None:
    """Print seconds of each pass, and the medians of the paired ratios."""
    found = measure_vllm(n_items, passes)
    print(f"reference/pebble, {n_items:,} prompts, {passes} paired runs, seconds after loading")
    for took in found:
        print("  " + "   ".join(f"{name} {took[kind]:6.2f} s" for kind, name in zip(KINDS, NAMES, strict=True)))
    for kind, name in zip(KINDS[1:], NAMES[1:], strict=True):
        ratios = sorted(took["fathom"] / took[kind] for took in found)
        print(f"  fathom run / {name}: median {ratios[len(ratios) // 2]:.2f}, {ratios[0]:.2f} to {ratios[-1]:.2f}")


if __name__ == "__main__":
    main()

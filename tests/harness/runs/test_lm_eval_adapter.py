"""Our tasks under lm-eval's own machinery, and equal verdicts wherever the tokens are equal."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from fathom.harness.engines.base import CUT
from fathom.harness.records import SampleFilter
from fathom.harness.runs.lm_eval_adapter import (
    all_cells,
    build_dataset,
    open_tasks,
    process_results,
    share_asked,
    task_name,
    write_yaml,
)
from fathom.harness.runs.run_settings import PromptSettings, RunSettings
from fathom.tasks.base import grade, make_instance, pose
from fathom.tasks.registry import find_family, instance_from_id
from fathom.tasks.suites import Selection, open_suite


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_yaml(tmp_path_factory.mktemp("cache"))


def test_every_cell_has_a_file_that_lm_eval_can_index(folder):
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    assert set(manager.all_subtasks) == {task_name(cell) for cell in all_cells()}
    assert {"fathom", "fathom_depo", "fathom_depo_symbol_direct", "fathom_depo_axes"} <= set(manager.all_groups)


def test_a_group_holds_the_main_ladder_of_its_family(folder):
    members = yaml.safe_load((folder / "fathom_depo.yaml").read_text())["task"]
    tasks = [name for member in members for name in yaml.safe_load((folder / f"{member}.yaml").read_text())["task"]]
    assert len(tasks) == len(set(tasks)) == 53 * 2 * 3


def test_fathom_is_the_standard_suite_and_each_suite_has_a_group(folder):
    read = lambda name: yaml.safe_load((folder / f"{name}.yaml").read_text())["task"]  # noqa: E731
    assert read("fathom") == read("fathom_standard")
    for suite in ("quick", "standard"):
        tasks = {name for family in read(f"fathom_{suite}") for name in read(family)}
        assert tasks == {task_name(cell.cell) for cell in open_suite(suite, 1).cells}
        told = {name.rsplit("_", 1)[1] for name in read(f"fathom_{suite}")}
        assert told == {cell.family for cell in open_suite(suite, 1).cells}


def test_the_files_are_written_once_and_whole(tmp_path):
    first = write_yaml(tmp_path)
    stamp = (first / "fathom.yaml").stat().st_mtime_ns
    assert write_yaml(tmp_path) == first
    assert (first / "fathom.yaml").stat().st_mtime_ns == stamp
    assert [path.name for path in tmp_path.iterdir()] == [first.name]


def test_no_python_file_lies_beside_the_yaml(folder):
    assert {path.suffix for path in folder.iterdir()} == {".yaml"}


@pytest.mark.parametrize("style", ["direct", "cot", "choice"])
def test_a_data_set_holds_the_items_and_disjoint_demonstrations(style):
    made = build_dataset(
        family="depo",
        level="n8k2",
        channel="story",
        style=style,
        data_seed="5eed",
        n_items="6",
        pretrained="x",
        dtype="auto",
    )
    family = find_family("depo")
    for index, row in enumerate(made["test"]):
        item = make_instance(family, "n8k2", "story", "5eed", index)
        assert (row["id"], row["prompt"]) == (item.id, pose(family, item, style))
        answer = row["choices"][row["target"]] if style == "choice" else row["target"]
        assert grade(family, item, answer).correct
    assert not {row["prompt"] for row in made["test"]} & {row["prompt"] for row in made["shots"]}


def test_shots_stand_before_the_question_and_read_like_it():
    suite = open_suite("quick", 5, Selection(levels=("n4k1",), styles=("direct", "cot", "choice"), n=2))
    for name, task in open_tasks(suite, RunSettings(PromptSettings(3))).items():
        context = task.fewshot_context(task.task_docs[0], 3)
        prompt = task.task_docs[0]["prompt"]
        assert context.endswith(prompt)
        shots = context.removesuffix(prompt).split("\n\n")
        assert len(shots) == 4
        assert all("\n\n" not in shot for shot in shots), name
        assert all("Answer: " in shot for shot in shots[:-1])


def test_an_item_that_was_not_scored_is_wrong_whichever_choice_is_gold():
    for row in build_dataset(family="depo", level="n4k1", channel="symbol", style="choice", data_seed=1, n_items=12)[
        "test"
    ]:
        assert process_results(row, [(float("-inf"), False)] * len(row["choices"])) == {
            "acc": 0.0, "found": "none", "unread": 0.0,
        }  # fmt: skip
        scores = [(0.0 if at == row["target"] else -1.0, False) for at in range(len(row["choices"]))]
        assert process_results(row, scores) == {"acc": 1.0, "found": "asked", "unread": 0.0}


def test_each_log_says_how_the_answer_was_found():
    (row,) = build_dataset(family="depo", level="n8k2", channel="symbol", style="direct", data_seed=1, n_items=1)[
        "test"
    ]
    gold = row["target"].strip()
    for text, found in ((f" {gold}", "asked"), (f"The code is {gold}.", "read"), ("I do not know.", "none")):
        said = {"acc": float(found != "none"), "found": found, "unread": float(found == "none")}
        assert process_results(row, [text]) == said
    several = process_results(row, [[f" {gold}", "I do not know."]])
    assert several == {"acc": 0.5, "found": ["asked", "none"], "unread": 0.5}
    assert share_asked(["asked", "read", ["asked", "none"]]) == 0.5


CELLS = [
    "fathom_depo_n4k1_symbol_direct",
    "fathom_depo_n8k2_symbol_direct",
    "fathom_depo_n8k2_symbol_cot",
    "fathom_depo_n8k2_symbol_choice",
]
SEED, N = "7", 20


@pytest.fixture(scope="module")
def stock(fathom, environment, crowded, tmp_path_factory):
    """Per-sample verdicts and completions of the stock command line with its own hf backend.

    It runs beside files named tasks.py, server.py and harness.py: the tasks must import `fathom` alone.
    """
    out = tmp_path_factory.mktemp("stock")
    path = fathom("tasks", "--lm-eval-path", XDG_CACHE_HOME=str(out)).stdout.strip()
    model = Path(__file__).parents[3] / "harness" / "training" / "reference" / "pebble"
    words = [
        str(Path(sys.executable).parent / "lm_eval"), "--include_path", path, "--tasks", ",".join(CELLS), "--model", "hf",
        "--model_args", f"pretrained={model},dtype=float32", "--metadata", json.dumps({"data_seed": SEED, "n_items": N}),
        "--device", "cpu", "--batch_size", "16", "--log_samples", "--output_path", str(out / "log"),
    ]  # fmt: skip
    variables = environment(PYTHONPATH=str(crowded))
    done = subprocess.run(words, cwd=crowded, capture_output=True, text=True, env=variables, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    verdicts = {}
    for file in (out / "log").rglob("samples_*.jsonl"):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            verdicts[file.name.split("samples_")[1].rsplit("_2", 1)[0], row["doc"]["id"]] = (
                row["acc"],
                row["filtered_resps"],
                row["found"],
            )
    assert len(verdicts) == len(CELLS) * N
    return verdicts


@pytest.mark.parametrize("engine", ["hf", pytest.param("vllm", marks=pytest.mark.full)])
@pytest.mark.slow
@pytest.mark.turns(4, engine=3)
def test_stock_lm_eval_and_fathom_run_give_the_same_verdict(stock, fathom, tmp_path, engine):
    ours = {}
    for levels, styles in (("n4k1", "direct"), ("n8k2", "direct,cot,choice")):
        database = tmp_path / f"{levels}.db"
        done = fathom(
            "run", "--model", "reference/pebble", "--engine", engine, "--seed", SEED, "--n", N, "--levels", levels,
            "--style", styles, "--db", database, "--json", process=engine == "vllm",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        ours.update(samples_of(database))
    same_text = {key for key, (_, texts, _) in stock.items() if key[0].endswith("choice") or texts[0] == ours[key][1]}
    differing = [key for key in stock if stock[key][0] != float(ours[key][0])]
    for key in differing:
        print(key, "stock", stock[key], "ours", ours[key])
    print(
        f"{engine}: {len(stock)} items, {len(stock) - len(same_text)} with another text, {len(differing)} with another verdict"
    )
    assert set(ours) == set(stock)
    assert not [key for key in differing if key in same_text]
    whole = {key for key in same_text if not ours[key][3]}
    assert {key: stock[key][2] for key in whole} == {key: ours[key][2] for key in whole}
    assert len(differing) <= len(stock) // 50  # arithmetic in another order may tip a near-tie
    assert Counter(bool(acc) for acc, *_ in stock.values()).keys() == {True, False}


def samples_of(database):
    from fathom.harness.db import read
    from fathom.harness.db.engine import open_database

    db = open_database(str(database), create=False)
    detail = read.get_run(db, read.list_runs(db)[0].run)
    found = {}
    for sample in read.get_samples(db, detail, SampleFilter(), limit=10_000).samples:
        item = instance_from_id(sample.item)
        found[f"fathom_depo_{item.level}_{item.channel}_{sample.style}", sample.item] = (
            sample.correct,
            sample.completion,
            sample.found,
            sample.finish_reason in CUT,
        )
    db.dispose()
    return found

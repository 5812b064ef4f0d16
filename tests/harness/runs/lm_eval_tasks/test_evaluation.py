"""lm-eval's own tasks through our engines: equal to stock lm-eval, resumable, with complete records."""

import json
import re
import shutil
from dataclasses import replace

import pytest
import yaml
from typer.testing import CliRunner

from fathom.harness.db.engine import open_database
from fathom.harness.db.read import get_task_run, list_task_runs
from fathom.harness.db.task_samples import stream_task_samples
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import find_model
from fathom.harness.engines.tokens import windows
from fathom.harness.errors import BadInput, EngineFailed, RunChanged
from fathom.harness.runs import evaluate as pipeline
from fathom.harness.runs.plan import TaskPlan, TaskSelection, resume_task_plan
from fathom.harness.runs.run_settings import PromptSettings, RunSettings, SamplingSettings, Thinking
from fathom.harness.settings import quiet_lm_eval
from fathom.tasks.base import make_instance, pose
from fathom.tasks.registry import find_family

N = 12


def documents():
    """Questions that the small model knows, as any data set has them."""
    family = find_family("depo")
    for index in range(2 * N):
        item = make_instance(family, ("n4k1", "n8k2", "n8k3")[index % 3], "symbol", "570c", index)
        question = pose(family, item, "direct")
        yield {
            "question": question,
            "answer": item.gold,
            "options": list(item.choices),
            "right": item.choices.index(item.gold),
        }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tasks of each kind over one local data set, and a group."""
    home = tmp_path_factory.mktemp("tasks")
    docs = list(documents())
    for split, rows in (("train", docs[N:]), ("test", docs[:N])):
        (home / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    long = [{"text": " ".join(doc["question"] for doc in docs[:n])} for n in (1, 8, 20)]
    (home / "long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in long))
    files = {split: str(home / f"{split}.jsonl") for split in ("train", "test")}
    base = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": files},
        "test_split": "test",
        "metadata": {"version": 1.0},
    }
    asked = {
        "doc_to_text": "{{question}}",
        "fewshot_split": "train",
        "fewshot_config": {"sampler": "first_n"},
        "target_delimiter": " ",
    }
    mean = {"aggregation": "mean", "higher_is_better": True}
    tasks = {
        "small_write": {
            **base, **asked, "output_type": "generate_until", "doc_to_target": "answer", "num_fewshot": 1,
            "generation_kwargs": {"until": ["\n"], "max_gen_toks": 12, "do_sample": False},
            "filter_list": [
                {"name": "line", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]},
                {"name": "word", "filter": [{"function": "regex", "regex_pattern": "([A-Za-z]+)"}, {"function": "take_first"}]},
            ],
            "metric_list": [{"metric": "exact_match", **mean, "ignore_case": False}],
        },
        "small_choose": {
            **base, **asked, "output_type": "multiple_choice", "doc_to_target": "right", "doc_to_choice": "options",
            "metric_list": [{"metric": "acc", **mean}, {"metric": "acc_norm", **mean}],
        },
        "small_end": {
            **base, **asked, "output_type": "loglikelihood", "doc_to_text": "{{question}} ", "doc_to_target": "answer",
            "metric_list": [{"metric": "acc", **mean}],
        },
        "small_read": {
            **base, "dataset_kwargs": {"data_files": {"test": str(home / "long.jsonl")}}, "output_type": "loglikelihood_rolling",
            "doc_to_text": "", "doc_to_target": "text",
            "metric_list": [{"metric": name, "aggregation": how, "higher_is_better": False} for name, how in
                            (("word_perplexity", "weighted_perplexity"), ("bits_per_byte", "bits_per_byte"))],
        },
    }  # fmt: skip
    for name, config in tasks.items():
        (home / f"{name}.yaml").write_text(yaml.safe_dump({"task": name, **config}))
    group = {"group": "small", "task": ["small_choose", "small_end"], "aggregate_metric_list": [{"metric": "acc"}]}
    (home / "small.yaml").write_text(yaml.safe_dump(group))
    return home


ALL = ("small_write", "small", "small_read")


HF = EngineSettings("hf")


def plan(folder, *tasks, resume=None, model="reference/pebble", settings=RunSettings(engine=HF), **chosen):  # frozen
    return TaskPlan(find_model(model), TaskSelection(tasks, (str(folder),), **chosen), settings, resume)


@pytest.fixture(scope="module")
def prepare():
    """Load the tasks of a plan; imports lm-eval."""
    quiet_lm_eval()
    from fathom.harness.runs.lm_eval_tasks.evaluation import prepare_tasks

    return prepare_tasks


@pytest.fixture(scope="module")
def evaluate(prepare):
    """Run a plan as the command does."""
    return lambda db, one: pipeline.evaluate(prepare(one), db)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    db = open_database(str(tmp_path_factory.mktemp("stock") / "runs.db"), create=True)
    yield db
    db.dispose()


@pytest.fixture(scope="module")
def ours(evaluate, stored, folder):
    """A whole run of all tasks."""
    return get_task_run(stored, evaluate(stored, plan(folder, *ALL)).run)


@pytest.fixture(scope="module")
def stock(evaluate, folder, ours):
    """The same tasks through lm-eval's own command and its hf backend."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    model = {"pretrained": str(find_model("reference/pebble").folder()), "dtype": "float32"}
    return simple_evaluate("hf", model, list(ALL), batch_size=4, device="cpu", task_manager=manager)


def test_metrics_and_standard_errors_equal_those_of_stock_lm_eval(stored, ours, stock):
    for name, metrics in stock["results"].items():
        for metric, value in metrics.items():
            mine = ours.results["results"][name][metric]
            assert mine == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value), (name, metric)
    assert 0 < ours.results["results"]["small_write"]["exact_match,word"] < 1
    assert {"group_subtasks", "versions", "n-shot", "configs", "groups"} <= set(ours.results)


def logged(db, run, task):
    return list(stream_task_samples(db, run, task))


def test_samples_are_logged_as_stock_lm_eval_logs_them(stored, ours, stock):
    for task, rows in stock["samples"].items():
        mine = {(row["doc_id"], row["filter"]): row for row in logged(stored, ours.summary.run, task)}
        assert len(mine) == len(rows)
        for row in rows:
            same = mine[row["doc_id"], row["filter"]]
            for name in ("doc", "doc_hash", "prompt_hash", "target_hash", "metrics"):
                assert same[name] == row[name]
            assert same["target"] == str(row["target"])
            assert [list(one.values()) for one in same["arguments"].values()] == [list(one) for one in row["arguments"]]
            assert numbers(same["resps"]) == numbers(row["resps"])
            assert numbers(same["filtered_resps"]) == numbers(row["filtered_resps"])


def numbers(value):
    """Texts as they are, log-likelihoods rounded away from what a batch changes."""
    if isinstance(value, list | tuple):
        return [numbers(one) for one in value]
    try:
        return pytest.approx(float(str(value)), rel=1e-5)
    except ValueError:
        return str(value)


def test_the_choices_of_a_question_are_one_request(ours):
    assert ours.summary.n_requests == ours.summary.n_done == ours.summary.n_generated == 3 * N + 3
    assert ours.n_by_reason == {"stop": 3 * N + 3}
    assert ours.manifest.stored["first_prompt"]["token_ids"]


class Dying:
    """An engine that breaks after some batches."""

    def __init__(self, engine, n_batches):
        self._engine, self._left = engine, n_batches

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def stream(self, requests):
        for batch in self._engine.stream(requests):
            for one in batch:  # as if each came alone
                if not self._left:
                    raise RuntimeError("the card fell out")
                self._left -= 1
                yield [one]


def test_a_run_that_broke_goes_on_and_asks_each_request_once(evaluate, stored, ours, folder, monkeypatch, tmp_path):
    db = open_database(str(tmp_path / "broken.db"), create=True)
    whole = pipeline.open_engine
    monkeypatch.setattr(pipeline, "open_engine", lambda *words: Dying(whole(*words), N + 5))
    with pytest.raises(EngineFailed, match="the card fell out"):
        evaluate(db, plan(folder, *ALL))
    monkeypatch.undo()
    (broken,) = list_task_runs(db)
    assert (broken.state, broken.n_done) == ("failed", N + 5)
    outcome = evaluate(db, plan(folder, *ALL, resume=broken.run))
    assert (outcome.n_recalled, outcome.n_generated) == (N + 5, 2 * N - 2)
    done = get_task_run(db, broken.run)
    assert (done.summary.state, done.summary.n_done, done.summary.attempts) == ("done", 3 * N + 3, 2)
    assert done.results == ours.results
    for task in ours.results["n-samples"]:
        (mine, numbers), (theirs, others) = (
            numbers_apart(logged(*one, task)) for one in ((db, broken.run), (stored, ours.summary.run))
        )
        assert (mine, numbers) == (theirs, pytest.approx(others, abs=1e-3))
    db.dispose()


def numbers_apart(found):
    """Return what is no float, with marks in the places of floats, and the floats: their last digits vary by batch."""
    numbers = []

    def take(value):
        if isinstance(value, dict):
            return {name: take(one) for name, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [take(one) for one in value]
        if not re.fullmatch(r"-?\d+\.\d+(e-?\d+)?", str(value)):
            return value
        numbers.append(float(value))
        return float

    return take(found), numbers


def test_a_stored_plan_is_read_again(ours):
    prompt = PromptSettings(0, True, "Be brief.", "text", {"enable_thinking": False})
    settings = RunSettings(prompt, SamplingSettings(1, 0.7, {}, Thinking(budget=9)), HF)
    planned = TaskPlan(find_model("reference/pebble"), TaskSelection(("a", "b_*"), ("here",), 7), settings)
    stored = replace(ours, settings=json.loads(json.dumps(planned.to_json())))
    assert resume_task_plan(stored, EngineSettings("hf")) == replace(planned, resume=ours.summary.run)
    there = resume_task_plan(stored, EngineSettings("hf"), ("there",))
    assert there.selection.include_paths == ("there",)


def test_a_run_does_not_go_on_with_other_requests(evaluate, stored, ours, folder):
    with pytest.raises(RunChanged, match="requests, limit"):
        evaluate(stored, plan(folder, *ALL, resume=ours.summary.run, limit=3))


def test_documents_that_do_not_fit_are_left_out_and_named(evaluate, stored, ours, folder, tmp_path):
    config = yaml.safe_load((folder / "small_choose.yaml").read_text())
    wide = {**config, "task": "small_wide", "doc_to_text": "{{question * (1 if right == 2 else 40)}}"}
    (tmp_path / "wide.yaml").write_text(yaml.safe_dump(wide))
    found = get_task_run(stored, evaluate(stored, plan(tmp_path, "small_wide")).run)
    kept = [row for row in logged(stored, ours.summary.run, "small_choose") if row["doc"]["right"] == 2]
    results = found.results["results"]["small_wide"]
    assert 0 < len(kept) < N
    assert results["acc,none"] == pytest.approx(sum(row["acc"] for row in kept) / len(kept))
    assert found.results["n-samples"]["small_wide"] == {"original": N, "effective": len(kept)}
    assert found.results["n-too-long"] == {"small_wide": N - len(kept)}
    assert found.n_by_reason == {"stop": len(kept), "too_long": N - len(kept)}


def test_shots_system_message_and_temperature_are_the_commands(prepare, folder):
    settings = RunSettings(PromptSettings(system="Mind the gap."), SamplingSettings(temperature=0.7), HF)
    prepared = prepare(plan(folder, "small_write", limit=2, n_shots=3, settings=settings))
    first, *_ = prepared.loaded.instances()
    assert first.args[0].startswith("Mind the gap.")
    assert first.args[0].count("Each arrow") == 4
    assert first.args[1] == {"until": ["\n"], "max_gen_toks": 12, "do_sample": True, "temperature": 0.7}
    assert len(prepared.requests) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"unsafe_code": True}, "runs code that a model wrote"),
        ({"doc_to_image": "picture"}, "pictures or sounds"),
        ({"generation_kwargs": {"until": [], "num_beams": 4}}, "generates with num_beams"),
        ({"generation_kwargs": {"until": [], "repetition_penalty": 1.2}}, "generates with repetition_penalty"),
        ({"dataset_path": "nobody/nothing", "dataset_kwargs": {}}, "data set of the task small_odd cannot be loaded"),
        ({"doc_to_text": "{{nothing.at.all}}"}, "lm-eval cannot load the task small_odd"),
    ],
)
def test_a_task_that_cannot_be_run_is_refused_in_one_line(prepare, folder, tmp_path, change, said):
    config = yaml.safe_load((folder / "small_write.yaml").read_text())
    (tmp_path / "odd.yaml").write_text(yaml.safe_dump({**config, "task": "small_odd", **change}))
    with pytest.raises(BadInput, match=said) as caught:
        prepare(plan(tmp_path, "small_odd"))
    assert "\n" not in str(caught.value)


def test_a_name_that_is_not_there_is_answered_with_near_ones(evaluate, folder, tmp_path):
    from fathom.harness.runs.lm_eval_tasks import tasks as task_names

    assert "near it: small_choose" in task_names._unknown("small_chose", ["small_choose", "other"], ())
    (tmp_path / "broken.yaml").write_text("task: [")
    assert "broken.yaml" in task_names._unknown("broken", [], (str(tmp_path),))
    with pytest.raises(BadInput, match="is not a folder"):
        task_names.load_tasks(TaskSelection(("a",), (str(tmp_path / "none"),)), RunSettings())


@pytest.fixture(scope="module")
def talker(tmp_path_factory):
    """The small model with a chat template."""
    home = tmp_path_factory.mktemp("models") / "talker"
    shutil.copytree(find_model("reference/pebble").folder(), home)
    template = (
        "{% for one in messages %}[{{ one.role }}]:{{ one.content }}{% if not loop.last %}\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}\n[assistant]:{% endif %}"
    )
    (home / "chat_template.jinja").write_text(template)
    return home


def test_a_chat_is_put_as_stock_lm_eval_puts_it(evaluate, stored, folder, talker, tmp_path):
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    config = yaml.safe_load((folder / "small_write.yaml").read_text())
    (tmp_path / "begun.yaml").write_text(yaml.safe_dump({**config, "task": "small_begun", "gen_prefix": "Answer:"}))
    shutil.copy(folder / "small_choose.yaml", tmp_path)
    names = ("small_begun", "small_choose")
    settings = RunSettings(PromptSettings(chat=True, system="Reply at once."), engine=HF)
    asked = plan(tmp_path, *names, model=str(talker), settings=settings, n_shots=1, limit=6)
    run = evaluate(stored, asked).run
    manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
    theirs = simple_evaluate(
        "hf", {"pretrained": str(talker), "dtype": "float32"}, list(names), num_fewshot=1, limit=6, batch_size=4,
        device="cpu", task_manager=manager, apply_chat_template=True, system_instruction="Reply at once.",
    )  # fmt: skip
    for task in names:
        mine = [row for row in logged(stored, run, task) if row["filter"] in ("none", "line")]
        rows = [row for row in theirs["samples"][task] if row["filter"] in ("none", "line")]
        assert [numbers(row["filtered_resps"]) for row in mine] == [numbers(row["filtered_resps"]) for row in rows]
    assert logged(stored, run, "small_begun")[0]["arguments"]["gen_args_0"]["arg_0"].startswith('[{"role": "system"')


@pytest.mark.parametrize("n", [1, 7, 8, 9, 15, 16, 17, 40])
def test_windows_of_a_long_text_are_those_of_lm_eval(n):
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    tail = list(range(1, n + 1))
    theirs = map(make_disjoint_window, get_rolling_token_windows(tail, 0, 8, 1))
    assert list(windows([0], tail, 8)) == list(theirs)


@pytest.fixture
def command(tmp_path):
    """The command within this process, so that nothing is imported anew."""
    from fathom.server.cli.main import build

    def call(*words):
        return CliRunner().invoke(
            build(), [*map(str, words), "--db", str(tmp_path / "runs.db")], catch_exceptions=False
        )

    return call


def test_the_command_runs_lists_shows_and_exports_them(command, folder, tmp_path):
    asked = ("run", "--model", "reference/pebble", "--engine", "hf", "--tasks", "small", "--include-path", folder)
    done = command(*asked, "--limit", 4)
    assert done.exit_code == 0
    assert "2 tasks of lm-eval: 8 requests" in done.output
    assert "8 generated, 0 recalled" in done.output
    listed = json.loads(command("runs", "--tasks", "--json").output)
    assert [(one["tasks"], one["state"], one["n_done"]) for one in listed] == [(["small"], "done", 8)]
    assert "lm-eval's own tasks" in command("runs").output
    run = listed[0]["run"]
    shown = json.loads(command("show", run, "--json").output)
    assert shown["results"]["n-samples"]["small_end"]["effective"] == 4
    lines = [json.loads(line) for line in command("show", run[:6], "--samples", "--json").output.splitlines()]
    assert [line["task"] for line in lines] == ["small_choose"] * 4 + ["small_end"] * 4
    assert command("export", run, "--out", tmp_path / "out").exit_code == 0
    assert {file.name.split("_2")[0] for file in (tmp_path / "out").rglob("*.json*")} == {
        "results",
        "samples_small_choose",
        "samples_small_end",
    }
    with pytest.raises(BadInput, match="export it to a folder"):
        command("export", run, "--out", tmp_path / "samples.csv")
    assert "nothing is missing" in command("run", "--resume", run).output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--tasks", "a", "--levels", "n4k1"), "--levels is about Fathom's own suites"),
        (("--tasks", "a", "--seed", "7"), "--seed is about Fathom's own suites"),
        (("--limit", "7"), "--limit goes with --tasks"),
        (("--tasks", "a", "--engine", "oracle"), "the oracle answers Fathom's own items only"),
        (("--shots", "17"), "16 demonstrations at most"),
    ],
)
def test_options_that_do_not_go_together_are_refused(command, words, said):
    with pytest.raises(BadInput, match=said):
        command("run", "--model", "reference/pebble", *words)

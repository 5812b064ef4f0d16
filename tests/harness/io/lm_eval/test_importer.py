"""What stock lm-eval logged becomes a run with the same verdicts, or is refused; nothing of it is believed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.db.schema.runs import CellRow, ModelRow, PoolRow, RunRow, SampleRow, StandingRow, SuiteRow
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.errors import BadInput, Conflict
from fathom.harness.io.lm_eval.export import export_lm_eval
from fathom.harness.io.lm_eval.import_plan import plan_import
from fathom.harness.io.lm_eval.importer import import_logs
from fathom.harness.io.lm_eval.log import find_evaluation_logs, read_evaluation_log
from fathom.harness.io.lm_eval.store import begin_import
from fathom.harness.io.parcel import parcel_lines, parse_header
from fathom.harness.records import SampleFilter
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.regrade import regrade
from fathom.harness.runs.run_settings import PromptSettings, RunSettings, SamplingSettings, Thinking
from fathom.server.uploads.checks import Sender, check_header
from fathom.tasks.suites import Selection, open_suite

pytestmark = pytest.mark.slow

PEBBLE = Path(__file__).parents[4] / "harness" / "training" / "reference" / "pebble"
CELLS = [
    "fathom_depo_n4k1_symbol_direct",
    "fathom_depo_n8k2_symbol_choice",
    "fathom_depo_n8k2_symbol_cot",
]
TEMPLATE = (
    "{% for one in messages %}<{{ one.role }}>{{ one.content | trim }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
AS_THE_COMMAND_DOES = """
# what `lm_eval` does, without first reading the thousands of tasks that come with it
import json, sys
from lm_eval import simple_evaluate
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager

for one in json.loads(sys.argv[1]):
    manager = TaskManager(include_path=one["path"], include_defaults=False, metadata=one["metadata"])
    tracker = EvaluationTracker(output_path=one["out"])
    found = simple_evaluate(
        "hf", model_args=one["model_args"], tasks=one["tasks"], task_manager=manager, device="cpu", batch_size=16,
        log_samples=True, evaluation_tracker=tracker, bootstrap_iters=0, **one["more"],
    )
    samples = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=samples)
    for name in found["configs"]:
        tracker.save_results_samples(task_name=name, samples=samples[name])
"""


@pytest.fixture(scope="module")
def stock(fathom, environment, tmp_path_factory):
    """Folders that stock lm-eval wrote with its own hf backend, by how it was called."""
    out = tmp_path_factory.mktemp("stock")
    path = fathom("tasks", "--lm-eval-path", XDG_CACHE_HOME=str(out)).stdout.strip()
    chatty = out / "chatty"
    shutil.copytree(PEBBLE, chatty)
    (chatty / "chat_template.jinja").write_text(TEMPLATE)

    def words(name, seed, model=PEBBLE, **more):
        return {
            "path": path, "metadata": {"data_seed": seed, "n_items": 4}, "out": str(out / name), "tasks": CELLS,
            "model_args": f"pretrained={model},dtype=float32", "more": more,
        }  # fmt: skip

    shots = {"num_fewshot": 2, "system_instruction": "Think hard. "}
    calls = [
        words("seed 7", "7", cache_requests=True),
        words("seed 8", "8", cache_requests=True),
        words("shots", "7", **shots),
        words("chat", "7", chatty, apply_chat_template=True, fewshot_as_multiturn=True, **shots),
    ]
    environ = environment(LM_HARNESS_CACHE_PATH=str(out / "cache"))
    done = subprocess.run(
        [sys.executable, "-c", AS_THE_COMMAND_DOES, json.dumps(calls)], env=environ, timeout=500, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return out


@pytest.fixture
def lite(tmp_path, copy_tables):
    """A database of the quicker kind."""
    url = f"sqlite:///{tmp_path / 'lite.db'}"
    copy_tables(url)
    db = open_database(url, create=True)
    yield db
    db.dispose()


def take(db, place, model=None):
    return list(import_logs(db, find_evaluation_logs(Path(place)), model))


def verdicts(db, run):
    """Return what is stored of each sample, by item, style and repeat."""
    detail = read.get_run(db, run)
    samples = read.get_samples(db, detail, SampleFilter(), limit=10_000).samples
    return sorted(
        (one.item, one.style, one.correct, one.label, one.parsed or "", one.fault_at or 0, one.note, one.completion)
        for one in samples
    )


def counted(db):
    """Return the number of rows of what an import may write."""
    with Session(db) as session:
        tables = (RunRow, CellRow, SampleRow, ModelRow)
        return [session.scalars(select(func.count()).select_from(table)).one() for table in tables]


def play(db, prompting=None, decoding=None, kind="noisy", styles=("direct", "cot", "choice"), seed=7, n=4):
    suite = open_suite("quick", seed, Selection(("depo",), ("n4k1", "n8k2"), (), styles, n))
    name = f"oracle/{kind}"
    plan = Plan(ModelSource(name, None, name), suite, RunSettings(prompting or PromptSettings(), decoding or SamplingSettings(), EngineSettings("oracle")))  # fmt: skip
    return evaluate(plan, db).run


@pytest.mark.turns(2)
def test_a_stock_log_becomes_a_run_of_tier_1_with_the_same_verdicts(db, stock):
    (one,) = take(db, stock / "seed 7")
    assert (one.is_new, one.n_samples, one.n_differing, one.ranked) == (True, 12, 0, True)
    theirs = {}
    for file in (stock / "seed 7").rglob("samples_*.jsonl"):
        for row in map(json.loads, file.read_text().splitlines()):
            theirs[row["doc"]["id"], file.name.split("_")[5]] = row["acc"]
    ours = {(row[0], row[1]): float(row[2]) for row in verdicts(db, one.run)}
    assert ours == theirs
    assert set(ours.values()) == {0.0, 1.0}
    detail = read.get_run(db, one.run)
    assert (detail.summary.tier, detail.summary.engine, detail.summary.state) == (1, "lm-eval/hf", "done")
    assert detail.summary.model == str(PEBBLE)
    assert detail.manifest.stored["decisive"]["lm_eval"] == "0.4.13"
    assert detail.manifest.stored["context"]["lm_eval"]["config model_dtype"] == "torch.float32"
    with Session(db) as session:
        assert {pool[-4:] for pool in session.scalars(select(StandingRow.pool))} == {"-all"}
    assert regrade(db, one.run).n_changed == 0


@pytest.mark.turns(2)
def test_questions_that_lm_eval_cached_under_another_seed_are_refused(lite, stock):
    before = counted(lite)
    with pytest.raises(BadInput) as refused:
        take(lite, stock / "seed 8")
    said = str(refused.value)
    assert "line 1: depo@2/n4k1/symbol/8/0: lm-eval asked another question" in said
    assert "expected" in said
    assert "found" in said
    assert "--cache_requests" in said
    assert counted(lite) == before


@pytest.mark.turns(2)
def test_shots_and_a_system_message_are_part_of_what_is_compared(lite, stock, tmp_path):
    (one,) = take(lite, stock / "shots")
    assert (one.n_differing, one.ranked) == (0, False)
    sampling = read.get_run(lite, one.run).manifest.decisive.sampling
    assert (sampling["shots"], sampling["system"]) == (2, "Think hard. ")
    copy = edited(stock / "shots", tmp_path, CELLS[0], 2, lambda row: shorten(row, "Think hard. "))
    with pytest.raises(BadInput, match=r"line 2.*another question"):
        take(lite, copy)


def shorten(row, text):
    arguments = row["arguments"]["gen_args_0"]
    arguments["arg_0"] = arguments["arg_0"].replace(text, "", 1)


@pytest.mark.turns(2)
def test_behind_a_chat_template_every_piece_of_the_question_is_found_again(lite, stock, tmp_path):
    (one,) = take(lite, stock / "chat")
    detail = read.get_run(lite, one.run)
    assert (one.n_differing, detail.manifest.stored["decisive"]["sampling"]["chat_template"]) == (0, True)
    for what, said in (("Which code", "another question"), ("<assistant>", "another text around")):
        copy = edited(stock / "chat", tmp_path / what, CELLS[2], 3, lambda row, what=what: shorten(row, what))
        with pytest.raises(BadInput, match=f"line 3.*{said}"):
            take(lite, copy)


@pytest.mark.turns(2)
def test_an_exported_run_is_logged_as_stock_lm_eval_logs_it(lite, stock, tmp_path):
    suite = open_suite("quick", 7, Selection(("depo",), ("n4k1",), (), ("direct",), 4))
    run = evaluate(
        Plan(
            ModelSource("oracle/perfect", None, "oracle/perfect"), suite, RunSettings(engine=EngineSettings("oracle"))
        ),
        lite,
    ).run
    ours, theirs = export_lm_eval(lite, run, tmp_path), next((stock / "seed 7").rglob("results_*.json"))
    results, stated = json.loads(ours.read_text()), json.loads(theirs.read_text())
    assert [name for name in results if name != "fathom"] == list(stated)
    name = CELLS[0]
    for part in ("results", "configs", "n-samples", "higher_is_better"):
        assert list(results[part][name]) == list(stated[part][name])
    for part in ("versions", "n-shot", "n-samples", "task_hashes"):
        assert results[part][name] == stated[part][name]
    lines = [next(folder.parent.glob(f"samples_{name}_*")).read_text().splitlines() for folder in (ours, theirs)]
    for mine, other in zip(*[map(json.loads, some) for some in lines], strict=True):
        assert list(mine) == [*other, "fathom"]
        same = ("doc_id", "doc", "target", "arguments", "filter", "metrics", "doc_hash", "prompt_hash", "target_hash")
        assert [mine[part] for part in same] == [other[part] for part in same]


FORMATS = {
    "plain": (PromptSettings(), SamplingSettings(), ("direct", "cot", "choice")),
    "shots": (PromptSettings(n_shots=3, system="Be brief."), SamplingSettings(), ("direct", "choice")),
    "chat": (PromptSettings(chat=True, n_shots=1, system="Be brief."), SamplingSettings(), ("direct", "choice")),
    "chat, shots in one turn": (PromptSettings(chat=True, n_shots=2, shots_as="text"), SamplingSettings(), ("cot",)),
    "repeats": (PromptSettings(), SamplingSettings(repeats=3, temperature=0.7), ("direct", "cot")),
    "thought": (
        PromptSettings(),
        SamplingSettings(budgets={"cot": 99}, thinking=Thinking(budget=50)),
        ("direct", "cot"),
    ),
}


@pytest.mark.parametrize("prompt_format", FORMATS)
def test_export_and_import_give_equal_verdicts(lite, tmp_path, prompt_format):
    run = play(lite, *FORMATS[prompt_format][:2], styles=FORMATS[prompt_format][2])
    with Session(lite) as session, session.begin():  # what an engine could not ask at all
        session.execute(update(SampleRow).where(SampleRow.id % 7 == 0).values(finish_reason="too_long", completion=""))
        session.execute(update(SampleRow).where(SampleRow.id % 7 == 0).values(scores=None))
    regrade(lite, run)
    export_lm_eval(lite, run, tmp_path)
    other = open_database(str(tmp_path / "other.db"), create=True)
    (one,) = take(other, tmp_path)
    assert verdicts(other, one.run) == verdicts(lite, run)
    assert "too_long" in {row[3] for row in verdicts(lite, run)}
    assert one.n_differing == 0
    assert one.ranked == (prompt_format == "plain")
    mine, theirs = read.get_run(lite, run), read.get_run(other, one.run)
    counts = [[(cell.k, cell.n, cell.spread) for cell in detail.cells] for detail in (mine, theirs)]
    assert counts[0] == counts[1]
    assert (mine.suite, mine.suite_digest, mine.pool) == (theirs.suite, theirs.suite_digest, theirs.pool)
    other.dispose()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A log of twelve items, to be spoilt in copies."""
    out = tmp_path_factory.mktemp("exported")
    db = open_database(str(out / "runs.db"), create=True)
    export_lm_eval(db, play(db), out)
    db.dispose()
    return out / "oracle__noisy"


def edited(folder, to, task, number, change):
    """Copy a log and change one line of a task: `change` edits the row, or returns text instead."""
    copy = Path(shutil.copytree(next(folder.rglob("results_*.json")).parent, to / "copy"))
    file = next(copy.glob(f"samples_{task}_*"))
    lines = file.read_text().splitlines(keepends=True)
    row = json.loads(lines[number - 1])
    lines[number - 1] = change(row) or json.dumps(row) + "\n"
    file.write_text("".join(lines))
    return copy


def put(row, path, value):
    *inner, last = path.split(".")
    for name in inner:
        row = row[int(name)] if isinstance(row, list) else row[name]
    row[int(last) if isinstance(row, list) else last] = value


DIRECT, CHOICE = CELLS[:2]
SPOILT = {
    "garbage": (DIRECT, lambda row: '{"doc": \n', "is not JSON"),
    "no object": (DIRECT, lambda row: "[1]\n", "is not a JSON object"),
    "no number": (DIRECT, lambda row: '{"acc": NaN}\n', "NaN is not a JSON number"),
    "a bottomless nest": (DIRECT, lambda row: "[" * 200_000 + "\n", "nested too deeply"),
    "a key twice": (DIRECT, lambda row: '{"a": 1, "a": 2}\n', "the same key twice"),
    "a huge line": (DIRECT, lambda row: " " * (32 << 20) + "{}\n", "is longer than 32 MB"),
    "an id of another type": (DIRECT, lambda row: put(row, "doc.id", 7), "doc.id is 7: give a text"),
    "no id": (DIRECT, lambda row: put(row, "doc.id", "../../x"), "is not an item id"),
    "another version": (DIRECT, lambda row: put(row, "doc.id", "depo@9/n4k1/symbol/7/1"), "is of version 9"),
    "another cell": (DIRECT, lambda row: put(row, "doc.id", "depo@2/n8k2/symbol/7/1"), "is not an item of"),
    "another seed": (DIRECT, lambda row: put(row, "doc.id", "depo@2/n4k1/symbol/9/1"), "has another seed"),
    "an item twice": (DIRECT, lambda row: put(row, "doc.id", "depo@2/n4k1/symbol/7/0"), "another question|occurs twice"),
    "an item beyond": (DIRECT, lambda row: put(row, "doc.id", "depo@2/n4k1/symbol/7/4"), "one of these is missing"),
    "an edited prompt": (DIRECT, lambda row: put(row, "arguments.gen_args_0.arg_0", "1 + 1 ="), "another question"),
    "a prompt of another type": (DIRECT, lambda row: put(row, "arguments.gen_args_0.arg_0", {}), "is not a text"),
    "other settings": (DIRECT, lambda row: put(row, "arguments.gen_args_0.arg_1.max_gen_toks", 9), "settings are not"),
    "no answer": (DIRECT, lambda row: put(row, "resps", [[]]), "resps does not have"),
    "an answer of another type": (DIRECT, lambda row: put(row, "resps.0.0", ["a", "b"]), "resps.0.0 is not a text"),
    "an ending that is none": (DIRECT, lambda row: put(row, "fathom.0.finish_reason", "error"), "fathom.0.finish_reason"),
    "a candidate too few": (CHOICE, lambda row: row["arguments"].pop("gen_args_0"), "line 2"),
    "another candidate": (CHOICE, lambda row: put(row, "arguments.gen_args_1.arg_1", " XX"), "another candidate"),
    "a score that is none": (CHOICE, lambda row: put(row, "resps.0.0.0", "inf"), "does not have the finite log-likelihood"),
    "a score too few": (CHOICE, lambda row: row["resps"].pop() and None, "need a finite score each"),
}  # fmt: skip


@pytest.mark.parametrize("how", SPOILT)
def test_a_log_with_a_spoilt_line_is_refused_by_file_and_line_and_leaves_nothing(lite, exported, tmp_path, how):
    task, change, said = SPOILT[how]
    copy = edited(exported, tmp_path, task, 2, lambda row: text if isinstance(text := change(row), str) else None)
    before = counted(lite)
    with pytest.raises(BadInput, match=said) as refused:
        take(lite, copy)
    assert f"samples_{task}_" in str(refused.value)
    assert "line 2" in str(refused.value)
    assert counted(lite) == before


def spoil_results(exported, to, change):
    copy = Path(shutil.copytree(exported, to / "copy"))
    file = next(copy.glob("results_*.json"))
    row = json.loads(file.read_text())
    text = change(row)
    file.write_text(text if isinstance(text, str) else json.dumps(row))
    return copy


RESULTS = {
    "garbage": (lambda row: "{", "is not JSON"),
    "a bottomless nest": (lambda row: '{"a":' * 100_000, "nested too deeply"),
    "no settings": (lambda row: row.pop("config"), "config is missing"),
    "a model that is none": (lambda row: put(row, "config.model", "../x"), "config.model"),
    "tasks that are not ours": (lambda row: put(row, "configs", {"gsm8k": {}}), "no task of Fathom"),
    "a task that is not there": (lambda row: put(row, "configs.fathom_depo_n4_symbol_direct", {}), "is not a task of this"),
    "a task without samples": (lambda row: put(row, "configs.fathom_depo_n8k1_symbol_direct", {}), "--log_samples"),
    "more samples": (lambda row: put(row, f"n-samples.{DIRECT}.effective", 5), "has 4 lines"),
    "shots without end": (lambda row: row["n-shot"].update(dict.fromkeys(row["n-shot"], 99)), "16 demonstrations"),
    "shots of all kinds": (lambda row: put(row, f"n-shot.{DIRECT}", 1), "evaluate them separately"),
    "a sampling that is none": (lambda row: put(row, "fathom.sampling", {"shots": 0}), "fathom.sampling"),
    "no name": (lambda row: put(row, "config.model_args", None), "give --model NAME"),
}  # fmt: skip


@pytest.mark.parametrize("how", RESULTS)
def test_spoilt_results_are_refused_by_file_and_leave_nothing(lite, exported, tmp_path, how):
    change, said = RESULTS[how]
    before = counted(lite)
    with pytest.raises(BadInput, match=said):
        take(lite, spoil_results(exported, tmp_path, change))
    assert counted(lite) == before


def test_a_standard_error_may_be_no_number_and_foreign_tasks_are_passed_over(lite, exported, tmp_path):
    def change(row):
        row["configs"]["gsm8k"] = {}
        return json.dumps(row).replace('"acc_stderr,none": ', '"acc_stderr,none": NaN, "x": ')

    (one,) = take(lite, spoil_results(exported, tmp_path, change))
    assert (one.is_new, one.others) == (True, ("gsm8k",))


def test_lm_evals_own_verdicts_are_compared_and_not_stored(lite, exported, tmp_path):
    (true,) = take(lite, exported)
    copy = edited(exported, tmp_path, DIRECT, 2, lambda row: put(row, "acc", 1.0 - row["acc"]))
    (one,) = take(lite, copy)
    assert verdicts(lite, one.run) == verdicts(lite, true.run)
    assert one.n_differing == 1
    assert "line 2 (depo@2/n4k1/symbol/7/1): lm-eval" in one.differing[0]


def test_an_imported_run_may_be_sent_to_a_server(lite, exported):
    (one,) = take(lite, exported)
    header = parse_header(next(parcel_lines(lite, one.run, model="org/noisy")))
    assert check_header(lite, header, Sender(1, "user/1")).run.engine == "lm-eval/oracle"


def test_the_same_files_are_one_run(lite, exported, tmp_path):
    (first,) = take(lite, exported)
    before = counted(lite)
    copy = shutil.copytree(exported, tmp_path / "elsewhere")
    (again,) = take(lite, copy)
    assert (again.run, again.is_new) == (first.run, False)
    assert counted(lite) == before
    with pytest.raises(Conflict, match="a run has one model"):
        take(lite, copy, model="org/other")


def test_what_a_killed_import_left_is_shown_nowhere_and_goes_with_the_next(db, exported):
    plan = plan_import(read_evaluation_log(find_evaluation_logs(exported)[0]), None)
    left = begin_import(db, plan.new_run(), None)
    assert not read.list_runs(db)
    (one,) = take(db, exported)
    assert [row.run for row in read.list_runs(db)] == [one.run] != [left.run]
    with Session(db) as session:
        assert session.scalars(select(func.count()).select_from(RunRow)).one() == 1
        assert session.scalars(select(PoolRow.tier)).all() == [1]


def test_a_log_under_a_seasons_seed_is_refused(lite, exported, tmp_path):
    from fathom.harness.service.seasons.store import Beacon, commit_season, new_season, open_season, season_seed

    key = "k" * 40
    new_season(lite, "2026-winter", "quick", key, 1)
    commit_season(lite, "2026-winter", key)
    open_season(lite, "2026-winter", Beacon("8f3a77c1d2e94b0a", "a test"), key)
    seed = season_seed(lite, "2026-winter", key)
    other = open_database(str(tmp_path / "other.db"), create=True)
    export_lm_eval(other, play(other, seed=seed, n=1), tmp_path)
    other.dispose()
    with pytest.raises(BadInput, match="its seed belongs to a season"):
        list(import_logs(lite, find_evaluation_logs(tmp_path / "oracle__noisy"), None, key))
    with Session(lite) as session:
        assert seed not in session.scalars(select(SuiteRow.seed)).all()


def test_the_command_says_what_came_of_it(fathom, exported, tmp_path):
    database = tmp_path / "runs.db"
    done = fathom("import", exported, "--db", database, "--model", "org/model")
    assert done.returncode == 0, done.stderr
    assert "org/model through lm-eval/oracle, 24 answers" in done.stdout
    assert "all verdicts agree with lm-eval's" in done.stdout
    refused = fathom("import", tmp_path, "--db", tmp_path / "none.db")
    assert (refused.returncode, "contains no results_DATE.json" in refused.stderr) == (2, True)
    assert not (tmp_path / "none.db").exists()

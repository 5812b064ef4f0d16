"""Runs as files: what the command line takes, a file takes; several runs go on where they were left."""

import json
import signal

import pytest
from typer.main import get_command

from fathom.harness.cli.run_file import file_words
from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.engines import factory
from fathom.harness.engines.oracle import OracleEngine
from fathom.server.cli.main import build
from tests.harness.engines.openai.misbehaving import Api
from tests.server.cli.test_main import wait_for_samples

ODD = 'tab\t "quoted" ½ 深 \x7f \\n'
VALUES = {
    "model": ["a b/c", "org/x"], "seed": ["7", "beef"], "tag": ["one", "two"], "families": "depo,mano", "n": 3,
    "system": ODD, "chat": False, "ask-twice": True, "temperature": 0.5, "repeats": 2, "shots-as": "text",
    "template-option": ["enable_thinking=false", 'kind="x y"'], "budget": ["cot=2048,direct=64"], "lora": "a b/c",
    "engine-arg": ["max_model_len=512"], "think-marks": "<t>,</t>", "dtype": "float32",
}  # fmt: skip


def words_of(values):
    command = get_command(build("run")).commands["run"]
    flags = {one.name.replace("_", "-"): one for one in command.params}
    words = []
    for name, value in values.items():
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        else:
            words += [word for one in (value if flags[name].multiple else [value]) for word in (f"--{name}", str(one))]
    return words


def parsed(words):
    command = get_command(build("run")).commands["run"]
    with command.make_context("run", list(words)) as context:
        return {name: value for name, value in context.params.items() if name not in ("file", "write")}


def test_a_file_that_was_written_means_the_words_it_was_written_from(fathom, tmp_path):
    words, file = words_of(VALUES), tmp_path / "run.toml"
    assert fathom("run", *words, "--write", file).returncode == 0
    assert parsed([str(file)]) == parsed(words)


def test_every_option_may_stand_in_a_file(tmp_path):
    command, file = get_command(build("run")).commands["run"], tmp_path / "run.toml"
    for option in command.params:
        if option.name not in ("file", "write", "resume", "help"):
            file.write_text(f"{option.name} = {'true' if option.is_flag else 3}")
            assert [name for name, _ in file_words(file, command.params)] == [option.name]


def test_lists_and_tables_mean_what_the_command_line_means(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(
        'families = ["depo", "mano"]\nmodel = "x"\nseed = 7\nask_twice = false\n'
        "[engine-arg]\nmax_model_len = 512\nrope = {a = 1}\n[budget]\ndirect = 9\n"
    )
    assert parsed([str(file)]) == parsed(
        ["--families", "depo,mano", "--model", "x", "--seed", "7", "--engine-arg", "max_model_len=512",
         "--engine-arg", 'rope={"a": 1}', "--budget", "direct=9"]
    )  # fmt: skip


def test_an_option_on_the_command_line_replaces_that_of_the_file(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('model = ["x", "y"]\nn = 5\nchat = true\n')
    assert parsed([str(file), "--model", "z", "--no-chat"]) == parsed(["--model", "z", "--n", "5", "--no-chat"])


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("famlies = 'depo'", "no option 'famlies': did you mean families?"),
        ("xyz = 1", "`fathom run --help` lists the options"),
        ("resume = 'beef'", "no option 'resume'"),
        ("chat = 3", "chat is 3: give true or false"),
        ("n = true", "n is True: give a text, a number"),
        ("n = 2026-12-01", "give a text, a number"),
        ("suite = []", "suite is []"),
        ("model = ", "is no TOML"),
        ("n = 'many'", "Invalid value for '--n'"),
    ],
)
def test_a_file_with_an_error_is_refused_with_its_place(fathom, tmp_path, text, advice):
    file = tmp_path / "run.toml"
    file.write_text(text)
    done = fathom("run", file, cwd=tmp_path)
    assert done.returncode == 2
    assert advice in " ".join(done.stderr.replace("│", " ").split())


def test_a_file_is_never_written_over(fathom, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("kept")
    done = fathom("run", "--model", "x", "--write", file)
    assert (done.returncode, file.read_text()) == (2, "kept")
    assert "is there already" in done.stderr


def test_several_models_and_seeds_run_once_and_are_not_repeated(fathom, tmp_path):
    file, db = tmp_path / "run.toml", tmp_path / "a.db"
    file.write_text(
        'model = ["oracle/noisy", "oracle/perfect"]\nengine = "oracle"\nseed = [1, 2]\nfamilies = "depo"\nn = 2\n'
        'tag = ["first", "try"]\n'
    )
    assert fathom("run", file, "--db", db).returncode == 0
    again = fathom("run", file, "--db", db, "--json")
    assert again.returncode == 0
    found = json.loads(again.stdout)
    assert [(one["model"], one["seed"], one["attempts"]) for one in found] == [
        (model, seed, 1) for model in ("oracle/noisy", "oracle/perfect") for seed in ("1", "2")
    ]
    assert "was complete" in again.stderr
    (listed,) = json.loads(fathom("runs", "--db", db, "--tag", "first", "--json").stdout)[:1]
    assert listed["tags"] == ["first", "try"]
    assert json.loads(fathom("runs", "--db", db, "--tag", "last", "--json").stdout) == []


def test_a_model_is_loaded_once_for_all_its_seeds(fathom, monkeypatch, tmp_path):
    log = []

    class Telling(OracleEngine):
        def __init__(self, kind):
            super().__init__(kind)
            log.append(f"load {kind}")

        def close(self):
            log.append("close")

    monkeypatch.setattr(factory, "OracleEngine", Telling)
    words = ("--engine", "oracle", "--seed", 1, "--seed", 2, "--families", "depo", "--n", 1, "--db", tmp_path / "a.db")
    assert fathom("run", "--model", "oracle/noisy", "--model", "oracle/perfect", *words).returncode == 0
    assert log == ["load noisy", "close", "load perfect", "close"]


def test_a_model_that_fails_is_told_at_the_end_and_the_others_are_run(fathom, serve, tmp_path):
    url, db = serve(Api().app), tmp_path / "a.db"
    words = ("--engine", "openai", "--base-url", url, "--no-chat", "--families", "depo", "--style", "direct", "--n", 1)
    call = ("run", "--model", "gone", "--model", "tiny", "--seed", 3, *words, "--db", db)
    done = fathom(*call)
    assert done.returncode == 2
    assert [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("tiny  ")] == ["done"]
    assert "1 run of 2 failed: the same call goes on with what is missing" in done.stdout
    again = fathom(*call)
    assert again.returncode == 2
    assert "was complete" in again.stdout


@pytest.mark.slow
def test_a_file_that_was_killed_goes_on_with_what_is_missing(fathom, start_fathom, tmp_path):
    file, db = tmp_path / "run.toml", tmp_path / "killed.db"
    file.write_text(
        'model = ["oracle/noisy", "oracle/perfect", "oracle/chance"]\nengine = "oracle"\nseed = 3\n'
        'families = "depo"\nn = 300\n'
    )
    process = start_fathom("run", file, "--db", db)
    run, _ = wait_for_samples(db, process, 300)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert fathom("run", file, "--db", db).returncode == 0
    opened = open_database(str(db), create=False)
    found = read.list_runs(opened)
    assert sorted((one.model, one.state, one.n_done, one.n_generated) for one in found) == [
        (f"oracle/{kind}", "done", 3_900, 3_900) for kind in ("chance", "noisy", "perfect")
    ]
    assert {one.run: one.attempts for one in found}[run] == 2


def test_a_dry_run_stores_nothing_and_needs_no_database(fathom, tmp_path):
    done = fathom(
        "run", "--model", "reference/pebble", "--engine", "hf", "--families", "depo", "--n", 2, "--seed", 1, "--dry-run",
        "--throughput", 100, "--db", tmp_path / "none.db", "--json",
    )  # fmt: skip
    (found,) = json.loads(done.stdout)
    assert (found["n_cells"], found["n_answers"], found["is_bound"]) == (13, 26, True)
    assert found["seconds"] == found["completion_tokens"] / 100
    assert found["dollars"] is None
    assert not (tmp_path / "none.db").exists()


@pytest.mark.slow
def test_a_dry_run_of_a_model_of_the_hub_fetches_no_weights(fathom, hub, tmp_path):
    hub.make("pebble")
    variables = {
        "HF_HUB_OFFLINE": "0",
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hub"),
        "HF_HUB_DISABLE_XET": "1",
    }
    words = ("--model", "org/pebble", "--engine", "hf", "--families", "depo", "--n", 1, "--dry-run", "--json")
    done = fathom("run", *words, "--db", tmp_path / "a.db", process=True, **variables)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert found["model"] == "org/pebble"
    fetched = {file.name for file in (tmp_path / "hub").rglob("*") if file.parent.parent.name == "snapshots"}
    assert "tokenizer.json" in fetched
    assert not [name for name in fetched if name.endswith(".safetensors")]

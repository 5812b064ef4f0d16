import json
import signal
import subprocess
import sys
import time

import pytest

from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.records import SampleFilter
from tests.thinker import make_babbler

pytestmark = pytest.mark.cases(None)


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def one_line_of_advice(done, code=2):
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("fathom: ")
    assert "Traceback" not in done.stderr + done.stdout
    return done.stderr


def test_help_names_every_command_and_loads_nothing_heavy(fathom):
    shown = fathom("--help").stdout
    for command in ("families", "sample", "grade", "run", "runs", "show", "serve", "tasks", "pretrain", "db"):
        assert f" {command} " in shown
    script = (
        "import sys\nsys.argv = ['fathom', '--help']\nfrom fathom.server.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'vllm', 'lm_eval', 'datasets', 'pandas', 'transformers', 'fastapi', 'scipy', 'ray', 'altair', 'pyarrow'}\n"
        "print('loaded:', *sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded:"


def test_families_are_listed_with_levels_and_chance(fathom):
    (depo,) = (row for row in json.loads(fathom("families", "--json").stdout) if row["family"] == "depo")
    assert depo["channels"] == ["symbol", "story"]
    assert depo["styles"] == ["direct", "cot", "choice", "trained"]
    assert {row["level"]: row["chance"] for row in depo["levels"]}["n8k3"] == pytest.approx(1 / 5)
    assert "2512.17351" in depo["reference"]
    assert "n128k32" in fathom("families").stdout


@pytest.mark.parametrize("style", ["direct", "cot", "choice"])
@pytest.mark.parametrize("channel", ["symbol", "story"])
def test_samples_carry_everything_and_grade_right(fathom, channel, style):
    made = fathom(
        "sample",
        "depo",
        "--level",
        "n8k2",
        "--channel",
        channel,
        "--style",
        style,
        "--seed",
        "5eed",
        "--count",
        4,
        "--start",
        2,
    )
    rows = lines(made.stdout)
    assert [row["id"] for row in rows] == [f"depo@2/n8k2/{channel}/5eed/{index}" for index in range(2, 6)]
    for row in rows:
        assert list(row) == [
            "id", "family", "version", "level", "channel", "style", "seed", "index", "question", "gold", "choices", "facts",
        ]  # fmt: skip
        table = dict(row["facts"]["edges"])
        assert table[table[row["facts"]["start"]]] == row["gold"]
        assert (row["gold"] in row["choices"]) if style == "choice" else row["choices"] is None
    answers = "".join(json.dumps({"id": row["id"], "completion": f"Answer: {row['gold']}"}) + "\n" for row in rows)
    graded = lines(fathom("grade", stdin=answers + "\n").stdout)
    right = {"correct": True, "label": "correct", "found": "asked"}
    assert graded == [{"id": row["id"], "parsed": row["gold"], **right} for row in rows]
    thought = json.dumps({"id": rows[0]["id"], "completion": f"<think>It is {rows[0]['gold']}."})
    (cut,) = lines(fathom("grade", "--style", style, "--chat", stdin=thought).stdout)
    assert (cut["correct"], cut["label"]) == (False, "cut_off")


def test_any_single_item_can_be_made_alone(fathom):
    many = fathom("sample", "depo", "--level", "n16k4", "--seed", 7, "--count", 30).stdout.splitlines()
    alone = fathom(
        "sample", "depo", "--level", "n16k4", "--seed", 7, "--start", 17, PYTHONHASHSEED="99"
    ).stdout.splitlines()
    assert alone == [many[17]]


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (("sample", "dopo", "--level", "n4k1", "--seed", "1"), "known: bios, brevo, capo, depo"),
        (("sample", "depo", "--level", "n4k4", "--seed", "1"), "known: n4k1"),
        (("sample", "depo", "--level", "n4k1", "--seed", "one"), "hex digits"),
        (("sample", "depo", "--level", "n4k1", "--seed", "1", "--channel", "song"), "known: symbol, story"),
        (("run", "--engine", "oracle", "--families", "dopo"), "known: bios, brevo, capo, depo"),
        (("run", "--engine", "oracle", "--levels", "n4k4"), "near it: n"),
        (("run", "--engine", "oracle", "--seed", "-3"), "hex digits"),
        (("run", "--engine", "oracle", "--suite", "slow"), "known: quick"),
        (("run", "--engine", "oracle", "--n", "0"), "ask for 1 to"),
        (("run", "--engine", "oracle", "--n", "999999999999"), "1,000,000 items"),
        (("run", "--engine", "oracle", "--db", ":memory:"), "name a file"),
        (("run", "--engine", "oracle", "--db", "sqlite://"), "name a file"),
        (("run", "--engine", "oracle", "--include-path", "tasks"), "goes with --tasks"),
        (("run", "--engine", "oracle", "--resume", "feed", "--seed", "3"), "leave --seed out"),
        (("run", "--engine", "oracle", "--resume", "feed", "--model", "oracle/noisy"), "leave --model out"),
        (("gallery", "--out", "."), "s a directory"),
        (("pretrain", "pebble", "--out", "/dev/null"), "ot a directory"),
        (("import", "nowhere"), "there is no folder nowhere"),
        (("run", "--engine", "oracle", "--model", "gpt"), "oracle/perfect"),
        (("run", "--engine", "abacus", "--model", "reference/pebble"), "known: vllm, hf, openai, ray, oracle"),
        (("run", "--engine", "hf"), "say which model"),
        (("run", "--engine", "hf", "--model", "reference/boulder"), "known: reference/pebble"),
        (("run", "--engine", "hf", "--model", "/no/such/folder"), "neither a folder"),
        (("run", "--engine", "hf", "--model", "nobody/nothing"), "hub"),
        (("run", "--engine", "oracle", "--resume", "feed"), "fathom run"),
        (("runs",), "fathom run"),
        (("show", "feed"), "fathom run"),
        (("grade", "--style", "loud"), "--style is one of direct, cot"),
        (("serve", "--host", "0.0.0.0"), "this machine only"),
        (("pretrain", "gravel"), "pebble"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bad_input_is_one_line_that_says_what_to_do(fathom, tmp_path, words, advice):
    assert advice in one_line_of_advice(fathom(*words, cwd=tmp_path, FATHOM_DB=str(tmp_path / "none.db")))


def test_a_bad_line_is_named_by_its_number(fathom):
    good = json.dumps({"id": "depo@2/n4k1/symbol/1/0", "completion": ""})
    for bad in ("{", "[]", "7", '{"id": 1, "completion": "x"}', '{"id": "depo@2/n4k1/symbol/1/0"}', "[" * 100_000):
        done = fathom("grade", stdin=f"{good}\n{bad}\n")
        assert "line 2" in one_line_of_advice(done)
        assert lines(done.stdout)[0]["label"] == "no_answer"
    assert "version 7" in one_line_of_advice(
        fathom("grade", stdin='{"id": "depo@7/n4k1/symbol/1/0", "completion": ""}')
    )


def test_a_run_is_stored_listed_and_shown(fathom, database):
    done = fathom(
        "run", "--model", "oracle/noisy", "--engine", "oracle", "--seed", 7, "--n", 4, "--db", database, "--json"
    )
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    (listed,) = json.loads(fathom("runs", "--db", database, "--json").stdout)
    assert (listed["run"], listed["model"], listed["suite"], listed["state"]) == (
        made["run"],
        "oracle/noisy",
        "quick",
        "done",
    )
    shown = json.loads(fathom("show", made["run"], "--db", database, "--json").stdout)
    assert shown["manifest"]["decisive"]["suite"]["seed"] == "7"
    for cell in shown["cells"]:
        assert cell["low"] <= cell["k"] / cell["n"] <= cell["high"]
        assert cell["n"] == 4 == sum(cell["labels"].values())
    table = fathom("show", made["run"][:5], "--db", database).stdout
    assert "95% interval" in table
    assert "accuracy against level" in table


def test_levels_and_styles_replace_the_suites_own(fathom, tmp_path):
    done = fathom(
        "run", "--engine", "oracle", "--levels", "n32k2,n16k4-long-names", "--style", "cot,choice", "--channel", "story",
        "--n", 2, "--db", tmp_path / "a.db", "--json",
    )  # fmt: skip
    cells = [(cell["level"], cell["channel"], cell["style"]) for cell in json.loads(done.stdout)["cells"]]
    assert cells == [(level, "story", style) for style in ("cot", "choice") for level in ("n32k2", "n16k4-long-names")]


def test_a_run_without_a_seed_draws_a_fresh_one_and_says_it(fathom, tmp_path):
    seeds = {
        json.loads(fathom("run", "--engine", "oracle", "--n", 1, "--db", tmp_path / "a.db", "--json").stdout)["seed"]
        for _ in range(2)
    }
    assert len(seeds) == 2
    assert all(len(seed) == 16 for seed in seeds)


def wait_for_samples(database, process, at_least, seconds=300):
    """Wait until a running command has stored some samples; return the run and how many."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, process.stdout.read()
        try:
            db = open_database(str(database), create=False)
            for one in read.list_runs(db):
                stored = read.count_samples(db, one.run)
                if at_least <= stored < one.n_items:
                    return one.run, stored
            db.dispose()
        except Exception:  # not there yet, or in the middle of being made
            pass
        time.sleep(0.02)
    raise AssertionError("no samples in time")


def test_free_text_is_sampled_and_the_same_again(fathom, tmp_path):
    texts, model = [], make_babbler(tmp_path / "babbler")
    for name in ("a", "b"):
        words = ("--levels", "generate-b-0", "--seed", 3, "--n", 6, "--db", tmp_path / name)
        assert fathom("run", "--model", model, "--engine", "hf", *words).returncode == 0
        db = open_database(str(tmp_path / name), create=False)
        detail = read.get_run(db, read.list_runs(db)[0].run)
        samples = read.get_samples(db, detail, SampleFilter()).samples
        assert {one.style for one in samples} == {"free"}
        texts.append([one.completion for one in samples])
    assert texts[0] == texts[1]
    assert len(set(texts[0])) == 6  # of six equal prompts: greedy ones would be alike


def test_a_killed_run_resumes_with_each_sample_once(fathom, start_fathom, tmp_path):
    database = tmp_path / "killed.db"
    process = start_fathom("run", "--engine", "oracle", "--families", "depo", "--seed", 3, "--n", 300, "--db", database)
    run, _ = wait_for_samples(database, process, 300)
    process.send_signal(signal.SIGKILL)
    process.wait()
    db = open_database(str(database), create=False)
    kept = read.count_samples(db, run)
    assert 0 < kept < 3_900
    done = fathom("run", "--resume", run, "--db", database, "--json")
    assert done.returncode == 0, done.stderr
    assert f"{3_900 - kept:,} generated, {kept:,} recalled" in done.stderr
    result = json.loads(done.stdout)
    assert (result["n_generated"], result["n_done"], read.count_samples(db, run)) == (3_900, 3_900, 3_900)
    again = fathom("run", "--resume", run, "--db", database)
    assert again.returncode == 0
    assert "nothing is missing" in again.stdout


def test_ctrl_c_stops_cleanly_and_says_how_to_resume(fathom, start_fathom, tmp_path):
    database = tmp_path / "stopped.db"
    process = start_fathom("run", "--engine", "oracle", "--families", "depo", "--seed", 3, "--n", 300, "--db", database)
    run, _ = wait_for_samples(database, process, 300)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"fathom run --resume {run} --db {database}" in " ".join(output.split())
    assert "Traceback" not in output
    (listed,) = json.loads(fathom("runs", "--db", database, "--json").stdout)
    assert listed["state"] == "interrupted"
    assert fathom("run", "--resume", run, "--db", database).returncode == 0


def test_a_reader_that_leaves_early_is_no_error():
    command = f"{sys.executable.replace('python', 'fathom')} sample depo --level n4k1 --seed 1 --count 20000 | head -1"
    command = f"set -o pipefail; {command}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.startswith('{"id": "depo@2/n4k1/symbol/1/0"')


@pytest.mark.turns(3)
def test_a_resumed_run_that_is_stopped_names_itself_not_the_newest(fathom, start_fathom, tmp_path):
    database = tmp_path / "two.db"
    process = start_fathom(
        "run", "--engine", "oracle", "--families", "depo", "--seed", 3, "--n", 1500, "--db", database
    )
    run, _ = wait_for_samples(database, process, 300)
    process.kill()
    process.wait()
    assert fathom("run", "--engine", "oracle", "--seed", 4, "--n", 1, "--db", database).returncode == 0
    process = start_fathom("run", "--resume", run, "--db", database)
    wait_for_samples(database, process, 5_000)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert f"--resume {run} " in " ".join(output.split())

"""`fathom corpus` as users call it: killed, on a full disk, and misused."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.slow

FATHOM = Path(sys.executable).parent / "fathom"
WORDS = ("corpus", "lano", "--tokens", "400k", "--shard-tokens", "20k", "--seed", "7")


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(fathom, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    done = fathom(*WORDS, "--out", out, "--workers", 1)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def begun(process, out, shard):
    end = time.monotonic() + 120
    while not (out / f"shard-{shard:05d}.bin").exists():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.005)


def gone(processes):
    return psutil.wait_procs(processes, timeout=30)[1] == []


def test_a_killed_call_goes_on_to_the_same_bytes(fathom, start_fathom, whole, tmp_path):
    out = tmp_path / "out"
    process = start_fathom(*WORDS, "--out", out, "--workers", 2)
    begun(process, out, 3)
    begun(process, out, 0)  # the other worker's
    helpers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert gone(helpers)
    assert not (out / "manifest.json").exists()
    kept = (out / "shard-00000.bin").stat().st_mtime_ns
    done = fathom(*WORDS, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "resuming after" in done.stdout
    assert (out / "shard-00000.bin").stat().st_mtime_ns == kept
    assert files(out) == files(whole[0])


def test_a_killed_worker_is_told_and_the_same_command_goes_on(fathom, start_fathom, whole, tmp_path):
    out = tmp_path / "out"
    process = start_fathom(*WORDS, "--out", out, "--workers", 2)
    begun(process, out, 1)
    workers = [
        one for one in psutil.Process(process.pid).children() if "spawn_main" in " ".join(one.cmdline())
    ]  # beside them runs multiprocessing's resource tracker
    workers[0].kill()
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 2
    assert "was killed" in said
    assert "give the same command to continue" in said
    assert "Traceback" not in said
    assert gone(workers)
    assert fathom(*WORDS, "--out", out).returncode == 0
    assert files(out) == files(whole[0])


FULL = """
mount -t tmpfs -o size=$SIZE tmpfs "$DISK" || exit 99
"$@" --out "$DISK/out"; echo "first: $?"
ls -A "$DISK/out"; echo listed
mount -o remount,size=50m "$DISK"
"$@" --out "$DISK/out"; echo "second: $?"
cp -r "$DISK/out" "$KEPT"
"""


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"], capture_output=True).returncode != 0,
    reason="mounting a small disk is not allowed here",
)
@pytest.mark.parametrize(("form", "size"), [("tokens", "400k"), ("datasets", "600k")])
@pytest.mark.turns(3)
def test_a_full_disk_is_told_and_leaves_nothing_half_written(environment, whole, tmp_path, form, size):
    disk = tmp_path / "disk"
    disk.mkdir()
    words = ["unshare", "-rm", "bash", "-c", FULL, "full", FATHOM, *WORDS, "--workers", 2, "--format", form]
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=200,
        env=environment(DISK=str(disk), KEPT=str(tmp_path / "kept"), SIZE=size),
    )  # fmt: skip
    assert "first: 2" in done.stdout, done.stderr
    assert ("is the last whole shard" in done.stderr) == (form == "tokens")
    assert "No space left on device" in done.stderr
    assert "free some space, then give the same command to continue" in done.stderr
    assert ".partial" not in done.stdout
    assert "manifest.json" not in done.stdout.partition("listed")[0]
    assert "second: 0" in done.stdout, done.stderr
    if form == "tokens":
        assert files(tmp_path / "kept") == files(whole[0])
    assert (tmp_path / "kept" / "dataset").exists() == (form == "datasets")


def test_the_last_line_says_what_is_there(whole):
    out, said = whole
    manifest = json.loads((out / "manifest.json").read_text())
    line = said.splitlines()[-1]
    assert f"{manifest['tokens']:,} tokens, {manifest['documents']:,} documents" in line
    assert manifest["digest"] in line
    assert "tokens/s" in line


def test_a_second_call_finds_it_whole(fathom, whole):
    done = fathom(*WORDS, "--out", whole[0])
    assert done.returncode == 0
    assert "found complete" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("lamo", "--tokens", "1k"), "no corpus 'lamo'"),
        (("lano", "--tokens", "1q"), "no number of tokens"),
        (("lano", "--tokens", "1k", "--set", "lang=f"), "no option 'lang'"),
        (("lano", "--tokens", "1k", "--vocabulary", "4096"), "vocabulary of its own"),
        ((), "or --list"),
    ],
)
def test_bad_words_are_refused_before_anything_is_written(fathom, tmp_path, words, said):
    out = tmp_path / "out"
    done = fathom("corpus", *words, *(("--out", out) if words else ()))
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not out.exists()


def test_a_strange_file_name_reaches_no_terminal_raw(fathom, tmp_path):
    (tmp_path / "a\x1b[31mred").touch()
    done = fathom("corpus", "lano", "--tokens", "1k", "--out", tmp_path)
    assert done.returncode == 2
    assert r"a\x1b[31mred" in done.stderr


def test_the_list_names_corpora_and_their_options(fathom):
    listed = {one["name"]: one for one in json.loads(fathom("corpus", "--list", "--json").stdout)}
    assert listed["lano"]["options"]["language"]["default"] == "f"
    shown = fathom("corpus", "--list", COLUMNS="200").stdout
    assert all(name in shown for name in listed)

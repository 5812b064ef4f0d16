"""What containers are asked by: an exit code for a server, and for a worker's file of life."""

import os
import subprocess
import sys
import time

from fathom.harness.service.board_key import open_key
from fathom.harness.service.probe import probe
from tests.keys import printed_address


def test_a_server_that_answers_is_well_and_one_that_does_not_is_not(start_fathom, tmp_path):
    process = start_fathom("serve", "--db", tmp_path / "a.db", "--port", 0, "--no-worker")
    address = printed_address(process)
    words = [sys.executable, "-m", "fathom.harness.service.probe", f"{address}/healthz"]
    assert subprocess.run(words, capture_output=True).returncode == 0
    assert "404" in probe([f"{address}/none"])
    process.terminate()
    process.wait(timeout=30)
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, "refused" in done.stderr) == (1, True)


def test_a_worker_is_well_while_its_file_is_touched(tmp_path):
    file = tmp_path / "alive"
    assert "No such file" in probe([str(file), "60"])
    file.touch()
    assert probe([str(file), "60"]) == ""
    old = time.time() - 90
    os.utime(file, (old, old))
    assert "90 s ago" in probe([str(file), "60"])


def test_a_worker_touches_the_file_that_its_image_looks_at(start_fathom, tmp_path):
    process = start_fathom("serve", "--db", tmp_path / "a.db", "--port", 0, "--no-worker")
    address = printed_address(process)
    worker = start_fathom(
        "worker",
        "--engine",
        "oracle",
        "--server",
        address,
        XDG_CACHE_HOME=str(tmp_path / "cache"),
        FATHOM_TOKEN=open_key(str(tmp_path / "a.db")),
    )
    alive = tmp_path / "cache" / "fathom" / "worker-alive"
    end = time.monotonic() + 60
    while not alive.exists():
        assert worker.poll() is None, worker.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.1)
    worker.terminate()
    assert worker.wait(timeout=30) == 0

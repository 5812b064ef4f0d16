"""Run many items without a model: memory, speed and resume. `python -m tests.bench.scale` takes about two minutes.

Two runs of the oracle, of a tenth and of all items, give the marginal cost of an item. A third is killed with SIGKILL
at 60% and resumed. Ends with an error unless every item is stored exactly once.
"""

import argparse
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

FATHOM = Path(sys.executable).parent / "fathom"
LEVELS = ("n8k1", "n8k2", "n8k3", "n8k4")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process took."""

    cpu: float
    wall: float
    peak: float
    """MB."""


def start(db, *words):
    variables = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [str(FATHOM), "run", "--db", str(db), *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=variables
    )


def fresh(db, n):
    levels = ",".join(LEVELS)
    return start(
        db,
        "--engine",
        "oracle",
        "--model",
        "oracle/noisy",
        "--seed",
        "7",
        "--levels",
        levels,
        "--n",
        str(n // len(LEVELS)),
    )


def cost_of(process, began):
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(process.stderr.read().decode())
    return Cost(used.ru_utime + used.ru_stime, time.perf_counter() - began, used.ru_maxrss / 1024)


def samples(db):
    """Return samples and different items among them."""
    try:
        with sqlite3.connect(f"file:{db}?mode=ro", uri=True, timeout=30) as connection:
            return connection.execute(
                'SELECT count(*), count(DISTINCT cell_id * 1000000 + "index") FROM samples'
            ).fetchone()
    except sqlite3.OperationalError:  # no table yet
        return 0, 0


def rows(db):
    with sqlite3.connect(f"file:{db}?mode=ro", uri=True, timeout=30) as connection:
        return connection.execute("SELECT coalesce(max(id), 0) FROM samples").fetchone()[0]


def until(db, n):
    while (found := rows(db) if samples(db)[0] else 0) < n:
        time.sleep(0.02)
    return found


def main():
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--n", type=int, default=100_000)
    n = words.parse_args().n
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        took = {}
        for size in (n // 10, n):
            began = time.perf_counter()
            took[size] = cost_of(fresh(folder / f"{size}.db", size), began)
            one = took[size]
            print(
                f"{size:>8,} items: {one.cpu:.1f} CPU-s, {one.wall:.1f} s, {size / one.wall:,.0f} rows committed/s, peak {one.peak:.0f} MB",
                flush=True,
            )
        small, large = took[n // 10], took[n]
        print(
            f"marginal: {(n - n // 10) / (large.cpu - small.cpu):,.0f} samples per CPU-second, {large.peak - small.peak:+.0f} MB"
        )
        if samples(folder / f"{n}.db") != (n, n):
            raise SystemExit("samples are missing or doubled")
        resume(folder / "killed.db", n)


def resume(db, n):
    process = fresh(db, n)
    until(db, n * 6 // 10)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = samples(db)[0]
    with sqlite3.connect(db) as connection:
        run = connection.execute("SELECT id FROM runs").fetchone()[0]
    began = time.perf_counter()
    process = start(db, "--resume", run)
    until(db, kept + 1)
    first = time.perf_counter() - began
    process.wait()
    print(
        f"killed at {kept:,}; the first new sample is committed {first:.1f} s after `fathom run --resume`, which ends with {samples(db)[0]:,} samples, {samples(db)[1]:,} different"
    )
    if process.returncode or samples(db) != (n, n):
        raise SystemExit("samples are missing or doubled")


if __name__ == "__main__":
    main()

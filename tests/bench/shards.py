"""Measure `fathom corpus` at two lengths: tokens per second and the peak memory of all its processes. Nothing is asserted.

python -m tests.bench.shards lano --tokens 1M,20M --workers 1,2
"""

import argparse
import hashlib
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

FATHOM = Path(sys.executable).parent / "fathom"


def resident(process: psutil.Process) -> int:
    """Return the bytes that a process and its children hold; files mapped by several count for each."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def cpu() -> float:
    """Return the processor time of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(words: list[str], out: Path) -> tuple[float, float, int]:
    """Run the command to its end; return seconds of wall time and of processors, and the peak of resident bytes."""
    began, spent, peak = time.monotonic(), cpu(), 0
    with subprocess.Popen([str(FATHOM), "corpus", *words, "--out", str(out)], stdout=subprocess.DEVNULL) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                peak = max(peak, resident(watched))
            except psutil.NoSuchProcess:
                break
            time.sleep(0.05)
    if process.wait() != 0:
        raise SystemExit(f"fathom corpus ended with {process.returncode}")
    return time.monotonic() - began, cpu() - spent, peak


def main() -> None:
    """Print a line a run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("--tokens", default="1M,20M")
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--set", action="append", default=[])
    asked = parser.parse_args()
    settings = [word for one in asked.set for word in ("--set", one)]
    for tokens in asked.tokens.split(","):
        for workers in asked.workers.split(","):
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "out"
                seconds, spent, peak = measure([asked.corpus, *settings, "--tokens", tokens, "--workers", workers], out)
                n = sum(path.stat().st_size for path in out.glob("*.bin")) // 2
                digest = hashlib.blake2b(digest_size=8)
                for path in sorted(out.glob("*.bin")):
                    digest.update(path.read_bytes())
            print(
                f"{asked.corpus:8} {tokens:>5}, {workers} processes: {n:>11,} tokens in {seconds:6.1f} s, "
                f"{n / seconds:>10,.0f} /s, {spent:5.1f} CPU-s, peak {peak / 1e6:4.0f} MB, {digest.hexdigest()}"
            )


if __name__ == "__main__":
    main()

"""Time the board under many visitors: pages a second and milliseconds a page, kind by kind.

`python -m tests.bench.load --db demo.db` starts `fathom serve` itself; with --url it asks a board that is served
already from that database. Each visitor keeps one connection open and asks without a pause. Fill a database with
`python -m tests.bench.demo`.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import psutil
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fathom.tasks.stream import Stream

FATHOM = Path(sys.executable).parent / "fathom"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
PER_PAGE = 20


@dataclass
class Tally:
    """What came of asking one kind of page."""

    milliseconds: list[float] = field(default_factory=list)
    n_bytes: int = 0
    seconds: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Stock:
    """What a database holds, to ask for; `sampled` are runs with the number of their samples."""

    n_models: int
    n_samples: int
    models: Sequence[str]
    families: Sequence[str]
    runs: Sequence[str]
    sampled: Sequence[tuple[str, int]]
    singles: Sequence[tuple[str, int]]
    """Samples by run and number."""


def take_stock(database: str, few: int = 200) -> Stock:
    """Read what can be asked for."""
    from fathom.harness.db.engine import open_database
    from fathom.harness.db.leaderboard.read import StandingQuery, list_pools, list_standings
    from fathom.harness.db.schema.runs import CellRow, ModelRow, RunRow, SampleRow

    db = open_database(database, create=False)
    (pool, *_) = list_pools(db)
    style = pool.styles[0]
    models = [one.model.name for one in list_standings(db, StandingQuery(pool.id, style)).standings]
    with Session(db) as session:
        n_models = session.scalars(select(func.count()).select_from(ModelRow)).one()
        n_samples = session.scalars(select(func.count()).select_from(SampleRow)).one()
        runs = list(session.scalars(select(RunRow.id).where(RunRow.state == "done").order_by(RunRow.id).limit(few)))
        first = select(CellRow.run_id).join(SampleRow).where(CellRow.position == 0).distinct().limit(few)
        sampled = session.execute(select(RunRow.id, RunRow.n_done).where(RunRow.id.in_(first))).all()
        numbered = select(CellRow.run_id, SampleRow.id).join(SampleRow).where(CellRow.run_id.in_(first))
        singles = session.execute(numbered.where(SampleRow.index == 0)).all()
    db.dispose()
    return Stock(
        n_models,
        n_samples,
        Stream("load", "models").sample(models, min(few, len(models))),
        pool.asked[style],
        runs,
        sampled,
        singles,
    )


def page_kinds(stock: Stock, n: int = 500) -> dict[str, list[str]]:
    """Return addresses to ask for, by kind of page."""
    pick = Stream("load", "pages")
    last = max(stock.n_models // 100, 1)

    def mixed() -> str:
        asked = {
            "q": pick.choice(["", "", "heron", "7b", "chat-00"]),
            "kind": pick.choice(["", "", "chat", "base"]),
            "dtype": pick.choice(["", "", "bfloat16", "float8"]),
            "min": pick.choice(["", "", "1", "7"]),
            "max": pick.choice(["", "", "70"]),
            "complete": pick.choice(["", "", "true"]),
            "sort": pick.choice(["rank", "model", "size", "date", *stock.families]),
            "order": pick.choice(["asc", "desc"]),
        }
        return "/?" + urlencode({name: value for name, value in asked.items() if value})

    def samples() -> str:
        run, n_done = pick.choice(stock.sampled)
        return f"/runs/{run}/samples?page={1 + pick.below(max(n_done // PER_PAGE, 1))}"

    kinds = {
        "/": ["/"],
        "/?sort=FAMILY&page=3": [f"/?sort={one}&order=desc&page={min(3, last)}" for one in stock.families],
        "/?FILTERS": [mixed() for _ in range(n)],
        "/models/NAME": [f"/models/{quote(name)}" for name in stock.models],
        "/compare?m=A&m=B": [
            "/compare?" + urlencode({"m": pick.sample(stock.models, 2)}, doseq=True) for _ in range(n)
        ],
        "/runs/ID": [f"/runs/{run}" for run in stock.runs],
        "/runs/ID/samples/ID": [f"/runs/{run}/samples/{number}" for run, number in pick.sample(stock.singles, n)]
        if len(stock.singles) >= n
        else [],
        "/runs/ID/samples?page=N": [samples() for _ in range(n)] if stock.sampled else [],
    }
    return {kind: paths for kind, paths in kinds.items() if paths}


async def visit(host: str, port: int, paths: Sequence[str], until: float, tally: Tally, at: int = 0) -> None:
    """Ask pages one after the other, from the one `at` on, over one connection until the time is up."""
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 22)
    try:
        while time.perf_counter() < until:
            path = paths[at % len(paths)]
            at += 1
            began = time.perf_counter()
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: text/html\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = LENGTH.search(head)
            n_bytes = int(length[1]) if length else await _read_chunks(reader)
            if length:
                await reader.readexactly(n_bytes)
            tally.milliseconds.append(1000 * (time.perf_counter() - began))
            tally.n_bytes += n_bytes
            if (status := head.split(b" ", 2)[1].decode()) != "200":
                tally.errors[f"{status} {path}"] += 1
    except (OSError, asyncio.IncompleteReadError) as error:
        tally.errors[type(error).__name__] += 1
    finally:
        writer.close()


async def _read_chunks(reader: asyncio.StreamReader) -> int:
    """Read a chunked body; return its length."""
    total = 0
    while size := int((await reader.readline()).split(b";")[0], 16):
        await reader.readexactly(size + 2)
        total += size
    await reader.readline()
    return total


async def crowd(url: str, paths: Sequence[str], visitors: int, seconds: float) -> Tally:
    """Let visitors ask for as long as that; a first page each is asked for beforehand."""
    where = urlsplit(url)
    tally, warm = Tally(), Tally()
    await visit(where.hostname, where.port or 80, paths, time.perf_counter() + 0.2, warm)
    began = time.perf_counter()
    await asyncio.gather(
        *(
            visit(where.hostname, where.port or 80, paths, began + seconds, tally, number * len(paths) // visitors)
            for number in range(visitors)
        )
    )
    tally.seconds = time.perf_counter() - began
    return tally


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """Return the value below which that share lies."""
    return sorted_values[min(int(share * len(sorted_values)), len(sorted_values) - 1)]


def start_board(database: str, workers: int) -> tuple[subprocess.Popen, str]:
    """Serve a database on a free port, in a process of its own."""
    words = [str(FATHOM), "serve", "--workers", str(workers), "--db", database, "--port", "0", "--no-worker"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    for line in process.stdout:
        if found := re.search(r"http://[\w.:]+", line):
            return process, found[0]
    raise SystemExit(f"the board did not start: {process.wait()}")


def megabytes_of(process: subprocess.Popen) -> float:
    """Return the memory that a server and its processes hold."""
    whole = psutil.Process(process.pid)
    return sum(one.memory_info().rss for one in (whole, *whole.children(recursive=True))) / 2**20


def report(kind: str, tally: Tally) -> str:
    """Write one line of the table."""
    if not tally.milliseconds:
        return f"  {kind:<26} nothing came back: {dict(tally.errors)}"
    times = sorted(tally.milliseconds)
    n = len(times)
    columns = [f"{percentile(times, share):>8,.1f}" for share in (0.5, 0.95, 0.99)]
    size = tally.n_bytes / n / 1024
    return (
        f"  {kind:<26} {n:>8,} {n / tally.seconds:>9,.1f} {' '.join(columns)} {times[-1]:>8,.1f} {size:>8,.1f}"
        f" {sum(tally.errors.values()):>7}"
    )


def main() -> None:
    """Print the table."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--db", required=True, help="the board's database: what is asked for is read from it")
    words.add_argument("--url", help="a board that is served already, as http://127.0.0.1:8000")
    words.add_argument("--workers", type=int, default=1, help="processes that serve")
    words.add_argument("--visitors", type=int, default=20)
    words.add_argument("--seconds", type=float, default=20, help="for each kind of page")
    asked = words.parse_args()
    stock = take_stock(asked.db)
    process, url = (None, asked.url) if asked.url else start_board(asked.db, asked.workers)
    print(f"{stock.n_models:,} models, {stock.n_samples:,} samples, {asked.visitors} visitors, {url}")
    print(
        f"  {'page':<26} {'requests':>8} {'a second':>9} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8} {'max ms':>8} {'KiB':>8} {'errors':>7}"
    )
    began = time.perf_counter()
    if process is not None:
        print(f"memory at the start: {megabytes_of(process):.0f} MB")
    try:
        for kind, paths in page_kinds(stock).items():
            tally = asyncio.run(crowd(url, paths, asked.visitors, asked.seconds))
            print(report(kind, tally), flush=True)
            for what, n in tally.errors.most_common(3):
                print(f"    {n} x {what}")
        if process is not None:
            print(f"memory after {time.perf_counter() - began:.0f} s: {megabytes_of(process):.0f} MB")
    finally:
        if process is not None:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()

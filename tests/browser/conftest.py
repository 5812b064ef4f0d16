"""The board as `fathom serve` shows it, and a browser to look at it."""

import re
from dataclasses import dataclass

import pytest

from harness.db import read, write
from harness.db.engine import open_database
from harness.engines.base import Completion
from harness.suite import Selection, open_suite
from tasks import Verdict

LONG = "W" * 300 + "<script>document.title = 'owned'</script>"


def _write_hostile(db):
    suite = open_suite("quick", 7, Selection(levels=("n4k1",), n=2))
    run = write.start_run(db, write.NewRun(LONG, "vllm", suite, suite.digest(), {"decisive": {LONG: LONG}}, "0" * 32))
    samples = [
        write.Sample(
            0, at, 0, str(at), Completion(str(at), LONG * 9, "stop", 1, 1, 0.1), Verdict(False, LONG, "no_answer")
        )
        for at in range(2)
    ]
    write.record_samples(db, run, [read.get_run(db, run).cells[0].id], samples)
    write.finish_run(db, run, write.Ending("failed", 1.0, LONG, LONG * 9))
    return run


@dataclass(frozen=True)
class Site:
    """An address, and the runs that are shown there."""

    address: str
    noisy: str
    failed: str

    @property
    def pages(self):
        runs = [f"/runs/{run}{rest}" for run in (self.noisy, self.failed) for rest in ("", "/samples")]
        families = ["/families", "/families/depo?seed=7&answer=AB", "/families/years?level=y8k2-32k&seed=7", "/about"]
        return ["/", *runs, *families]


@pytest.fixture(scope="session")
def site(tmp_path_factory, fathom, start_fathom):
    """Play a run, add a hostile one that failed, and serve both."""
    url = f"sqlite:///{tmp_path_factory.mktemp('browser') / 'runs.db'}"
    played = fathom(
        "run", "--model", "oracle/noisy", "--engine", "oracle", "--suite", "quick", "--seed", 7, "--n", 10, "--db", url
    )
    assert played.returncode == 0, played.stderr
    db = open_database(url, create=False)
    noisy = read.list_runs(db)[0].run
    failed = _write_hostile(db)
    db.dispose()
    return Site(_address(start_fathom("serve", "--db", url, "--port", 0)), noisy, failed)


@pytest.fixture(scope="session")
def empty_site(tmp_path_factory, start_fathom):
    """Address of a board without a run."""
    return _address(start_fathom("serve", "--db", tmp_path_factory.mktemp("empty") / "runs.db", "--port", 0))


def _address(process):
    for line in process.stdout:
        found = re.search(r"http://\S+:\d+", line)
        if found:
            return found[0]
    return pytest.fail("`fathom serve` ended without an address")

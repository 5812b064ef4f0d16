"""Probe a model from Python: `from fathom import probe`, for notebooks."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from fathom.harness.db.probes import ProbeDetail, get_probe
from fathom.harness.probing.plan import DEFAULT_N, DEFAULT_SEED, N_CONTROLS, ProbeSettings, make_plan
from fathom.harness.probing.tables import POINT_COLUMNS, point_rows, target_line
from fathom.harness.reports.console import make_console
from fathom.harness.reports.frames import Store


@dataclass(frozen=True)  # no slots: cached properties need the instance's dictionary
class Probe:
    """A stored probe."""

    detail: ProbeDetail

    @classmethod
    def load(cls, probe: str, db: str | Path | None = None) -> "Probe":
        """Return a stored probe by its id or a unique beginning of it.

        Raises:
            UnknownRun: there is no such probe.
        """
        with Store.at(db).opened() as found:
            return cls(get_probe(found, probe))

    @property
    def id(self) -> str:
        """Its id."""
        return self.detail.summary.id

    @cached_property
    def targets(self) -> pd.DataFrame:
        """One row a target: verdict, first layer, the best point's place, layer, value and control, what is said."""
        rows = []
        for target in self.detail.targets:
            line = target_line(target)
            best = line.best
            told = {name: value for name, value in asdict(line).items() if name != "best"}
            names = ("place", "layer", "value", "low", "high", "bits", "control", "control_value")
            rows.append({**told, **{name: None if best is None else getattr(best, name) for name in names}})
        return pd.DataFrame(rows)

    @cached_property
    def points(self) -> pd.DataFrame:
        """One row a point: every layer and place of every target, and every control."""
        return pd.DataFrame(point_rows(self.detail), columns=POINT_COLUMNS)


def probe(  # one parameter an option, as `fathom probe` has them
    model: str | Path,
    *,
    targets: str | Sequence[str] = (),
    layers: str | None = None,
    n: tuple[int, int] = DEFAULT_N,
    controls: int = N_CONTROLS,
    seed: int | str = DEFAULT_SEED,
    patch: bool = False,
    chat: bool | None = None,
    dtype: str = "auto",
    db: str | Path | None = None,
    progress: bool = True,
) -> Probe:
    """Read hidden variables in a model's states as `fathom probe` does, and return the stored probe.

    A probe that was cut off goes on with the same call. `db` is a file or a URL, by default FATHOM_DB or ./fathom.db;
    ":memory:" keeps nothing.

    Raises:
        BadInput: an argument that cannot be, or a model whose states cannot be read.
    """
    named = (targets,) if isinstance(targets, str) else tuple(targets)
    plan = make_plan(str(model), ProbeSettings(named, layers, n, controls, str(seed), chat, dtype, patch))
    from fathom.harness.probing.run import run_probe  # loads torch

    talk = make_console(stderr=True, quiet=not progress)
    with Store.at(db).opened(create=True) as store:
        return Probe(run_probe(store, plan, lambda line: talk.print(line, soft_wrap=True, markup=False)))

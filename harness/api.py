"""Evaluate models and read stored runs from Python: `evaluate`, `Run` and `runs`, for notebooks."""

import inspect
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property, partial
from html import escape
from itertools import islice
from pathlib import Path
from typing import Any, TypedDict, Unpack

import pandas as pd
from sqlalchemy import Engine as Database

from fathom.harness.db import read
from fathom.harness.db.find import check_comparable, find_run
from fathom.harness.db.leaderboard import read as board
from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.db.samples import stream_samples
from fathom.harness.db.write import utc_now
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.options import SHORT_FORMS, check_engine, chosen_engine, join_options
from fathom.harness.errors import BadInput, FathomError, Interrupted, NotComparable
from fathom.harness.format import count, percent
from fathom.harness.records import ProgressReport, RunDetail, SampleFilter
from fathom.harness.reports.comparison import pair_cells
from fathom.harness.reports.console import RunProgress, make_console
from fathom.harness.reports.cost import RunCost, cost_of_run
from fathom.harness.reports.depths import (
    DepthProgress,
    check_shared,
    compare_depths,
    compared_json,
    depths_json,
)
from fathom.harness.reports.figures.picture import one_line
from fathom.harness.reports.frames import AXES, FRAME_COLUMNS, Store, axes_of, cell_row, sample_row, score_frame
from fathom.harness.reports.html.columns import make_report_columns
from fathom.harness.reports.html.figures import Figure, draw_figures
from fathom.harness.reports.html.page import write_report
from fathom.harness.reports.html.tables import make_score_rows
from fathom.harness.reports.reproduce import reproduce
from fathom.harness.runs.evaluate import evaluate as evaluate_plan
from fathom.harness.runs.plan import Plan, check_tags, make_plan, named, resume_plan, tagged
from fathom.harness.runs.prompt_format import StatedFormat
from fathom.harness.runs.run_settings import (
    PRECISION,
    PromptSettings,
    RunSettings,
    SamplingSettings,
    ShotsAs,
    given_thinking,
    known_shots_as,
    prompt_settings_of,
)
from fathom.harness.stats.paired import compare
from fathom.harness.stats.scores import depths_alone, scores_json
from fathom.tasks.suites import Selection, open_suite

_Names = str | Sequence[str]
"""One name, or several."""


class ShortForms(TypedDict, total=False):
    """Options of engines that have a name of their own, as the command's flags do; `engine_arg` takes the others."""

    tensor_parallel: int
    pipeline_parallel: int
    quantization: str
    lora: str
    replicas: int
    base_url: str
    concurrency: int
    provider: str
    reasoning_effort: str


@dataclass(frozen=True)  # no slots: cached properties need the instance's dictionary
class Run:
    """A stored run. Each property is read once, when it is first used; `Run.load(run.id, db)` reads again."""

    id: str
    store: Store = field(repr=False)

    @classmethod
    def load(cls, run: str, db: str | Path | None = None) -> "Run":
        """Return a run by its id or a unique prefix of it, or a model's newest finished run by its name.

        Raises:
            UnknownModel: no run and no model has this name.
            StoreError: no such database.
        """
        store = Store.at(db)
        with store.opened() as opened:
            return cls(find_run(opened, run).summary.run, store)

    @cached_property
    def detail(self) -> RunDetail:
        """The whole run but its samples, as a value of `fathom.harness.records`."""
        with self.store.opened() as opened:
            return read.get_run(opened, self.id)

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.detail.summary.model

    @property
    def state(self) -> str:
        """done, failed, interrupted or running."""
        return self.detail.summary.state

    @property
    def manifest(self) -> dict[str, Any]:  # JSON values
        """What was measured, and how, as JSON values."""
        return self.detail.manifest.to_json()

    @property
    def command(self) -> str:
        """The `fathom run` command that repeats the run; empty where no command does."""
        return reproduce(self.detail)

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row a cell: counts, accuracy with its 95% interval, chance, and the score corrected for chance."""
        return pd.DataFrame([cell_row(cell) for cell in self.detail.cells])

    @cached_property
    def mistakes(self) -> pd.DataFrame:
        """One row a cell and label (`correct` is one): how many answers, and their share."""
        rows = [
            {**axes_of(cell), "label": label, "n": n, "share": n / cell.n}
            for cell in self.detail.cells for label, n in cell.labels.items()
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=[*AXES, "label", "n", "share"])

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row a ladder, a family and a style: `of` says which; scores are corrected for chance."""
        found = scores_json(self.detail.cells)
        return pd.DataFrame(score_frame(depths_alone(found) if self._is_adaptive else found))

    @property
    def _is_adaptive(self) -> bool:
        return self.detail.summary.layer == "adaptive"

    @cached_property
    def depths(self) -> pd.DataFrame:
        """One row a ladder, channel and style: depth with its 95% interval, items, and whether a falling curve fits."""
        return pd.DataFrame(depths_json(self.detail))

    @cached_property
    def cost(self) -> RunCost:
        """Tokens, seconds and dollars, in all and for each right answer; dollars are None where no price is known."""
        with self.store.opened() as opened:
            return cost_of_run(opened, self.detail)

    @cached_property
    def samples(self) -> pd.DataFrame:
        """One row a sample, with its question and right answer; `iter_samples` yields a large run in parts.

        Raises:
            SealedRun: the run's season is not over.
        """
        parts = list(self.iter_samples())
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(FRAME_COLUMNS))

    def iter_samples(self, size: int = 10_000) -> Iterator[pd.DataFrame]:
        """Yield the samples in the order of cells and items, `size` rows a frame, in constant memory.

        Raises:
            SealedRun: the run's season is not over.
        """
        with self.store.opened() as opened:
            asked = prompt_settings_of(self.detail.manifest)
            rows = (sample_row(one, asked) for one in stream_samples(opened, self.detail, SampleFilter()))
            while part := list(islice(rows, size)):
                yield pd.DataFrame(part, columns=list(FRAME_COLUMNS))

    def plot(self, family: str | None = None, *, mistakes: bool = False) -> "Plot":
        """Draw accuracy against difficulty, or with `mistakes` the labels of answers, of all families or of one."""
        with self.store.opened() as opened:
            drawn = draw_figures(make_report_columns(opened, [self.detail]))
        chosen = [one for one in drawn if family in (None, one.family)]
        if not chosen:
            raise BadInput(f"nothing to draw of {family!r}; known: {', '.join(one.family for one in drawn)}")
        return Plot(tuple(figure for one in chosen for figure in (one.mistakes if mistakes else one.curves)))

    def compare(self, other: "Run") -> pd.DataFrame:
        """Test this run against another, which may be in another database: one row a style and family.

        The family is empty for all together. `p_holm` is corrected over the families of a style; `ahead` is `first`
        or `second` if it is significantly better. If one of them measured depth, depths are compared: one row a ladder.

        Raises:
            NotComparable: they share no cell; one is not complete, or has several answers to a question.
            SealedRun: the season of one is not over.
        """
        for one in (self, other):
            check_comparable(one.detail)
        if self._is_adaptive or other._is_adaptive:
            depths = compare_depths(self.detail.cells, other.detail.cells)
            check_shared(depths)
            return pd.DataFrame(compared_json(depths))
        pairs = pair_cells(self.detail, other.detail, {**self._marks(), **other._marks()})
        found = compare(pairs)
        if not found:
            raise NotComparable(f"runs {self.id} and {other.id} share no cell: run both models on one suite")
        return pd.DataFrame(
            {
                "style": one.style, "family": one.name, "first": one.first.value, "second": one.second.value,
                "difference": one.difference.value, "low": one.difference.interval.low,
                "high": one.difference.interval.high, "n": one.n, "only_first": one.only_first,
                "only_second": one.only_second, "p": one.p, "p_holm": one.p_holm,
                "ahead": ("", "first", "second")[one.ahead],
            }
            for one in found
        )  # fmt: skip

    def _marks(self) -> Mapping[str, Any]:  # of RunVerdicts
        with self.store.opened() as opened:
            update_leaderboard(opened)  # completes what a killed process left
            return board.marks_of(opened, {self.id: self.detail.suite.n_items})

    def report(self, path: str | Path = "report.html", *others: "Run") -> Path:
        """Write a self-contained HTML file about this run, side by side with others of the same database.

        Raises:
            BadInput: too many runs, another database, nothing graded, or nowhere to write.
        """
        if any(one.store.url != self.store.url for one in others):
            raise BadInput("a report is of runs in one database: give evaluate the same db")
        with self.store.opened() as opened:
            details = [one.detail for one in (self, *others)]
            return write_report(opened, details, Path(path), utc_now()).path

    def __repr__(self) -> str:
        """Describe the run and its result in one line."""
        one = self.detail.summary
        n, k = (sum(getattr(cell, name) for cell in self.detail.cells) for name in ("n", "k"))
        right = f", {percent(k / n)} right" if n else ""
        name = one_line(f"{one.model} on {one.suite}, seed {one.seed}, engine {one.engine}", 200)
        return f"<Run {one.run}: {name}: {one.state}, {count(n)} of {count(one.n_samples)} graded{right}>"

    def _repr_html_(self) -> str:
        """Show the scores by family and style."""
        head = f"<p>{escape(repr(self)[1:-1])}</p>"
        if not any(cell.n for cell in self.detail.cells):
            return head
        with self.store.opened() as opened:
            rows = make_score_rows(make_report_columns(opened, [self.detail]))
        cells = "".join(
            f"<tr><th scope='row'>{escape(one_line(row.family or 'all families'))}</th>"
            f"<td>{escape(one_line(row.style))}</td><td>{escape(row.scores[0])}</td></tr>"
            for row in rows
        )
        titles = "".join(f"<th scope='col'>{name}</th>" for name in ("family", "style", "score"))
        return f"{head}<table><thead><tr>{titles}</tr></thead><tbody>{cells}</tbody></table>"


def evaluate(  # one parameter an option, as `fathom run` has them
    model: str | Path | None = None,
    *,
    name: str | None = None,
    suite: str = "quick",
    engine: str | None = None,
    seed: int | str | None = None,
    families: _Names = (),
    levels: _Names = (),
    channel: _Names = (),
    style: _Names = (),
    n: int | None = None,
    shots: int | None = None,
    chat: bool | None = None,
    system: str = "",
    shots_as: ShotsAs = "turns",
    template_option: Mapping[str, Any] | None = None,
    filler: int = 0,
    ask_twice: bool = False,
    repeats: int = 1,
    temperature: float | None = None,
    budget: Mapping[str, int] | None = None,
    think_budget: int | None = None,
    think_marks: tuple[str, str] | None = None,
    precision: float = PRECISION,
    dtype: str = "auto",
    revision: str | None = None,
    engine_arg: Mapping[str, Any] | None = None,
    tag: _Names = (),
    db: str | Path | None = None,
    resume: str | None = None,
    progress: bool | ProgressReport = True,
    **short: Unpack[ShortForms],
) -> Run:
    """Evaluate a model on a suite as `fathom run` does, and return the stored run.

    It returns when the run is done and the model is unloaded, in a notebook too. Arguments have the names of the
    command's options. `engine_arg` has the engine's own names (`max_model_len` ...); `base_url`, `lora`,
    `tensor_parallel` and other short forms may be given as they are. `db` is a file or a URL, by default FATHOM_DB or
    ./fathom.db; ":memory:" keeps nothing. Unless `chat` and `shots` say it, the model's files choose how it is asked: a
    chat template means a chat without shots, none means three shots in plain text. A run
    that was cut off goes on with `resume` alone, or its `db` as well. `suite="depth"` places questions where they tell
    most; then `n` is the most that a ladder takes, `precision` half the width of its interval in doublings, and
    `run.depths` the result.

    >>> from fathom import evaluate
    >>> run = evaluate("oracle/perfect", engine="oracle", families=["depo"], n=2, seed=7, db=":memory:", progress=False)
    >>> run.cells[["level", "style", "k", "n"]].head(2)
      level   style  k  n
    0  n4k1  direct  2  2
    1  n8k1  direct  2  2
    >>> run.samples.groupby("label").size().to_dict()
    {'correct': 26}

    Raises:
        BadInput: an argument that cannot be; fathom.harness.errors lists the kinds.
        EngineFailed: the engine broke. The run is stored as failed, and can be resumed.
    """
    engine = chosen_engine(engine, short)
    check_engine(engine)
    store = Store.at(db)
    settings = RunSettings(
        PromptSettings(
            shots or 0, bool(chat), system, known_shots_as(shots_as), dict(template_option or {}), filler, ask_twice
        ),
        SamplingSettings(
            repeats, temperature, dict(budget or {}), given_thinking(think_budget, think_marks), precision
        ),
        EngineSettings(engine, dtype, join_options(engine_arg or {}, _checked(short))),
    )
    with store.opened(create=True) as opened:
        if resume is not None:
            plan = resume_plan(find_run(opened, resume), settings.engine)
        else:
            chosen = Selection(_names(families), _names(levels), _names(channel), _names(style), n)
            asked = open_suite(suite, secrets.token_hex(8) if seed is None else seed, chosen)
            which, prompt_format = None if model is None else str(model), StatedFormat(chat, shots)
            tell = partial(make_console(stderr=True, quiet=progress is not True).print, soft_wrap=True)
            check_tags(_names(tag))
            plan = named(make_plan(which, revision, asked, settings, tell, prompt_format), name)
            plan = tagged(plan, _names(tag))
            if plan.prompt_format is not None:
                tell(plan.prompt_format.text())
        return Run(_evaluated(plan, opened, progress), store)


def _checked(short: Mapping[str, Any]) -> Mapping[str, Any]:  # as in ShortForms
    """Return short forms of engine options, or raise TypeError for another name, as a call of a function does."""
    for name in short:
        if name not in SHORT_FORMS:
            near = get_close_matches(name, inspect.signature(evaluate).parameters, n=1)
            hint = f": did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"evaluate() got an unexpected keyword argument {name!r}{hint}")
    return short


def _names(given: _Names) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _evaluated(plan: Plan, db: Database, progress: bool | ProgressReport) -> str:
    try:
        if callable(progress):
            return evaluate_plan(plan, db, progress).run
        if not progress:
            return evaluate_plan(plan, db).run
        if plan.suite.is_adaptive:
            with DepthProgress(make_console(stderr=True), plan.suite) as rulers:
                return evaluate_plan(plan, db, rulers).run
        sizes = [cell.n * plan.settings.sampling.repeats for cell in plan.suite.cells]
        with RunProgress(make_console(stderr=True), sizes) as shown:
            return evaluate_plan(plan, db, shown).run
    except (FathomError, Interrupted) as error:
        if error.run is not None:
            error.add_note(f"go on with: evaluate(resume={error.run!r})")
        raise


def runs(db: str | Path | None = None, limit: int = 1000) -> pd.DataFrame:
    """Return the newest stored runs, newest first, one row each.

    Raises:
        StoreError: no such database.
    """
    names = (
        "run", "model", "suite", "seed", "engine", "state", "n_items", "n_repeats", "n_done", "k", "seconds",
        "created_at",
    )  # fmt: skip
    with Store.at(db).opened() as opened:
        found = read.list_runs(opened, limit)
    return pd.DataFrame([{name: getattr(one, name) for name in names} for one in found], columns=list(names))


@dataclass(frozen=True, slots=True)
class Plot:
    """Figures that a notebook shows; each has a title and its SVG."""

    figures: tuple[Figure, ...]

    def save(self, folder: str | Path) -> list[Path]:
        """Write one SVG file a figure into a folder, which is created if it is missing."""
        where = Path(folder)
        where.mkdir(parents=True, exist_ok=True)
        paths = []
        for one in self.figures:
            name = "".join(char if char.isalnum() else "-" for char in one.title.replace(", ", " "))
            paths.append(where / f"{name}.svg")
            paths[-1].write_text(one.svg, encoding="utf-8")
        return paths

    def __repr__(self) -> str:
        """Name the figures."""
        return f"<Plot of {'; '.join(one.title for one in self.figures) or 'nothing'}>"

    def _repr_html_(self) -> str:
        """Show the figures on a white background, in dark notebooks too."""
        style = "background:#fff;color:#000;max-width:44rem;margin:0 0 1rem;padding:.5rem"
        return "".join(
            f'<figure style="{style}"><figcaption>{escape(one.title)}</figcaption>{one.svg}</figure>'
            for one in self.figures
        )

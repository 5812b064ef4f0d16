"""Terminal output of laws over seeds: what is registered, progress, and the table of a finished run."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, TextColumn
from rich.table import Table
from rich.text import Text

from fathom.harness.db.laws import StoredLaw
from fathom.harness.engines.decoder_shape import PLAIN, SHAPES
from fathom.harness.format import count, duration, law_effect
from fathom.harness.reports.console import LiveBar
from fathom.harness.training.token_laws.design import TokenLaw
from fathom.harness.training.token_laws.experiment import Progress
from fathom.harness.training.token_laws.judge import Trial
from fathom.harness.training.token_laws.record import Record, Registered
from fathom.harness.training.token_laws.registration import Registration

_COLOURS = {"shown": "green", "reversed": "red", "void": "red"}
_UNITS = {"share": " points", "bits": " bits", "log2 ratio": ""}


def render_registration(law: TokenLaw, registered: Registered) -> RenderableType:
    """Return what a run will do, as it is registered."""
    registration = registered.registration
    table = Table(box=None, pad_edge=False, show_header=False)
    attempt = f", attempt {registered.attempt}" if registered.attempt else ""
    seeds = ", ".join(map(str, registration.seeds[:10])) + (", …" if len(registration.seeds) > 10 else "")
    rows = {
        "registered": f"{registered.when:%Y-%m-%d %H:%M:%S} UTC, {registration.kind}{attempt}{_shape(registration)}",
        "claim": law.claim,
        "rule": law.rule_text,
        "seeds": f"{len(registration.seeds)}: {seeds}",
        "gates": "; ".join(f"{one.question} at least {one.least:g}" for one in law.gates),
        "digests": f"all {registration.digest}, rule {registration.rule}, gates {registration.gates}, "
        f"code {registration.code}",
        "recipes": ", ".join(f"{name} {digest}" for name, digest in registration.recipes.items()),
    }
    for name, words in rows.items():
        table.add_row(Text(name, style="bold"), Text(words))
    return table


class LawBar(LiveBar):
    """A bar of the trainings of a law, with the time that is left; no effect is shown before the last one."""

    def __init__(self, console: Console, n_trials: int) -> None:
        super().__init__(
            console, TextColumn("[bold]{task.description}"), BarColumn(), TextColumn("{task.fields[note]}")
        )
        self._console = console
        self._task = self._bar.add_task(f"{n_trials} trainings", total=1.0, note="")
        self._began, self._first, self._said = time.monotonic(), -1.0, -1

    def __call__(self, progress: Progress) -> None:
        """Show how far the run is."""
        if self._first < 0:
            self._first = progress.share
        note = f"{progress.n_done} of {progress.n_trials}{self._left(progress)}"
        self._bar.update(self._task, completed=progress.share, note=note)
        if not self.is_drawn and progress.n_done != self._said:
            self._said = progress.n_done
            self._console.print(f"trained {note}", soft_wrap=True)

    def _left(self, progress: Progress) -> str:
        gained = progress.share - self._first
        if not gained > 0 or progress.share >= 1:
            return ""
        left = (time.monotonic() - self._began) * (1 - progress.share) / gained
        return f", about {duration(left)} left"


def render_token_record(record: Record) -> RenderableType:
    """Return the tables of a finished run: measures by seed, gates, effect and verdict."""
    law, conclusion = record.law, record.conclusion
    effect, unit = conclusion.effect, law.rule.unit
    mean, low, high = (law_effect(one, unit) for one in (effect.mean, effect.interval.low, effect.interval.high))
    seeds = len(effect.values)
    names = f"{law.rule.ahead} {'to' if unit == 'log2 ratio' else 'less'} {law.rule.behind}"
    gates = [
        Text(
            f"gate {'passed' if one.passed else 'NOT PASSED'}: {one.gate.about}; {one.gate.question}, "
            f"lowest {one.lowest:.3f}, at least {one.gate.least:g}"
        )
        for one in conclusion.gates
    ]
    note = (
        "" if record.registration.kind == "confirming" else " (pilot seeds or changed recipes: this confirms nothing)"
    )
    return Group(
        Text(
            f"{law.name}, {seeds} seeds, {record.registration.scale} scale{_shape(record.registration)}", style="bold"
        ),
        Text(law.claim),
        "",
        _measures(law, record.trials),
        "",
        *gates,
        Text(
            f"{law.rule.question}, {names}: {mean}{_UNITS[unit]}, 95% interval over seeds {low} to {high}"
            f"{f', sign-flip p {conclusion.p:.3g}' if law.rule.kind == 'lead' else ''}"
        ),
        Text(f"by seed: {', '.join(law_effect(one, unit) for one in effect.values)}"),
        Text.assemble((record.verdict, f"bold {_COLOURS.get(record.verdict, 'yellow')}"), note),
        *_groups(conclusion.groups),
        Text(f"registered {record.registered}, {record.registration.digest}; {_costs(record)}", style="dim"),
    )


def _shape(registration: Registration) -> str:
    return "" if registration.shape == PLAIN else f", shape {registration.shape}"


def render_universality(laws: Mapping[str, Mapping[str, StoredLaw]]) -> RenderableType:
    """Return a table of effects and verdicts, a row a law and a column a shape, of laws tested in several shapes."""
    several = {name: by_shape for name, by_shape in laws.items() if len(by_shape) > 1}
    shapes = [one for one in SHAPES if any(one in by_shape for by_shape in several.values())]
    table = Table(
        box=None, pad_edge=False, header_style="bold", title="effect over seeds by shape", title_justify="left"
    )
    for name in ("law", *shapes):
        table.add_column(name)
    for name, by_shape in several.items():
        unit = next(iter(by_shape.values())).design["rule"]["unit"]
        table.add_row(f"{name},\n{_UNITS[unit].strip() or 'ratio'}", *(_outcome(by_shape.get(one)) for one in shapes))
    return table


def _outcome(law: StoredLaw | None) -> Text:
    if law is None or law.result is None:
        return Text("–" if law is None else "registered", style="dim")
    unit, result = law.design["rule"]["unit"], law.result
    mean, low, high = (law_effect(one, unit) for one in (result.effect, result.low, result.high))
    verdict = (result.verdict, _COLOURS.get(result.verdict, "yellow"))
    return Text.assemble(verdict, f"\n{mean}\n({low} to {high})")


def _groups(groups: Sequence[str]) -> list[Text]:
    if not groups:
        return []
    said = ", ".join(f"{name} {n}" for name, n in Counter(groups).most_common())
    return [Text(f"each five seeds alone, {len(groups)} times: {said}")]


def _measures(law: TokenLaw, trials: Sequence[Trial]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("question", "condition", "mean", "lowest", "highest"):
        table.add_column(name, justify="left" if name in ("question", "condition") else "right")
    questions = dict.fromkeys(one.question for trial in trials for one in trial.measures)
    for question in questions:
        for condition in law.conditions:
            values = [
                one.value
                for trial in trials
                if trial.condition == condition.name
                for one in trial.measures
                if one.question == question
            ]
            if values:
                numbers = (sum(values) / len(values), min(values), max(values))
                table.add_row(question, condition.title, *(f"{one:.3f}" for one in numbers))
    return table


def _costs(record: Record) -> str:
    sizes = ", ".join(dict.fromkeys(count(one.n_parameters) for one in record.trials))
    return f"{len(record.trials)} trainings of {sizes} parameters, {duration(record.cpu_seconds)} of CPU"

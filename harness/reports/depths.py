"""The depths of a run, ladder by ladder: as rulers for a terminal, live or in the end, as JSON values, and compared."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fathom.harness.errors import NotComparable
from fathom.harness.format import count, duration, p_value, plural
from fathom.harness.records import Progress, RunDetail
from fathom.harness.reports.console import LINE_EVERY, RunProgress
from fathom.harness.runs.ladders import design_of, open_ladders
from fathom.harness.runs.run_settings import settings_of
from fathom.harness.stats.depth import REASONS, DepthDifference, Fit, depth50, depth_difference
from fathom.harness.stats.intervals import Rung, Threshold, depth_text
from fathom.harness.stats.paired import holm
from fathom.harness.stats.scores import CellCounts, LadderKey, LadderScore, ladder_scores
from fathom.tasks.registry import find_family
from fathom.tasks.suites import Suite, ladder_of

_WIDTH = 24
"""Characters of a ruler."""

_REMARKABLE = ("spent", "exhausted", "failed", "")
"""Reasons for the end of a measurement that the depth and its interval do not show."""

_LEGEND = (
    "depth: the hardness at which a model has fallen half-way from perfect to guessing, with its 95% interval\n"
    "ruler: from the easiest level to the hardest, doubling by doubling alike far; ● depth, ━ interval"
)


@dataclass(frozen=True, slots=True)
class LadderDepth:
    """The depth of a run on one ladder, in one channel and style."""

    key: LadderKey
    style: str
    unit: str
    found: Threshold
    n: int
    """Graded items."""
    fit: Fit | None

    @property
    def text(self) -> str:
        """The depth with its interval and unit, as "3 (2.6 to 3.4) hops"."""
        return f"{depth_text(self.found)} {self.unit}"

    @property
    def name(self) -> str:
        """The ladder in words, as "depo main symbol direct"."""
        return _name(self.key, self.style)


def _name(key: LadderKey, style: str) -> str:
    return " ".join((key.family, key.ladder, key.channel, style))


def ladder_depths(cells: Sequence[CellCounts]) -> tuple[LadderDepth, ...]:
    """Return the depths of all ladders of which two levels were asked, in the order of the cells."""
    return tuple(
        LadderDepth(ladder.key, style, ladder.unit, found, sum(rung.n for rung in rungs), one.fit)
        for ladder in ladder_scores(cells)
        for style, one in ladder.styles.items()
        if (rungs := list(one.rungs.values())) and (found := depth50(rungs)) is not None
    )


def ruler(found: Threshold, width: int = _WIDTH) -> str:
    """Draw a depth between the easiest and the hardest level, on a logarithmic scale."""
    first, at_depth, last = (
        round(found.place(one) * (width - 1)) for one in (found.interval.low, found.value, found.interval.high)
    )
    marks = ["━" if first <= at <= last else "·" for at in range(width)]
    marks[at_depth] = "●" if isfinite(found.value) else "→" if found.value > 0 else "←"
    return "".join(marks)


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 10 or value == round(value) else f"{value:.2g}"


def depths_table(depths: Sequence[LadderDepth]) -> Table:
    """Return a ruler a ladder."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("family", "ladder", "style", "", "ruler", "", "depth", "items"):
        right = name == "items"
        table.add_column(name, justify="right" if right else "left", header_style="dim", no_wrap=True)
    named = ("", "")
    for one in depths:
        key = (one.key.family, one.key.ladder)
        table.add_row(
            *(("", "") if key == named else key), one.style, _number(one.found.bottom), ruler(one.found),
            _number(one.found.top), one.text, count(one.n),
        )  # fmt: skip
        named = key
    return table


def _remarks(ends: Mapping[str, str]) -> list[Text]:
    """Say which ladders ended otherwise than their depth and its interval show."""
    found: dict[str, list[str]] = {}
    for name, reason in ends.items():
        if reason in _REMARKABLE:
            found.setdefault(REASONS.get(reason, "not finished"), []).append(name)
    return [Text(f"{said}: {', '.join(names)}", style="dim") for said, names in found.items()]


def render_depths(detail: RunDetail) -> RenderableType:
    """Draw the depths of an adaptive run, what thinking adds, and what the measurement cost."""
    one, depths = detail.summary, ladder_depths(detail.cells)
    n = sum(depth.n for depth in depths)
    parts: list[RenderableType] = [
        Text(), Text.assemble((one.model, "bold"), f"  depth, seed {one.seed}, engine {one.engine}, run {one.run}"),
        depths_table(depths), *_remarks(ends_of(detail)),
        *_thinking(detail.cells),
        Text(f"{plural(n, 'item')} in {duration(one.seconds)}"),
        Text(_LEGEND, style="dim"),
    ]  # fmt: skip
    return Group(*parts, Text(f"`fathom show {one.run}` prints every level", style="dim"))


def _thinking(cells: Sequence[CellCounts]) -> list[RenderableType]:
    rows = [(ladder, gain) for ladder in ladder_scores(cells) if (gain := thinking_gain(ladder)) is not None]
    if not rows:
        return []
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("thinking adds", "ladder", "at once", "with reasoning", "times as deep"):
        table.add_column(name, header_style="dim", no_wrap=True)
    for ladder, gain in rows:
        before, after = (ladder.styles[style].depth for style in ("direct", "cot"))
        is_odd = any(
            fit is not None and fit.is_poor for fit in (ladder.styles[style].fit for style in ("direct", "cot"))
        )
        if before is not None and after is not None and not is_odd:
            texts = [f"{depth_text(one)} {ladder.unit}" for one in (before, after)]
            table.add_row(ladder.key.family, ladder.key.ladder, *texts, times_text(gain))
    return [Text(), table] if table.row_count else []


def thinking_gain(ladder: LadderScore) -> DepthDifference | None:
    """Return how much deeper a model is with reasoning than at once; None where it was not asked in both styles."""
    if not {"direct", "cot"} <= set(ladder.styles):
        return None
    return depth_difference(*(list(ladder.styles[style].rungs.values()) for style in ("direct", "cot")))


def times_text(gain: DepthDifference) -> str:
    """Write a difference of depths as a factor, as "4.1 (3.2 to 5.3)"; with "at least" where levels are missing."""
    if not gain.is_bounded and not gain.doublings.value:
        return "–"  # both beyond the same end of the ladder
    value, low, high = (2.0**one for one in (gain.doublings.value, *asdict(gain.doublings.interval).values()))
    if not gain.is_bounded:  # one end is that of the ladder, so that an interval would say nothing
        return f"at least {value:.2g}" if value > 1 else f"at most {value:.2g}"
    return f"{value:.2g} ({low:.2g} to {high:.2g})"


def ends_of(detail: RunDetail) -> dict[str, str]:
    """Return why the measurement of each ladder of an adaptive run ended, by the ladder's name.

    A key of REASONS, or nothing where it is not finished.
    """
    settings = settings_of(detail.manifest)
    if settings is None or not detail.suite.is_adaptive:
        return {}
    design, found = design_of(detail.suite, settings.sampling.precision), {}
    for ladder in open_ladders(detail.suite):
        cells = [detail.cells[at] for at in ladder.cells]
        ladder.rungs = [
            Rung(rung.hardness, cell.k, cell.n, rung.chance) for rung, cell in zip(ladder.rungs, cells, strict=True)
        ]
        ladder.n_asked = [cell.n + cell.n_errors for cell in cells]
        key = LadderKey(*ladder_of(detail.suite.cells[ladder.cells[0]]), cells[0].channel)
        found[_name(key, cells[0].style)] = ladder.step(design).reason or ""
    return found


class DepthProgress(RunProgress):
    """Show a run's phase and items, and on a terminal a ruler a ladder whose interval narrows; a context manager."""

    def __init__(self, console: Console, suite: Suite) -> None:
        """Create the rulers without drawing them."""
        super().__init__(console, [cell.n for cell in suite.cells])
        self._suite, self._ladders = suite, open_ladders(suite)
        self._live = Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Self:
        """Draw."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the rulers."""
        if self._live is not None:
            self._live.stop()

    @property
    def is_drawn(self) -> bool:
        """Whether a bar is drawn: rulers take its place."""
        return False

    def __call__(self, phase: str, progress: Progress | None) -> None:
        """Show progress; `progress` is None at the start of a phase."""
        if self._live is None:
            self._tell(phase, progress)
        elif progress is None:
            self._live.update(Text(phase), refresh=True)
        else:
            self._count(progress)
            self._live.update(self._rulers(progress), refresh=True)

    def _tell(self, phase: str, progress: Progress | None) -> None:
        """Print lines where there is no terminal; how much is left is not known."""
        now = time.monotonic()
        if progress is None:
            self._began, self._tokens = now, 0
            self._print(phase, now)
            return
        self._count(progress)
        if now - self._printed > LINE_EVERY:
            rate = self._tokens / max(now - self._began, 1e-9)
            self._print(f"{phase} {plural(progress.n_done, 'item')}, {count(round(rate))} tokens/s", now)

    def _rulers(self, progress: Progress) -> RenderableType:
        depths = []
        for ladder in self._ladders:
            rungs = [
                Rung(rung.hardness, progress.right.get(at, 0), self._cells[at], rung.chance)
                for rung, at in zip(ladder.rungs, ladder.cells, strict=True)
            ]
            cell = self._suite.cells[ladder.cells[0]]
            if (found := depth50(rungs)) is not None:
                key = LadderKey(*ladder_of(cell), cell.channel)
                unit = find_family(cell.family).unit
                depths.append(LadderDepth(key, cell.style, unit, found, sum(rung.n for rung in rungs), None))
        return Group(depths_table(depths), Text(f"{count(progress.n_done)} items", style="dim"))


@dataclass(frozen=True, slots=True)
class DepthComparison:
    """Two runs on one ladder, in one channel and style."""

    first: LadderDepth
    second: LadderDepth
    difference: DepthDifference
    p_holm: float
    """Corrected over the ladders of the comparison."""

    @property
    def ahead(self) -> int:
        """1 where the first is deeper, 2 where the second is, 0 where nothing separates them at 5%."""
        if self.p_holm > _ALPHA or not self.is_known:
            return 0
        return 2 if self.difference.doublings.value > 0 else 1

    @property
    def is_known(self) -> bool:
        """Whether both have a depth: a curve that fits, and not both beyond the same end of the ladder."""
        is_poor = any(one.fit is not None and one.fit.is_poor for one in (self.first, self.second))
        return not is_poor and (self.difference.is_bounded or bool(self.difference.doublings.value))

    @property
    def verdict(self) -> str:
        """The comparison in words."""
        return ("tie", "A ahead", "B ahead")[self.ahead] if self.is_known else "cannot tell"


_ALPHA = 0.05


def compare_depths(
    first: Sequence[CellCounts], second: Sequence[CellCounts], style: str | None = None
) -> tuple[DepthComparison, ...]:
    """Compare the depths of two runs on the ladders that both have, whether their items were placed or fixed.

    The posterior of a depth does not depend on how the items were placed, so the two kinds of run can be compared; the
    versions of the families must be the same.
    """
    mine, theirs = _rungs(first), _rungs(second)
    found = [
        (one, other, difference)
        for name, (one, rungs) in mine.items()
        if name in theirs and style in (None, one.style)
        if (difference := depth_difference(rungs, theirs[name][1])) is not None
        for other in [theirs[name][0]]
    ]
    corrected = holm([difference.p for _, _, difference in found])
    return tuple(
        DepthComparison(one, other, difference, p) for (one, other, difference), p in zip(found, corrected, strict=True)
    )


def check_shared(depths: Sequence[DepthComparison]) -> None:
    """Raise NotComparable where two runs share no ladder."""
    if not depths:
        raise NotComparable(
            "the runs share no ladder of two levels, of one version of its family, in one style: measure both models "
            "with the same --families and --style"
        )


def compared_json(depths: Sequence[DepthComparison]) -> list[dict[str, Any]]:  # JSON values
    """Return a comparison of depths as JSON values."""
    return [
        {
            **asdict(one.first.key), "style": one.first.style, "unit": one.first.unit,
            "first": depth_text(one.first.found), "second": depth_text(one.second.found),
            "doublings": one.difference.doublings.value, "low": one.difference.doublings.interval.low,
            "high": one.difference.doublings.interval.high, "p": one.difference.p, "p_holm": one.p_holm,
            "ahead": one.ahead, "verdict": one.verdict,
        }
        for one in depths
    ]  # fmt: skip


def _rungs(cells: Sequence[CellCounts]) -> dict[tuple[str, int], tuple[LadderDepth, list[Rung]]]:
    versions = {cell.family: cell.version for cell in cells}
    rungs = {
        _name(ladder.key, style): list(one.rungs.values())
        for ladder in ladder_scores(cells) for style, one in ladder.styles.items()
    }  # fmt: skip
    return {(one.name, versions[one.key.family]): (one, rungs[one.name]) for one in ladder_depths(cells)}


def compared_table(lines: Sequence[DepthComparison]) -> Table:
    """Return a comparison of depths, one line a ladder."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in ("depth", "ladder", "style", "A", "B", "B times A", "Holm p", "verdict"):
        table.add_column(name, header_style="dim", no_wrap=True)
    for line in lines:
        one = line.first
        table.add_row(
            one.key.family, one.key.ladder, one.style, one.text, line.second.text, times_text(line.difference),
            p_value(line.p_holm), line.verdict,
        )  # fmt: skip
    return table


def depths_json(detail: RunDetail) -> list[dict[str, Any]]:  # JSON values
    """Return the depths of a run as JSON values; bounds beyond the levels asked are null, and `text` says so."""
    ends = ends_of(detail)
    return [
        {
            **asdict(one.key), "style": one.style, "unit": one.unit, "text": depth_text(one.found), "n": one.n,
            **{
                name: value if isfinite(value) else None
                for name, value in (
                    ("depth", one.found.value), ("low", one.found.interval.low), ("high", one.found.interval.high)
                )
            },
            "fits": None if one.fit is None else not one.fit.is_poor, "ended": ends.get(one.name) or None,
        }
        for one in ladder_depths(detail.cells)
    ]  # fmt: skip

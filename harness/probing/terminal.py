"""A probe on the terminal: a line a target, then a heat map of places and layers with the controls below it."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text

from fathom.harness.db.probes import ProbeDetail, ProbedTarget, ProbePoint
from fathom.harness.format import duration, percent, plural
from fathom.harness.probing.tables import MEASURES, TargetLine, grid, shown_layers, target_line, value_of
from fathom.tasks.registry import all_probe_sets

_MOST_LAYERS = 16
_COLOURS = {"present": "green", "absent": "dim", "unclear": "yellow"}
_SHADES = tuple(f"rgb({235 - 20 * step},{243 - 12 * step},{247 - 9 * step})" for step in range(11))
PRESENCE_IS_NOT_USE = "Presence is not use: a state can hold what the model never acts on."


def render_targets() -> RenderableType:
    """Return the list of all targets."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("target", "kind", "read", "what"):
        table.add_column(name, header_style="dim", overflow="fold")
    for one in all_probe_sets().values():
        where = ", ".join(one.places)
        for name, variable in one.targets.items():
            mark = "" if one.is_default else " *"
            table.add_row(f"{name}{mark}", variable.kind, where, variable.about)
    return Group(table, Text("* not among the default targets; name it with --targets", style="dim"))


def targets_json() -> list[dict[str, object]]:
    """Return the list of all targets as JSON values."""
    return [
        {"target": name, "kind": variable.kind, "about": variable.about, "places": dict(one.places),
         "family": one.cell.family, "level": one.cell.level, "channel": one.cell.channel, "style": one.cell.style,
         "is_asked": variable.is_asked, "is_decoy": variable.is_decoy, "is_default": one.is_default,
         "needs_answer": one.needs_answer}
        for one in all_probe_sets().values() for name, variable in one.targets.items()
    ]  # fmt: skip


def render_probe(detail: ProbeDetail) -> RenderableType:
    """Return a probe as text: a table of its targets, then a heat map of each."""
    one = detail.summary
    n_fit, n_test = one.manifest["n"]
    head = Text(
        f"probe {one.id} of {one.model}: {one.n_layers} blocks of width {one.width}, {one.dtype}, seed {one.seed}, "
        f"{n_fit} + {n_test} items, {one.state} in {duration(one.seconds)}"
    )
    lines = [target_line(target) for target in detail.targets]
    parts: list[RenderableType] = [head, _table([line for line in lines if line.verdict is not None])]
    parts += [_heat(target) for target in detail.targets if not target.facts.note]
    parts += [Text(f"{line.name}: left out, {line.note}", style="yellow") for line in lines if line.note]
    return Group(*parts, *_legend())


def _legend() -> Iterator[Text]:
    yield Text(
        "bold: present, better than every control; values of a layer are what a linear probe reads there on new items",
        style="dim",
    )
    yield Text(PRESENCE_IS_NOT_USE, style="yellow")


def _table(lines: Sequence[TargetLine]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("target", "verdict", "from"):
        table.add_column(name, header_style="dim")
    for name in ("best", "layer", "bits", "chance", "hardest control", "says it", "knows, unsaid"):
        table.add_column(name, header_style="dim", justify="right")
    for line in lines:
        best = line.best
        if best is None or line.verdict is None:
            continue
        first = "–" if line.first_layer is None else f"layer {line.first_layer}"
        table.add_row(
            line.name, Text(line.verdict, style=_COLOURS[line.verdict]), first, _value(best), str(best.layer),
            "" if best.bits is None else f"{best.bits:+.2f}", f"{line.chance:.2f}",
            f"{best.control} {best.control_value:.2f}", _share(line.answers), _share(line.knows_unsaid),
        )  # fmt: skip
    return table


def _value(point: ProbePoint) -> str:
    return f"{point.value:.2f} ({point.low:.2f}–{point.high:.2f})"


def _share(share: float | None) -> str:
    return "" if share is None else percent(share)


def _heat(target: ProbedTarget) -> RenderableType:
    layers = shown_layers(target, _MOST_LAYERS)
    title = (
        f"\n{target.facts.name}: {target.facts.about} ({MEASURES[target.facts.kind]}, chance {target.facts.chance:.2f})"
    )
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("", header_style="dim", no_wrap=True)
    for layer in layers:
        table.add_column(f"L{layer}", justify="right", header_style="dim")
    for place, points in grid(target, layers, "trained").items():
        table.add_row(place, *[_cell(target, point) for point in points])
        for name, variant in (("random weights", "random"), ("random labels by word", "words")):
            others = grid(target, layers, variant)[place]
            table.add_row(Text(f"  {name}", style="dim"), *[_plain(value_of(one)) for one in others])
        table.add_row(
            Text("  shuffled labels, best", style="dim"),
            *[_plain(None if one is None else one.null_high) for one in points],
        )
        fixed = [one for one in target.points if one.place == place and one.layer < 0]
        table.add_row(Text(f"  {', '.join(f'{one.variant} {one.value:.2f}' for one in fixed)}", style="dim"))
    hidden = len(target.layers) - len(layers)
    said = [Text(f"  {plural(hidden, 'layer')} not shown: --json has all", style="dim")] if hidden else []
    return Group(Text(title, style="bold"), table, *said, *_patch_lines(target))


def _cell(target: ProbedTarget, point: ProbePoint | None) -> Text:
    if point is None:
        return Text()
    ground = _SHADES[round(10 * min(1.0, max(0.0, point.value)))]
    is_present = target.verdicts.get((point.place, point.layer)) == "present"
    return Text(f"{point.value:.2f}", style=Style.parse(f"{'bold ' if is_present else ''}black on {ground}"))


def _plain(value: float | None) -> Text:
    return Text("" if value is None else f"{value:.2f}", style="dim")


def _patch_lines(target: ProbedTarget) -> Iterator[Text]:
    found = target.patch
    if found is None:
        return
    yield Text(
        f"  causal check at {found['place']}, layer {found['layer']}: with another item's value in the "
        f"{found['n_directions']} directions of this variable, the answer becomes the other's in {found['followed']} "
        f"of {found['n']}; with random directions in {found['random']}, those of shuffled labels {found['shuffled']}, "
        f"all of the state but them {found['rest']}, all of the state {found['whole']}, nothing {found['unchanged']}"
    )

"""Cells as lm-eval tasks: configurations for its Python API, YAML files for its command line.

Source: lm-eval's task guide (TaskConfig with `custom_dataset`). A field that names a column of the
data set is used without change, so no Jinja template is compiled.
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from fathom.harness.runs.requests import sampling_of, shots_before
from fathom.harness.runs.run_settings import MOST_SHOTS, PromptSettings, RunSettings
from fathom.harness.settings import quiet_lm_eval
from fathom.tasks.base import (
    NO_REREADING,
    SCORED,
    Cell,
    Family,
    Instance,
    Rereading,
    Verdict,
    channels_of,
    demonstrate,
    grade,
    grade_likelihood,
    level_of,
    pose,
    shown_candidates,
    styles_of,
)
from fathom.tasks.registry import all_families, find_family, instance_from_id
from fathom.tasks.suite_tables import TABLES
from fathom.tasks.suites import Suite, make_items, open_suite

quiet_lm_eval()  # progress bars of lm-eval and datasets read the environment once, when they are imported

from datasets import Dataset  # noqa: E402

_N_ITEMS = 100
"""Items per cell where the command line of lm-eval gives no number."""

_PLAIN = RunSettings()


def task_name(cell: Cell) -> str:
    """Return the name of a cell's lm-eval task."""
    return f"fathom_{cell.family}_{cell.level}_{cell.channel}_{cell.style}"


_Doc = dict[str, Any]  # a row of a data set: texts, numbers, lists of texts


class _Docs(list[_Doc]):
    """Rows as a list with the one attribute of datasets.Dataset that lm-eval reads; reading it is twice as fast."""

    @property
    def features(self) -> _Doc:
        """Return the columns by name."""
        return self[0]


def build_dataset(**kwargs: Any) -> dict[str, Dataset]:  # build_rows says which
    """Return the rows of `build_rows` as data sets, for lm-eval's `custom_dataset`."""
    made = {split: [_without_item(row) for row in rows] for split, rows in build_rows(**kwargs).items()}
    return {split: Dataset.from_list(rows) for split, rows in made.items()}


def _without_item(row: _Doc) -> _Doc:
    return {name: value for name, value in row.items() if name != "item"}


def build_rows(
    family: str,
    level: str,
    channel: str,
    style: str,
    data_seed: int | str = 0,
    n_items: int = _N_ITEMS,
    n_shot_items: int = MOST_SHOTS,
    first_item: int = 0,
    filler: int = 0,
    ask_twice: bool = False,
    **_: Any,  # lm-eval passes the model's arguments too
) -> dict[str, _Docs]:
    """Make the items and demonstrations of a cell; the arguments' names differ from lm-eval's own.

    Columns: id, prompt, target (text, or the gold's position among the choices), choices; and the item itself.
    """
    kind, cell, first = find_family(family), Cell(family, level, channel, style), int(first_item)
    items = make_items(cell, data_seed, first + int(n_items), first=first)
    shots = make_items(cell, data_seed, int(n_shot_items), "shot") if n_shot_items else ()
    rereading = Rereading(int(filler), bool(ask_twice))
    docs = _Docs(_row(kind, item, style, rereading) for item in items)
    return {
        "test": docs,
        # lm-eval needs one even where it shows none
        "shots": _Docs(_row(kind, item, style, rereading) for item in shots) or _Docs(docs[:1]),
    }


def _row(family: Family, item: Instance, style: str, rereading: Rereading = NO_REREADING) -> _Doc:
    choices = list(shown_candidates(item, style))
    target: str | int = choices.index(f" {item.gold}") if choices else demonstrate(family, item, style)
    prompt = pose(family, item, style, rereading)
    return {"id": item.id, "prompt": prompt, "target": target, "choices": choices, "item": item}


def doc_of(cell: Cell, item: Instance) -> _Doc:
    """Return an item's row as lm-eval logs it."""
    return _without_item(_row(find_family(item.family), item, cell.style))


def item_of(doc: _Doc) -> Instance:
    """Return the item of a row; the command line of lm-eval keeps only its id."""
    found: Instance = doc.get("item") or instance_from_id(doc["id"])
    return found


def process_results(doc: dict[str, Any], results: list[Any]) -> dict[str, Any]:
    """Grade lm-eval's results for one item: a text, the texts of repeats, or (log-likelihood, is greedy) a choice.

    Returns `acc`, the share of right answers; `found`, how the answer was found, or of repeats each answer; and
    `unread`, the share of texts in which no answer could be read. lm-eval does not say which texts were cut off.
    """
    item = item_of(doc)
    if doc["choices"]:
        verdict = _graded_choice(doc, item, [result[0] for result in results])
        return {"acc": float(verdict.correct), "found": verdict.found, "unread": 0.0}
    texts = results[0] if isinstance(results[0], list) else [results[0]]
    verdicts = [grade(find_family(item.family), item, one) for one in texts]
    found, n = [verdict.found for verdict in verdicts], len(verdicts)
    return {
        "acc": sum(verdict.correct for verdict in verdicts) / n,
        "found": found if isinstance(results[0], list) else found[0],
        "unread": found.count("none") / n,
    }


def _graded_choice(doc: dict[str, Any], item: Instance, scores: list[float]) -> Verdict:
    """Grade the likeliest candidate, or the likelihood of the only one; where none was scored, nothing is right."""
    if max(scores) == float("-inf"):  # see lm_eval_model
        return Verdict(False, None, "no_answer")
    if len(scores) == 1:
        return grade_likelihood(item, scores[0])
    likeliest = doc["choices"][scores.index(max(scores))]
    return replace(grade(find_family(item.family), item, likeliest), found="asked")


def share_asked(found: list[Any]) -> float:
    """Return the share of answers in the form that was asked for: lm-eval's aggregation of `found`."""
    ways = [way for one in found for way in (one if isinstance(one, list) else [one])]
    return ways.count("asked") / len(ways)


def task_metrics(asked: Any = share_asked) -> list[dict[str, Any]]:  # asked: the function, or how a file names it
    """Return the metrics of a cell's task, for lm-eval's `metric_list`."""
    return [
        {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
        {"metric": "found", "aggregation": asked, "higher_is_better": True},
        {"metric": "unread", "aggregation": "mean", "higher_is_better": False},
    ]


def cell_config(cell: Cell, settings: RunSettings = _PLAIN) -> dict[str, Any]:
    """Return the plain fields of a cell's task; the caller adds functions."""
    family = find_family(cell.family)
    config: dict[str, Any] = {
        "task": task_name(cell),
        "dataset_kwargs": {"family": cell.family, "level": cell.level, "channel": cell.channel, "style": cell.style},
        "test_split": "test",
        "fewshot_split": "shots",
        "fewshot_config": {"sampler": "first_n"},
        "doc_to_text": "prompt",
        "doc_to_target": "target",
        "target_delimiter": "",
        "fewshot_delimiter": "\n\n",
        "metadata": {"version": family.version},
    }
    if shots := shots_before(cell.style, settings.prompt.n_shots):
        config["num_fewshot"] = shots
    if cell.style in SCORED:
        return {**config, "output_type": "multiple_choice", "doc_to_choice": "choices"}
    sampling = sampling_of(cell, settings)
    generation = {"until": list(sampling.stop), "max_gen_toks": sampling.max_tokens, **_drawn(sampling.temperature)}
    return {
        **config,
        **_repeated(settings.sampling.repeats),
        "output_type": "generate_until",
        "generation_kwargs": generation,
    }


def _repeated(repeats: int) -> dict[str, Any]:
    """Let lm-eval ask each item several times and pass all answers to `process_results`, not only the first."""
    if repeats == 1:
        return {}
    every = {"name": "none", "filter": [{"function": "take_first_k", "k": repeats}]}
    return {"repeats": repeats, "filter_list": [every]}


def _drawn(temperature: float) -> dict[str, Any]:
    if temperature > 0:  # from all tokens: by default transformers draws from the 50 likeliest
        return {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    return {"do_sample": False, "temperature": temperature}


@dataclass(frozen=True, slots=True)
class CellSlice:
    """Items start to stop of the cell at a position of the suite."""

    cell: int
    start: int
    stop: int

    @property
    def n(self) -> int:
        """Number of items."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Wave:
    """Slices of different cells, which lm-eval builds and scores together; either all score candidates, or none.

    lm-eval asks one kind of request after the other, so in a mixed wave the engine would wait between the two.
    """

    slices: tuple[CellSlice, ...]

    @property
    def n_items(self) -> int:
        """Number of items of all slices."""
        return sum(one.n for one in self.slices)


def open_tasks(suite: Suite, settings: RunSettings = _PLAIN, wave: Wave | None = None) -> dict[str, Any]:
    """Return lm-eval's Task objects of a wave, or of a whole suite, by name; this makes the items."""
    from lm_eval.api.task import ConfigurableTask

    slices = (CellSlice(at, 0, cell.n) for at, cell in enumerate(suite.cells)) if wave is None else wave.slices
    configs = (_live_config(suite, one, settings) for one in slices)
    return {config["task"]: ConfigurableTask(config=config) for config in configs}


def _live_config(suite: Suite, cell_slice: CellSlice, settings: RunSettings) -> dict[str, Any]:
    config = cell_config(suite.cells[cell_slice.cell].cell, settings)
    config["dataset_kwargs"] |= {
        "data_seed": suite.seed,
        "first_item": cell_slice.start,
        "n_items": cell_slice.n,
        "n_shot_items": settings.prompt.n_shots,
        "filler": settings.prompt.filler,
        "ask_twice": settings.prompt.ask_twice,
    }
    functions = {"custom_dataset": build_rows, "process_results": process_results, "metric_list": task_metrics()}
    return {**config, **functions}


def evaluate_arguments(prompt: PromptSettings) -> dict[str, Any]:
    """Return the arguments of lm-eval's `evaluate` for the prompt settings."""
    system = prompt.system
    if system and not prompt.chat and not system[-1].isspace():
        system += "\n\n"  # lm-eval writes the question directly after it
    return {
        "system_instruction": system or None,
        "apply_chat_template": prompt.chat,
        "fewshot_as_multiturn": prompt.chat and prompt.shots_as == "turns",
    }


def all_cells() -> Iterator[Cell]:
    """Yield every cell of every family: level x channel x style."""
    for family in all_families().values():
        for level in family.levels.values():
            for channel in channels_of(family, level):
                for style in styles_of(family, level):
                    yield Cell(family.name, level.name, channel, style)


def write_yaml(cache: Path) -> Path:
    """Write one YAML file a task and a group, for `lm_eval --include_path`; return their folder.

    The folder is named after its contents, so it is written once and never incomplete.
    """
    files = dict(_yaml_files())
    state = blake2b("".join(f"{name}\0{text}\0" for name, text in files.items()).encode(), digest_size=8)
    folder = cache / f"lm-eval-{state.hexdigest()}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=cache, prefix=".partial-"))
    for name, text in files.items():
        (partial / f"{name}.yaml").write_text(text, encoding="utf-8")
    try:
        partial.rename(folder)
    except OSError:  # another process was faster
        for file in partial.iterdir():
            file.unlink()
        partial.rmdir()
    return folder


def _yaml_files() -> Iterator[tuple[str, str]]:
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # that of libyaml is several times as fast
    groups: dict[str, dict[str, None]] = {}
    for cell in all_cells():
        name = task_name(cell)
        plain: str = yaml.dump(cell_config(cell), Dumper=dumper, sort_keys=False)
        functions = "".join(
            f"{field}: !function fathom.harness.runs.lm_eval_adapter.{function}\n"
            for field, function in (("custom_dataset", "build_dataset"), ("process_results", "process_results"))
        )
        yield name, plain + functions + _metric_lines()
        for group, member in _memberships(cell, name):
            groups.setdefault(group, {})[member] = None
    for group, member in _suite_memberships():
        groups.setdefault(group, {})[member] = None
    for group, members in groups.items():
        yield group, yaml.dump(_group(group, members), Dumper=dumper, sort_keys=False)


def _metric_lines() -> str:
    """Return the lines of a task's file that name its metrics."""
    lines = [
        f"- metric: {one['metric']}\n  aggregation: {one['aggregation']}\n"
        f"  higher_is_better: {str(one['higher_is_better']).lower()}\n"
        for one in task_metrics(f"!function {share_asked.__module__}.{share_asked.__name__}")
    ]
    return "metric_list:\n" + "".join(lines)


def _memberships(cell: Cell, task: str) -> Iterator[tuple[str, str]]:
    """Yield (group, member): fathom_depo > fathom_depo_symbol_direct > its main ladder; the rest in _axes."""
    family = f"fathom_{cell.family}"
    if level_of(find_family(cell.family), cell.level).ladder != "main":
        yield f"{family}_axes", task
        return
    ladder = f"{family}_{cell.channel}_{cell.style}"
    yield ladder, task
    yield family, ladder


def _suite_memberships() -> Iterator[tuple[str, str]]:
    """Yield (group, member): fathom_quick > fathom_quick_depo > the suite's cells; `fathom` is the suite standard."""
    for suite in TABLES:
        for cell in open_suite(suite, 0).cells:
            family = f"fathom_{suite}_{cell.family}"
            yield family, task_name(cell.cell)
            yield f"fathom_{suite}", family
            if suite == "standard":
                yield "fathom", family


def _group(name: str, members: Iterable[str]) -> dict[str, Any]:
    mean = {"metric": "acc", "aggregation": "mean", "weight_by_size": False}
    return {"group": name, "task": list(members), "aggregate_metric_list": [mean], "metadata": {"version": 1}}


def waves_of(suite: Suite, size: int) -> Iterator[Wave]:
    """Divide a suite into waves of at most `size` items, in the order of its cells within each kind of request."""
    open_waves: dict[bool, list[CellSlice]] = {False: [], True: []}
    room = dict.fromkeys(open_waves, size)
    for at, cell in enumerate(suite.cells):
        kind, start = cell.style in SCORED, 0
        while start < cell.n:
            stop = min(cell.n, start + room[kind])
            open_waves[kind].append(CellSlice(at, start, stop))
            room[kind] -= stop - start
            start = stop
            if not room[kind]:
                yield Wave(tuple(open_waves[kind]))
                open_waves[kind], room[kind] = [], size
    yield from (Wave(tuple(slices)) for slices in open_waves.values() if slices)

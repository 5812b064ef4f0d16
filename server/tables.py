"""Turn what pages show into flat rows: one line a model, a cell, a sample."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from harness.db.board import Standing
from harness.db.read import RunDetail, SampleView
from harness.paired import CellPair, mcnemar
from harness.questions import make_question
from harness.scores import rung_of
from server.board import Row

Rows = list[dict[str, Any]]  # texts, numbers, None

SAMPLE_COLUMNS = (
    "item", "style", "correct", "label", "fault_at", "note", "parsed", "gold", "finish_reason", "completion",
    "candidate_scores", "prompt_tokens", "completion_tokens", "milliseconds", "error", "repeat", "question",
)  # fmt: skip
CELL_COLUMNS = (
    "family", "version", "level", "channel", "style", "hardness", "chance",
    "k_first", "n_first", "k_second", "n_second", "n_shared", "only_first", "only_second", "p",
)  # fmt: skip


def standing_columns(families: Sequence[str]) -> tuple[str, ...]:
    """Name the columns of a table of standings."""
    scores = tuple(f"{family}{end}" for family in families for end in ("", "_half"))
    return (
        "rank", "rank_low", "rank_high", "tie", "model", "kind", "n_parameters", "dtype", "engine", "tier", "season",
        "date", "seed", "run", "n_missing", "score", "score_half", *scores,
    )  # fmt: skip


def standing_row(one: Standing, families: Sequence[str]) -> dict[str, Any]:  # texts, numbers, None
    """Write a standing as one row; scores are 0..1 beyond chance, halves those of 95% intervals."""
    row: dict[str, Any] = {
        "rank": one.rank, "rank_low": one.rank_low, "rank_high": one.rank_high, "tie": one.tie,
        "model": one.model.name, "kind": one.kind, "n_parameters": one.n_parameters, "dtype": one.dtype,
        "engine": one.engine, "tier": one.tier, "season": one.season, "date": one.date,
        "seed": one.seed, "run": one.run, "n_missing": one.n_missing,
        "score": one.score.value, "score_half": (one.score.interval.high - one.score.interval.low) / 2,
    }  # fmt: skip
    for family in families:
        score = one.families.get(family)
        row[family] = None if score is None else score.value
        row[f"{family}_half"] = None if score is None else (score.interval.high - score.interval.low) / 2
    return row


def level_columns(levels: Sequence[str]) -> tuple[str, ...]:
    """Name the columns of a table of one family level by level."""
    return (*standing_columns(()), *(f"{level}_{count}" for level in levels for count in ("k", "n")))


def level_row(row: Row, levels: Sequence[str]) -> dict[str, Any]:  # texts, numbers, None
    """Write a model's counts level by level; None where it was not asked."""
    found = standing_row(row.standing, ())
    for level, score in zip(levels, row.levels, strict=True):
        found[f"{level}_k"], found[f"{level}_n"] = (score.counts.k, score.counts.n) if score else (None, None)
    return found


def cell_rows(pairs: Iterable[CellPair]) -> Rows:
    """Write the cells that two runs share, one row each; p is McNemar's, not corrected."""
    return [
        {
            **{axis: getattr(pair.first, axis) for axis in CELL_COLUMNS[:5]},
            "hardness": rung.hardness if (rung := rung_of(pair.first)) else None,
            "chance": rung.chance if rung else None,
            "k_first": pair.first.k,
            "n_first": pair.first.n,
            "k_second": pair.second.k,
            "n_second": pair.second.n,
            "n_shared": pair.n,
            "only_first": pair.only_first,
            "only_second": pair.only_second,
            "p": mcnemar(pair.only_first, pair.only_second) if pair.n else None,
        }
        for pair in pairs
    ]


def sample_rows(samples: Iterable[SampleView]) -> Iterator[dict[str, Any]]:  # texts, numbers, None
    """Write samples with their questions, one row each; question and gold are None where they cannot be made again."""
    for one in samples:
        yield sample_row(one)


def sample_row(one: SampleView) -> dict[str, Any]:  # texts, numbers, None
    """Write a sample with its question as one row."""
    made = make_question(one)
    return {
        "item": one.item, "style": one.style, "correct": one.correct, "label": one.label, "fault_at": one.fault_at,
        "note": one.note, "parsed": one.parsed, "gold": made.gold if made else None,
        "finish_reason": one.finish_reason, "completion": one.completion,
        "candidate_scores": None if one.scores is None else list(one.scores), "prompt_tokens": one.prompt_tokens,
        "completion_tokens": one.completion_tokens, "milliseconds": one.milliseconds, "error": one.error,
        "repeat": one.repeat, "question": made.text if made else None,
    }  # fmt: skip


def run_cells(detail: RunDetail) -> Rows:
    """Write a run's cells, one row each, with interval and chance."""
    return [
        {
            "family": cell.family, "version": cell.version, "level": cell.level, "channel": cell.channel,
            "style": cell.style, "hardness": rung.hardness if (rung := rung_of(cell)) else None, "k": cell.k,
            "n": cell.n, "n_planned": cell.n_planned, "n_errors": cell.n_errors, "low": cell.interval.low,
            "high": cell.interval.high, "chance": rung.chance if rung else None, "labels": dict(cell.labels),
        }
        for cell in detail.cells
    ]  # fmt: skip

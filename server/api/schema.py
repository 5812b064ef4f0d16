"""The answers of the JSON API, as pydantic models that OpenAPI documents."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from fathom.harness.db.leaderboard.read import BoardRank, Pool, Standing
from fathom.harness.db.schema.runs import RANKED_TIER
from fathom.harness.records import RunDetail, RunSummary, SampleView
from fathom.harness.reports.cost import RunCost
from fathom.harness.reports.found import found_rows_json
from fathom.harness.reports.frames import sample_row
from fathom.harness.reports.terminal import run_json
from fathom.harness.runs.run_settings import prompt_settings_of
from fathom.harness.stats.cell_measures import CellMeasure
from fathom.harness.stats.intervals import Estimate
from fathom.harness.stats.paired import Comparison
from fathom.server.board.downloads import SAMPLE_DOWNLOAD_COLUMNS
from fathom.server.web.problems import ApiModel


class ScoreOut(ApiModel):
    """A score, 0 for a guesser and 1 for a perfect model, with its 95% interval."""

    score: float
    low: float
    high: float


class SuiteOut(ApiModel):
    """A set of cells in which models are ranked together, whatever the seed."""

    pool: str = Field(description="Digest of name, version and cells.")
    name: str
    version: str
    n_cells: int
    n_items: int
    n_models: int
    asked: dict[str, list[str]] = Field(description="Families by style.")


class Counts(ApiModel):
    """How many of n graded answers are right."""

    k: int
    n: int


class FamilyDepthOut(ApiModel):
    """How deep a model gets in a family: as text with its unit, and as a share of the ladder."""

    text: str
    share: float


class StandingOut(ApiModel):
    """A model's newest finished run in a suite and style."""

    model: str
    run: str
    rank: int
    rank_low: int
    rank_high: int
    tie: int
    kind: str | None
    n_parameters: int | None
    dtype: str | None
    engine: str
    tier: int = Field(description="1: sent by a user, 2: sent and replayed, 3: run by this board's workers.")
    season: str
    seed: str
    date: str
    n_missing: int
    n_runs: int
    prompt_format: str = Field(description="How the model was asked: chat/N or plain/N, with N demonstrations.")
    overall: ScoreOut
    families: dict[str, ScoreOut]
    depth: float | None = Field(description="Mean share of the families' ladders that it gets down, 0..1.")
    depths: dict[str, FamilyDepthOut]
    levels: dict[str, Counts] | None = Field(None, description="By level, where a family was asked for.")


class BoardOut(ApiModel):
    """A page of the board."""

    pool: str
    style: str
    total: int
    page: int
    n_pages: int
    standings: list[StandingOut]


class ModelOut(ApiModel):
    """A model by number and name."""

    id: int
    name: str


class ModelList(ApiModel):
    """Some models, by name."""

    total: int
    models: list[ModelOut]


class PlaceOut(ApiModel):
    """A model's rank in one suite and style."""

    pool: str
    style: str
    run: str
    tier: int
    rank: int | None = Field(description="Null for results that a user sent and nobody has checked.")
    rank_low: int | None
    rank_high: int | None
    tie: int | None
    prompt_format: str = Field(description="How the model was asked: chat/N or plain/N, with N demonstrations.")
    overall: ScoreOut


class RunOut(ApiModel):
    """A run without its cells."""

    run: str
    model: str
    suite: str
    seed: str
    engine: str
    state: str = Field(description="running, waiting (for a worker), done, interrupted or failed.")
    n_items: int
    n_done: int
    k: int
    n_generated: int
    attempts: int
    seconds: int
    created_at: dt.datetime
    error: str | None
    tier: int
    layer: str
    season: str
    sealed: bool = Field(description="Whether its items are secret until the season ends.")
    hidden_at: dt.datetime | None = Field(description="When the run was taken off the board.")
    n_repeats: int = Field(description="Answers to each item; n_done and k count answers.")
    prompt_format: str = Field(description="How the model was asked: chat/N or plain/N, with N demonstrations.")
    n_asked: int | None = Field(description="Answers in the form asked for; null, as the next two, where not known.")
    n_unread: int | None = Field(description="Texts in which no answer could be read.")
    n_cut: int | None = Field(description="Answers that their token budget cut off.")


class RunList(ApiModel):
    """Some runs, newest first."""

    total: int
    runs: list[RunOut]


class AnswersOut(ApiModel):
    """How the graded answers of a family were found, in one style; the family of all together is null."""

    family: str | None
    style: str
    n: int
    k: int = Field(description="Right answers.")
    n_asked: int | None = Field(description="Answers in the form asked for; null, as the next two, where not known.")
    n_unread: int | None = Field(description="Texts in which no answer could be read.")
    n_cut: int | None = Field(description="Answers that their token budget cut off.")


class PerRightOut(ApiModel):
    """What a run used for each right answer; null where it has none, or where the amount is not known."""

    tokens: float | None
    completion_tokens: float | None
    seconds: float | None
    dollars: float | None


class CostOut(ApiModel):
    """What a run used."""

    prompt_tokens: int
    completion_tokens: int = Field(description="Thoughts included.")
    seconds: int
    n_right: int
    dollars: float | None = Field(description="Null where no price is known.")
    price: str
    per_right_answer: PerRightOut


class RunWhole(RunOut):
    """A run with manifest, cells and scores."""

    cost: CostOut | None
    manifest_digest: str
    manifest: dict[str, Any]
    log: str | None
    cells: list[dict[str, Any]]
    answers: list[AnswersOut]
    scores: dict[str, Any]
    measures: list[dict[str, Any]]


class ModelWhole(ModelOut):
    """A model with its standings and newest runs."""

    places: list[PlaceOut]
    runs: list[RunOut]


class SampleOut(ApiModel):
    """A completion with its question and verdict."""

    id: int
    item: str
    style: str
    correct: bool
    found: str | None = Field(
        description="How the answer was found: asked (in the form asked for), read (in another) or none; null in runs "
        "of older versions."
    )
    label: str
    fault_at: int | None
    note: str
    parsed: str | None
    gold: str | None
    finish_reason: str
    completion: str
    candidate_scores: list[float] | None
    prompt_tokens: int
    completion_tokens: int
    milliseconds: int
    error: str | None
    repeat: int = Field(description="Number of earlier answers to the same item.")
    question: str | None


class SampleList(ApiModel):
    """Some samples, in the order of cells and items."""

    total: int
    samples: list[SampleOut]


class ComparisonOut(ApiModel):
    """Two runs in one family and style, or over all families where `family` is empty."""

    family: str
    style: str
    first: ScoreOut
    second: ScoreOut
    difference: ScoreOut
    n_shared: int
    only_first: int
    only_second: int
    p: float
    p_holm: float
    ahead: int = Field(description="1 or 2 where that model is significantly ahead, else 0.")


class CompareOut(ApiModel):
    """Two models compared."""

    models: list[str]
    runs: list[str]
    paired: bool
    comparisons: list[ComparisonOut]
    answers: list[list[AnswersOut]] = Field(description="How the answers of each of the two runs were found.")
    cells: list[dict[str, Any]]


class SeasonOut(ApiModel):
    """A season; its secret and the digest of its suite once they are revealed."""

    season: str
    state: str = Field(description="new, committed, open, closed or revealed.")
    suite: str
    terms: dict[str, Any] = Field(description="Everything that the commitment covers, without the secret.")
    commitment: str | None = Field(description="SHA-256 of terms and secret as canonical JSON, in hex.")
    beacon: str | None
    beacon_source: str | None
    practice_seed: str
    suite_digest: str | None
    secret: str | None = Field(description="In hex.")
    created_at: dt.datetime
    committed_at: dt.datetime | None
    opened_at: dt.datetime | None
    closed_at: dt.datetime | None
    revealed_at: dt.datetime | None
    exchangeability: str = Field(description="Why scores of seasons can be compared.")


class SeasonList(ApiModel):
    """All seasons, newest first."""

    total: int
    seasons: list[SeasonOut]


class ItemOut(ApiModel):
    """A question with its gold."""

    id: str
    family: str
    version: int
    level: str
    channel: str
    style: str
    seed: str
    index: int
    question: str
    gold: str
    choices: list[str] | None
    facts: dict[str, Any]


def score_out(one: Estimate) -> ScoreOut:
    """Return an estimate."""
    return ScoreOut(score=one.value, low=one.interval.low, high=one.interval.high)


def suite_out(pool: Pool) -> SuiteOut:
    """Return a pool."""
    return SuiteOut(
        pool=pool.id, name=pool.name, version=pool.version, n_cells=pool.n_cells, n_items=pool.n_items,
        n_models=pool.n_models, asked={style: list(families) for style, families in pool.asked.items()},
    )  # fmt: skip


def standing_out(one: Standing, levels: Mapping[str, Counts] | None = None) -> StandingOut:
    """Return a rank, with counts by level where they are given."""
    return StandingOut(
        model=one.model.name, run=one.run, rank=one.rank, rank_low=one.rank_low, rank_high=one.rank_high, tie=one.tie,
        kind=one.kind, n_parameters=one.n_parameters, dtype=one.dtype, engine=one.engine, tier=one.tier,
        season=one.season, seed=one.seed, date=one.date, n_missing=one.n_missing, n_runs=one.n_runs,
        prompt_format=one.prompt_format, overall=score_out(one.score),
        families={family: score_out(score) for family, score in one.families.items()},
        depth=one.depth,
        depths={family: FamilyDepthOut(text=it.text, share=it.share) for family, it in one.depths.items()},
        levels=None if levels is None else dict(levels),
    )  # fmt: skip


def place_out(one: BoardRank) -> PlaceOut:
    """Return a model's rank in one pool and style."""
    is_ranked = one.tier >= RANKED_TIER
    return PlaceOut(
        pool=one.pool, style=one.style, run=one.run, tier=one.tier, rank=one.rank if is_ranked else None,
        rank_low=one.rank_low if is_ranked else None, rank_high=one.rank_high if is_ranked else None,
        tie=one.tie if is_ranked else None, prompt_format=one.prompt_format, overall=score_out(one.score),
    )  # fmt: skip


def run_out(one: RunSummary) -> RunOut:
    """Return a run without its cells."""
    return RunOut(**{name: getattr(one, name) for name in RunOut.model_fields})


def run_whole(
    detail: RunDetail, scores: Mapping[str, Any] | None, measures: Sequence[CellMeasure], cost: RunCost
) -> RunWhole:
    """Return a run with everything; scores where it is ranked."""
    return RunWhole(**{**run_json(detail, scores, measures, cost), "manifest": _encodable(detail.manifest.stored)})


def _encodable(manifest: Mapping[str, Any]) -> Any:  # the same JSON; lone surrogates become ?
    return json.loads(json.dumps(manifest, ensure_ascii=False).encode("utf-8", "replace"))


def sample_out(one: SampleView, detail: RunDetail) -> SampleOut:
    """Return a sample of a run with its question, as it was asked."""
    return SampleOut(id=one.id, **sample_row(one, prompt_settings_of(detail.manifest), SAMPLE_DOWNLOAD_COLUMNS))


def answers_out(detail: RunDetail) -> list[AnswersOut]:
    """Return how the answers of a run were found."""
    return [AnswersOut(**row) for row in found_rows_json(detail.cells)]


def comparison_out(one: Comparison) -> ComparisonOut:
    """Return a comparison."""
    return ComparisonOut(
        family=one.name, style=one.style, first=score_out(one.first), second=score_out(one.second),
        difference=score_out(one.difference), n_shared=one.n, only_first=one.only_first,
        only_second=one.only_second, p=one.p, p_holm=one.p_holm, ahead=one.ahead,
    )  # fmt: skip

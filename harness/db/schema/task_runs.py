"""Say what is stored of runs of stock lm-eval tasks; they stand apart from Fathom's own runs, and are not ranked."""

import datetime as dt
from typing import Any

from sqlalchemy import JSON, ForeignKey, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fathom.harness.db.schema.runs import BigId, Table, UtcTime


class TaskRunRow(Table):
    """One evaluation of one model on some stock tasks."""

    __tablename__ = "task_runs"
    id: Mapped[str] = mapped_column(Text, primary_key=True)
    model: Mapped[str] = mapped_column(Text)
    engine: Mapped[str] = mapped_column(Text)
    tasks: Mapped[list[str]] = mapped_column(JSON)
    """Names of tasks and groups, as they were asked for."""
    settings: Mapped[dict[str, Any]] = mapped_column(JSON)  # what harness.stock.Asking.to_json writes
    manifest: Mapped[dict[str, Any]] = mapped_column(JSON)  # JSON of provenance.Manifest
    manifest_digest: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    n_requests: Mapped[int]
    """Requests to the engine; the choices of one question are one request."""
    n_done: Mapped[int] = mapped_column(default=0, server_default="0")
    n_generated: Mapped[int] = mapped_column(default=0, server_default="0")
    """Completions asked of an engine, over all attempts."""
    attempts: Mapped[int] = mapped_column(default=1, server_default="1")
    seconds: Mapped[int] = mapped_column(default=0, server_default="0")
    results: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """What lm-eval's `evaluate` returns, without its samples; None until the run is done."""
    error: Mapped[str | None] = mapped_column(Text)
    log: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[dt.datetime] = mapped_column(UtcTime, index=True)
    finished_at: Mapped[dt.datetime | None] = mapped_column(UtcTime)


class TaskSampleRow(Table):
    """One request to the engine and what came back. The prompt is not ours to make again, so it is kept."""

    __tablename__ = "task_samples"
    __table_args__ = (UniqueConstraint("run_id", "task", "doc_id", "index", "repeat"),)
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("task_runs.id", ondelete="CASCADE"))
    task: Mapped[str] = mapped_column(Text)
    doc_id: Mapped[int]
    """Place of its document in the task's split, counted from 0."""
    index: Mapped[int]
    """Number of the first of lm-eval's requests of this document that it answers."""
    repeat: Mapped[int]
    key: Mapped[str] = mapped_column(Text)
    """Digest of manifest, document, prompt, sampling and repeat: what makes a completion reusable."""
    kind: Mapped[str] = mapped_column(Text)
    """generate_until, loglikelihood or loglikelihood_rolling."""
    prompt: Mapped[str] = mapped_column(Text)
    """As lm-eval wrote it; with a chat template, the messages as JSON."""
    choices: Mapped[list[str] | None] = mapped_column(JSON)
    """Texts that were scored after the prompt."""
    options: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """generation_kwargs of the task, as lm-eval handed them over."""
    completion: Mapped[str] = mapped_column(Text)
    scores: Mapped[list[float] | None] = mapped_column(JSON)
    """Log-likelihood of each choice, in nats."""
    greedy: Mapped[list[bool] | None] = mapped_column(JSON)
    """Whether greedy decoding would have written each choice."""
    finish_reason: Mapped[str] = mapped_column(Text)
    prompt_tokens: Mapped[int]
    completion_tokens: Mapped[int]
    milliseconds: Mapped[int]
    error: Mapped[str | None] = mapped_column(Text)


class TaskDocRow(Table):
    """One document and what lm-eval made of its completions; written when the run is scored."""

    __tablename__ = "task_docs"
    run_id: Mapped[str] = mapped_column(ForeignKey("task_runs.id", ondelete="CASCADE"), primary_key=True)
    task: Mapped[str] = mapped_column(Text, primary_key=True)
    doc_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    doc: Mapped[Any] = mapped_column(JSON)
    target: Mapped[str] = mapped_column(Text)
    scored: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    """One entry a filter: filter, filtered_resps, and the metrics by name."""
    doc_hash: Mapped[str] = mapped_column(Text)
    prompt_hash: Mapped[str] = mapped_column(Text)
    target_hash: Mapped[str] = mapped_column(Text)

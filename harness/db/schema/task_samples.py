"""Tables of runs of lm-eval's own tasks: one row a request to the engine, and one a scored document."""

from typing import Any

from sqlalchemy import JSON, ForeignKey, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fathom.harness.db.schema.runs import BigId, Table


class TaskSampleRow(Table):
    """One request to the engine and its completion. Only lm-eval can make the prompt again, so it is stored."""

    __tablename__ = "task_samples"
    __table_args__ = (UniqueConstraint("run_id", "task", "doc_id", "index", "repeat"),)
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    task: Mapped[str] = mapped_column(Text)
    doc_id: Mapped[int]
    """Place of its document in the task's split, counted from 0."""
    index: Mapped[int]
    """Number of the first of lm-eval's requests of this document that it answers."""
    repeat: Mapped[int]
    key: Mapped[str] = mapped_column(Text)
    """Digest of manifest, document, prompt, sampling and repeat: a resumed run recalls the completion by it."""
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
    """One document and lm-eval's scores of its completions; written when the run is scored."""

    __tablename__ = "task_docs"
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    task: Mapped[str] = mapped_column(Text, primary_key=True)
    doc_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    doc: Mapped[Any] = mapped_column(JSON)
    target: Mapped[str] = mapped_column(Text)
    scored: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    """One entry a filter: filter, filtered_resps, and the metrics by name."""
    doc_hash: Mapped[str] = mapped_column(Text)
    prompt_hash: Mapped[str] = mapped_column(Text)
    target_hash: Mapped[str] = mapped_column(Text)

"""Turn the events of Trainer into reports, exams, sealed checkpoints and saved models."""

import logging
import math
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from fathom.harness.engines.hf import HfEngine
from fathom.harness.errors import Diverged
from fathom.harness.training.pretrain.card import CardFacts, write_card
from fathom.harness.training.pretrain.checkpoints import seal
from fathom.harness.training.pretrain.curve import read_history, save_curve
from fathom.harness.training.pretrain.exams import Marks, examine
from fathom.harness.training.pretrain.model import describe_shape
from fathom.harness.training.pretrain.rows import Material
from fathom.harness.training.recipe import Recipe

log = logging.getLogger(__name__)

LESSON_SEED = "e8a3"
"""Seed of the exams of recipes with lessons; those with corpora are examined with their own, which is that of
their population. Evaluation streams are disjoint from training streams whatever the seed."""
_CARD_TIMES = 4


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training stands; `marks` is by exam, empty between exams, and `held_loss` is set with them."""

    step: int
    steps: int
    loss: float
    tokens: int
    seconds: float
    held_loss: float | None = None
    marks: Mapping[str, Marks] = field(default_factory=dict)

    @property
    def accuracy(self) -> dict[str, float]:
        """Return the share of right answers by exam."""
        return {name: one.share for name, one in self.marks.items()}


Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a watch needs to know."""

    recipe: Recipe
    out: Path
    material: Material
    report: Report


class Watch(TrainerCallback):
    """Report the loss, hold exams, seal checkpoints, and save the early and the final model; on the first rank."""

    def __init__(self, plan: Plan) -> None:
        """Start the clock."""
        self._plan, self._recipe = plan, plan.recipe
        self._began, self._spent = time.monotonic(), 0.0
        self.saved: list[Path] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # signature of transformers
        """Take up the clock where the checkpoint left it."""
        self._spent = max((row.get("seconds", 0.0) for row in state.log_history), default=0.0)
        self._began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Log whatever is saved, so that a curve that goes on from a checkpoint is the same; save the early model."""
        if state.global_step % self._recipe.exam_every == 0 or state.global_step == self._recipe.steps:
            control.should_log = control.should_evaluate = control.should_save = True
        if state.global_step == self._recipe.early_step and state.is_world_process_zero:
            self._save(f"{self._recipe.name}-early", model, state)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Report the loss; stop when it is no number, before anything is saved."""
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        gradient = (logs or {}).get("grad_norm", 0.0)
        if not math.isfinite(loss) or not math.isfinite(gradient):
            rate = (logs or {}).get("learning_rate", math.nan)
            raise Diverged(
                f"the loss is {loss:g} and the gradient's norm {gradient:g} at step {state.global_step}, with the "
                f"learning rate at {rate:g}: lower learning_rate ({self._recipe.learning_rate:g}) or raise warmup; "
                f"the last good checkpoint is kept in {args.output_dir}"
            )
        state.log_history[-1]["seconds"] = self._seconds()
        if state.is_world_process_zero:
            self._report(state, loss)

    def on_evaluate(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Hold exams."""
        if not state.is_world_process_zero:
            return
        marks = self._examine(model, self._recipe.exam_items)
        row = state.log_history[-1]
        row["exams"] = {name: asdict(one) for name, one in marks.items()}
        row["seconds"] = self._seconds()
        loss = next((entry["loss"] for entry in reversed(state.log_history) if "loss" in entry), math.nan)
        self._report(state, loss, row.get("eval_loss"), marks)
        save_curve(read_history(state.log_history), Path(args.output_dir), self._recipe.name)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Seal the checkpoint that was written."""
        if state.is_world_process_zero:
            seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Save the final model."""
        if state.is_world_process_zero:
            self._save(self._recipe.name, model, state)

    def _seconds(self) -> float:
        return self._spent + time.monotonic() - self._began

    def _report(
        self, state: Any, loss: float, held: float | None = None, marks: Mapping[str, Marks] | None = None
    ) -> None:
        tokens, seconds = int(state.num_input_tokens_seen), self._seconds()
        self._plan.report(Progress(state.global_step, self._recipe.steps, loss, tokens, seconds, held, marks or {}))

    def _examine(self, model: Any, n: int) -> dict[str, Marks]:
        was_training = model.training
        seed = self._recipe.seed if self._recipe.corpus else LESSON_SEED
        random = torch.random.get_rng_state()  # sampled answers draw from it
        marks = examine(HfEngine(model, self._plan.material.tokenizer), self._recipe.exams, n, seed)
        torch.random.set_rng_state(random)
        model.train(was_training)
        return marks

    def _save(self, name: str, model: Any, state: Any) -> None:
        folder, partial = self._plan.out / name, self._plan.out / f".{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        kept = getattr(torch, self._recipe.save)
        # The config says float32, in which it is to be computed; float16 takes half the space.
        model.save_pretrained(partial, state_dict={key: value.to(kept) for key, value in model.state_dict().items()})
        self._plan.material.tokenizer.save_pretrained(partial)
        rows = read_history(state.log_history)
        save_curve(rows, partial, name)
        facts = CardFacts(
            name, describe_shape(self._recipe.shape), state.global_step, int(state.num_input_tokens_seen),
            self._seconds(), model.num_parameters(), self._plan.material.told, str(model.device),
        )  # fmt: skip
        card = write_card(self._recipe, facts, self._examine(model, _CARD_TIMES * self._recipe.exam_items))
        (partial / "README.md").write_text(card, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        self.saved.append(folder)
        log.info("saved %s", folder)

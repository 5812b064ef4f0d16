"""Training of a recipe with transformers' Trainer, up to a Hugging Face model folder.

A process trains on one device. `accelerate launch --multi_gpu --no_python fathom pretrain ...` starts one process a
GPU: the rows of a step are divided among them, and only the first process writes and reports.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer, TrainingArguments, set_seed

from fathom.harness.errors import BadInput, BadRecipe
from fathom.harness.training.corpora.writer import OnCorpusProgress
from fathom.harness.training.pretrain.callbacks import OnTrainingProgress, PretrainCallback
from fathom.harness.training.pretrain.checkpoints import claim_checkpoints, last_whole_checkpoint, saving_to
from fathom.harness.training.pretrain.model import start_model
from fathom.harness.training.pretrain.optimizer import build_optimizer
from fathom.harness.training.pretrain.rows import TrainingData, prepare_data
from fathom.harness.training.recipe import Recipe
from fathom.tasks.stream import Stream

_EVALUATION_ROWS = 16
_LOADERS = 4
"""Processes that prepare rows for a GPU."""


def pretrain(
    recipe: Recipe,
    out: Path,
    on_progress: OnTrainingProgress,
    on_corpus_progress: OnCorpusProgress = lambda _: None,
    report_to: Sequence[str] = (),
) -> list[Path]:
    """Train a recipe to the end, resuming from the last whole checkpoint in `out/checkpoints`.

    `report_to` are trackers that transformers knows, such as trackio, wandb, mlflow or tensorboard.

    Returns the model folders: `out/NAME` and, if the recipe has an `early_step`, `out/NAME-early`. If several
    processes train together, only the first returns them; the others return an empty list.

    Raises:
        BadInput: a tracker that transformers does not know, or that is not installed.
        BadRecipe: `out` contains checkpoints of another recipe, the batch cannot be divided by the devices, or the
            model to start from does not fit.
        DiskFull: a checkpoint or a model could not be saved.
        Diverged: the loss is not a finite number.
    """
    checkpoints = out / "checkpoints"
    check_trackers(report_to)
    arguments = _arguments(recipe, checkpoints)
    arguments.report_to = list(report_to)
    arguments.run_name = recipe.name
    with arguments.main_process_first(local=False):  # the other processes then read its files
        claim_checkpoints(checkpoints, recipe)
        data = prepare_data(recipe, out, on_corpus_progress)
        last = last_whole_checkpoint(checkpoints)
    callback = PretrainCallback(recipe, out, data, on_progress)
    trainer = _trainer(recipe, arguments, data, callback)
    with saving_to(checkpoints):
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    return callback.saved


def check_trackers(names: Sequence[str]) -> None:
    """Raise BadInput where transformers does not know a tracker, or its package is not installed."""
    from transformers.integrations.integration_utils import (
        INTEGRATION_TO_CALLBACK,
        get_available_reporting_integrations,
    )

    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            raise BadInput(f"--report-to {name}: transformers knows {', '.join(sorted(INTEGRATION_TO_CALLBACK))}")
        if name not in get_available_reporting_integrations():
            raise BadInput(f"--report-to {name}: its package is not installed: pip install {name}")


def _trainer(recipe: Recipe, arguments: TrainingArguments, data: TrainingData, callback: PretrainCallback) -> Trainer:
    set_seed(_torch_seed(recipe.seed))
    model = start_model(recipe, data.tokenizer)
    rows: Any = data.rows  # typed as torch.utils.data.Dataset, of which Trainer needs no more than these have
    held: Any = data.held
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        eval_dataset=held,
        data_collator=data.collate,
        callbacks=[callback],
        optimizers=(build_optimizer(model, recipe), None),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _arguments(recipe: Recipe, checkpoints: Path) -> TrainingArguments:
    cuda = torch.cuda.is_available()
    bfloat16 = recipe.precision == "bfloat16" or (
        recipe.precision == "auto" and cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    )
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch,
        per_device_eval_batch_size=_EVALUATION_ROWS,
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup,
        lr_scheduler_type=recipe.schedule,
        weight_decay=recipe.weight_decay,
        adam_beta2=0.98,
        max_grad_norm=1.0,
        bf16=bfloat16,
        logging_steps=10,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # PretrainCallback stops at them
        eval_strategy="steps",
        eval_steps=recipe.exam_every,
        prediction_loss_only=True,
        save_steps=recipe.exam_every,
        save_total_limit=2,
        train_sampling_strategy="sequential",  # the recipe determines the order
        include_num_input_tokens_seen="all",
        seed=_torch_seed(recipe.seed),
        use_cpu=not cuda,
        ddp_find_unused_parameters=False,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=cuda,
        dataloader_num_workers=_LOADERS if cuda else 0,
        remove_unused_columns=False,
    )
    n_devices = arguments.world_size * max(1, arguments.n_gpu)
    if recipe.batch % n_devices:
        raise BadRecipe(f"batch = {recipe.batch} rows cannot be divided among {n_devices} devices: make it a multiple")
    arguments.per_device_train_batch_size = recipe.batch // n_devices
    return arguments


def _torch_seed(seed: str) -> int:
    """Return 31 bits of a seed, the range of torch's seeds."""
    return Stream("torch", seed).below(1 << 31)

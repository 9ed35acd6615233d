"""The training loop: TRL's, given labels that are ready and told everything that its defaults would decide."""

import math
from pathlib import Path
from typing import Any

from torch.optim.lr_scheduler import LambdaLR
from transformers.trainer_callback import PrinterCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from tunesmith_trainer import sharding
from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.following import Follower
from tunesmith_trainer.keeping import Keeper
from tunesmith_trainer.saving import Saving
from tunesmith_trainer.schedule import rate_factor


class Loop(Saving, SFTTrainer):
    """TRL's SFT loop under our learning-rate schedule."""

    configuration: Configuration

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The schedule of the configuration; called by the loop when it begins."""
        if self.lr_scheduler is None:
            optimizer = optimizer or self.optimizer
            training = self.configuration.training
            warmup_steps = math.ceil(training.warmup_ratio * num_training_steps)
            self.lr_scheduler = LambdaLR(
                optimizer,
                lambda step: rate_factor(
                    step, total_steps=num_training_steps, warmup_steps=warmup_steps, scheduler=training.scheduler
                ),
            )
            self._created_lr_scheduler = True
        return self.lr_scheduler


def make_loop(
    configuration: Configuration,
    *,
    model: Any,
    tokenizer: Any,
    rows: Any,
    held_out: Any,
    total_steps: int,
    output: Path,
    follower: Follower,
    keeper: Keeper,
    measure_first: bool,
    on_gpu: bool,
) -> Loop:
    """The loop of one attempt; `train(resume_from_checkpoint=...)` runs it.

    Args:
        model: with its adapter on.
        output: a directory of the process's own that the library may write to, but for checkpoints.
        rows, held_out: prepared datasets with `input_ids` and `labels`, packed ones with `seq_lengths`.
        measure_first: measure the held-out rows before the first step.
    """
    training = configuration.training
    held = held_out is not None
    arguments = SFTConfig(
        output_dir=str(output),
        per_device_train_batch_size=training.micro_batch,
        per_device_eval_batch_size=training.micro_batch,
        gradient_accumulation_steps=training.gradient_accumulation,
        max_steps=total_steps,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        seed=training.seed,
        bf16=training.precision == "AMP",
        activation_checkpointing=training.activation_checkpointing,
        gradient_checkpointing=training.activation_checkpointing,
        max_length=training.context_length,
        packing=training.packing,
        eval_packing=training.packing,
        dataset_kwargs={"skip_prepare_dataset": True},  # rows are labelled, cut, filtered and packed by us
        logging_steps=1,
        logging_nan_inf_filter=False,  # the default hides a loss that is no number
        save_strategy="steps",
        save_steps=configuration.checkpoints.every_steps
        or max(1, math.ceil(total_steps / (configuration.checkpoints.count or 1))),
        eval_strategy="steps" if held else "no",
        eval_steps=max(1, math.ceil(total_steps / max(1, configuration.evaluations.count))) if held else None,
        eval_on_start=held and measure_first,
        report_to="none",
        disable_tqdm=True,
        use_cpu=not on_gpu,
        dataloader_pin_memory=on_gpu,
        ddp_timeout=configuration.world.collective_timeout_seconds,
        ddp_find_unused_parameters=False,
        **sharding.arguments(configuration),
    )
    Loop.configuration = configuration
    Loop.keeper = keeper
    Loop.global_batch = training.global_batch
    loop = Loop(
        model=model,
        args=arguments,
        train_dataset=rows,
        eval_dataset=held_out,
        processing_class=tokenizer,
        callbacks=[follower],
    )
    loop.remove_callback(PrinterCallback)  # stdout is ours
    return loop

"""The training loop of the configured method: TRL's, told everything that its defaults would decide."""

from pathlib import Path
from typing import Any

from transformers.trainer_callback import PrinterCallback

from tunesmith_trainer import sharding
from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.following import Follower
from tunesmith_trainer.keeping import Keeper
from tunesmith_trainer.methods import examples, preferences
from tunesmith_trainer.methods.examples import Examples
from tunesmith_trainer.methods.loop import Scheduled, restore_trained_precision
from tunesmith_trainer.methods.preferences import Preferences
from tunesmith_trainer.model import Loaded

Loop = Examples | Preferences


def make_loop(
    configuration: Configuration,
    *,
    loaded: Loaded,
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
        output: a directory of the process's own that the library may write to, but for checkpoints.
        rows, held_out: prepared datasets with `input_ids` and `labels`, packed ones with `seq_lengths`; for preferences
            with `prompt_ids`, `chosen_ids` and `rejected_ids`.
        measure_first: measure the held-out rows before the first step.
    """
    training = configuration.training
    held = held_out is not None
    common: dict[str, Any] = {
        "output_dir": str(output),
        "per_device_train_batch_size": training.micro_batch,
        "per_device_eval_batch_size": training.micro_batch,
        "gradient_accumulation_steps": training.gradient_accumulation,
        "max_steps": total_steps,
        "learning_rate": training.learning_rate,
        "weight_decay": training.weight_decay,  # not on biases and norms: the library's own rule
        "max_grad_norm": training.max_grad_norm,
        "seed": training.seed,
        "bf16": training.precision == "AMP",
        "activation_checkpointing": training.activation_checkpointing,
        "gradient_checkpointing": training.activation_checkpointing,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # the default hides a loss that is no number
        "save_strategy": "steps",
        "save_steps": total_steps,  # the follower says which others are saved and evaluated
        "eval_strategy": "steps" if held else "no",
        "eval_steps": total_steps if held else None,
        "eval_on_start": held and measure_first,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": not on_gpu,
        "dataloader_pin_memory": on_gpu,
        "ddp_timeout": configuration.world.collective_timeout_seconds,
        "ddp_find_unused_parameters": False,
        **sharding.arguments(configuration, loaded.model),
    }
    given: dict[str, Any] = {
        "model": loaded.model,
        "train_dataset": rows,
        "eval_dataset": held_out,
        "processing_class": tokenizer,
        "callbacks": [follower],
    }
    Scheduled.configuration = configuration
    Scheduled.keeper = keeper
    Scheduled.global_batch = training.global_batch
    loop: Loop
    if configuration.method.type == "DPO":
        arguments = preferences.arguments(configuration, model_is_whole=configuration.tuning.type == "Full", **common)
        loop = Preferences(args=arguments, ref_model=loaded.reference, **given)
        preferences.settle(loop, configuration, loaded.adapter_at_start)
    else:
        loop = Examples(args=examples.arguments(configuration, **common), **given)
    restore_trained_precision(loop.model, configuration)
    loop.remove_callback(PrinterCallback)  # stdout is ours
    return loop

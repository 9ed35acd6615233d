"""Learning from preferences: TRL's DPO loop over pairs that are tokenised, cut and filtered by our prepare stage.

LN-DPO divides each log-ratio by its answer's length (loss type `sigmoid_norm`); DPO+NLL adds the loss on the preferred
answer (`sft`, its mean over the tokens of a micro batch). Rows: `prompt_ids`, `chosen_ids` and `rejected_ids`.
"""

import shutil
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, set_peft_model_state_dict
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.contract.outcome import Learning
from tunesmith_trainer.methods.loop import Scheduled, balancing_weight
from tunesmith_trainer.methods.reference_free import KnownReference

REFERENCE_ADAPTER = "ref"  # TRL's name for the frozen copy of an adapter


class Preferences(Scheduled, DPOTrainer):
    """TRL's DPO loop under our schedule, with rows that are ready."""

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset

    def _precompute_ref_logps(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset  # the collator knows them: see KnownReference

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        # The frozen copy comes from where the job continues from; a checkpoint is only what moved.
        shutil.rmtree(Path(output_dir or str(self.args.output_dir)) / REFERENCE_ADAPTER, ignore_errors=True)


def arguments(configuration: Configuration, *, model_is_whole: bool, **common: Any) -> DPOConfig:
    """TRL's arguments: `common` are those of every method.

    Args:
        model_is_whole: full tuning; without a reference TRL must then be told not to load a second model.
    """
    learning = learning_of(configuration)
    loss = "sigmoid_norm" if learning.normalize_logratios_by_length else "sigmoid"
    return DPOConfig(
        **common,
        beta=learning.beta,
        loss_type=[loss, "sft"] if learning.rpo_alpha else [loss],
        loss_weights=[1.0, learning.rpo_alpha] if learning.rpo_alpha else [1.0],
        max_length=configuration.training.context_length,
        router_aux_loss_coef=balancing_weight(configuration),
        disable_dropout=False,  # it would turn off the adapter's too; see still_base
        precompute_ref_log_probs=learning.reference_free and model_is_whole,
    )


def learning_of(configuration: Configuration) -> Learning:
    """The numbers of preference training; the configuration's method must be DPO."""
    if configuration.method.type != "DPO":
        raise TypeError("the configuration's method is not DPO")
    return configuration.method.dpo


def settle(loop: Preferences, configuration: Configuration, adapter_at_start: dict[str, torch.Tensor] | None) -> None:
    """Gives the loop its reference, once TRL has made what it takes for one.

    Args:
        adapter_at_start: the adapter that the job continues from; its frozen copy is the reference.
    """
    learning, model = learning_of(configuration), loop.model
    if learning.reference_free:
        loop.precompute_ref_logps = True
        loop.data_collator = KnownReference(loop.data_collator, learning.beta, learning.simpo_gamma)
    if isinstance(model, PeftModel):
        _settle_adapters(model, None if learning.reference_free else adapter_at_start)
    still_base(model)


def still_base(model: Any) -> None:
    """No dropout but the trained adapter's: the reference's answers must not be noisy."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout) and not name.endswith("lora_dropout.default"):
            module.p = 0.0


def _settle_adapters(model: PeftModel, adapter_at_start: dict[str, torch.Tensor] | None) -> None:
    """A fresh adapter's reference is the model without it: TRL's copy would only take memory."""
    if REFERENCE_ADAPTER not in model.peft_config:
        return
    if adapter_at_start is None:
        model.delete_adapter(REFERENCE_ADAPTER)
        return
    # Not TRL's copy of the adapter as it is now: after a resume that has moved on.
    set_peft_model_state_dict(model, adapter_at_start, adapter_name=REFERENCE_ADAPTER)
    for name, parameter in model.named_parameters():
        if f".{REFERENCE_ADAPTER}." in name:
            moving = model.get_parameter(name.replace(f".{REFERENCE_ADAPTER}.", ".default."))
            parameter.data = parameter.data.to(moving.dtype)
            parameter.requires_grad = False

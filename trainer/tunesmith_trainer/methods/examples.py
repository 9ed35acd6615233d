"""Supervised fine-tuning: TRL's loop over rows whose labels are ready."""

from typing import Any

from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.methods.loop import Scheduled, balancing_weight


class Examples(Scheduled, SFTTrainer):
    """TRL's SFT loop under our schedule."""


def arguments(configuration: Configuration, **common: Any) -> SFTConfig:
    """TRL's arguments: `common` are those of every method."""
    training = configuration.training
    return SFTConfig(
        **common,
        max_length=training.context_length,
        router_aux_loss_coef=balancing_weight(configuration),
        packing=training.packing,
        eval_packing=training.packing,
        dataset_kwargs={"skip_prepare_dataset": True},  # rows are labelled, cut, filtered and packed by us
    )

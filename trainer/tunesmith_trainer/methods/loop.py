"""What the loops of all methods have in common: checkpoints, our schedule, and the precision of what moves."""

import math
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR

from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.saving import Saving
from tunesmith_trainer.schedule import rate_factor


class Scheduled(Saving):
    """A base of every loop: the learning rate follows the configuration's schedule."""

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


def restore_trained_precision(model: Any, configuration: Configuration) -> None:
    """Trained weights in fp32 again, unless all is bf16: TRL casts adapters on a quantised base down to bf16."""
    if configuration.training.precision == "BF16":
        return
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)


def balancing_weight(configuration: Configuration) -> float | None:
    """The weight of the term that balances experts, as the training library is told: 0.0 is off, None the model's own.

    It is there to train what chooses the experts. Beside an adapter that is frozen: the term would only push the other
    weights about, depend on the micro batch, and be in every loss that is told.
    """
    return None if configuration.tuning.type == "Full" else 0.0


def told_of_balancing(loop: Any) -> str | None:
    """What a person should know of the term that balances experts, when the losses have it in them."""
    if not loop.aux_loss_enabled:
        return None
    return (
        "What chooses the experts is trained too: every loss that is told, on held-out rows as well, has the model's "
        f"own term in it that keeps experts in balance, with the weight {loop.router_aux_loss_coef:g}."
    )

"""Stands beside the training loop: reports each step, commits checkpoints, and stops all processes at the same step."""

import math
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tunesmith_trainer import checkpoints
from tunesmith_trainer.attempts import Attempt
from tunesmith_trainer.checkpoints import Memory
from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.progress import Reporter
from tunesmith_trainer.stopping import StopWish
from tunesmith_trainer.world import World


class Follower(TrainerCallback):
    """The callback of one attempt."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        world: World,
        attempt: Attempt,
        stop: StopWish,
        reporter: Reporter,
        memory: Memory,
    ) -> None:
        self._configuration = configuration
        self._config_hash = configuration.config_hash()
        self._world = world
        self._attempt = attempt
        self._stop = stop
        self._reporter = reporter
        self._tokens_before = memory.tokens
        self.memory = memory
        self.preempted = False

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Asks all processes whether one was told to stop; the last step is always saved."""
        if self._world.any(self._stop.wanted) and state.global_step < state.max_steps:
            self.preempted = True
            control.should_save = True
            control.should_training_stop = True
        if state.global_step >= state.max_steps:
            control.should_save = True

    def on_prediction_step(self, *_: Any, **__: Any) -> None:
        """An evaluated batch is movement."""
        self._reporter.moved()

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Reports a step; a loss that is no number ends the attempt at once."""
        logs: dict[str, float] = kwargs["logs"]
        if "loss" not in logs:
            return
        loss, rate = logs["loss"], logs["learning_rate"]
        gradient = logs.get("grad_norm")
        if not math.isfinite(loss) or (gradient is not None and not math.isfinite(gradient)):
            raise TrainerError(
                ErrorClass.DIVERGED,
                f"Step {state.global_step}: the loss is {loss} and the gradient's norm {gradient}, at learning rate "
                f"{rate:.3g}. Lower learningRate, lengthen the warm-up, or look "
                "at the rows. The last checkpoint stands.",
            )
        tokens = self._tokens_before + int(logs["num_tokens"])
        self.memory = self.memory.model_copy(
            update={
                "tokens": tokens,
                "last_loss": loss,
                "first_loss": loss if self.memory.first_loss is None else self.memory.first_loss,
            }
        )
        self._reporter.step(
            state.global_step, epoch=state.epoch, loss=loss, learning_rate=rate, grad_norm=gradient, tokens=tokens
        )

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Keeps the loss on held-out rows: the first is the one before training."""
        loss: float = kwargs["metrics"]["eval_loss"]
        update = {"evaluation_last": loss} | ({"evaluation_before": loss} if state.global_step == 0 else {})
        self.memory = self.memory.model_copy(update=update)
        self._reporter.evaluated(loss)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Marks the checkpoint complete, once every process has written its part."""
        self._world.wait_for_all()
        directory = self._attempt.checkpoints / f"checkpoint-{state.global_step}"
        self._world.first(lambda: self._commit(directory, state.global_step))

    def _commit(self, directory: Path, step: int) -> None:
        checkpoints.commit(
            directory,
            self._attempt,
            step=step,
            world_size=self._world.size,
            config_hash=self._config_hash,
            memory=self.memory,
        )
        self._reporter.saved(step, str(directory))
        checkpoints.rotate(self._attempt, self._configuration.checkpoints.keep)

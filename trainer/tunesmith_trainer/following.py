"""Stands beside the training loop: reports each step, commits checkpoints, and stops all processes at the same step."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tunesmith_trainer.checkpoints import Memory
from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.keeping import Keeper
from tunesmith_trainer.losses import Losses, SourceRows, ensure_finite
from tunesmith_trainer.patience import HeldOut
from tunesmith_trainer.progress import Reporter
from tunesmith_trainer.rhythm import Rhythm
from tunesmith_trainer.saving import EvaluationLeftError
from tunesmith_trainer.stopping import StopWish
from tunesmith_trainer.world import World

# Saves take at most one part in so many of the time, however short the longest time between them is.
SAVE_SHARE = 10
# A save that took s seconds may take so much longer under SIGTERM, when every pod of a node saves.
SAVE_MARGIN = 1.5


class Wish(IntEnum):
    """What a process asks of all; the highest wins."""

    NONE = 0
    SAVE_AND_STOP = 1
    STOP_UNSAVED = 2
    FAILED = 3


@dataclass(frozen=True)
class Agreed:
    """What all processes know after a step: the highest wish, the slowest save, and whether one is due by the clock."""

    wish: Wish
    save_milliseconds: int
    save_due: bool


class Follower(TrainerCallback):
    """The callback of one attempt.

    `rows_of_step` names the rows that a step was made from; `began_at` is the step that is resumed from, or 0;
    `unsaved_because` is why a stop left steps unsaved.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        world: World,
        stop: StopWish,
        reporter: Reporter,
        keeper: Keeper,
        memory: Memory,
        rhythm: Rhythm,
        rows_of_step: Callable[[int], SourceRows | None] = lambda _: None,
        began_at: int = 0,
    ) -> None:
        self._configuration = configuration
        self._world = world
        self._stop = stop
        self._reporter = reporter
        self._keeper = keeper
        self._rhythm = rhythm
        self._rows_of_step = rows_of_step
        self._began_at = began_at
        self._losses = Losses()
        self._tokens_before = memory.tokens
        self.memory = memory
        self.preempted = False
        self.unsaved_because: str | None = None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Asks all processes whether one was told to stop, failed, or was not saved for long."""
        self._tell_news()
        agreed, step = self._agreed(), state.global_step
        last = step >= state.max_steps
        control.should_save = last or agreed.save_due or step in self._rhythm.saved
        control.should_evaluate = step in self._rhythm.evaluated
        # After the last step only an evaluation is left to be cut short: without one the result is published.
        if agreed.wish and (control.should_evaluate or not last):
            self._stop_here(control, agreed)

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """An evaluated batch is movement. Told to stop, training does not go on with it: the grace is for the save."""
        self._reporter.moved()
        agreed = self._agreed()
        if not agreed.wish:
            return
        if state.global_step == self._began_at:
            raise TrainerError(
                ErrorClass.PREEMPTED,
                f"Asked to stop before step {state.global_step + 1}; there was nothing new to save.",
            )
        control.should_evaluate = True  # it is under way: what is left of it is owed
        self._stop_here(control, agreed)
        raise EvaluationLeftError

    def _agreed(self) -> Agreed:
        """What all processes agree on; raises what one has met."""
        milliseconds = round(1000 * (self._keeper.seconds_of_a_save or 0))
        wish, slowest, due = self._world.highest(self._wish(), milliseconds, int(self._save_is_due()))
        if wish == Wish.FAILED:
            self._world.raise_first(self._keeper.failure)
        return Agreed(Wish(wish), slowest, bool(due))

    def _save_is_due(self) -> bool:
        """Whether more would be lost than anybody wants to pay for twice."""
        longest = self._configuration.checkpoints.max_seconds_apart
        if longest is None:
            return False
        return self._keeper.seconds_since_a_save > max(longest, SAVE_SHARE * (self._keeper.seconds_of_a_save or 0))

    def _stop_here(self, control: TrainerControl, agreed: Agreed) -> None:
        """Stops at this step. An evaluation that is due or under way is made by the next attempt."""
        self.preempted = True
        control.should_training_stop = True
        control.should_save = agreed.wish is Wish.SAVE_AND_STOP
        if agreed.wish is Wish.STOP_UNSAVED:
            self.unsaved_because = (
                f"a save takes {agreed.save_milliseconds / 1000:.0f} s here, too long for what was left of the "
                f"{self._configuration.checkpoints.grace_seconds:.0f} s of grace"
            )
        if control.should_evaluate:
            control.should_evaluate = False
            self.memory = self.memory.model_copy(update={"evaluation_owed": True})

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Reports a step; a loss that is no number ends the attempt at once, before anything is saved."""
        logs: dict[str, float] = kwargs["logs"]
        if "loss" not in logs:
            return
        loss, rate = logs["loss"], logs["learning_rate"]
        gradient = logs.get("grad_norm")
        ensure_finite(state.global_step, loss, gradient, rate, self._rows_of_step)
        spike = self._losses.spike(state.global_step, loss)
        if spike is not None:
            self._reporter.tell(spike)
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
        """Keeps the loss on held-out rows: the first is the one before training. The best one is saved."""
        loss: float = kwargs["metrics"]["eval_loss"]
        number = loss if math.isfinite(loss) else None
        update: dict[str, Any] = {"evaluation_last": number, "evaluation_owed": False}
        rule = self._configuration.evaluations.early_stopping
        if state.global_step == 0:
            update["evaluation_before"] = number
        elif rule is not None:
            held_out = self.memory.held_out.after(loss, state.global_step, rule)
            update["held_out"] = held_out
            if held_out.best_step == state.global_step:
                control.should_save = True
            if held_out.stopped_at_step is not None and state.global_step < state.max_steps:
                control.should_save = control.should_training_stop = True
                self._reporter.tell(
                    f"Stopped early at step {state.global_step}: {held_out.without_progress} evaluations brought no "
                    f"progress. {_the_best(held_out)}"
                )
        self.memory = self.memory.model_copy(update=update)
        if number is None:
            self._reporter.tell(
                f"Step {state.global_step}: the loss on held-out rows is {loss}. Training goes on; look at these rows."
            )
        else:
            self._reporter.evaluated(number)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Every process gives its part of the checkpoint to its keeper."""
        self._ensure_all_well()
        self._keeper.hand_over(state.global_step, self.memory)

    def finish(self) -> None:
        """Returns when everything saved is complete on the storage, on all processes; raises what went wrong."""
        self._keeper.finish()
        self._ensure_all_well()
        self._tell_news()

    def _ensure_all_well(self) -> None:
        # Rank 0 may have written for longer than a collective's time-out.
        if self._world.any(self._keeper.failure is not None, patiently=True):
            self._world.raise_first(self._keeper.failure)

    def _wish(self) -> Wish:
        if self._keeper.failure is not None:
            return Wish.FAILED
        if not self._stop.wanted:
            return Wish.NONE
        grace, takes = self._configuration.checkpoints.grace_seconds, self._keeper.seconds_of_a_save
        if grace is not None and takes is not None and grace - self._stop.seconds_since < SAVE_MARGIN * takes:
            return Wish.STOP_UNSAVED
        return Wish.SAVE_AND_STOP

    def _tell_news(self) -> None:
        for kept in self._keeper.news():
            self._reporter.saved(kept.step, str(kept.path))
        for trouble in self._keeper.troubles():
            self._reporter.tell(trouble)


def _the_best(held_out: HeldOut) -> str:
    if held_out.best_loss is None:
        return "None was a number: the last weights are the result."
    return f"The best was {held_out.best_loss:.4g} at step {held_out.best_step}."

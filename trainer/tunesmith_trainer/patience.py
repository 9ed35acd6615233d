"""Early stopping: which evaluation was the best, and when the held-out loss has stopped falling. Pure."""

import math

from tunesmith_trainer.contract.messages import Said
from tunesmith_trainer.contract.surroundings import EarlyStopping


class HeldOut(Said):
    """What the evaluations of one training came to so far; kept in every checkpoint."""

    evaluations: int = 0
    without_progress: int = 0
    best_step: int | None = None
    best_loss: float | None = None
    stopped_at_step: int | None = None

    def after(self, loss: float, step: int, rule: EarlyStopping) -> "HeldOut":
        """The same with one more evaluation. A lower loss is the best; a loss lower by more than `minDelta` is
        progress, and one that is no finite number is neither; evaluations of the warm-up are only counted."""
        counted = self.model_copy(update={"evaluations": self.evaluations + 1})
        if counted.evaluations <= rule.warmup_evaluations:
            return counted
        is_best = math.isfinite(loss) and (self.best_loss is None or loss < self.best_loss)
        progressed = is_best and (self.best_loss is None or loss < self.best_loss - rule.min_delta)
        without = 0 if progressed else self.without_progress + 1
        return counted.model_copy(
            update={
                "without_progress": without,
                "best_step": step if is_best else self.best_step,
                "best_loss": loss if is_best else self.best_loss,
                "stopped_at_step": step if without >= rule.patience else None,
            }
        )

"""Watches the loss of each step: a value that is no number ends the attempt, a spike is only told."""

import math
from collections import deque
from collections.abc import Sequence
from statistics import fmean, pstdev

from tunesmith_trainer.exit_codes import ErrorClass, TrainerError

WINDOW_STEPS = 32
ENOUGH_STEPS = 16
SPIKE_DEVIATIONS = 6.0
SPIKE_FACTOR = 1.5
ROWS_NAMED = 16


class Losses:
    """The last losses, to know a spike by."""

    def __init__(self) -> None:
        self._window: deque[float] = deque(maxlen=WINDOW_STEPS)

    def spike(self, step: int, loss: float) -> str | None:
        """What to tell when the loss stands out; training goes on."""
        known = list(self._window)
        self._window.append(loss)
        if len(known) < ENOUGH_STEPS:
            return None
        usual = fmean(known)
        if loss <= max(usual + SPIKE_DEVIATIONS * pstdev(known), SPIKE_FACTOR * usual):
            return None
        return f"Step {step}: the loss jumped to {loss:.4g}; over the last {len(known)} steps it was {usual:.4g}."


def ensure_finite(step: int, loss: float, gradient: float | None, learning_rate: float, rows: Sequence[str]) -> None:
    """Raises TrainerError of class diverged when loss or gradient is no finite number.

    Args:
        rows: how a person finds the rows that the step was made from.
    """
    if math.isfinite(loss) and (gradient is None or math.isfinite(gradient)):
        return
    more = f" and {len(rows) - ROWS_NAMED} more" if len(rows) > ROWS_NAMED else ""
    named = f" It was made from rows {', '.join(rows[:ROWS_NAMED])}{more}." if rows else ""
    raise TrainerError(
        ErrorClass.DIVERGED,
        f"Step {step}: the loss is {loss} and the gradient's norm {gradient}, at learning rate {learning_rate:.3g}."
        f"{named} Lower learningRate, lengthen the warm-up, or look at the rows. The last checkpoint stands.",
    )

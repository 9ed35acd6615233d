"""Watches the loss of each step: a value that is no number ends the attempt, a spike is only told."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

from tunesmith_trainer.data.faults import Unit
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


@dataclass(frozen=True)
class SourceRows:
    """Where a person finds the rows that a step was made from; lines and rows count from 1."""

    file: str
    unit: Unit
    numbers: Sequence[int]

    def __str__(self) -> str:
        named = ", ".join(map(str, self.numbers[:ROWS_NAMED]))
        more = f" and {len(self.numbers) - ROWS_NAMED} more" if len(self.numbers) > ROWS_NAMED else ""
        return f"{self.unit}{'s' if len(self.numbers) > 1 else ''} {named}{more} of '{self.file}'"


def ensure_finite(
    step: int, loss: float, gradient: float | None, learning_rate: float, rows: Callable[[int], SourceRows | None]
) -> None:
    """Raises TrainerError of class diverged when loss or gradient is no finite number.

    Args:
        rows: tells which rows a step was made from, when it is known; asked only then.
    """
    if math.isfinite(loss) and (gradient is None or math.isfinite(gradient)):
        return
    made_from = rows(step)
    named = f" It was made from {made_from}." if made_from else ""
    raise TrainerError(
        ErrorClass.DIVERGED,
        f"Step {step}: the loss is {loss} and the gradient's norm {gradient}, at learning rate {learning_rate:.3g}."
        f"{named} Lower learningRate, lengthen the warm-up, or look at the rows. The last checkpoint stands.",
    )

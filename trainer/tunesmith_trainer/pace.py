"""How fast training goes: tokens a second, the wait for data, the time left.

Only steps of this attempt count, without its first: that one warms caches up, and after a resume it skips rows.
What is not a step, evaluations and saves, is measured apart, so that neither the rate nor the time left is blurred.
"""

import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tunesmith_trainer.rhythm import Rhythm

Pause = Literal["Evaluating", "Saving"]
WINDOW_STEPS = 20
MEDIAN_STEPS = 50
STEPS_FOR_A_MEDIAN = 3


@dataclass(frozen=True)
class _Step:
    seconds: float
    waited_seconds: float
    tokens: int


class Pace:
    """The stop watch of one attempt."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._window: deque[_Step] = deque(maxlen=WINDOW_STEPS)
        self._seconds: deque[float] = deque(maxlen=MEDIAN_STEPS)
        self._pauses: dict[Pause, list[float]] = {"Evaluating": [], "Saving": []}
        self._began: float | None = None
        self._pause_began: float | None = None
        self._waited_seconds = 0.0
        self._tokens: int | None = None
        self.rhythm = Rhythm()

    def begin_step(self) -> None:
        """From here on the next step is under way; once for each step."""
        self._began = self._clock()
        self._waited_seconds = 0.0

    def waited(self, seconds: float) -> None:
        """Of the step under way, so much was spent waiting for rows."""
        self._waited_seconds += seconds

    def end_step(self, tokens: int) -> None:
        """The step is done; `tokens` is the running count of all processes."""
        before, self._tokens = self._tokens, tokens
        if self._began is None or before is None:
            return
        step = _Step(self._clock() - self._began, self._waited_seconds, tokens - before)
        self._began = None
        self._window.append(step)
        self._seconds.append(step.seconds)

    def begin_pause(self) -> None:
        """Training evaluates or saves from here on."""
        self._pause_began = self._clock()

    def end_pause(self, pause: Pause) -> None:
        """It has evaluated, or saved."""
        if self._pause_began is not None:
            self._pauses[pause].append(self._clock() - self._pause_began)
        self._pause_began = None

    @property
    def median_step_seconds(self) -> float | None:
        """Of the last steps; None before there are enough to speak of one."""
        return statistics.median(self._seconds) if len(self._seconds) >= STEPS_FOR_A_MEDIAN else None

    @property
    def tokens_per_second(self) -> float | None:
        """Of all processes together, while steps are made."""
        seconds = sum(step.seconds for step in self._window)
        return sum(step.tokens for step in self._window) / seconds if seconds > 0 else None

    @property
    def data_wait_share(self) -> float | None:
        """The part of the step time that this process waited for rows, 0 to 1."""
        seconds = sum(step.seconds for step in self._window)
        waited = sum(step.waited_seconds for step in self._window)
        return min(1.0, waited / seconds) if seconds > 0 else None

    def eta_seconds(self, step: int, total_steps: int) -> float | None:
        """The time left: the steps to go, and the evaluations and saves among them as far as one was measured."""
        if not self._window:
            return 0.0 if step >= total_steps else None
        steps = (total_steps - step) * statistics.fmean(entry.seconds for entry in self._window)
        evaluations = self.rhythm.evaluated.after(step) * self._mean("Evaluating")
        saves = self.rhythm.saved.after(step) * self._mean("Saving")
        return max(0.0, steps + evaluations + saves)

    def paused_seconds(self, pause: Pause) -> float:
        """How long training has waited for evaluations, or for saves, in this attempt."""
        return sum(self._pauses[pause])

    def _mean(self, pause: Pause) -> float:
        return statistics.fmean(self._pauses[pause]) if self._pauses[pause] else 0.0

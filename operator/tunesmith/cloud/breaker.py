"""A circuit breaker for one credential: a provider that does not answer is left alone until it had time to come back.

Any answer at all, a refusal too, shows that it lives; what counts is no answer, or a 5xx.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

FAILURES_TO_OPEN = 5
FIRST_REST_SECONDS = 10.0
LONGEST_REST_SECONDS = 120.0


class BreakerState(StrEnum):
    """Closed: requests go. Open: they fail at once. HalfOpen: the rest is over, and one may try."""

    CLOSED = "Closed"
    OPEN = "Open"
    HALF_OPEN = "HalfOpen"


class Breaker:
    """Opens after failures in a row; each probe that fails doubles the rest."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._failures = 0
        self._rest = 0.0
        self._opened: float | None = None
        self._probing = False

    @property
    def state(self) -> BreakerState:
        """The state at this moment."""
        if self._opened is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self.seconds_left > 0 else BreakerState.HALF_OPEN

    @property
    def seconds_left(self) -> float:
        """How long it rests yet; 0 when it does not."""
        return 0.0 if self._opened is None else max(0.0, self._opened + self._rest - self._monotonic())

    def admits(self, *, as_probe: bool) -> bool:
        """Whether a request may go. After the rest one probe goes alone; purchases are never that one."""
        state = self.state
        if state is BreakerState.HALF_OPEN and as_probe:
            self._opened = self._monotonic()  # the others rest on, also when this one is never heard of again
            self._probing = True
            return True
        return state is BreakerState.CLOSED

    def answered(self) -> None:
        """The provider answered something."""
        self._failures, self._opened, self._rest, self._probing = 0, None, 0.0, False

    def failed(self) -> bool:
        """It gave no answer, or a 5xx. True when the breaker opened by that."""
        self._failures += 1
        if self._opened is not None and not self._probing:
            return False  # sent before it opened: no news
        if self._opened is None and self._failures < FAILURES_TO_OPEN:
            return False
        self._rest = min(max(FIRST_REST_SECONDS, self._rest * 2), LONGEST_REST_SECONDS)
        self._opened, self._probing = self._monotonic(), False
        return True

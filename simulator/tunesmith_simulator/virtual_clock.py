"""A clock that stands still until it is moved, or runs at a rate of its own, so that a month passes in seconds."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

FIRST_DAY = datetime(2026, 9, 1, tzinfo=UTC)
"""Where a virtual clock begins unless a scenario says otherwise: a fixed day, so that runs are alike."""


class VirtualClock:
    """Tells a time of its own. ``rate`` is how many of its seconds pass in one second on the wall; 0 stands still.

    ``monotonic`` is the clock on the wall, in seconds.
    """

    def __init__(
        self, starts_at: datetime = FIRST_DAY, *, rate: float = 0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._base = starts_at
        self._rate = rate
        self._monotonic = monotonic
        self._read_at = monotonic()

    def __call__(self) -> datetime:
        """The time."""
        if not self._rate:
            return self._base
        return self._base + timedelta(seconds=(self._monotonic() - self._read_at) * self._rate)

    @property
    def rate(self) -> float:
        """Its seconds per second on the wall."""
        return self._rate

    def advance(self, seconds: float) -> None:
        """Move it on at once."""
        self._base += timedelta(seconds=seconds)

    def run_at(self, rate: float) -> None:
        """Run at another rate from now on."""
        self._base, self._read_at, self._rate = self(), self._monotonic(), rate

    def wall_seconds_until(self, at: datetime) -> float | None:
        """How long on the wall until it tells ``at``; None while it stands still and is not there yet."""
        left = (at - self()).total_seconds()
        if left <= 0:
            return 0
        return left / self._rate if self._rate else None

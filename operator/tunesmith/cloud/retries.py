"""How a read is tried again: a few times, after pauses with full jitter, within a bounded time. Writes never are."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tunesmith.cloud.errors import CloudError
from tunesmith.planning.decision import ErrorClass

Answer = TypeVar("Answer")

WORTH_A_RETRY = frozenset({ErrorClass.UNAVAILABLE, ErrorClass.RATE_LIMITED})


@dataclass(frozen=True)
class ReadRetries:
    """At most `tries` in all; the pause before the next is random between 0 and a bound that doubles.

    No further try begins later than `within_seconds` after the first: whoever waits has a queue to come again by.
    """

    tries: int = 3
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 5.0
    within_seconds: float = 20.0
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random

    async def run(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask until there is an answer, or it is not worth it any more. Raises the last `CloudError`."""
        begun = self.monotonic()
        for tried in range(1, self.tries + 1):
            try:
                return await ask()
            except CloudError as error:
                pause = self._pause(tried)
                late = self.monotonic() + self._wanted(error, pause) - begun > self.within_seconds
                if tried == self.tries or late or error.failure.error not in WORTH_A_RETRY:
                    raise
            await self.sleep(pause)
        raise ValueError("at least one try is needed")

    def _pause(self, tried: int) -> float:
        bound = min(self.first_pause_seconds * 2.0 ** (tried - 1), self.longest_pause_seconds)
        return bound * self.jitter()

    def _wanted(self, error: CloudError, pause: float) -> float:
        """The provider's own wish is waited for at the gate; here it only tells whether that is worth it."""
        return max(pause, error.failure.retry_after_seconds or 0.0)

"""One gate per credential: its rate limiter, its circuit breaker, and the pauses that the provider asks for.

Whatever is asked with a key goes through that key's one gate, so a `Retry-After` to one request holds all of them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from tunesmith.cloud.breaker import Breaker
from tunesmith.cloud.errors import CloudError, error_of
from tunesmith.cloud.limiter import RateLimiter
from tunesmith.planning.decision import ErrorClass

REQUESTS_PER_SECOND = 5.0
BURST = 20
LONGEST_WAIT_SECONDS = 10.0
"""Who would have to wait longer for a pause to end is told so at once, and comes again by itself."""

NO_ANSWER = frozenset({ErrorClass.UNAVAILABLE, ErrorClass.AMBIGUOUS})
ASKS_FOR_A_PAUSE = NO_ANSWER | {ErrorClass.RATE_LIMITED}
"""A `Retry-After` with anything else, such as missing stock, is about that one request and holds nobody else."""

log = logging.getLogger(__name__)


class Gate:
    """What stands between one credential's requests and the provider."""

    def __init__(
        self,
        *,
        limiter: RateLimiter | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        waited: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """`waited` is told the seconds of every pause that the provider asks for."""
        self._limiter = limiter or RateLimiter(REQUESTS_PER_SECOND, BURST, monotonic=monotonic, sleep=sleep)
        self._monotonic = monotonic
        self._sleep = sleep
        self._waited = waited
        self._held_until = 0.0
        self.breaker = Breaker(monotonic)

    async def enter(self, doing: str, *, creates: bool) -> None:
        """Wait for the request's turn. Raises `CloudError` when it may not go; then nothing was sent."""
        self._refuse_while_open(doing, creates=creates)
        await self._wait_for_the_pause(doing)
        await self._limiter.take()

    def admit(self, doing: str, *, creates: bool) -> None:
        """The last question before the request leaves. Raises `CloudError`; then nothing was sent."""
        if not self.breaker.admits(as_probe=not creates):
            raise self._resting(doing, creates=creates)

    def ended(self, failure: CloudError | None) -> None:
        """How a request that left has ended."""
        if failure is None or failure.failure.error not in NO_ANSWER:
            self.breaker.answered()
        elif self.breaker.failed():
            log.warning(
                "The provider does not answer; it is left alone for a while.",
                extra={"seconds": round(self.breaker.seconds_left, 1)},
            )
        wish = None if failure is None else failure.failure.retry_after_seconds
        if failure is not None and wish is not None and failure.failure.error in ASKS_FOR_A_PAUSE:
            self._held_until = max(self._held_until, self._monotonic() + wish)
            self._waited(wish)

    def _refuse_while_open(self, doing: str, *, creates: bool) -> None:
        if self.breaker.seconds_left > 0:
            raise self._resting(doing, creates=creates)

    def _resting(self, doing: str, *, creates: bool) -> CloudError:
        """Not sent. The time of the next try is apart from the message, because what moves stays out of a status."""
        because = "the provider has not been answering, and is left alone until it had time to come back"
        error = ErrorClass.NOT_SENT if creates else ErrorClass.UNAVAILABLE
        return error_of(error, doing, because=because, retry_after=max(1.0, self.breaker.seconds_left))

    async def _wait_for_the_pause(self, doing: str) -> None:
        left = self._held_until - self._monotonic()
        if left > LONGEST_WAIT_SECONDS:
            raise error_of(ErrorClass.RATE_LIMITED, doing, retry_after=left)
        while left > 0:
            await self._sleep(left)
            left = self._held_until - self._monotonic()


class Gates:
    """The gates of all credentials, by fingerprint: one key has one gate, in however many projects it is used."""

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        waited: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self.waited = waited
        self._gates: dict[str, Gate] = {}

    def of(self, fingerprint: str) -> Gate:
        """The gate of a credential, made at its first use."""
        if fingerprint not in self._gates:
            self._gates[fingerprint] = Gate(monotonic=self._monotonic, sleep=self._sleep, waited=self._tell)
        return self._gates[fingerprint]

    def breakers(self) -> Mapping[str, int]:
        """How many credentials have their breaker in which state."""
        return Counter(str(gate.breaker.state) for gate in self._gates.values())

    def _tell(self, seconds: float) -> None:
        self.waited(seconds)

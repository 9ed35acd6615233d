"""Everything outside the operator's processes, on one virtual clock: the API server, the provider, keys, and time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from tests.simulation.faults import Boundary, Fault, Kind, Weather

Answer = TypeVar("Answer")

START = datetime(2026, 1, 5, 8, tzinfo=UTC)
BEGIN = 1000.0  # the loop's seconds when a life begins
LONGEST_DELAY = 15.0  # of one request; well within the operator's own time limits
MESSAGE_DELAY = 100.0  # what nobody waits for any more arrives this late, at most
FEED_LAG = 20.0
CLIENT_TIMEOUT = 10.0
PASSES_AT_ONCE = 200
MOMENT_SECONDS = 0.01
LATENCIES = (0.01, 0.05, 0.3, 2.0)


class OracleError(AssertionError):
    """Something happened that never may."""


class Caller(Protocol):
    """Whoever makes a request: one process of the operator."""

    alive: bool

    def die(self) -> None:
        """End at once."""
        ...


@dataclass(frozen=True)
class Errors:
    """How one kind of client words what went wrong."""

    lost: Callable[[], Exception]
    refused: Callable[[], Exception]
    throttled: Callable[[float], Exception] | None = None


@dataclass(eq=False)
class World:
    """Time, faults, and what they do. The API server and the provider hang on it."""

    chance: random.Random
    weather: Weather
    loop: asyncio.AbstractEventLoop
    events: dict[Kind, Callable[[float], None]] = field(default_factory=dict)
    violation: OracleError | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    passes: int = 0
    _moment: float = -1.0
    _passes_of_moment: int = 0

    @property
    def now(self) -> float:
        """Seconds of the world."""
        return self.loop.time()

    def wall(self, error_seconds: float = 0.0) -> datetime:
        """UTC by a clock that is wrong by so much."""
        return START + timedelta(seconds=int(self.now - BEGIN + error_seconds))

    def later(self, seconds: float, happens: Callable[[], object]) -> None:
        """Something happens by itself after a time."""
        self.loop.call_later(seconds, self._guarded, happens)

    def broken(self, what: str) -> None:
        """An oracle speaks: the life ends here. The first word counts."""
        if self.violation is None:
            self.violation = OracleError(f"{what} (at {self.now - BEGIN:.1f} s)")
            self.ended.set()

    def begin_pass(self, key: object) -> None:
        """One pass of the operator begins. Many of them while no time passes are a loop that burns a processor."""
        self.passes += 1
        if self.now > self._moment + MOMENT_SECONDS:
            self._moment, self._passes_of_moment = self.now, 0
        self._passes_of_moment += 1
        if self._passes_of_moment > PASSES_AT_ONCE:
            self.broken(f"a hot loop: {PASSES_AT_ONCE} passes at one moment, the last over {key}")
            raise OracleError("this process would never let another task run")

    def latency(self) -> float:
        """How long one way takes."""
        return 0.02 if self.weather.calm else self.chance.choice(LATENCIES)

    async def across(
        self, caller: Caller, boundary: Boundary, effect: Callable[[Fault | None], Answer], errors: Errors
    ) -> Answer:
        """One request of the operator and its answer; the one place where it awaits the world."""
        await self._alive(caller)
        fault = self.weather.strikes(boundary, self.now)
        kind = None if fault is None else fault.kind
        await asyncio.sleep(self.latency())
        if fault is not None:
            await self._on_the_way(caller, fault, effect, errors)
        await self._alive(caller)
        answer = effect(fault)
        if kind is Kind.DUPLICATE:
            self._guarded(lambda: effect(fault))
        if kind is Kind.CRASH_AFTER:
            caller.die()
        await self._alive(caller)
        await asyncio.sleep(self.latency())
        await self._alive(caller)
        if kind is Kind.LOST_ANSWER:
            raise errors.lost()
        return answer

    async def _on_the_way(
        self, caller: Caller, fault: Fault, effect: Callable[[Fault | None], object], errors: Errors
    ) -> None:
        if fault.kind is Kind.DELAY:
            await asyncio.sleep(fault.size * LONGEST_DELAY)
        elif fault.kind is Kind.CRASH_BEFORE:
            caller.die()
        elif fault.kind is Kind.NO_EFFECT:
            raise errors.refused()
        elif fault.kind is Kind.THROTTLED and errors.throttled is not None:
            raise errors.throttled(fault.size * 30)
        elif fault.kind is Kind.LATE:
            self.later(fault.size * MESSAGE_DELAY, lambda: effect(fault))
            await asyncio.sleep(CLIENT_TIMEOUT)
            raise errors.lost()
        elif fault.kind in self.events:
            self.events[fault.kind](fault.size)

    async def _alive(self, caller: Caller) -> None:
        """A dead process neither asks nor hears: what it was doing is never gone on with."""
        if not caller.alive:
            await self.loop.create_future()

    def _guarded(self, happens: Callable[[], object]) -> None:
        """Do it; a refusal that nobody waits for is no news, an oracle's word is."""
        try:
            happens()
        except OracleError as broken:
            self.broken(str(broken))
        except Exception as refused:  # a client's error, or a fault of this simulation
            if type(refused).__name__ not in {"KubeError", "CloudError"}:
                raise

"""The running provider: holds the world, moves it on with the clock, shows it to what stands behind it.

Everything here runs on one event loop, so a request sees and changes one consistent world.
"""

import asyncio
import hmac
import random
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tunesmith_simulator import world as worlds
from tunesmith_simulator.backing import Backing, Change
from tunesmith_simulator.desk import Behind, Visit
from tunesmith_simulator.scenario import Scenario
from tunesmith_simulator.virtual_clock import VirtualClock
from tunesmith_simulator.world import Account, Happening, World

Clock = Callable[[], datetime]
"""Tells the time, with a time zone."""

SHORTEST_SLEEP_SECONDS = 0.02
"""Changes that are due closer together than this are made in one go."""


def wall_clock() -> datetime:
    """The time of the clock on the wall."""
    return datetime.now(UTC)


class ClockOnTheWallError(Exception):
    """The clock cannot be moved: it is the one on the wall."""

    def __init__(self) -> None:
        super().__init__(
            "this simulator goes by the clock on the wall: give its scenario a `clock` to move one by hand"
        )


class Simulation:
    """One provider. ``clock`` may be one that a test moves by hand."""

    def __init__(self, scenario: Scenario, backing: Backing, clock: Clock = wall_clock) -> None:
        self.clock = clock
        self.backing = backing
        self._behind = Behind(real=backing.real, kube_config=backing.kube_config)
        self._accounts = scenario.accounts_by_key()
        self.seed = random.getrandbits(32) if scenario.seed is None else scenario.seed
        self._world = scenario.world(clock())
        self._random = random.Random(self.seed)
        self._changed = asyncio.Event()
        self._ticker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to follow the clock."""
        loop = asyncio.get_running_loop()
        self.backing.start(lambda change: self._hear(loop, change))
        self._ticker = asyncio.create_task(self._tick())

    async def close(self) -> None:
        """Stop following the clock, and end what stands behind the clusters."""
        if self._ticker:
            self._ticker.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticker
        await self.backing.close()

    def account(self, key: str) -> Account | None:
        """Who ``key`` belongs to, with the credit that its projects have now."""
        found = None
        for known, account in self._accounts.items():
            if hmac.compare_digest(known.encode(), key.encode()):
                found = account
        unpaid = found is not None and not self._world.unpaid_projects.isdisjoint(found.projects)
        return replace(found, has_credit=False) if found is not None and unpaid else found

    def accounts(self) -> list[Account]:
        """All customers."""
        return list(self._accounts.values())

    def world(self) -> World:
        """The world as it is now."""
        moved = worlds.advanced(self._world, self.clock())
        if moved is not self._world:
            self.become(moved)
        return replace(self._world, as_of=self.clock()) if self._world.lags else self._world

    def become(self, world: World) -> None:
        """Make ``world`` the present one."""
        self._world = worlds.advanced(world, self.clock())
        self.backing.follow(self._world)
        self._changed.set()

    def happen(self, happening: Happening) -> tuple[str, ...]:
        """Let something happen now; what it touched."""
        self.become(worlds.happened(self.world(), happening, self.clock()))
        return self._world.happened[-1].touched

    def plan(self, happening: Happening, at: datetime) -> None:
        """Let something happen at a time to come."""
        self.become(worlds.planned(self.world(), happening, at))

    async def renew_certificate(self, cluster_id: str, valid_for: timedelta) -> None:
        """Let a cluster tell a kubeconfig with a new client certificate that ends after so long."""
        present = self.world().clusters[cluster_id].kube_config
        renewed = await self.backing.renewed(cluster_id, present, valid_for)
        world = self.world()
        self.become(world.with_cluster(replace(world.clusters[cluster_id], handed_out=renewed)))

    def advance(self, seconds: float) -> None:
        """Move the clock on. Raises ClockOnTheWallError when it is not a virtual one."""
        self._virtual().advance(seconds)
        self.become(self.world())

    def run_clock_at(self, rate: float) -> None:
        """Let the clock run at another rate. Raises ClockOnTheWallError when it is not a virtual one."""
        self._virtual().run_at(rate)
        self.become(self.world())

    def clock_rate(self) -> float:
        """How many seconds of the clock pass in one on the wall."""
        return self.clock.rate if isinstance(self.clock, VirtualClock) else 1

    def _virtual(self) -> VirtualClock:
        if not isinstance(self.clock, VirtualClock):
            raise ClockOnTheWallError
        return self.clock

    def visit(self, account: Account) -> Visit:
        """``account`` comes to the desk now."""
        return Visit(account=account, now=self.clock(), new_id=self._new_id, behind=self._behind)

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _hear(self, loop: asyncio.AbstractEventLoop, change: Change) -> None:
        # After the loop has closed there is nobody left to tell.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: self.become(change(self.world(), self.clock())))

    async def _tick(self) -> None:
        while True:
            self._changed.clear()
            at = self.world().next_change_at()
            seconds = None if at is None else self._wall_seconds_until(at)
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):  # `wait_for` loses a cancellation that comes with a change
                    await self._changed.wait()
            await asyncio.sleep(SHORTEST_SLEEP_SECONDS)

    def _wall_seconds_until(self, at: datetime) -> float | None:
        if isinstance(self.clock, VirtualClock):
            left = self.clock.wall_seconds_until(at)
            return None if left is None else max(left, SHORTEST_SLEEP_SECONDS)
        return max((at - self.clock()).total_seconds(), SHORTEST_SLEEP_SECONDS)

"""One process of the operator, from start to crash: the real queue, cache, intake, reconciler and controllers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import SecretStr
from tests.simulation.api_server import HERE, Feeds, PlayedKube, Store
from tests.simulation.ledger import PRICES
from tests.simulation.provider import Provider
from tests.simulation.reach import PlayedCloud, PlayedRemotes
from tests.simulation.world import OracleError, World

from tunesmith.cloud.accounts import Accounts
from tunesmith.controllers.cloud_view import CloudView
from tunesmith.controllers.gpu_cluster import GPUClusterController
from tunesmith.controllers.intake import Intake
from tunesmith.controllers.kube_actions import KubeActions
from tunesmith.controllers.ports import Ports
from tunesmith.controllers.queue import WorkQueue
from tunesmith.controllers.reconciler import Chance, Reconciler
from tunesmith.controllers.shared_volume import SharedVolumeController
from tunesmith.controllers.urgency import urgent_in
from tunesmith.kube.cache import Cache
from tunesmith.kube.errors import KubeError
from tunesmith.kube.kinds import GPU_CLUSTER, SHARED_VOLUME
from tunesmith.planning.circumstances import Installation
from tunesmith.planning.decision import Action, EventNote
from tunesmith.planning.usage import RecordUsage, UsageRecord

CLOCK_ERROR = 20.0
WORKERS = 2
INSTALLATION = Installation(
    id="prod01",
    create_window_seconds=30,
    settle_seconds=200,
    absence_interval_seconds=20,
    prices=PRICES,
    idle_warn_after_seconds=1_000_000,  # a warning that comes by itself would be a write in the silence
)

Raw = Mapping[str, Any]


class SkewedClock:
    """The world's time, with a wall clock that is wrong by some seconds."""

    def __init__(self, world: World, error_seconds: float) -> None:
        self._world = world
        self._error_seconds = error_seconds

    def now(self) -> datetime:
        """UTC, as this machine believes it is."""
        return self._world.wall(self._error_seconds)

    def monotonic(self) -> float:
        """Seconds."""
        return self._world.now


class _TellsRecords:
    """What both controllers have added: a usage record is told as it is written."""

    def __init__(self, ports: Ports, clouds: CloudView, recorded: Callable[[UsageRecord], None]) -> None:
        super().__init__(ports, clouds)
        self._recorded = recorded

    async def act(self, seen: Any, action: Action) -> object:
        """One request to the provider, or one line of the audit log."""
        if isinstance(action, RecordUsage):
            self._recorded(action.record)
        return await super().act(seen, action)


class _Clusters(_TellsRecords, GPUClusterController):
    """The real controller."""


class _Volumes(_TellsRecords, SharedVolumeController):
    """The real controller."""


class OperatorProcess:
    """What it remembers dies with it. `key` gives the installation's API key of now, `account` whom a key is of;
    `recorded` takes usage records."""

    def __init__(
        self,
        world: World,
        api: Store,
        feeds: Feeds,
        account: Callable[[str], Provider | None],
        providers: tuple[Provider, ...],
        key: Callable[[], str],
        installation: Installation = INSTALLATION,
        recorded: Callable[[UsageRecord], None] = lambda record: None,
    ) -> None:
        self.alive = True
        self.told: list[str] = []
        self._world, self._feeds = world, feeds
        chance = world.chance
        clock = SkewedClock(world, chance.uniform(-CLOCK_ERROR, CLOCK_ERROR))
        self.cache = Cache()
        self.queue = WorkQueue(clock.monotonic, chance.random, urgent_in(self.cache))
        self._intake = Intake(self.cache, self.queue)
        self._kube = PlayedKube(world, self, lambda: api, HERE)
        remotes = PlayedRemotes(world, self, api, providers)
        ports = Ports(self.cache, self._kube, remotes, installation, self._intake.wake, clock, lambda secret: None, str)
        accounts = Accounts(
            lambda credential: PlayedCloud(world, self, partial(account, credential.api_key.get_secret_value())),
            monotonic=clock.monotonic,
        )
        clouds = CloudView(ports, accounts, lambda: SecretStr(key()))
        self._reconciler = Reconciler(
            cache=self.cache,
            intake=self._intake,
            kube=self._kube,
            kube_actions=KubeActions(self._kube, remotes, self._intake.wrote),
            installation=installation,
            clock=clock,
            chance=Chance(chance.random, lambda: f"n{chance.getrandbits(64)}"),
            recorder=self,
            refusal=lambda raw, now: None,
        )
        self._reconciler.register(_Clusters(ports, clouds, recorded))
        self._reconciler.register(_Volumes(ports, clouds, recorded))
        self._tasks = [asyncio.ensure_future(self._run())]

    def record(self, raw: Raw, note: EventNote) -> None:
        """An Event."""
        self.told.append(note.reason)

    def die(self) -> None:
        """From now on nothing that it does reaches anybody; what was begun is never gone on with."""
        if not self.alive:
            return
        self.alive = False
        for task in self._tasks:
            self._world.loop.call_soon(task.cancel)

    async def _run(self) -> None:
        """Everything once, again and again until the API server answers; then the feed, and the workers."""
        for kind in (GPU_CLUSTER, SHARED_VOLUME):
            await self._listed(kind)
        self.cache.mark_synced("FineTuneJob")
        self._tasks += [asyncio.ensure_future(self._work()) for _ in range(WORKERS)]

    async def _listed(self, kind: Any) -> None:
        while True:
            try:
                self._feeds.listen(self, self._intake.seen)
                listing = await self._kube.list(kind)
            except KubeError:
                await asyncio.sleep(1.0)
                continue
            self.cache.replace(kind.kind, listing.items, listing.resource_version)
            for raw in listing.items:
                self._intake.look_at(raw)
            return

    async def _work(self) -> None:
        while True:
            key = await self.queue.take()
            try:
                self._world.begin_pass(key)
                ended = await self._reconciler.reconcile(key)
                self.queue.succeeded(key)
                if ended.outcome == "gone":
                    self.queue.forget(key)
                if ended.again_after_seconds is not None:
                    self.queue.add_after(key, ended.again_after_seconds)
            except OracleError:
                return
            except (KubeError, TimeoutError):
                self.queue.add_failed(key)
            except Exception as unexpected:  # the operator would log a traceback, which is never right
                logging.getLogger(__name__).exception("A pass of the simulated operator failed.")
                self._world.broken(f"an exception in a pass over {key}: {unexpected!r}")
                self.queue.add_failed(key)
            finally:
                self.queue.done(key)

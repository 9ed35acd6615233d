"""One process of the operator in a played world: the real queue, cache, intake, reconciler and controllers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from pydantic import SecretStr
from tests.simulation.played import CLOCK_ERROR, START, PlayedCloud, PlayedKube, PlayedRemotes, World

from tunesmith.cloud.accounts import Accounts
from tunesmith.controllers.cloud_view import CloudView
from tunesmith.controllers.gpu_cluster import GPUClusterController
from tunesmith.controllers.intake import Intake
from tunesmith.controllers.kube_actions import KubeActions
from tunesmith.controllers.ports import Ports
from tunesmith.controllers.queue import WorkQueue
from tunesmith.controllers.reconciler import Chance, Reconciler
from tunesmith.controllers.shared_volume import SharedVolumeController
from tunesmith.kube.cache import Cache
from tunesmith.kube.errors import KubeError
from tunesmith.kube.kinds import FINE_TUNE_JOB, GPU_CLUSTER, SHARED_VOLUME
from tunesmith.planning.circumstances import Installation

INSTALLATION = Installation(id="prod01", create_window_seconds=30, settle_seconds=200, absence_interval_seconds=20)


@dataclass
class SkewedClock:
    """The world's time, with a wall clock that is wrong by some seconds."""

    world: World
    error_seconds: float

    def now(self):
        return START + timedelta(seconds=int(self.world.clock + self.error_seconds))

    def monotonic(self):
        return self.world.clock


@dataclass(eq=False)
class OperatorProcess:
    """From start to crash. What it remembers dies with it."""

    world: World
    feed: list = field(default_factory=list)
    events: list = field(default_factory=list)

    def __post_init__(self):
        world, chance = self.world, self.world.chance
        clock = SkewedClock(world, chance.uniform(-CLOCK_ERROR, CLOCK_ERROR))
        self.cache = Cache()
        self.queue = WorkQueue(clock.monotonic, chance.random)
        self.intake = Intake(self.cache, self.queue)
        kube, remotes = PlayedKube(world), PlayedRemotes(world)
        ports = Ports(self.cache, kube, remotes, INSTALLATION, self.intake.wake, clock, lambda secret: None, str)
        accounts = Accounts(lambda credential: PlayedCloud(world), monotonic=clock.monotonic)
        clouds = CloudView(ports, accounts, lambda: SecretStr("the-installations-key"))
        self.reconciler = Reconciler(
            cache=self.cache,
            intake=self.intake,
            kube=kube,
            kube_actions=KubeActions(kube, remotes, self.intake.wrote),
            installation=INSTALLATION,
            clock=clock,
            chance=Chance(chance.random, lambda: f"n{chance.getrandbits(64)}"),
            recorder=self,
            refusal=lambda raw, now: None,
        )
        self.reconciler.register(GPUClusterController(ports, clouds))
        self.reconciler.register(SharedVolumeController(ports, clouds))
        self._list()

    def record(self, raw, note):
        self.events.append(note.reason)

    def _list(self):
        """Everything once; from here on the feed tells what changes."""
        for kind in (GPU_CLUSTER, SHARED_VOLUME, FINE_TUNE_JOB):
            found = [raw for (name, _, _), raw in self.world.kube.objects.items() if name == kind.kind]
            self.cache.replace(kind.kind, found, str(10**9) if not found else found[0]["metadata"]["resourceVersion"])
            for raw in found:
                self.intake.look_at(raw)
        self.world.feeds.append(self.feed)

    def end(self):
        """The process is no more."""
        self.world.feeds[:] = [feed for feed in self.world.feeds if feed is not self.feed]

    async def step(self):
        """Take in what the feed brought, then one pass. False: there was nothing to do."""
        due = [each for each in self.feed if each[0] <= self.world.clock]
        self.feed[:] = [each for each in self.feed if each[0] > self.world.clock]
        for _, raw, deleted in due:
            self.intake.seen(raw, deleted)
        key = self.queue.take_ready()
        if key is None:
            return False
        try:
            ended = await self.reconciler.reconcile(key)
            self.queue.succeeded(key)
            if ended.outcome == "gone":
                self.queue.forget(key)
            if ended.again_after_seconds is not None:
                self.queue.add_after(key, ended.again_after_seconds)
        except KubeError:
            self.queue.add_failed(key)
        finally:
            self.queue.done(key)
        return True

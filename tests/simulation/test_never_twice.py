"""A seeded world of crashes, lost answers and stale reads: real decisions, a played provider, API server and clock.

The invariants are those of "never buy twice": at no moment two live clusters for one resource, nothing paid that
nobody owns once the resource is gone, and the end is reached when the faults stop.
"""

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from tunesmith.planning.actions import SetMetadata
from tunesmith.planning.circumstances import Circumstances, FailureRecord, Installation, Known
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.decision import ErrorClass, Failure
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.orders import BuyCluster, DeleteCluster
from tunesmith.planning.provider import Credential, Driver, ProviderCluster, ProviderView, Region
from tunesmith.planning.purchase import HoldIntent, Intent, PurchaseMemory, after_looking
from tunesmith.planning.retry import hold_back
from tunesmith.planning.usage import RecordUsage
from tunesmith.resources.gpu_cluster import GPUCluster

START = datetime(2026, 1, 1, tzinfo=UTC)
LIST_LAG = 40.0  # a new cluster shows in lists this late, at most
MESSAGE_DELAY = 100.0  # a create lands this late, at most; with the lag it stays below `settle`
INSTALLATION = Installation(id="prod01", create_window_seconds=30, settle_seconds=200, absence_interval_seconds=20)
REGIONS = (Region("us-central-8", ("H100_SXM",), (Driver("d", "12.8", "570"),)),)


class CrashError(Exception):
    """The process dies here."""


@dataclass
class World:
    """Time, the API server's one object, and the provider."""

    chance: random.Random
    clock: float = 1000.0
    faulty: bool = True
    raw: dict | None = None
    version: int = 1
    clusters: dict[str, ProviderCluster] = field(default_factory=dict)
    visible_from: dict[str, float] = field(default_factory=dict)
    landing: list[tuple[float, ProviderCluster]] = field(default_factory=list)
    bought: int = 0
    most_alive: int = 0

    def pass_time(self, seconds):
        """Time goes on; what was under way lands."""
        self.clock += seconds
        for due, cluster in [each for each in self.landing if each[0] <= self.clock]:
            self.landing.remove((due, cluster))
            self.clusters[cluster.id] = cluster
        self.most_alive = max(self.most_alive, len(self.clusters))
        for key, cluster in list(self.clusters.items()):
            if cluster.status == "Deleting" and self.chance.random() < 0.2:
                del self.clusters[key]

    def fails(self, probability):
        """Whether a fault strikes."""
        return self.faulty and self.chance.random() < probability

    def crash_point(self):
        """Some time passes; sometimes the process dies."""
        self.pass_time(self.chance.choice([0.01, 0.1, 1, 5]))
        if self.fails(0.06):
            raise CrashError

    def post(self, order):
        """The provider takes the order now or late; the answer may be lost."""
        if self.fails(0.15):
            return Failure(ErrorClass.OUT_OF_STOCK, "Out of stock.")
        self.bought += 1
        made = ProviderCluster(f"c-{self.bought}", order.name, "WaitingForSubnet", order.region, order.gpu_type, 8)
        delay = self.chance.uniform(0, MESSAGE_DELAY) if self.fails(0.4) else 0.0
        self.landing.append((self.clock + delay, made))
        self.visible_from[made.id] = self.clock + delay + self.chance.uniform(0, LIST_LAG)
        self.pass_time(0.0)
        if delay or self.fails(0.3):
            return Failure(ErrorClass.AMBIGUOUS, "It is not known whether the provider did it.")
        return made.id

    def listed(self):
        """The list of now, with its lag."""
        return tuple(c for c in self.clusters.values() if self.visible_from[c.id] <= self.clock)


@dataclass
class Process:
    """One run of the operator: what dies with it."""

    world: World
    version: int = 0
    memory: PurchaseMemory | None = None
    view: ProviderView = field(default_factory=ProviderView)
    failures: dict[str, FailureRecord] = field(default_factory=dict)

    def one_pass(self):
        """Observe, decide, write the status, act: the reconciler's order."""
        world = self.world
        raw, version = world.raw, world.version
        if raw is None:
            return 5.0
        seen = self.observe(raw)
        decision = hold_back(decide(seen), seen.around)
        world.crash_point()
        status = decision.status.model_dump(mode="json", by_alias=True, exclude_none=True)
        before = seen.resource.status.model_dump(mode="json", by_alias=True, exclude_none=True)
        if status != before:
            if version != world.version:
                return 0.1  # 409: the pass is discarded
            world.raw, world.version = {**raw, "status": status}, version + 1
        self.version = world.version if status != before else version
        for action in decision.actions:
            world.crash_point()
            if not self.act(action):
                return 0.5
        return 0.1 if decision.actions else min(decision.look_again_seconds or 60.0, 60.0)

    def observe(self, raw):
        """The typed resource and what this process knows."""
        world = self.world
        resource = GPUCluster.model_validate(raw)
        around = Circumstances(
            now=START + timedelta(seconds=int(world.clock)),
            monotonic=world.clock,
            jitter=world.chance.random(),
            fresh_nonce=f"n{world.chance.getrandbits(64)}",
            installation=INSTALLATION,
            failures=dict(self.failures),
        )
        self.memory = self.memory or PurchaseMemory(first_seen=world.clock)
        written = resource.status.create_intent
        intent = None if written is None else Intent(written.name, written.nonce, written.started_time)
        self.memory = after_looking(
            self.memory, self.view, bought_id=resource.status.cluster_id, intent=intent, around=around
        )
        return ClusterObservation(around, resource, Credential("key"), self.view, self.memory)

    def act(self, action):
        """One action. False: it failed, and the pass ends."""
        world = self.world
        match action:
            case SetMetadata(finalizers, annotations):
                metadata = dict(world.raw["metadata"])
                if world.version != self.version:
                    return False  # 409: the write carries the resourceVersion that was decided on
                if finalizers is not None:
                    metadata["finalizers"] = list(finalizers)
                metadata["annotations"] = {**metadata.get("annotations", {}), **dict(annotations)}
                world.raw, world.version = {**world.raw, "metadata": metadata}, world.version + 1
                if metadata.get("deletionTimestamp") and not metadata["finalizers"]:
                    world.raw = None
            case HoldIntent(nonce, decided):
                self.memory = self.memory.with_intent_written(nonce, decided=decided, written=world.clock)
            case LookAtProvider():
                return self.look(action)
            case BuyCluster(order, nonce, deadline):
                self.memory = self.memory.with_post_begun(nonce)
                late = world.clock > deadline
                answer = Failure(ErrorClass.NOT_SENT, "Too late.") if late else world.post(order)
                world.crash_point()
                self.memory = self.memory.with_post_answered(nonce, answer, world.clock)
                return isinstance(answer, str)
            case DeleteCluster(cluster_id):
                if cluster_id in world.clusters:
                    world.clusters[cluster_id] = replace(world.clusters[cluster_id], status="Deleting")
                self.memory = self.memory.with_delete_sent(world.clock)
            case RecordUsage():
                world.crash_point()
            case _:
                raise AssertionError(f"nobody expected {action}")
        return True

    def look(self, action):
        """A list, begun now and answered a little later."""
        world, begun = self.world, self.world.clock
        if world.fails(0.2):
            count = self.failures[action.identity].count + 1 if action.identity in self.failures else 1
            failure = Failure(ErrorClass.UNAVAILABLE, "No answer.")
            self.failures[action.identity] = FailureRecord(count, world.clock, failure)
            return False
        self.failures.pop(action.identity, None)
        listed = world.listed()
        not_found = dict(self.view.not_found)
        if action.cluster_id is not None and action.cluster_id not in {c.id for c in listed}:
            if action.cluster_id in world.clusters:
                listed = (*listed, world.clusters[action.cluster_id])
            else:
                not_found[action.cluster_id] = begun
        self.view = ProviderView(Known(listed, begun), Known((), begun), Known(REGIONS, begun), not_found)
        world.crash_point()
        return True


def a_world(seed):
    world = World(random.Random(seed))
    world.raw = {
        "apiVersion": "tunesmith.dev/v1alpha1",
        "kind": "GPUCluster",
        "metadata": {"name": "train", "namespace": "ml", "uid": "u-1", "generation": 1},
        "spec": {"region": "us-central-8", "gpuType": "H100_SXM", "nodes": 1, "drift": {"intervalSeconds": 10}},
        "status": {},
    }
    return world


def run(world, *, until, most_passes):
    """Passes of one process after the other, and now and then of two at once (an older leader that is still there)."""
    processes = [Process(world)]
    for _ in range(most_passes):
        if until(world):
            return
        at = world.chance.randrange(len(processes))
        try:
            world.pass_time(processes[at].one_pass())
        except CrashError:
            processes[at] = Process(world)
        if world.faulty and world.chance.random() < 0.02:
            processes = [*processes[-1:], Process(world)]
        assert world.most_alive <= 1, "two live clusters for one resource"
    raise AssertionError(f"no end was reached: {world.raw}")


def is_owned(world):
    """The resource has recorded the one cluster."""
    recorded = (world.raw or {}).get("status", {}).get("clusterID")
    return recorded is not None and not world.landing


@pytest.mark.parametrize("seed", range(60))
def test_one_cluster_is_bought_and_given_back_whatever_crashes(seed):
    world = a_world(seed)
    run(world, until=lambda w: w.clock > 1000 + 600, most_passes=4000)
    world.faulty = False
    run(world, until=is_owned, most_passes=4000)
    assert len(world.clusters) == 1
    assert world.raw["status"]["clusterID"] in world.clusters
    world.raw["metadata"]["deletionTimestamp"] = "2026-01-01T02:00:00Z"
    world.version += 1
    run(world, until=lambda w: w.raw is None, most_passes=4000)
    assert world.clusters == {}
    assert world.landing == []


@pytest.mark.parametrize("seed", range(60))
def test_a_resource_deleted_in_the_middle_of_its_purchase_leaves_nothing_behind(seed):
    world = a_world(1000 + seed)
    moment = world.chance.uniform(0, 60)
    run(world, until=lambda w: w.clock > 1000 + moment, most_passes=4000)
    if world.raw is not None:
        world.raw = {
            **world.raw,
            "metadata": {**world.raw["metadata"], "deletionTimestamp": "2026-01-01T00:10:00Z"},
        }
        world.version += 1
        if not world.raw["metadata"].get("finalizers"):
            world.raw = None
    world_end = world.clock + 900
    run(world, until=lambda w: w.raw is None or w.clock > world_end, most_passes=6000)
    world.faulty = False
    run(world, until=lambda w: w.raw is None, most_passes=6000)
    world.pass_time(MESSAGE_DELAY + 1)
    assert world.clusters == {}

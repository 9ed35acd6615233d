"""A world to run the real operator in: an API server, a provider and a clock, all played, with seeded faults.

Requests are slow, late or lost; the feed lags and repeats itself; lists of the provider lag; processes die at any
request, before it arrives or after it was carried out. Everything follows from one seed.
"""

from __future__ import annotations

import asyncio
import copy
import random
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from tests.unit.tunesmith.controllers.conftest import MemoryKube

from tunesmith.cloud.errors import CloudError
from tunesmith.kube.errors import unreachable
from tunesmith.kube.remote import RemoteView
from tunesmith.planning.circumstances import Known
from tunesmith.planning.cluster_observation import KubeconfigFacts
from tunesmith.planning.decision import ErrorClass, Failure
from tunesmith.planning.provider import AttachedVolume, Driver, ProviderCluster, ProviderVolume, Region

START = datetime(2026, 1, 1, tzinfo=UTC)
LIST_LAG = 40.0  # what was made shows in lists this late, at most
MESSAGE_DELAY = 100.0  # a create lands this late, at most; with the lag it stays below `settle`
FEED_LAG = 20.0
CLOCK_ERROR = 20.0
REGIONS = (Region("us-central-8", ("H100_SXM",), (Driver("d", "12.8", "570"),)),)


class CrashError(Exception):
    """The process dies here."""


@dataclass
class Provider:
    """Clusters and volumes as they are, and from when on lists show them."""

    clusters: dict[str, ProviderCluster] = field(default_factory=dict)
    volumes: dict[str, ProviderVolume] = field(default_factory=dict)
    visible_from: dict[str, float] = field(default_factory=dict)
    landing: list[tuple[float, ProviderCluster, ProviderVolume | None]] = field(default_factory=list)
    ready_at: dict[str, float] = field(default_factory=dict)
    gone_at: dict[str, float] = field(default_factory=dict)
    made: int = 0


@dataclass
class World:
    """Everything outside the operator's processes."""

    chance: random.Random
    clock: float = 1000.0
    faulty: bool = True
    kube: MemoryKube = field(default_factory=MemoryKube)
    provider: Provider = field(default_factory=Provider)
    feeds: list[list[tuple[float, dict, bool]]] = field(default_factory=list)
    writes: int = 0

    def fails(self, probability):
        """Whether a fault strikes now."""
        return self.faulty and self.chance.random() < probability

    async def between(self):
        """Somewhere between the operator and the world: time passes, others go on, the process may die."""
        for _ in range(self.chance.randrange(3)):
            await asyncio.sleep(0)
        self.pass_time(self.chance.choice([0.01, 0.05, 0.3, 2.0]) if self.faulty else 0.01)
        if self.fails(0.015):
            raise CrashError

    def pass_time(self, seconds):
        """Time goes on; what was under way happens."""
        self.clock += seconds
        provider = self.provider
        for each in [each for each in provider.landing if each[0] <= self.clock]:
            provider.landing.remove(each)
            self._land(*each)
        for cluster_id, at in list(provider.ready_at.items()):
            if at <= self.clock:
                del provider.ready_at[cluster_id]
                cluster = provider.clusters.get(cluster_id)
                if cluster is not None and cluster.status != "Deleting":
                    provider.clusters[cluster_id] = replace(cluster, status="Ready", kubeconfig="apiVersion: v1\n")
        for thing, at in list(provider.gone_at.items()):
            if at <= self.clock:
                del provider.gone_at[thing]
                provider.clusters.pop(thing, None)
                provider.volumes.pop(thing, None)

    def _land(self, at, cluster, volume):
        provider = self.provider
        for made in (cluster, volume):
            if made is not None:
                provider.visible_from[made.id] = at + (self.chance.uniform(0, LIST_LAG) if self.faulty else 0.0)
        provider.clusters[cluster.id] = cluster
        provider.ready_at[cluster.id] = at + self.chance.uniform(5, 60)
        if volume is not None:
            provider.volumes[volume.id] = volume
        self.check()

    def check(self):
        """At no moment are two things alive for one resource."""
        for living in (self.provider.clusters.values(), self.provider.volumes.values()):
            names = [replace(each.parsed_name, incarnation=1) for each in living if each.status.lower() != "deleting"]
            assert len(names) == len(set(names)), f"bought twice: {sorted(map(str, names))}"

    def changed(self, raw, deleted):
        """The API server tells every feed, some time later, and sometimes twice."""
        self.writes += 1
        for feed in self.feeds:
            for _ in range(2 if self.fails(0.1) else 1):
                feed.append((self.clock + (self.chance.uniform(0, FEED_LAG) if self.faulty else 0.0), raw, deleted))

    def next_event(self):
        """When something happens by itself."""
        provider = self.provider
        times = [at for at, *_ in provider.landing]
        times += [at for feed in self.feeds for at, *_ in feed]
        return min((*times, *provider.ready_at.values(), *provider.gone_at.values()), default=None)

    # what a user does

    def give(self, kind, name, spec, created="2026-01-01T00:00:00Z"):
        """Create a resource."""
        metadata = {"name": name, "namespace": "ml", "generation": 1, "creationTimestamp": created, "uid": f"{name}-1"}
        raw = {"apiVersion": "tunesmith.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
        self.changed(self.kube.put(raw), deleted=False)

    def delete(self, kind, name):
        """Delete a resource: at once when nothing holds it, else it is marked."""
        stored = copy.deepcopy(self.kube.objects.get((kind, "ml", name)))
        if stored is None:
            return
        stored["metadata"]["deletionTimestamp"] = "2026-01-01T01:00:00Z"
        self.changed(*self.settled(self.kube.put(stored)))

    def settled(self, raw):
        """The object, and whether it is gone because nothing holds it any more."""
        meta = raw["metadata"]
        gone = bool(meta.get("deletionTimestamp")) and not meta.get("finalizers")
        if gone:
            self.kube.objects.pop((raw["kind"], meta.get("namespace"), meta["name"]), None)
        return raw, gone

    def status(self, kind, name):
        """A resource's status; None when it is gone."""
        stored = self.kube.objects.get((kind, "ml", name))
        return None if stored is None else stored.get("status") or {}


@dataclass
class PlayedKube:
    """The API server as one process reaches it."""

    world: World

    async def get(self, kind, namespace, name):
        return await self._asked("get", kind, namespace, name)

    async def list(self, kind, namespace=None, **_):
        return await self._asked("list", kind, namespace)

    async def apply(self, manifest):
        return await self._written("apply", manifest)

    async def patch_status(self, raw, status):
        return await self._written("patch_status", raw, copy.deepcopy(status))

    async def merge_patch(self, kind, namespace, name, patch):
        return await self._written("merge_patch", kind, namespace, name, patch)

    async def delete(self, kind, namespace, name, **_):
        await self.world.between()
        gone = self.world.kube.objects.get((kind.kind, namespace, name))
        await self.world.kube.delete(kind, namespace, name)
        if gone is not None and kind.kind in {"GPUCluster", "SharedVolume"}:
            self.world.changed(gone, deleted=True)
        await self.world.between()
        if self.world.fails(0.02):
            raise unreachable("delete", "the answer was lost")
        return gone is not None

    async def _asked(self, verb, *arguments):
        await self.world.between()
        if self.world.fails(0.01):
            raise unreachable(verb, "the answer was lost")
        answer = await getattr(self.world.kube, verb)(*arguments)
        await self.world.between()
        return answer

    async def _written(self, verb, *arguments):
        await self.world.between()
        stored = await getattr(self.world.kube, verb)(*arguments)
        self.world.changed(*self.world.settled(stored))
        await self.world.between()
        if self.world.fails(0.02):
            raise unreachable(verb, "the answer was lost")
        return stored


@dataclass
class PlayedCloud:
    """The provider as one process reaches it."""

    world: World

    async def list_clusters(self):
        return await self._listed(self.world.provider.clusters)

    async def list_volumes(self):
        return await self._listed(self.world.provider.volumes)

    async def list_regions(self):
        return REGIONS

    async def get_cluster(self, cluster_id):
        await self._way()
        return self.world.provider.clusters.get(cluster_id)

    async def get_volume(self, volume_id):
        await self._way()
        return self.world.provider.volumes.get(volume_id)

    async def create_cluster(self, order, *, deadline):
        world, provider = self.world, self.world.provider
        await world.between()
        if world.clock > deadline:
            raise CloudError(Failure(ErrorClass.NOT_SENT, "Too late."))
        if world.fails(0.35):
            raise CloudError(Failure(ErrorClass.OUT_OF_STOCK, "Out of stock."))
        provider.made += 1
        volume = None
        if order.new_volume is not None:
            volume = ProviderVolume(f"v-{provider.made}", order.new_volume.name, order.new_volume.size_tib, "available")
        attached = provider.volumes.get(order.volume_id) if order.volume_id is not None else volume
        if order.volume_id is not None and attached is None:
            raise CloudError(Failure(ErrorClass.BAD_REQUEST, "There is no such volume."))
        held = (each.id for cluster in self._all_clusters() for each in cluster.volumes)
        if attached is not None and attached.id in held:
            raise CloudError(Failure(ErrorClass.CONFLICT, "The volume is attached."))
        volumes = () if attached is None else (AttachedVolume(attached.id, attached.name, attached.size_tib, "bound"),)
        made = ProviderCluster(
            f"c-{provider.made}",
            order.name,
            "WaitingForSubnet",
            order.region,
            order.gpu_type,
            order.gpus,
            created=START + timedelta(seconds=int(world.clock)),
            volumes=volumes,
        )
        delay = world.chance.uniform(0, MESSAGE_DELAY) if world.fails(0.3) else 0.0
        provider.landing.append((world.clock + delay, made, volume))
        world.pass_time(0.0)
        await world.between()
        if delay or world.fails(0.2):
            raise CloudError(Failure(ErrorClass.AMBIGUOUS, "It is not known whether the provider did it."))
        return made

    async def delete_cluster(self, cluster_id):
        await self._way()
        provider = self.world.provider
        if cluster_id in provider.clusters:
            provider.clusters[cluster_id] = replace(provider.clusters[cluster_id], status="Deleting")
            provider.gone_at.setdefault(cluster_id, self.world.clock + self.world.chance.uniform(1, 60))
        await self.world.between()

    async def delete_volume(self, volume_id):
        await self._way()
        provider = self.world.provider
        if any(each.id == volume_id for cluster in provider.clusters.values() for each in cluster.volumes):
            raise CloudError(Failure(ErrorClass.CONFLICT, "The volume is attached."))
        if volume_id in provider.volumes:
            provider.volumes[volume_id] = replace(provider.volumes[volume_id], status="deleting")
            provider.gone_at.setdefault(volume_id, self.world.clock + self.world.chance.uniform(1, 30))
        await self.world.between()

    async def _way(self):
        await self.world.between()
        if self.world.fails(0.1):
            raise CloudError(Failure(ErrorClass.UNAVAILABLE, "No answer."))

    async def _listed(self, things):
        await self._way()
        world = self.world
        listed = tuple(each for each in things.values() if world.provider.visible_from[each.id] <= world.clock)
        await world.between()
        return listed

    def _all_clusters(self):
        return (*self.world.provider.clusters.values(), *(cluster for _, cluster, _ in self.world.provider.landing))


@dataclass
class PlayedRemotes:
    """Bought clusters: all nodes are Ready as soon as the provider says so."""

    world: World
    inside: MemoryKube = field(default_factory=MemoryKube)

    def __post_init__(self):
        kind = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass"}
        self.inside.put({**kind, "metadata": {"name": "shared-storage-class"}})

    def view(self, remote):
        node = {
            "kind": "Node",
            "metadata": {"name": "node-0"},
            "status": {"allocatable": {"nvidia.com/gpu": "8"}, "conditions": [{"type": "Ready", "status": "True"}]},
        }
        return RemoteView(Known(True, 0.0), Known((node,), 0.0), Known((), 0.0), Known((), 0.0))

    def judge(self, kubeconfig):
        return KubeconfigFacts()

    async def kube(self, remote):
        return self.inside

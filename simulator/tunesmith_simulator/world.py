"""Everything that the provider has at one moment, and how it goes on by itself. Frozen; changes make a new world.

What is gone stays in the record with the time it went. What a customer may do to the world is in ``desk``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, Protocol

from tunesmith_simulator import capacity, clusters, remediations, volumes
from tunesmith_simulator.alerts import Alert
from tunesmith_simulator.capacity import CapacityPool, StockKey
from tunesmith_simulator.clusters import Cluster
from tunesmith_simulator.courses import NO_COURSES, Courses
from tunesmith_simulator.machines import NodePhase, Source
from tunesmith_simulator.pace import Pace, rescaled
from tunesmith_simulator.phases import SETTLED, ClusterPhase
from tunesmith_simulator.prices import FROM_ORDER_TO_END, BillingRules, Prices
from tunesmith_simulator.refusals import not_found
from tunesmith_simulator.regions import Region
from tunesmith_simulator.remediations import Remediation
from tunesmith_simulator.repair_policy import RepairPolicy
from tunesmith_simulator.volumes import Volume, VolumeStatus


class ReportedChange(Protocol):
    """What stands behind a cluster reports something: the functions below, their other arguments given."""

    def __call__(self, world: "World", /, *, cluster_id: str, now: datetime) -> "World":
        """The world with the report in it."""
        ...


class Happening(Protocol):
    """Something that happens to the world at a moment, asked for by an administrator or a scenario's timeline."""

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        ...

    def done(self, world: "World", now: datetime) -> tuple["World", tuple[str, ...]]:
        """The world after it, and what it touched; nothing when there was nothing that it could touch."""
        ...


@dataclass(frozen=True, slots=True)
class Planned:
    """Something that is going to happen."""

    at: datetime
    happening: Happening


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that has happened, and the objects that it touched."""

    at: datetime
    title: str
    touched: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListLag:
    """How late a list is, in seconds of the clock: what is new is not in it yet, what is gone is in it still."""

    appears_after_seconds: float = 0
    vanishes_after_seconds: float = 0

    def shows(self, made_at: datetime, gone_at: datetime | None, as_of: datetime | None) -> bool:
        """Whether a list that is asked for at ``as_of`` shows what was made and went at these times."""
        if as_of is None:
            return gone_at is None
        appeared = made_at + timedelta(seconds=self.appears_after_seconds) <= as_of
        left = gone_at is not None and gone_at + timedelta(seconds=self.vanishes_after_seconds) <= as_of
        return appeared and not left


Listed = Literal["clusters", "volumes"]
"""What lists can be late."""

PUNCTUAL = ListLag()


@dataclass(frozen=True, slots=True)
class Account:
    """Who asks: the projects it is a member of (the first is its default), and what it may do."""

    name: str
    projects: tuple[str, ...]
    may_change_clusters: bool = True
    has_credit: bool = True
    organization: str = ""


@dataclass(frozen=True)
class World:
    """The provider. ``stock`` is what is free to sell, in GPUs; ``wakes`` when each object next changes by itself.

    ``as_of`` is when the world was looked at; it matters only while lists are late.
    """

    regions: Mapping[str, Region]
    stock: Mapping[StockKey, int]
    pace: Pace
    prices: Prices
    clusters: Mapping[str, Cluster] = field(default_factory=dict)
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    wakes: Mapping[str, datetime] = field(default_factory=dict)
    remediations: Mapping[str, Remediation] = field(default_factory=dict)
    alerts: Mapping[str, Alert] = field(default_factory=dict)
    preemptible_stock: Mapping[StockKey, int] = field(default_factory=dict)
    pools: Mapping[str, CapacityPool] = field(default_factory=dict)
    repair_policy: RepairPolicy = field(default_factory=RepairPolicy)
    billing: BillingRules = FROM_ORDER_TO_END
    courses: Courses = NO_COURSES
    planned: tuple[Planned, ...] = ()
    happened: tuple[Happened, ...] = ()
    lags: Mapping[Listed, ListLag] = field(default_factory=dict)
    as_of: datetime | None = None
    unpaid_projects: frozenset[str] = frozenset()

    def region(self, name: str) -> Region | None:
        """The region of that name."""
        return self.regions.get(name)

    def cluster_of(self, account: Account, cluster_id: str) -> Cluster:
        """A cluster that ``account`` can see. Raises RefusedError when there is none."""
        cluster = self.clusters.get(cluster_id)
        if cluster is None or cluster.gone_at is not None or cluster.order.project_id not in account.projects:
            raise not_found("cluster", cluster_id)
        return cluster

    def clusters_of(self, account: Account, project_id: str | None) -> list[Cluster]:
        """The clusters that ``account`` can see, oldest first; of one project if given, none if it is not its own."""
        lag = self.lags.get("clusters", PUNCTUAL)
        return [
            cluster
            for cluster in self.clusters.values()
            if lag.shows(cluster.created_at, cluster.gone_at, self.as_of)
            and _within(account, project_id, cluster.order.project_id)
        ]

    def volume_of(self, account: Account, volume_id: str) -> Volume:
        """A volume that ``account`` can see. Raises RefusedError when there is none."""
        volume = self.volumes.get(volume_id)
        if volume is None or volume.gone_at is not None or volume.project_id not in account.projects:
            raise not_found("volume", volume_id)
        return volume

    def volumes_of(self, account: Account, project_id: str | None) -> list[Volume]:
        """The volumes that ``account`` can see, oldest first; of one project if given, none if it is not its own."""
        lag = self.lags.get("volumes", PUNCTUAL)
        return [
            volume
            for volume in self.volumes.values()
            if lag.shows(volume.created_at, volume.gone_at, self.as_of)
            and _within(account, project_id, volume.project_id)
        ]

    def next_change_at(self) -> datetime | None:
        """When something next changes by itself."""
        first_planned = [each.at for each in self.planned[:1]]
        return min([*self.wakes.values(), *first_planned], default=None)

    def with_cluster(self, cluster: Cluster) -> "World":
        """The world with this cluster in it, anew or changed; the stock follows what it holds."""
        before = self.clusters.get(cluster.cluster_id)
        key = (cluster.order.region, cluster.order.gpu_type)
        taken = {source: cluster.held_from(source) - (before.held_from(source) if before else 0) for source in Source}
        reclaimed = capacity.reclaimed_gpus(cluster) - (capacity.reclaimed_gpus(before) if before else 0)
        world = replace(
            self,
            clusters={**self.clusters, cluster.cluster_id: cluster},
            stock=capacity.without(self.stock, key, taken[Source.STANDARD]),
            preemptible_stock=capacity.without(self.preemptible_stock, key, taken[Source.PREEMPTIBLE] + reclaimed),
            pools=capacity.drawn(self.pools, cluster.order.capacity_pool_id, taken[Source.CAPACITY_POOL]),
        )._with_cluster_wake(cluster)
        return world.with_hope(key) if taken[Source.PREEMPTIBLE] < 0 else world

    def with_hope(self, key: StockKey) -> "World":
        """The world after preemptible GPUs of ``key`` came free: clusters that miss some look again."""
        world = self
        for cluster in self.clusters.values():
            if cluster.missing_preemptible_gpus > 0 and (cluster.order.region, cluster.order.gpu_type) == key:
                world = world._with_cluster_wake(cluster)
        return world

    def with_volume(self, volume: Volume) -> "World":
        """The world with this volume in it, anew or changed."""
        world = replace(self, volumes={**self.volumes, volume.volume_id: volume})
        world = world._with_wake(volume.volume_id, volume.due_at)
        attached_to = world.clusters.get(volume.attached_to or "")
        return world.with_cluster(attached_to) if attached_to else world

    def with_remediation(self, remediation: Remediation) -> "World":
        """The world with this repair in it, anew or changed."""
        kept = {**self.remediations, remediation.remediation_id: remediation}
        return replace(self, remediations=kept)._with_wake(remediation.remediation_id, remediation.due_at)

    def with_repair_policy(self, policy: RepairPolicy) -> "World":
        """The world in which the provider repairs nodes by itself by another policy."""
        return replace(self, repair_policy=policy)

    def with_alert(self, alert: Alert) -> "World":
        """The world with this alert in it, anew or changed."""
        return replace(self, alerts={**self.alerts, alert.alert_id: alert})

    def volume_available_at(self, cluster: Cluster) -> datetime | None:
        """When the shared volume of ``cluster`` could be mounted; None while it cannot."""
        volume = self.volumes.get(cluster.volume_id or "")
        ready = volume is not None and volume.status in {VolumeStatus.AVAILABLE, VolumeStatus.BOUND}
        return volume.since if volume is not None and ready else None

    def _with_cluster_wake(self, cluster: Cluster) -> "World":
        at = clusters.next_change_at(cluster, self.volume_available_at(cluster))
        if capacity.can_be_evened_out(cluster, self.free_preemptible_gpus(cluster)):
            at = min(at, cluster.since) if at else cluster.since
        return self._with_wake(cluster.cluster_id, at)

    def free_preemptible_gpus(self, cluster: Cluster) -> int:
        """What could be added to a cluster of the GPUs that may be reclaimed."""
        return self.preemptible_stock.get((cluster.order.region, cluster.order.gpu_type), 0)

    def _with_wake(self, identifier: str, at: datetime | None) -> "World":
        if self.wakes.get(identifier) == at:
            return self
        rest = {key: time for key, time in self.wakes.items() if key != identifier}
        return replace(self, wakes=rest if at is None else {**rest, identifier: at})


def advanced(world: World, now: datetime) -> World:
    """The world as it is at ``now``."""
    while world.planned and world.planned[0].at <= now:
        first, *rest = world.planned
        world = happened(_settled(replace(world, planned=tuple(rest)), first.at), first.happening, first.at)
    return _settled(world, now)


def happened(world: World, happening: Happening, now: datetime) -> World:
    """The world after something happened, with a note of it."""
    world, touched = happening.done(world, now)
    return replace(world, happened=(*world.happened, Happened(now, happening.title, touched)))


def planned(world: World, happening: Happening, at: datetime) -> World:
    """The world in which something is going to happen; of what is planned for one moment the older comes first."""
    return replace(world, planned=tuple(sorted((*world.planned, Planned(at, happening)), key=lambda each: each.at)))


def _settled(world: World, now: datetime) -> World:
    while due := [identifier for identifier, at in world.wakes.items() if at <= now]:
        # Volumes first: a cluster waits for its volume, and a volume never for its cluster.
        for identifier in (each for each in due if each in world.volumes):
            world = world.with_volume(volumes.advanced(world.volumes[identifier], now, world.pace))
        for identifier in (each for each in due if each in world.clusters):
            world = _with_cluster_advanced(world, world.clusters[identifier], now)
        for identifier in (each for each in due if each in world.remediations):
            world = _with_remediation_advanced(world, world.remediations[identifier], now)
    return world


def at_speed(world: World, speed: float, now: datetime) -> World:
    """The world at another speed from ``now`` on: what is left of every wait is stretched or shortened."""
    factor = world.pace.speed / speed
    world = replace(
        world,
        pace=world.pace.model_copy(update={"speed": speed}),
        planned=tuple(replace(each, at=rescaled(each.at, now, factor) or each.at) for each in world.planned),
    )
    for volume in world.volumes.values():
        world = world.with_volume(volumes.replayed(volume, now, factor))
    for cluster in world.clusters.values():
        world = world.with_cluster(clusters.replayed(cluster, now, factor))
    for remediation in world.remediations.values():
        world = world.with_remediation(remediations.replayed(remediation, now, factor))
    return world


def control_plane_up(world: World, *, cluster_id: str, now: datetime, kube_config: str) -> World:
    """What stands behind a cluster reports: its API answers, and this is its kubeconfig (base64)."""
    cluster = world.clusters[cluster_id]
    nodes = tuple(replace(node, up_at=node.up_at or now) for node in cluster.control_plane_nodes)
    return world.with_cluster(replace(cluster, control_plane_nodes=nodes, kube_config=kube_config))


def nodes_up(world: World, *, cluster_id: str, now: datetime, boots: Mapping[str, int]) -> World:
    """What stands behind a cluster reports: these nodes run, after so many restarts each."""
    cluster = world.clusters[cluster_id]
    nodes = tuple(
        replace(node, up_at=now) if boots.get(node.host_name) == node.boots and node.up_at is None else node
        for node in cluster.gpu_nodes
    )
    return world.with_cluster(replace(cluster, gpu_nodes=nodes))


def volume_attached(world: World, *, cluster_id: str, now: datetime) -> World:
    """What stands behind a cluster reports: the shared volume can be mounted in it."""
    return world.with_cluster(replace(world.clusters[cluster_id], volume_attached_at=now))


def ended(world: World, *, cluster_id: str, now: datetime) -> World:
    """What stood behind a cluster reports: nothing of it runs any more."""
    return world.with_cluster(replace(world.clusters[cluster_id], ended_at=now))


def backing_failed(world: World, *, cluster_id: str, now: datetime, error: str) -> World:
    """What stands behind a cluster could not do what it was told; the provider has no word for that but waiting."""
    return world.with_cluster(replace(world.clusters[cluster_id], backing_error=f"{now.isoformat()}: {error}"))


def _within(account: Account, wanted: str | None, owner: str) -> bool:
    return owner in account.projects and wanted in {None, owner}


def _with_cluster_advanced(world: World, cluster: Cluster, now: datetime) -> World:
    cluster = clusters.advanced(cluster, now, world.pace, world.volume_available_at(cluster))
    if cluster.phase in SETTLED and cluster.order.project_id in world.unpaid_projects:
        cluster = clusters.paused(cluster, cluster.since, world.pace)
    world = world.with_cluster(cluster)
    if capacity.can_be_evened_out(cluster, world.free_preemptible_gpus(cluster)):
        even = capacity.evened_out(cluster, world.free_preemptible_gpus(cluster), now, world.pace)
        world = world.with_cluster(even)
    world = _with_repairs_followed(world, cluster.cluster_id, now)
    cluster = world.clusters[cluster.cluster_id]
    volume = world.volumes.get(cluster.volume_id or "")
    if volume is None or volume.attached_to != cluster.cluster_id:
        return world
    if cluster.gone_at is not None:
        return world.with_volume(volumes.released(volume, cluster.gone_at, world.pace))
    mounted_at = cluster.entered_at(ClusterPhase.INSTALLING_DRIVERS)
    if mounted_at is not None and volume.status is VolumeStatus.AVAILABLE:
        return world.with_volume(volumes.bound(volume, mounted_at))
    return world


def _with_repairs_followed(world: World, cluster_id: str, now: datetime) -> World:
    """The repairs of a cluster go on with its nodes, and what runs again, or is gone, no longer gives alarm."""
    for remediation in list(world.remediations.values()):
        if remediation.cluster_id == cluster_id and not remediation.over:
            world = _with_remediation_advanced(world, remediation, now)
    cluster = world.clusters[cluster_id]
    for alert in list(world.alerts.values()):
        if alert.cluster_id == cluster_id and alert.resolved_at is None:
            node = cluster.node_of(alert.instance_id)
            if node is None or cluster.gone_at or (node.phase is NodePhase.RUNNING and node.since > alert.started_at):
                at = node.since if node is not None and not cluster.gone_at else now
                world = world.with_alert(replace(alert, resolved_at=at))
    return world


def _with_remediation_advanced(world: World, remediation: Remediation, now: datetime) -> World:
    cluster = world.clusters[remediation.cluster_id]
    free = world.stock.get((cluster.order.region, cluster.order.gpu_type), 0)
    moved, changed = remediations.advanced(remediation, cluster, now, world.pace, free)
    if changed is not cluster:
        world = world.with_cluster(changed)
    return world if moved is remediation else world.with_remediation(moved)

"""The played provider: accounts with clusters and volumes, lists that lag, orders that land late, and a ledger.

It watches over the money: what it makes and what it is asked to delete is held against the oracles at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tests.simulation.api_server import Store
from tests.simulation.faults import Fault, Kind
from tests.simulation.ledger import PRICES, LedgerEntry, Part, volume_rate
from tests.simulation.world import World

from tunesmith.cloud.errors import CloudError
from tunesmith.planning.decision import ErrorClass, Failure
from tunesmith.planning.orders import ClusterChanges, ClusterOrder, VolumeOrder
from tunesmith.planning.provider import (
    GPUS_PER_NODE,
    AttachedVolume,
    Driver,
    PhaseTransition,
    ProviderCluster,
    ProviderNode,
    ProviderVolume,
    Region,
)

LIST_LAG = 40.0  # what was made shows in lists this late, at most; what is gone is shown for as long
DRIVERS = (Driver("d", "12.8", "570"),)
REGIONS = (Region("us-central-8", ("H100_SXM",), DRIVERS), Region("us-east-1", ("H100_SXM", "B200"), DRIVERS))

Snapshot = tuple[float, dict[str, ProviderCluster], dict[str, ProviderVolume]]


@dataclass(eq=False)
class Provider:
    """One account: what exists, from when on lists show it, and what it said before."""

    world: World
    label: str
    owner_acts: Callable[[str, ProviderCluster | ProviderVolume], None] = lambda verb, thing: None
    clusters: dict[str, ProviderCluster] = field(default_factory=dict)
    volumes: dict[str, ProviderVolume] = field(default_factory=dict)
    insides: dict[str, Store] = field(default_factory=dict)
    ledger: dict[str, LedgerEntry] = field(default_factory=dict)
    visible_from: dict[str, float] = field(default_factory=dict)
    past: list[Snapshot] = field(default_factory=list)
    under_way: int = 0
    writes: Counter[str] = field(default_factory=Counter)
    made: int = 0

    def create_cluster(self, order: ClusterOrder) -> ProviderCluster:
        """Make what is ordered: living from now on, in lists a little later."""
        attached = self._attachable(order)
        self.made += 1
        self.writes[order.name] += 1
        volume = None
        if order.new_volume is not None:
            volume = self.create_volume(order.new_volume)
            attached = (AttachedVolume(volume.id, volume.name, volume.size_tib, "bound"),)
        made = ProviderCluster(
            id=f"{self.label}-c{self.made}",
            name=order.name,
            status="WaitingForSubnet",
            region=order.region,
            gpu_type=order.gpu_type,
            gpus=order.gpus,
            project_id=f"project-of-{self.label}",
            created=self.world.wall(),
            phases=(PhaseTransition("CLUSTER_PHASE_WAITING_FOR_SUBNET", self.world.wall()),),
            volumes=attached,
            driver_version_id=order.driver_version_id or "",
            cuda_version=order.cuda_version or "",
            driver_version=order.driver_version or "",
        )
        self.ledger[made.id] = LedgerEntry(made.name, PRICES.gpu_hour_usd[made.gpu_type], is_cluster=True)
        self._fit_nodes(made.id, made.gpus // GPUS_PER_NODE)
        self._keep(self._with_nodes(made), self.clusters)
        self.world.later(self.world.chance.uniform(5, 60), lambda: self._ready(made.id))
        self.owner_acts("create", made)
        return made

    def create_volume(self, order: VolumeOrder) -> ProviderVolume:
        """A volume of its own."""
        self.made += 1
        self.writes[order.name] += 1
        made = ProviderVolume(f"{self.label}-v{self.made}", order.name, order.size_tib, "available")
        part = Part(made.id, made.size_tib, self.world.wall())
        self.ledger[made.id] = LedgerEntry(made.name, volume_rate(), is_cluster=False, parts=[part])
        self._keep(made, self.volumes)
        self.owner_acts("create", made)
        return made

    def change(self, cluster_id: str, changes: ClusterChanges) -> None:
        """Another size, a little later."""
        cluster = self._known(cluster_id)
        self.writes[cluster.name] += 1
        self.owner_acts("change", cluster)
        if changes.gpus is not None:
            gpus = changes.gpus
            self.world.later(self.world.chance.uniform(1, 20), lambda: self.resized(cluster_id, gpus))

    def resized(self, cluster_id: str, gpus: int) -> None:
        """The cluster has another size now."""
        cluster = self.clusters.get(cluster_id)
        if cluster is None or cluster.status == "Deleting" or cluster.gpus == gpus:
            return
        self._fit_nodes(cluster_id, gpus // GPUS_PER_NODE)
        self._keep(self._with_nodes(replace(cluster, gpus=gpus)), self.clusters)

    def delete_cluster(self, cluster_id: str) -> None:
        """Take it down; it is gone a little later. Already gone counts as done."""
        cluster = self.clusters.get(cluster_id)
        if cluster is None:
            return
        self.owner_acts("delete", cluster)
        self.take_down(cluster_id)

    def take_down(self, cluster_id: str) -> None:
        """Whoever asked for it."""
        cluster = self.clusters.get(cluster_id)
        if cluster is None or cluster.status == "Deleting":
            return
        self.writes[cluster.name] += 1
        phases = (*cluster.phases, PhaseTransition("CLUSTER_PHASE_DELETING", self.world.wall()))
        self._keep(replace(cluster, status="Deleting", phases=phases), self.clusters)
        self.ledger[cluster_id].asked = self.world.wall()
        self.world.later(self.world.chance.uniform(1, 60), lambda: self._gone(cluster_id))

    def delete_volume(self, volume_id: str) -> None:
        """Delete a volume that nothing holds."""
        volume = self.volumes.get(volume_id)
        if volume is None:
            return
        if self.holder_of(volume_id) is not None:
            raise CloudError(Failure(ErrorClass.CONFLICT, "The volume is attached."))
        self.owner_acts("delete", volume)
        self.writes[volume.name] += 1
        self._keep(replace(volume, status="deleting"), self.volumes)
        self.world.later(self.world.chance.uniform(1, 30), lambda: self._gone(volume_id))

    def holder_of(self, volume_id: str) -> ProviderCluster | None:
        """The living cluster with this volume."""
        holds = (c for c in self.clusters.values() if any(volume.id == volume_id for volume in c.volumes))
        return next(holds, None)

    def listed(self, things: str, fault: Fault | None) -> tuple[Any, ...]:
        """A list of now, or an older one that still shows what is gone."""
        now, stale = self.world.now, fault is not None and fault.kind is Kind.STALE
        if not stale or fault is None:
            held = self.clusters if things == "clusters" else self.volumes
            return tuple(each for each in held.values() if self.visible_from[each.id] <= now)
        _, clusters, volumes = self._as_of(now - fault.size * LIST_LAG)
        return tuple((clusters if things == "clusters" else volumes).values())

    def looked_up(self, thing: str, fault: Fault | None) -> Any:
        """One object; a stale answer may still show what is gone, and never hides what is there."""
        stale = None
        if fault is not None and fault.kind is Kind.STALE:
            _, clusters, volumes = self._as_of(self.world.now - fault.size * LIST_LAG)
            stale = clusters.get(thing) or volumes.get(thing)
        return stale or self.clusters.get(thing) or self.volumes.get(thing)

    def living(self) -> tuple[ProviderCluster | ProviderVolume, ...]:
        """Everything that bills."""
        return tuple(each for each in (*self.clusters.values(), *self.volumes.values()) if each.status not in DYING)

    def _as_of(self, moment: float) -> Snapshot:
        older = [snapshot for snapshot in self.past if snapshot[0] <= moment]
        return older[-1] if older else (moment, {}, {})

    def _attachable(self, order: ClusterOrder) -> tuple[AttachedVolume, ...]:
        if order.volume_id is None:
            return ()
        volume = self.volumes.get(order.volume_id)
        if volume is None or volume.status == "deleting":
            raise CloudError(Failure(ErrorClass.BAD_REQUEST, "There is no such volume."))
        if self.holder_of(order.volume_id) is not None:
            raise CloudError(Failure(ErrorClass.CONFLICT, "The volume is attached."))
        return (AttachedVolume(volume.id, volume.name, volume.size_tib, "bound"),)

    def _ready(self, cluster_id: str) -> None:
        cluster = self.clusters.get(cluster_id)
        if cluster is None or cluster.status == "Deleting":
            return
        self.insides[cluster_id] = _new_inside()
        now = self.world.wall()
        for part in self.ledger[cluster_id].parts:
            part.running = part.running or (now if part.until is None else None)
        phases = (*cluster.phases, PhaseTransition("CLUSTER_PHASE_READY", now))
        ready = replace(cluster, status="Ready", phases=phases, first_ready=now)
        kubeconfig = f"apiVersion: v1 # {cluster_id}"
        self._keep(self._with_nodes(replace(ready, kubeconfig=kubeconfig)), self.clusters)

    def nodes_of(self, cluster_id: str) -> tuple[str, ...]:
        """The names of its nodes."""
        return tuple(part.id for part in self.ledger[cluster_id].parts if part.until is None)

    def _fit_nodes(self, cluster_id: str, count: int) -> None:
        """As many nodes as that: new ones are added, and those that are marked to go are the first to go."""
        inside, parts, now = self.insides.get(cluster_id), self.ledger[cluster_id].parts, self.world.wall()
        running = now if inside is not None else None
        while len(self.nodes_of(cluster_id)) < count:
            self.made += 1
            parts.append(Part(f"node-{self.made}", GPUS_PER_NODE, now, running))
        while len(names := self.nodes_of(cluster_id)) > count:
            marked = (name for name in names if inside is not None and _is_marked(inside, name))
            leaves = next(marked, names[-1])
            next(part for part in parts if part.id == leaves).until = now
            if inside is not None:
                inside.delete("Node", "", leaves)

    def _with_nodes(self, cluster: ProviderCluster) -> ProviderCluster:
        """What is shown of the nodes: those of now, and those that went, each with its times."""
        parts = self.ledger[cluster.id].parts
        nodes = tuple(_shown(part) for part in parts if part.until is None)
        return replace(cluster, nodes=nodes, deleted_nodes=tuple(_shown(part) for part in parts if part.until))

    def _gone(self, thing: str) -> None:
        self.clusters.pop(thing, None)
        self.volumes.pop(thing, None)
        self.insides.pop(thing, None)
        self.ledger[thing].gone = self.world.wall()
        self._remember()

    def _known(self, cluster_id: str) -> ProviderCluster:
        cluster = self.clusters.get(cluster_id)
        if cluster is None:
            raise CloudError(Failure(ErrorClass.NOT_FOUND, "There is no such cluster."))
        return cluster

    def _keep(self, thing: Any, things: dict[str, Any]) -> None:
        if thing.id not in things:
            lag = 0.0 if self.world.weather.calm else self.world.chance.uniform(0, LIST_LAG)
            self.visible_from[thing.id] = self.world.now + lag
        things[thing.id] = thing
        self._remember()

    def _remember(self) -> None:
        self.past.append((self.world.now, dict(self.clusters), dict(self.volumes)))
        while len(self.past) > 2 and self.past[1][0] < self.world.now - LIST_LAG:
            del self.past[0]


LEAVES_FIRST = "node.together.ai/delete-node-on-scale-down"
DYING = frozenset({"Deleting", "deleting"})


def _shown(part: Part) -> ProviderNode:
    phases = [PhaseTransition("PROVISIONING", part.since)]
    if part.running is not None:
        phases.append(PhaseTransition("RUNNING", part.running))
    return ProviderNode(part.id, part.id, gpus=part.count, phases=tuple(phases), deleted=part.until)


def _new_inside() -> Store:
    store = Store()
    labels = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass"}
    store.put({**labels, "metadata": {"name": "shared-storage-class"}})
    return store


def _is_marked(inside: Store, name: str) -> bool:
    marked = inside.find("Node", name, "") or {}
    return LEAVES_FIRST in ((marked.get("metadata") or {}).get("annotations") or {})

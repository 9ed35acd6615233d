"""Clusters and volumes of the simulator's pure world, looked at now and then, with the books of the real decisions."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from tests.unit.simulator.builders import PROJECT, Played
from tests.unit.tunesmith.planning.cluster_builders import NAME, REGION, a_cluster_resource, a_view
from tests.unit.tunesmith.planning.volume_builders import BOUGHT, a_volume, at_provider
from tests.unit.tunesmith.planning.volume_builders import NAME as VOLUME_NAME
from tests.unit.tunesmith.planning.volume_builders import seen as seen_volume

from tunesmith.planning.circumstances import Circumstances, Installation, Known
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.decision import Outcome
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.price_table import PUBLISHED, BilledFrom, BilledUntil, BillingRules
from tunesmith.planning.provider import (
    Credential,
    PhaseTransition,
    ProviderCluster,
    ProviderNode,
    ProviderView,
)
from tunesmith.planning.purchase import PurchaseMemory, after_looking
from tunesmith.planning.shared_volume import decide as decide_volume
from tunesmith.planning.usage import RecordUsage
from tunesmith.resources.timestamps import format_time
from tunesmith_simulator.clusters import Cluster
from tunesmith_simulator.http.g2_answers import cluster_json
from tunesmith_simulator.ledger import ledger
from tunesmith_simulator.machines import Node
from tunesmith_simulator.world import Account


def shown(cluster: Cluster, world, now) -> ProviderCluster:
    """What the provider's answer tells, as facts."""
    wire = cluster_json(cluster, world, Account(name="acme", projects=(PROJECT,)), now)
    return ProviderCluster(
        id=cluster.cluster_id,
        name=cluster.order.name,
        status=wire["status"],
        region=cluster.order.region,
        gpu_type=cluster.order.gpu_type,
        gpus=wire["num_gpus"] + wire["allocated_preemptible_gpus"],
        project_id=cluster.order.project_id,
        billing_type=wire["billing_type"],
        created=cluster.created_at,
        first_ready=cluster.first_ready_at,
        phases=tuple(PhaseTransition(step.phase.value, step.time) for step in cluster.history),
        reserved_gpus=wire["num_reserved_gpus"],
        desired_preemptible_gpus=wire["desired_preemptible_gpus"],
        allocated_preemptible_gpus=wire["allocated_preemptible_gpus"],
        capacity_pool_id=wire.get("capacity_pool_id", ""),
        capacity_pool_gpus=wire["num_capacity_pool_gpus"],
        reservation_start=cluster.order.starts_at,
        reservation_end=cluster.ends_at,
        nodes=tuple(_node(node) for node in cluster.gpu_nodes),
        deleted_nodes=tuple(_node(node) for node in cluster.deleted_nodes),
    )


def _node(node: Node) -> ProviderNode:
    return ProviderNode(
        id=node.node_id,
        host_name=node.host_name,
        gpus=node.num_gpus,
        marked_for_deletion=node.marked_for_deletion,
        phases=tuple(PhaseTransition(step.phase.value.removeprefix("NODE_PHASE_"), step.time) for step in node.history),
        deleted=node.deleted_at,
    )


class Kept:
    """The books of one GPUCluster: each look is a pass of the real decision, whose status is kept."""

    def __init__(self, world: Played, begins: BilledFrom, ends: BilledUntil, *, spec=None, **order) -> None:
        world.billed(
            "Created" if begins is BilledFrom.UNKNOWN else begins.value,
            "Gone" if ends is BilledUntil.UNKNOWN else ends.value,
        )
        self.world = world
        self.writes = 0
        self.records = {}
        self._installation = Installation(id="prod01", prices=PUBLISHED, billing=BillingRules(begins, ends))
        self._begun = world.now
        self.spec = spec or {}
        self.cluster_id = world.buy(name=str(NAME), **order)
        self.status = None
        self._outcomes = ()
        self._memory = PurchaseMemory(first_seen=-60.0, named=True)

    def look(self, *, deleting=False) -> None:
        """One pass, and those that follow it at once."""
        for _ in range(6):
            seen = self._seen(deleting)
            decision = decide(seen)
            records = tuple(action for action in decision.actions if isinstance(action, RecordUsage))
            for action in records:
                self.records[action.record.id] = action.record
            self._outcomes = tuple(Outcome(action) for action in records)
            if decision.status == seen.status and not records:
                return
            self.writes += decision.status != seen.status
            self.status = decision.status

    @property
    def total(self):
        return self.status.cost.account.total

    def truth(self) -> Decimal:
        """What the simulator's ledger says up to the time that the books count to."""
        exact = ledger(self.world.world, self.status.cost.as_of_time).of(self.cluster_id).usd
        return Decimal(exact.numerator) / Decimal(exact.denominator)

    def _seen(self, deleting) -> ClusterObservation:
        monotonic = (self.world.now - self._begun) / timedelta(seconds=1)
        cluster = self.world.cluster(self.cluster_id)
        listed = () if cluster.gone_at is not None else (shown(cluster, self.world.world, self.world.now),)
        status = self.status.model_dump(by_alias=True, exclude_none=True, mode="json") if self.status else {}
        resource = a_cluster_resource(status=status, deleting=deleting, **self.spec)
        created = resource.metadata.model_copy(update={"creation_timestamp": self._begun})
        seen = ClusterObservation(
            around=replace(
                Circumstances(self.world.now, monotonic, 0.5, "fresh", self._installation), outcomes=self._outcomes
            ),
            resource=resource.model_copy(update={"metadata": created}),
            credential=Credential("key-1", None),
            provider=ProviderView(
                Known(listed, monotonic),
                Known((), monotonic),
                Known((REGION,), monotonic),
                {} if listed else {self.cluster_id: monotonic},
            ),
            memory=self._memory,
        )
        self._memory = after_looking(
            self._memory, seen.provider, bought_id=seen.status.cluster_id, intent=None, around=seen.around
        )
        return replace(seen, memory=self._memory)


class KeptVolume:
    """The books of one SharedVolume, kept in the same way from the moment it was ordered."""

    def __init__(self, world: Played, *, size_tib: int) -> None:
        self.world = world
        self._begun = world.now
        self.volume_id = world.buy_volume(name=str(VOLUME_NAME), size_tib=size_tib)
        ordered = {"computeUSD": "0.00", "asOfTime": format_time(world.now), "account": {"total": {}, "earlier": {}}}
        self._status = {**BOUGHT, "volumeID": self.volume_id, "incarnation": 1, "cost": ordered}
        self._memory = PurchaseMemory(first_seen=-60.0, named=True)

    def look(self) -> None:
        """One pass of the real decision."""
        monotonic = (self.world.now - self._begun) / timedelta(seconds=1)
        volume = self.world.volume(self.volume_id)
        there = () if volume.gone_at else (at_provider(volume.status.value, volume.size_tib, self.volume_id),)
        view = a_view(volumes=there, begun=monotonic, not_found={} if there else {self.volume_id: monotonic})
        installation = Installation(id="prod01", prices=PUBLISHED)
        observation = replace(
            seen_volume(a_volume(status=self._status, sizeTiB=volume.size_tib), view, memory=self._memory),
            around=Circumstances(self.world.now, monotonic, 0.5, "fresh", installation),
        )
        self._memory = after_looking(
            self._memory, view, bought_id=self.volume_id, intent=None, around=observation.around
        )
        decision = decide_volume(replace(observation, memory=self._memory))
        self._status = decision.status.model_dump(by_alias=True, exclude_none=True, mode="json")
        self.cost = decision.status.cost

    @property
    def total(self):
        return self.cost.account.total

    def truth(self) -> Decimal:
        """What the simulator's ledger says up to the time that the books count to."""
        exact = ledger(self.world.world, self.cost.as_of_time).of(self.volume_id).usd
        return Decimal(exact.numerator) / Decimal(exact.denominator)

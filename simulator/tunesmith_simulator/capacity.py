"""GPUs that do not come from a region's open stock: preemptible ones, and a customer's own capacity pool. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from tunesmith_simulator import machines
from tunesmith_simulator.clusters import Cluster, NodeEvent
from tunesmith_simulator.identifiers import derived_id
from tunesmith_simulator.machines import GPUS_PER_NODE, PREEMPTIBLE_PREFIX, Node, Source
from tunesmith_simulator.pace import Pace

StockKey = tuple[str, str]
"""Region name and GPU type."""


@dataclass(frozen=True, slots=True)
class CapacityPool:
    """GPUs that a project has set aside; ``free_gpus`` is what no cluster holds of them."""

    pool_id: str
    project_id: str
    region: str
    gpu_type: str
    free_gpus: int


def without(stock: Mapping[StockKey, int], key: StockKey, taken: int) -> Mapping[StockKey, int]:
    """The stock after so many GPUs were taken, or given back when ``taken`` is negative."""
    return {**stock, key: stock.get(key, 0) - taken} if taken else stock


def drawn(pools: Mapping[str, CapacityPool], pool_id: str | None, taken: int) -> Mapping[str, CapacityPool]:
    """The pools after so many GPUs were drawn from one, or given back when ``taken`` is negative."""
    if pool_id is None or not taken:
        return pools
    return {**pools, pool_id: replace(pools[pool_id], free_gpus=pools[pool_id].free_gpus - taken)}


def reclaimed_gpus(cluster: Cluster) -> int:
    """Preemptible GPUs that were taken back from a cluster: somebody else has them, so they are not free again."""
    taken = (node for node in cluster.deleted_nodes if node.preempted and node.source is Source.PREEMPTIBLE)
    return sum(node.num_gpus for node in taken)


def can_be_evened_out(cluster: Cluster, free_gpus: int) -> bool:
    """Whether preemptible nodes can be added to a cluster that misses some, or it has too many."""
    missing = cluster.missing_preemptible_gpus
    return missing < 0 or (missing > 0 and free_gpus >= GPUS_PER_NODE)


def evened_out(cluster: Cluster, free_gpus: int, now: datetime, pace: Pace) -> Cluster:
    """The cluster with as many preemptible nodes as it wants, or as there are.

    provider: the wish is fulfilled in its own time, and fewer may be allocated than desired.
    """
    missing = cluster.missing_preemptible_gpus
    if missing < 0:
        return _fewer(cluster, -missing // GPUS_PER_NODE, now, pace)
    return _more(cluster, min(missing, free_gpus) // GPUS_PER_NODE, now, pace)


def _more(cluster: Cluster, count: int, now: datetime, pace: Pace) -> Cluster:
    so_far = sum(node.source is Source.PREEMPTIBLE for node in (*cluster.gpu_nodes, *cluster.deleted_nodes))
    added = tuple(_node(cluster, so_far + index, now, pace) for index in range(count))
    events = tuple(NodeEvent(node.host_name, "TogetherNodeAdded", "Preemptible node added.", now) for node in added)
    return replace(cluster, gpu_nodes=(*cluster.gpu_nodes, *added), events=(*cluster.events, *events))


def _node(cluster: Cluster, number: int, now: datetime, pace: Pace) -> Node:
    node_id = derived_id(cluster.cluster_id, "preemptible", str(number))
    node = machines.new_node(
        node_id=node_id,
        instance_id=derived_id(node_id, "instance"),
        host_name=f"{PREEMPTIBLE_PREFIX}-{node_id[:8]}",
        num_gpus=GPUS_PER_NODE,
        now=now,
        backed=cluster.backed,
        source=Source.PREEMPTIBLE,
    )
    return machines.started(node, now, pace)


def _fewer(cluster: Cluster, count: int, now: datetime, pace: Pace) -> Cluster:
    leaves_at = pace.after(now, pace.durations.node_leaving_seconds)
    preemptible = [node for node in cluster.staying if node.source is Source.PREEMPTIBLE]
    for node in preemptible[-count:]:
        event = NodeEvent(node.host_name, "TogetherScaledDown", "Node removed by a scale-down.", now)
        cluster = cluster.with_node(replace(node, leaves_at=leaves_at, leaving_since=now))
        cluster = replace(cluster, events=(*cluster.events, event))
    return cluster

"""Which nodes of a bought cluster get no further jobs, and why: they shrink away, are taken away, or are repaired.

It stands in `status.leavingNodes`, which the pool and the jobs read: the pool grants nothing there, and jobs on a node
that they must leave save, and go on elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.kube_facts import NodeFact
from tunesmith.planning.node_use import MAY_FINISH, MUST_LEAVE, PREEMPTED, REPAIR, SCALE_DOWN, by_least_loss, used_nodes
from tunesmith.planning.preemption import is_preemptible, taken_away
from tunesmith.planning.provider import GPUS_PER_NODE, ProviderCluster
from tunesmith.planning.repair_plan import repairs_under_way
from tunesmith.resources.gpu_cluster_parts import ScaleDownPolicy
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus, LeavingNode

MOST_AT_ONCE = 256
"""More than this many nodes go in turns: the list stands in the status."""


def leaving_nodes(seen: ClusterObservation, cluster: ProviderCluster) -> tuple[LeavingNode, ...]:
    """The list as it is now. A node that shrinks away is not repaired first, unless the provider was asked already."""
    before = {node.name: node for node in seen.status.leaving_nodes}
    there = _still_there(seen, before)
    asked = {node.name for node in before.values() if node.reason == REPAIR and node.asked_time is not None}
    found: dict[str, LeavingNode] = {}
    for name, jobs in given_back(seen, cluster):
        found[name] = _entry(seen, before, name, SCALE_DOWN, jobs)
    for name in marked_by_provider(cluster):
        found[name] = _entry(seen, before, name, SCALE_DOWN, MUST_LEAVE)
    repairs = {node.name: node for node in repairs_under_way(seen, cluster)}
    found |= {name: node for name, node in repairs.items() if name not in found or name in asked or node.repair_id}
    for name, noticed in taken_away(seen, cluster).items():
        entry = _entry(seen, before, name, PREEMPTED, MUST_LEAVE)
        since = entry.time if name in before and before[name].reason == PREEMPTED else noticed
        found[name] = entry.model_copy(update={"time": since})
    if isinstance(seen.nodes, Unknown):
        found = {**{name: node for name, node in before.items() if name in there}, **found}
    return tuple(found[name] for name in sorted(found))[:MOST_AT_ONCE]


def given_back(seen: ClusterObservation, cluster: ProviderCluster) -> tuple[tuple[str, str], ...]:
    """The nodes that are to go because fewer are wanted, each with what becomes of its jobs.

    First those that are going already, then cordoned, broken and idle ones, then those whose jobs lose least.
    """
    nodes = seen.gpu_nodes
    surplus = min(max(0, cluster.gpus - seen.wanted_gpus) // GPUS_PER_NODE, MOST_AT_ONCE)
    gone_at_provider = max(0, len(nodes) - max(seen.wanted_nodes, cluster.gpus // GPUS_PER_NODE))
    on_their_way = sorted(name for name, node in nodes.items() if node.cordoned_for == SCALE_DOWN)
    used = used_nodes(seen)
    jobs = MUST_LEAVE if seen.spec.scale_down_policy is ScaleDownPolicy.DRAIN_JOBS else MAY_FINISH
    if surplus == 0:
        return tuple((name, jobs) for name in on_their_way[:gone_at_provider])
    told = {node.name for node in seen.status.leaving_nodes if node.reason == SCALE_DOWN}
    nodes = {name: node for name, node in nodes.items() if not is_preemptible(node)}  # their number is another wish
    draining = [name for name in nodes if jobs == MUST_LEAVE and name in told]
    idle = sorted((name for name in nodes if name not in used), key=lambda name: _goes_first(nodes[name], told))
    held = [name for name in nodes if name in used]
    told_before = by_least_loss(seen, [name for name in held if name in told])
    order = dict.fromkeys((*draining, *idle, *told_before, *by_least_loss(seen, held)))
    return tuple((name, jobs) for name in list(order)[: surplus + gone_at_provider])


def marked_by_provider(cluster: ProviderCluster) -> tuple[str, ...]:
    """Nodes that the provider itself is taking out, as its autoscaler does."""
    return tuple(sorted(node.host_name for node in cluster.nodes if node.marked_for_deletion and node.host_name))


def names_closed(status: GPUClusterStatus) -> frozenset[str]:
    """The nodes on which nothing may be granted."""
    return frozenset(node.name for node in status.leaving_nodes)


def names_to_leave(status: GPUClusterStatus) -> Mapping[str, str]:
    """The nodes that jobs must leave now, each with the reason."""
    return {node.name: node.reason or "" for node in status.leaving_nodes if node.jobs == MUST_LEAVE}


def names_suspected(status: GPUClusterStatus) -> frozenset[str]:
    """The nodes that are granted last: they look broken, or are blamed, and nobody has mended them yet."""
    return frozenset(node.name for node in status.suspect_nodes if node.cleared_time is None)


def _goes_first(node: NodeFact, told: Iterable[str]) -> tuple[bool, bool, bool, str]:
    return (node.name not in told, not node.cordoned, node.ready, node.name)


def _entry(
    seen: ClusterObservation, before: Mapping[str, LeavingNode], name: str, reason: str, jobs: str
) -> LeavingNode:
    known = before.get(name)
    if known is not None and known.reason == reason:
        return known.model_copy(update={"jobs": jobs})
    return LeavingNode(name=name, reason=reason, jobs=jobs, time=seen.around.now)


def _still_there(seen: ClusterObservation, before: Iterable[str]) -> frozenset[str]:
    """The nodes that exist as far as anybody can tell; all of before while the cluster does not answer."""
    recorded = frozenset(seen.recorded_nodes)
    return recorded | (frozenset(before) if isinstance(seen.nodes, Unknown) else frozenset(seen.gpu_nodes))

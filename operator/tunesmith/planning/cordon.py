"""Cordons that are ours: put on nodes that are to go or to be repaired, and taken off again. No other is touched."""

from __future__ import annotations

from tunesmith.planning.actions import ApplyObject
from tunesmith.planning.bought import quietly
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.decision import Decision
from tunesmith.planning.kube_facts import CORDONED_FOR_ANNOTATION, NodeFact
from tunesmith.planning.leaving import leaving_nodes
from tunesmith.planning.node_health import trouble
from tunesmith.planning.node_use import SCALE_DOWN, is_used
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus

LEAVES_FIRST_ANNOTATION = "node.together.ai/delete-node-on-scale-down"  # provider: which node goes on scale-down


def cordoned(node: NodeFact, why: str) -> dict[str, object]:
    """The node, closed to the scheduler. What is to shrink away says so in the provider's words too."""
    annotations = {CORDONED_FOR_ANNOTATION: why}
    if why == SCALE_DOWN:
        annotations[LEAVES_FIRST_ANNOTATION] = "true"
    return {**uncordoned(node, annotations), "spec": {"unschedulable": True}}


def uncordoned(node: NodeFact, annotations: dict[str, str] | None = None) -> dict[str, object]:
    """The node without what we said of it: a server-side apply takes away what it no longer names.

    The uid keeps the apply from making a node that has gone meanwhile.
    """
    metadata: dict[str, object] = {"name": node.name}
    if node.uid:
        metadata["uid"] = node.uid
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata}


def no_longer_leaving(seen: ClusterObservation) -> Decision[GPUClusterStatus] | None:
    """Nodes that we cordoned and that are to stay after all, and are well: jobs may use them again."""
    cluster = seen.bought
    if cluster is None or isinstance(seen.nodes, Unknown) or not seen.may_change:
        return None
    leaving = {node.name: node.reason or "" for node in leaving_nodes(seen, cluster)}
    staying = tuple(
        node
        for node in seen.nodes.value
        if node.cordoned_for
        and not _still_closed(seen, node, leaving.get(node.name, ""))
        and trouble(seen, node.name) is None
    )
    if not staying:
        return None
    return quietly(seen, *(ApplyObject(seen.here, uncordoned(node)) for node in staying))


def _still_closed(seen: ClusterObservation, node: NodeFact, reason: str) -> bool:
    """A node that waits for its jobs to end is not cordoned for the provider before it can go."""
    if reason == SCALE_DOWN:
        return node.cordoned_for == SCALE_DOWN and not is_used(seen, node.name)
    return reason != ""

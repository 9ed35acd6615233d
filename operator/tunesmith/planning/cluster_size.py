"""The size of a bought cluster: nodes Ready as bought, more or fewer as the user wants, never below what jobs hold."""

from __future__ import annotations

from tunesmith.planning.actions import ApplyObject
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.cluster_observation import ClusterObservation, quietly, working
from tunesmith.planning.cluster_status import as_seen, standing
from tunesmith.planning.decision import Decision, EventNote, EventType
from tunesmith.planning.kube_facts import NodeFact
from tunesmith.planning.orders import ChangeCluster, ClusterChanges
from tunesmith.planning.provider import GPUS_PER_NODE, ProviderCluster
from tunesmith.planning.purchase import LookAtProvider
from tunesmith.planning.verdict import Verdict, reason_of
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus
from tunesmith.resources.reasons import Reason

ClusterDecision = Decision[GPUClusterStatus]

LEAVES_FIRST_ANNOTATION = "node.together.ai/delete-node-on-scale-down"  # provider: which node goes on scale-down
RESIZE_AGAIN_SECONDS = 60.0
"""A resize that the provider's list does not show after this time is asked for again."""


def wrong_size(seen: ClusterObservation) -> ClusterDecision | None:
    """More or fewer nodes than the user wants: ask the provider for the size."""
    cluster = seen.bought
    if cluster is None or cluster.gpus == seen.wanted_gpus:
        return None
    written = seen.memory.last_write
    if written is not None and (seen.provider.begun is None or seen.provider.begun < written):
        return quietly(seen, LookAtProvider(written))
    if written is not None and seen.around.monotonic < written + RESIZE_AGAIN_SECONDS:
        return _resizing(seen, cluster)
    if cluster.gpus > seen.wanted_gpus:
        return _shrink(seen, cluster)
    return _resizing(seen, cluster, _to_wanted_size(seen, cluster))


def _shrink(seen: ClusterObservation, cluster: ProviderCluster) -> ClusterDecision:
    """Cordon the idle nodes that are to go, then ask for fewer; nodes that jobs hold never go."""
    facts = standing(seen, cluster)
    if isinstance(seen.nodes, Unknown):
        message = "Which nodes are idle is not known; none is given back meanwhile."
        return working(seen, Reason.SCALE_DOWN_WAITS, message, status=as_seen(seen, cluster), verdicts=facts)
    held = frozenset().union(*(job.nodes for job in seen.jobs))
    surplus = (cluster.gpus - seen.wanted_gpus) // GPUS_PER_NODE
    idle = sorted((node for node in seen.nodes.value if node.name not in held), key=_leaves_first)
    if len(idle) < surplus:
        message = f"{surplus} nodes are to go, but jobs hold {len(held)}. They are given back as jobs end."
        return working(seen, Reason.SCALE_DOWN_WAITS, message, status=as_seen(seen, cluster), verdicts=facts)
    uncordoned = [node for node in idle[:surplus] if not node.cordoned]
    if uncordoned:
        return quietly(seen, *(ApplyObject(seen.here, _cordoned(node)) for node in uncordoned))
    return _resizing(seen, cluster, _to_wanted_size(seen, cluster))


def _leaves_first(node: NodeFact) -> tuple[bool, bool, str]:
    return (not node.cordoned, node.ready, node.name)


def _cordoned(node: NodeFact) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "annotations": {LEAVES_FIRST_ANNOTATION: "true"}},
        "spec": {"unschedulable": True},
    }


def _to_wanted_size(seen: ClusterObservation, cluster: ProviderCluster) -> ChangeCluster:
    return ChangeCluster(cluster.id, ClusterChanges(gpus=seen.wanted_gpus))


def _resizing(seen: ClusterObservation, cluster: ProviderCluster, *actions: ChangeCluster) -> ClusterDecision:
    asked_before = seen.status.nodes is not None and seen.status.nodes.desired == seen.wanted_nodes
    now_nodes = cluster.gpus // GPUS_PER_NODE
    message = f"Going from {now_nodes} to {seen.wanted_nodes} nodes."
    verdicts = standing(seen, cluster)
    events: tuple[EventNote, ...] = ()
    if actions and asked_before and seen.status.first_ready_time is not None:
        drift = (
            f"Somebody changed the cluster to {now_nodes} nodes; `spec.nodes` is {seen.wanted_nodes} and is restored."
        )
        verdicts["Drifted"] = Verdict(True, Reason.SIZE_CHANGED_OUTSIDE, drift)
        if reason_of(seen.status.conditions, "Drifted") != Reason.SIZE_CHANGED_OUTSIDE:
            events = (EventNote(EventType.WARNING, Reason.SIZE_CHANGED_OUTSIDE, drift),)
    status = as_seen(seen, cluster)
    return working(seen, Reason.SCALING, message, *actions, status=status, verdicts=verdicts, events=events)

"""Which nodes the provider is about to take away, by its own notice or by what the node says inside the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.kube_facts import NodeFact
from tunesmith.planning.provider import NodeEvent, ProviderCluster, ProviderNode

PREEMPTIBLE_LABEL, PREEMPTIBLE = "together.ai/compute-class", "preemptible"  # provider: on preemptible nodes
NOTICES = frozenset({"TogetherPreemptionNotified", "TogetherPreempted"})  # provider: about 5 minutes before the end
RETURNS = frozenset({"TogetherNodeAdded", "TogetherScaledUp"})
LAST_TAINTS = ("preempt", "tobedeleted", "termination")
"""Words in the keys of taints by which nodes say, inside the cluster, that they are to go."""
NOTICE_INTERVAL_SECONDS = 5.0
"""How old the newest look may be while nodes can be taken away: the notice must reach the jobs within 10 s."""


def taken_away(seen: ClusterObservation, cluster: ProviderCluster) -> Mapping[str, datetime]:
    """The nodes that are noticed to go and still there, by name, with the time of the notice."""
    noticed = dict(_by_events(cluster))
    for name, node in seen.gpu_nodes.items():
        if is_preemptible(node) and _says_so(node):
            noticed.setdefault(name, seen.around.now)
    return noticed


def has_preemptible_nodes(seen: ClusterObservation) -> bool:
    """Whether nodes may be taken away, so that the provider is to be looked at more often."""
    cluster = seen.bought
    if seen.spec.billing.preemptible_nodes:
        return True
    return cluster is not None and (
        cluster.allocated_preemptible_gpus > 0 or any(node.preemptible for node in cluster.nodes)
    )


def is_preemptible(node: NodeFact) -> bool:
    """By its label, or by its name."""
    return node.labels.get(PREEMPTIBLE_LABEL) == PREEMPTIBLE or node.name.startswith("gpu-preemptible-dp-")


def is_another_size(cluster: ProviderCluster, wanted_gpus: int) -> bool:
    """Whether the cluster has more or fewer GPUs than wanted for another reason than that the provider took some away.

    Those it gives again when it has them: nothing is bought for them, and nobody changed anything.
    """
    missing = wanted_gpus - cluster.gpus
    taken = max(0, cluster.desired_preemptible_gpus - cluster.allocated_preemptible_gpus)
    return missing < 0 or missing > taken


def _by_events(cluster: ProviderCluster) -> Mapping[str, datetime]:
    """By the newest word on each node: one that was added again after its notice is there to stay."""
    newest: dict[str, NodeEvent] = {}
    for event in sorted(cluster.events, key=lambda one: one.time):
        if event.reason in NOTICES | RETURNS:
            newest[event.node_id] = event
    going: dict[str, datetime] = {}
    for node in cluster.nodes:
        words = [newest[key] for key in _keys(node) if key in newest]
        if words and all(word.reason in NOTICES for word in words):
            going[node.host_name] = min(word.time for word in words)
    return going


def _keys(node: ProviderNode) -> tuple[str, ...]:
    """The names under which an event may speak of the node."""
    return tuple(dict.fromkeys(key for key in (node.id, node.instance_id, node.host_name) if key))


def _says_so(node: NodeFact) -> bool:
    keys = [taint.key.lower() for taint in node.taints] + [alarm.lower() for alarm in node.alarms]
    return any(word in key for key in keys for word in LAST_TAINTS)

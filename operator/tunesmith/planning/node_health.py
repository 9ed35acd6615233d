"""Which nodes of a bought cluster look broken, and since when: by Kubernetes, by the provider, by the jobs on them.

The time stands in the status, so that neither a restart nor a change of the symptom begins it anew.
"""

from __future__ import annotations

from datetime import timedelta

from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.kube_facts import NodeFact
from tunesmith.planning.provider import GPUS_PER_NODE, ProviderNode
from tunesmith.resources.gpu_cluster_status import SuspectNode
from tunesmith.resources.reasons import Reason

BLAMED = str(Reason.BLAMED_BY_JOBS)
JOBS_THAT_CONVICT = 2
"""One job's word makes a node the last to be granted; two different jobs' word makes it one to repair."""
RECOVERED_SECONDS = 120.0
"""A node that became Ready only just now is not believed yet: one that comes and goes keeps its first-seen time."""
MOST_SUSPECTS = 64
MOST_BLAMING = 16
ALARMS = frozenset({"NetworkUnavailable", "KernelDeadlock", "ReadonlyFilesystem"})
"""kubernetes, node-problem-detector: conditions that mean a broken machine when they are True."""


def suspects(seen: ClusterObservation) -> tuple[SuspectNode, ...]:
    """The nodes that look broken or are blamed now, by name, with their times. As before while nodes are unknown."""
    before = {suspect.name: suspect for suspect in seen.status.suspect_nodes}
    if isinstance(seen.nodes, Unknown):
        return seen.status.suspect_nodes
    names = sorted({*seen.gpu_nodes, *seen.recorded_nodes})
    found = (_suspect(seen, name, before.get(name)) for name in names)
    return tuple(suspect for suspect in found if suspect is not None)[:MOST_SUSPECTS]


def trouble(seen: ClusterObservation, name: str) -> str | None:
    """What is wrong with the node at this moment, in one word; None: nothing that can be seen."""
    node, record = seen.gpu_nodes.get(name), seen.recorded_nodes.get(name)
    if record is not None and record.marked_for_deletion:
        return None
    if record is not None and record.phase == "FAILED":
        return Reason.NODE_FAILED
    if node is None:
        return Reason.NODE_NOT_JOINED if record is not None and record.phase == "RUNNING" else None
    if not node.ready:
        return Reason.NODE_NOT_READY
    if node.gpus < _promised_gpus(record):
        return Reason.GPUS_MISSING
    if node.alarms & ALARMS:
        return Reason.NODE_ALARM
    return Reason.PROVIDER_ALERT if has_critical_alert(seen, name) else None


def is_convicted(suspect: SuspectNode) -> bool:
    """Whether the node is one to repair, once its time is up: it is broken, or more than one job blames it."""
    if suspect.cleared_time is not None:
        return False
    return suspect.reason != BLAMED or len(suspect.blamed_by) >= JOBS_THAT_CONVICT


def has_critical_alert(seen: ClusterObservation, name: str) -> bool:
    """The provider's own health checks say CRITICAL of the node, and have not taken it back."""
    return any(
        alert.severity == "CRITICAL" and alert.resolved is None
        for repair in seen.remediations_by_node.get(name, ())
        if repair.open
        for alert in repair.alerts
    )


def _suspect(seen: ClusterObservation, name: str, before: SuspectNode | None) -> SuspectNode | None:
    blaming = seen.blames.get(name, frozenset())
    wrong = trouble(seen, name)
    if wrong is not None:
        return _broken(seen, name, wrong, before)
    node = seen.gpu_nodes.get(name)
    if before is not None and before.reason != BLAMED and node is not None and _only_just_ready(seen, node):
        return before
    return _blamed(seen, name, blaming, before if before is not None and before.reason == BLAMED else None)


def _broken(seen: ClusterObservation, name: str, wrong: str, before: SuspectNode | None) -> SuspectNode:
    since = seen.around.now
    node = seen.gpu_nodes.get(name)
    if wrong == Reason.NODE_NOT_READY and node is not None and node.ready_changed is not None:
        since = min(since, node.ready_changed)
    if before is not None and before.reason != BLAMED and before.time is not None:
        since = before.time
    blaming = tuple(sorted(seen.blames.get(name, frozenset())))[:MOST_BLAMING]
    return SuspectNode(name=name, reason=str(wrong), time=since, blamed_by=blaming)


def _blamed(
    seen: ClusterObservation, name: str, blaming: frozenset[str], before: SuspectNode | None
) -> SuspectNode | None:
    """Jobs keep their blame as long as they exist: a repair answers it, until another job joins them."""
    if not blaming:
        return None
    jobs = tuple(sorted(blaming))[:MOST_BLAMING]
    if before is None or not set(jobs) <= set(before.blamed_by):
        since = seen.around.now if before is None or before.cleared_time is not None else before.time
        return SuspectNode(name=name, reason=BLAMED, time=since, blamed_by=jobs)
    repaired = [
        record.end_time
        for record in seen.status.repairs
        if record.node == name and record.outcome == "SUCCEEDED" and record.end_time is not None
    ]
    answered = [end for end in repaired if before.time is None or end >= before.time]
    cleared = before.cleared_time or max(answered, default=None)
    return before.model_copy(update={"cleared_time": cleared})


def _only_just_ready(seen: ClusterObservation, node: NodeFact) -> bool:
    changed = node.ready_changed
    return changed is not None and seen.around.now - changed < timedelta(seconds=RECOVERED_SECONDS)


def _promised_gpus(record: ProviderNode | None) -> int:
    return record.gpus if record is not None and record.gpus > 0 else GPUS_PER_NODE

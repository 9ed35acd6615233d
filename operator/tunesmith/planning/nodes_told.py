"""What is said of the nodes of a bought cluster: the condition NodesHealthy, and the Events about single nodes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.decision import Decision, EventNote, EventType
from tunesmith.planning.leaving import leaving_nodes
from tunesmith.planning.node_health import is_convicted, suspects
from tunesmith.planning.node_use import PREEMPTED, REPAIR
from tunesmith.planning.provider import ProviderCluster
from tunesmith.planning.repair_plan import (
    REPAIRS_A_DAY,
    is_exhausted,
    is_ours_to_approve,
    proposals,
    repair_wish,
    repairs_recorded,
    request_for,
)
from tunesmith.resources.gpu_cluster_parts import RepairMode
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus, LeavingNode, RepairRecord, SuspectNode
from tunesmith.resources.reasons import Reason
from tunesmith.resources.timestamps import format_time

NODES_NAMED = 3
"""So many nodes are named in a message; `status.suspectNodes` and `status.leavingNodes` have them all."""


def said_of_nodes(seen: ClusterObservation, cluster: ProviderCluster) -> tuple[str | None, str]:
    """A reason when more is the matter than that nodes are not Ready, and sentences about single nodes."""
    leaving = leaving_nodes(seen, cluster)
    repairs = [node for node in leaving if node.reason == REPAIR]
    taken = [node for node in leaving if node.reason == PREEMPTED]
    under_repair = {node.name for node in repairs}
    broken = [each for each in suspects(seen) if _is_news(seen, each) and each.name not in under_repair]
    sentences = [
        *(f"The provider takes node {node.name} away." for node in taken[:NODES_NAMED]),
        *(_of_repair(seen, cluster, node) for node in repairs[:NODES_NAMED]),
        *(_of_broken(seen, each) for each in broken[:NODES_NAMED]),
        *_of_proposals(seen, cluster),
    ]
    reason = Reason.NODES_UNDER_REPAIR if repairs else Reason.NODES_PREEMPTED if taken else None
    return reason, " ".join(sentences)


def with_news_of_nodes(seen: ClusterObservation, decision: Decision[GPUClusterStatus]) -> Decision[GPUClusterStatus]:
    """The decision, with an Event for each node whose lot changed with this very write."""
    if decision.status == seen.status or decision.status.cluster_id != seen.status.cluster_id:
        return decision
    news = (*_new_losses(seen.status, decision.status), *_new_repairs(seen, decision.status))
    return replace(decision, events=(*decision.events, *news)) if news else decision


def _of_repair(seen: ClusterObservation, cluster: ProviderCluster, node: LeavingNode) -> str:
    record = next((each for each in repairs_recorded(seen, cluster) if each.id == node.repair_id), None)
    if record is not None and record.outcome == "PENDING_APPROVAL":
        return f"The repair of node {node.name} ({record.mode}) waits for approval in the provider's console."
    if record is not None:
        return f"The provider repairs node {node.name} ({record.mode}: {record.outcome})."
    if node.asked_time is not None:
        return f"The provider was asked to repair node {node.name} ({node.repair_mode})."
    request = request_for(seen, cluster, node)
    if request is None:
        return f"Node {node.name} is to be repaired, but the provider does not say which machine it is."
    failed = seen.around.failure_of(request)
    if failed is not None:
        return f"Node {node.name} could not be repaired: {failed.failure.message} It is asked for again."
    return f"Node {node.name} is to be repaired ({node.repair_mode}); its jobs save and leave it first."


def _is_news(seen: ClusterObservation, suspect: SuspectNode) -> bool:
    """Nodes that join or restart look broken for a while: that is not told."""
    patience = timedelta(seconds=seen.around.installation.repair.after_seconds)
    return is_convicted(suspect) and suspect.time is not None and seen.around.now - suspect.time >= patience


def _of_broken(seen: ClusterObservation, suspect: SuspectNode) -> str:
    since = f" since {format_time(suspect.time)}" if suspect.time is not None else ""
    what = f"Node {suspect.name}: {suspect.reason}{since}."
    wish = repair_wish(seen)
    if wish is None or wish.mode is RepairMode.OFF:
        return f"{what} It is not repaired: set `spec.repair.mode`, or repair it in the provider's console."
    if is_exhausted(seen, suspect.name):
        return f"{what} {REPAIRS_A_DAY} repairs within a day did not help: ask the provider's support."
    return what


def _of_proposals(seen: ClusterObservation, cluster: ProviderCluster) -> Iterable[str]:
    for repair in proposals(seen, cluster):
        if not is_ours_to_approve(seen, repair):
            yield (
                f"The provider proposes to repair node {seen.node_of(repair)} ({repair.mode}): approve it in its "
                "console, or set `spec.repair.providerProposals` to 'Approve'."
            )


def _new_losses(before: GPUClusterStatus, after: GPUClusterStatus) -> Iterable[EventNote]:
    known = {node.name for node in before.leaving_nodes if node.reason == PREEMPTED}
    for node in after.leaving_nodes:
        if node.reason == PREEMPTED and node.name not in known:
            message = f"The provider takes preemptible node {node.name} away; its jobs save and go on elsewhere."
            yield EventNote(EventType.WARNING, Reason.NODES_PREEMPTED, message)


def _new_repairs(seen: ClusterObservation, after: GPUClusterStatus) -> Iterable[EventNote]:
    known = {record.id: record for record in seen.status.repairs}
    for record in after.repairs:
        note = _news_of(record, known.get(record.id))
        if note is not None:
            yield note


def _news_of(record: RepairRecord, before: RepairRecord | None) -> EventNote | None:
    if before is not None and before.outcome == record.outcome:
        return None
    what = f"{record.mode} of node {record.node}"
    match record.outcome:
        case "PENDING_APPROVAL":
            message = f"{what} waits for approval at the provider."
            return EventNote(EventType.NORMAL, Reason.REPAIR_PROPOSED, message)
        case "SUCCEEDED" | "AUTO_RESOLVED":
            return EventNote(EventType.NORMAL, Reason.NODE_REPAIRED, f"{what} has ended well.")
        case "FAILED" | "CANCELLED":
            message = f"{what} has ended without success ({record.outcome})."
            return EventNote(EventType.WARNING, Reason.NODE_REPAIR_FAILED, message)
    return None

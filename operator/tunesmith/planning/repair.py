"""The repair of broken nodes: looked at, told to the jobs, cordoned, checked once more, asked for, and followed.

Which nodes and how is planned in `repair_plan`. Here are the questions that act on it, one request at a time.
"""

from __future__ import annotations

from datetime import timedelta

from tunesmith.planning.actions import ApplyObject
from tunesmith.planning.bought import quietly, working
from tunesmith.planning.circumstances import Unknown
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.cluster_status import as_seen, is_being_built, standing
from tunesmith.planning.cordon import cordoned
from tunesmith.planning.decision import Action, Decision, EventNote, EventType
from tunesmith.planning.leaving import leaving_nodes
from tunesmith.planning.looks import LookAtProvider, LookAtRemediations
from tunesmith.planning.node_use import REPAIR, is_used
from tunesmith.planning.orders import ApproveRemediation, RepairNode
from tunesmith.planning.provider import ProviderCluster, Remediation
from tunesmith.planning.repair_plan import is_ours_to_approve, repair_wish, request_for
from tunesmith.planning.retry import is_held_back
from tunesmith.resources.gpu_cluster_status import GPUClusterStatus, LeavingNode
from tunesmith.resources.reasons import Reason

ClusterDecision = Decision[GPUClusterStatus]

CALM_SECONDS, SUSPICIOUS_SECONDS, REPAIRING_SECONDS = 300.0, 60.0, 10.0
"""How old the list of repairs may be while all is well, while a node looks broken, while one is repaired."""
FRESH_SECONDS = 15.0
"""How old a look may be that a repair is asked for on."""
SAVING_MARGIN_SECONDS = 120.0
"""Jobs get the installation's time to save and this much more; a node is not kept broken for one that never ends."""
LAST_GRANTS_SECONDS = 10.0
FOLLOW_SECONDS = 5.0


def repairs_unseen(seen: ClusterObservation) -> ClusterDecision | None:
    """The provider's repairs are looked at, the more often the more is the matter."""
    cluster = seen.bought
    if cluster is None or repair_wish(seen) is None or is_being_built(seen, cluster):
        return None
    under_way = any(node.reason == REPAIR for node in seen.status.leaving_nodes)
    interval = SUSPICIOUS_SECONDS if seen.status.suspect_nodes else CALM_SECONDS
    return _look(seen, cluster, REPAIRING_SECONDS if under_way else interval)


def repair_next(seen: ClusterObservation) -> ClusterDecision | None:
    """The next step of one repair that was written down before: its jobs were told then."""
    cluster = seen.bought
    if cluster is None or repair_wish(seen) is None or isinstance(seen.nodes, Unknown):
        return None
    written = {node.name for node in seen.status.leaving_nodes if node.reason == REPAIR}
    now = [node for node in leaving_nodes(seen, cluster) if node.reason == REPAIR and node.name in written]
    open_cordons = [each for node in now if (each := seen.gpu_nodes.get(node.name)) is not None and not each.cordoned]
    if open_cordons:
        return quietly(seen, *(ApplyObject(seen.here, cordoned(node, REPAIR)) for node in open_cordons))
    for node in now:
        request = _request(seen, cluster, node)
        if request is None or is_held_back(request, seen.around) or not _is_empty(seen, node):
            continue
        looks = _looks_that_are_due(seen, cluster)
        if not looks:
            return _asked(seen, cluster, node, request)
        if not any(is_held_back(look, seen.around) for look in looks):
            return quietly(seen, *looks, again=FOLLOW_SECONDS)
    return None


def _request(seen: ClusterObservation, cluster: ProviderCluster, node: LeavingNode) -> Action | None:
    """What is to be asked of the provider for this node now; None while it works, or waits for somebody else."""
    if node.repair_id is None:
        return request_for(seen, cluster, node) if node.asked_time is None else None
    repair = _repair(seen, cluster, node.repair_id)
    if repair is None or not is_ours_to_approve(seen, repair):
        return None
    return ApproveRemediation(cluster.id, repair.instance_id, repair.id, "Approved by spec.repair.providerProposals.")


def _is_empty(seen: ClusterObservation, node: LeavingNode) -> bool:
    """No job of ours is on it any more; those on a dead node cannot save, and are not waited for."""
    fact = seen.gpu_nodes.get(node.name)
    if fact is None or not fact.ready:
        return True
    since = seen.around.now - (node.time or seen.around.now)
    if since < timedelta(seconds=LAST_GRANTS_SECONDS):
        return False
    longest = seen.around.installation.save_grace_seconds + SAVING_MARGIN_SECONDS
    return since >= timedelta(seconds=longest) or not is_used(seen, node.name, by_others=False)


def _looks_that_are_due(seen: ClusterObservation, cluster: ProviderCluster) -> tuple[Action, ...]:
    """Checked once more: no repair on a stale alarm, nor beside one that somebody else began a moment ago.

    Looks that this very pass follows on are fresh however long they took: a slow provider must not hold a repair up.
    """
    now = seen.around.monotonic
    looked = {type(outcome.action) for outcome in seen.around.outcomes if outcome.failure is None}
    if {LookAtProvider, LookAtRemediations} <= looked:
        return ()
    known = seen.provider.remediations.get(cluster.id)
    begun = (seen.provider.begun, known.as_of if known is not None else None)
    if all(each is not None and each >= now - FRESH_SECONDS for each in begun):
        return ()
    return LookAtProvider(now, cluster_id=cluster.id), LookAtRemediations(now, cluster.id)


def _asked(seen: ClusterObservation, cluster: ProviderCluster, node: LeavingNode, request: Action) -> ClusterDecision:
    """Written down with the time, then asked for: whoever comes after a crash looks for it first."""
    facts, status = standing(seen, cluster), as_seen(seen, cluster)
    events: tuple[EventNote, ...] = ()
    if isinstance(request, RepairNode):
        asked = tuple(
            each.model_copy(update={"asked_time": seen.around.now}) if each.name == node.name else each
            for each in status.leaving_nodes
        )
        status = status.model_copy(update={"leaving_nodes": asked})
        message = f"The provider is asked to repair node {node.name} ({request.mode}): {request.reason}."
        if seen.around.failure_of(request) is None:
            events = (EventNote(EventType.NORMAL, Reason.NODE_REPAIR_ASKED, message),)
    message = f"{facts['NodesHealthy'].message} Jobs use the nodes that are Ready."
    reason = Reason.NODES_UNDER_REPAIR
    return working(seen, reason, message, request, status=status, verdicts=facts, events=events, again=FOLLOW_SECONDS)


def _look(seen: ClusterObservation, cluster: ProviderCluster, interval_seconds: float) -> ClusterDecision | None:
    known = seen.provider.remediations.get(cluster.id)
    written = seen.memory.last_write or 0.0
    due = written if known is None else max(known.as_of + interval_seconds, written)
    if known is not None and known.as_of >= written and seen.around.monotonic < due:
        return None
    look = LookAtRemediations(max(written, seen.around.monotonic - FRESH_SECONDS), cluster.id)
    looked = any(isinstance(one.action, LookAtRemediations) and one.failure is None for one in seen.around.outcomes)
    if looked or is_held_back(look, seen.around):
        return None
    return quietly(seen, look)


def _repair(seen: ClusterObservation, cluster: ProviderCluster, repair_id: str) -> Remediation | None:
    known = seen.provider.remediations.get(cluster.id)
    return next((each for each in (known.value if known is not None else ()) if each.id == repair_id), None)

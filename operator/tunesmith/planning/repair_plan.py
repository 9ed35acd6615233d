"""Which nodes of a bought cluster are to be repaired now, how, and how far each repair is. It asks for nothing itself.

A node is repaired when it was broken for a while, one or a few at a time, and not again before the provider's pause is
over. What was asked for is written down first (`askedTime`), so that an answer that got lost, or a crash, leads to a
look before another request: a node never gets two repairs at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from tunesmith.planning.circumstances import Known, Unknown
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.node_health import BLAMED, has_critical_alert, is_convicted, suspects, trouble
from tunesmith.planning.node_use import MUST_LEAVE, REPAIR
from tunesmith.planning.orders import RepairNode
from tunesmith.planning.provider import ProviderCluster, Remediation
from tunesmith.planning.purchase import DEFINITE_REFUSALS
from tunesmith.resources.gpu_cluster_parts import ProviderProposals, Repair, RepairMode
from tunesmith.resources.gpu_cluster_status import LeavingNode, RepairRecord, SuspectNode

REBOOT, REPLACE = "REBOOT_VM", "HOST_AWARE"  # provider: HOST_AWARE cordons the host and makes the VM on another one
EVICT = "EVICT_WITHOUT_REPLACEMENT"
HISTORY = timedelta(hours=24)
REPAIRS_A_DAY = 3
"""A node that is still broken after so many repairs within a day is one for the provider's support."""
RECORDS_KEPT = 16
CLOCKS_APART = timedelta(seconds=60)
"""How far the provider's clock may be behind ours when a repair is known again by its time."""


def repair_wish(seen: ClusterObservation) -> Repair | None:
    """What the user wants done about broken nodes; None: nothing, or nothing may be done."""
    return seen.spec.repair if seen.may_change else None


def repairs_recorded(seen: ClusterObservation, cluster: ProviderCluster) -> tuple[RepairRecord, ...]:
    """The newest repairs: those that are open, and those that were recorded before, with how they ended."""
    known = seen.provider.remediations.get(cluster.id)
    if known is None:
        return seen.status.repairs
    before = {record.id: record for record in seen.status.repairs}
    asked = {node.repair_id for node in repairs_under_way(seen, cluster)}
    newest = dict(before)
    for repair in known.value:
        if repair.open or repair.id in before or repair.id in asked:
            newest[repair.id] = _record(seen, repair, before.get(repair.id))
    ordered = sorted(newest.values(), key=lambda record: (str(record.time or ""), record.id))
    return tuple(ordered[-RECORDS_KEPT:])


def repairs_under_way(seen: ClusterObservation, cluster: ProviderCluster) -> tuple[LeavingNode, ...]:
    """The nodes that are repaired or are to be, as they are now: those that go on, then new ones within the limit."""
    if isinstance(seen.nodes, Unknown):
        return tuple(node for node in seen.status.leaving_nodes if node.reason == REPAIR)
    going_on = {
        node.name: after
        for node in seen.status.leaving_nodes
        if node.reason == REPAIR and (after := _goes_on(seen, cluster, node)) is not None
    }
    going_on |= {name: _entry(seen, name, repair) for name, repair in _running(seen, cluster) if name not in going_on}
    free = most_unavailable(seen) - len(going_on)
    new = (node for node in (*_proposed(seen, cluster), *_due(seen, cluster)) if node.name not in going_on)
    for node in new:
        if free > 0 and node.name not in going_on:
            going_on[node.name] = node
            free -= 1
    return tuple(going_on[name] for name in sorted(going_on))


def most_unavailable(seen: ClusterObservation) -> int:
    """The most nodes under repair at once: never less than one, so that small clusters are repaired too."""
    wish = seen.spec.repair
    if wish is None:
        return 0
    if wish.max_unavailable_percent is not None:
        return max(1, seen.wanted_nodes * wish.max_unavailable_percent // 100)
    return wish.max_unavailable or 1


def request_for(seen: ClusterObservation, cluster: ProviderCluster, node: LeavingNode) -> RepairNode | None:
    """The request; None while the provider's records do not say which machine the node is."""
    record = seen.recorded_nodes.get(node.name)
    instance = (record.instance_id or record.id) if record is not None else ""
    if not instance:
        return None
    suspect = next((each for each in suspects(seen) if each.name == node.name), None)
    why = f"{suspect.reason} on {node.name}" if suspect is not None else f"Repair of {node.name}"
    return RepairNode(cluster.id, instance, node.repair_mode or REBOOT, why)


def is_exhausted(seen: ClusterObservation, name: str) -> bool:
    """The node was repaired as often as makes sense within a day."""
    return len(_lately(seen, name)) >= REPAIRS_A_DAY


def due_time(seen: ClusterObservation, suspect: SuspectNode) -> datetime | None:
    """From when on the node may be repaired; None: never, as it is."""
    if not is_convicted(suspect) or suspect.time is None or is_exhausted(seen, suspect.name):
        return None
    times = seen.around.installation.repair
    patience = times.after_seconds
    if suspect.reason != BLAMED and has_critical_alert(seen, suspect.name):
        patience = min(patience, times.after_alert_seconds)
    due = suspect.time + timedelta(seconds=patience)
    for record in _lately(seen, suspect.name):
        if record.time is not None:
            due = max(due, record.time + timedelta(seconds=times.cooldown_seconds))
        if record.end_time is not None:
            due = max(due, record.end_time + timedelta(seconds=times.replace_after_seconds))
    return due


def proposals(seen: ClusterObservation, cluster: ProviderCluster) -> tuple[Remediation, ...]:
    """The repairs that the provider proposes and that wait for somebody's approval."""
    known = seen.provider.remediations.get(cluster.id)
    return tuple(r for r in (known.value if known is not None else ()) if r.waits_for_approval and _is_automated(r))


def is_ours_to_approve(seen: ClusterObservation, repair: Remediation) -> bool:
    """The user lets us approve what the provider proposes; a node that would be lost without another is not."""
    wish = repair_wish(seen)
    approves = wish is not None and wish.provider_proposals is ProviderProposals.APPROVE
    return approves and repair.waits_for_approval and _is_automated(repair) and repair.mode != EVICT


def _goes_on(seen: ClusterObservation, cluster: ProviderCluster, node: LeavingNode) -> LeavingNode | None:
    """An entry of before, as it is now; None when the repair is over, or not needed any more."""
    if node.name not in seen.gpu_nodes and node.name not in seen.recorded_nodes:
        return None  # it was replaced by another node
    known = seen.provider.remediations.get(cluster.id)
    if node.repair_id is not None:
        return _while_open(node, seen, known)
    if node.asked_time is not None:
        return _while_unanswered(node, node.asked_time, seen, cluster, known)
    if repair_wish(seen) is None or not _is_still_broken(seen, node.name):
        return None
    return node.model_copy(update={"repair_mode": _mode(seen, node.name)}) if _mode(seen, node.name) else None


def _while_open(
    node: LeavingNode, seen: ClusterObservation, known: Known[tuple[Remediation, ...]] | None
) -> LeavingNode | None:
    if known is None:
        return node
    repair = next((each for each in known.value if each.id == node.repair_id), None)
    if repair is None:  # a list may lack for a while what is there
        since = node.asked_time or node.time or seen.around.now
        return node if _listed(seen, known) < since + _settle(seen) else None
    if not repair.open:
        return None
    asked = node.asked_time is not None
    if repair.waits_for_approval and not asked and not is_ours_to_approve(seen, repair):
        return None  # somebody else's, and nobody has approved it
    return node


def _while_unanswered(
    node: LeavingNode,
    asked: datetime,
    seen: ClusterObservation,
    cluster: ProviderCluster,
    known: Known[tuple[Remediation, ...]] | None,
) -> LeavingNode:
    """Look for what was asked for; only a clean list that is late enough says that it was never heard."""
    for repair in seen.remediations_by_node.get(node.name, ()):
        if repair.open or (repair.created is not None and repair.created >= asked - CLOCKS_APART):
            return node.model_copy(update={"repair_id": repair.id})
    request = request_for(seen, cluster, node)
    failed = seen.around.failure_of(request) if request is not None else None
    refused = failed is not None and failed.failure.error in DEFINITE_REFUSALS
    if refused or (known is not None and _listed(seen, known) >= asked + _settle(seen)):
        return node.model_copy(update={"asked_time": None})
    return node


def _running(seen: ClusterObservation, cluster: ProviderCluster) -> Iterable[tuple[str, Remediation]]:
    """Repairs that go on at the provider, whoever asked for them: their nodes are not to be used."""
    known = seen.provider.remediations.get(cluster.id)
    for repair in known.value if known is not None else ():
        name = seen.node_of(repair)
        if repair.open and not repair.waits_for_approval and name in seen.recorded_nodes:
            yield name, repair


def _proposed(seen: ClusterObservation, cluster: ProviderCluster) -> Iterable[LeavingNode]:
    for repair in proposals(seen, cluster):
        name = seen.node_of(repair)
        if is_ours_to_approve(seen, repair) and name in seen.recorded_nodes:
            yield _entry(seen, name, repair)


def _due(seen: ClusterObservation, cluster: ProviderCluster) -> Iterable[LeavingNode]:
    """Broken nodes whose time is up, those that are broken longest first."""
    found = [
        (due, suspect)
        for suspect in suspects(seen)
        if _is_still_broken(seen, suspect.name)
        and (due := due_time(seen, suspect)) is not None
        and due <= seen.around.now
    ]
    waiting = {seen.node_of(repair) for repair in proposals(seen, cluster)}
    for _, suspect in sorted(found, key=lambda one: (one[0], one[1].name)):
        mode = _mode(seen, suspect.name)
        if mode is not None and suspect.name not in waiting:
            yield LeavingNode(name=suspect.name, reason=REPAIR, jobs=MUST_LEAVE, time=seen.around.now, repair_mode=mode)


def _mode(seen: ClusterObservation, name: str) -> str | None:
    """How the user wants it repaired, in the provider's words; None: not at all."""
    wish = repair_wish(seen)
    match wish.mode if wish is not None else RepairMode.OFF:
        case RepairMode.OFF:
            return None
        case RepairMode.REBOOT:
            return REBOOT
        case RepairMode.REPLACE:
            return REPLACE
        case RepairMode.REBOOT_THEN_REPLACE:
            rebooted = any(record.mode == REBOOT for record in _lately(seen, name))
            return REPLACE if rebooted else REBOOT


def _entry(seen: ClusterObservation, name: str, repair: Remediation) -> LeavingNode:
    return LeavingNode(
        name=name,
        reason=REPAIR,
        jobs=MUST_LEAVE,
        time=seen.around.now,
        repair_mode=repair.mode,
        repair_id=repair.id,
    )


def _is_still_broken(seen: ClusterObservation, name: str) -> bool:
    """Asked until the moment of acting: a node that has recovered is not repaired for what it was."""
    suspect = next((each for each in suspects(seen) if each.name == name), None)
    if suspect is None or not is_convicted(suspect):
        return False
    return suspect.reason == BLAMED or trouble(seen, name) is not None


def _lately(seen: ClusterObservation, name: str) -> tuple[RepairRecord, ...]:
    oldest = seen.around.now - HISTORY
    return tuple(r for r in seen.status.repairs if r.node == name and r.time is not None and r.time >= oldest)


def _record(seen: ClusterObservation, repair: Remediation, before: RepairRecord | None) -> RepairRecord:
    ended = repair.ended if not repair.open else None
    if ended is None and not repair.open:
        ended = before.end_time if before is not None and before.end_time is not None else seen.around.now
    node = before.node if before is not None and before.node else seen.node_of(repair)
    asked = (before.time if before is not None else None) or repair.created or seen.around.now
    moments: Mapping[str, datetime | None] = {"time": asked, "end_time": ended}
    whole = {key: moment.replace(microsecond=0) if moment is not None else None for key, moment in moments.items()}
    return RepairRecord(id=repair.id, node=node, mode=repair.mode, outcome=repair.state, **whole)


def _listed(seen: ClusterObservation, known: Known[tuple[Remediation, ...]]) -> datetime:
    """The wall time at which the list was begun."""
    return seen.around.now - timedelta(seconds=seen.around.monotonic - known.as_of)


def _settle(seen: ClusterObservation) -> timedelta:
    return timedelta(seconds=seen.around.installation.settle_seconds)


def _is_automated(repair: Remediation) -> bool:
    return repair.trigger == "AUTOMATED"

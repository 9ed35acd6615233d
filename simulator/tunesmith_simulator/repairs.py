"""What customers and the provider may do about nodes that are not well: ask, propose, approve, reject, cancel. Pure.

Each function takes the world and gives the changed one back, or raises RefusedError and has changed nothing.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from tunesmith_simulator import alerts, desk, machines, remediations
from tunesmith_simulator.alerts import Signal
from tunesmith_simulator.clusters import Cluster
from tunesmith_simulator.desk import Visit
from tunesmith_simulator.identifiers import derived_id
from tunesmith_simulator.machines import Node, NodePhase
from tunesmith_simulator.phases import SETTLED
from tunesmith_simulator.refusals import conflict, invalid, not_found
from tunesmith_simulator.remediations import Remediation, RemediationMode, RemediationState, Review, Trigger
from tunesmith_simulator.world import Account, World

HEALTH_CHECKS = "health-checks"
"""Who asks for the provider's own repairs."""

_REPAIRABLE = frozenset({NodePhase.RUNNING, NodePhase.FAILED})


def request_remediation(
    world: World, visit: Visit, cluster_id: str, instance_id: str, *, mode: RemediationMode, reason: str
) -> tuple[World, str]:
    """A customer asks for a repair, which needs no approval; the new world and the repair's id."""
    cluster = world.cluster_of(visit.account, cluster_id)
    desk.check_may_change(visit.account)
    node = _node_of(cluster, instance_id)
    _check_repairable(world, cluster, node, mode)
    asked = remediations.new_remediation(
        remediation_id=visit.new_id(),
        cluster_id=cluster_id,
        node=node,
        mode=mode,
        trigger=Trigger.MANUAL,
        requested_by=visit.account.name,
        reason=reason,
        needs_approval=False,
        now=visit.now,
        pace=world.pace,
    )
    return _with_new(world, asked), asked.remediation_id


def approve_remediation(
    world: World, visit: Visit, found: Remediation, comment: str, mode: RemediationMode | None
) -> World:
    """A proposal may begin, in another mode if one is given."""
    desk.check_may_change(visit.account)
    _check_state(found, {RemediationState.PENDING_APPROVAL}, "approved")
    if mode is RemediationMode.HOST_POWER_CYCLE:
        # provider: this mode cannot be set as an approval override
        raise invalid("mode: REMEDIATION_MODE_HOST_POWER_CYCLE cannot be set by an approval; create it directly")
    reviewed = replace(found, mode=mode or found.mode, review=Review(visit.account.name, comment, visit.now))
    return world.with_remediation(remediations.entered(reviewed, RemediationState.PENDING, visit.now, world.pace))


def reject_remediation(world: World, visit: Visit, found: Remediation, comment: str) -> World:
    """A proposal is turned down."""
    desk.check_may_change(visit.account)
    _check_state(found, {RemediationState.PENDING_APPROVAL}, "rejected")
    reviewed = replace(found, review=Review(visit.account.name, comment, visit.now))
    return world.with_remediation(remediations.entered(reviewed, RemediationState.CANCELLED, visit.now, world.pace))


def cancel_remediation(world: World, visit: Visit, found: Remediation) -> World:
    """A repair that has not begun is called off."""
    desk.check_may_change(visit.account)
    _check_state(found, remediations.NOT_BEGUN, "cancelled")
    return world.with_remediation(remediations.entered(found, RemediationState.CANCELLED, visit.now, world.pace))


def remediation_of(
    world: World, account: Account, cluster_id: str, instance_id: str, remediation_id: str
) -> Remediation:
    """One repair that ``account`` can see. Raises RefusedError when there is none at that place."""
    world.cluster_of(account, cluster_id)
    found = world.remediations.get(remediation_id)
    if found is None or (found.cluster_id, found.instance_id) != (cluster_id, instance_id):
        raise not_found("remediation", remediation_id)
    return found


def remediations_of(world: World, account: Account, cluster_id: str, instance_id: str | None) -> list[Remediation]:
    """The repairs of a cluster, or of one of its instances, living or deleted. Raises RefusedError if unknown."""
    cluster = world.cluster_of(account, cluster_id)
    instances = {node.instance_id for node in (*cluster.gpu_nodes, *cluster.deleted_nodes)}
    if instance_id is not None and instance_id not in instances:
        raise not_found("instance", instance_id)
    wanted = instances if instance_id is None else {instance_id}
    return [
        each for each in world.remediations.values() if each.cluster_id == cluster_id and each.instance_id in wanted
    ]


def node_breaks(world: World, cluster_id: str, host_name: str, signal: Signal, now: datetime) -> World:
    """A running node fails with a signal; the provider proposes a repair when its policy says so."""
    cluster = world.clusters[cluster_id]
    node = next((each for each in cluster.gpu_nodes if each.host_name == host_name), None)
    if node is None:
        raise not_found("node", host_name)
    if node.phase is not NodePhase.RUNNING:
        raise conflict(f"node {host_name!r} is {node.phase.status}; only a running node can fail")
    world = world.with_cluster(cluster.with_node(machines.failed(node, now)))
    world = world.with_alert(
        alerts.raised(signal, cluster_id=cluster_id, instance_id=node.instance_id, host_name=host_name, now=now)
    )
    if not world.repair_policy.proposes or _in_cooldown(world, node, now):
        return world
    return propose_remediation(world, cluster_id, host_name, mode=signal.repair, reason=signal.name.value, now=now)


def node_recovers(world: World, cluster_id: str, host_name: str, now: datetime) -> World:
    """A failed node comes back by itself, after a boot."""
    cluster = world.clusters[cluster_id]
    node = next((each for each in cluster.gpu_nodes if each.host_name == host_name), None)
    if node is None:
        raise not_found("node", host_name)
    if node.phase is not NodePhase.FAILED:
        raise conflict(f"node {host_name!r} is {node.phase.status}; only a failed node can recover")
    return world.with_cluster(cluster.with_node(machines.rebooting(node, now, world.pace, backed=cluster.backed)))


def propose_remediation(
    world: World, cluster_id: str, host_name: str, *, mode: RemediationMode, reason: str, now: datetime
) -> World:
    """The provider proposes a repair of a node, which waits for approval unless the policy needs none."""
    cluster = world.clusters[cluster_id]
    node = next((each for each in cluster.gpu_nodes if each.host_name == host_name), None)
    if node is None:
        raise not_found("node", host_name)
    if _open_for(world, node) is not None:
        return world
    proposed = remediations.new_remediation(
        remediation_id=derived_id("remediation", node.instance_id, now.isoformat()),
        cluster_id=cluster_id,
        node=node,
        mode=mode,
        trigger=Trigger.AUTOMATED,
        requested_by=HEALTH_CHECKS,
        reason=reason,
        needs_approval=world.repair_policy.needs_approval,
        now=now,
        pace=world.pace,
    )
    return _with_new(world, proposed)


def remediation_fails(world: World, remediation_id: str, error: str, now: datetime) -> World:
    """A repair that is under way goes wrong; its node stays as it is."""
    found = world.remediations.get(remediation_id)
    if found is None:
        raise not_found("remediation", remediation_id)
    under_way = remediations.ALLOWED.keys() - remediations.OVER - {RemediationState.PENDING_APPROVAL}
    _check_state(found, under_way, "made to fail")
    return world.with_remediation(remediations.entered(found, RemediationState.FAILED, now, world.pace, error=error))


def _node_of(cluster: Cluster, instance_id: str) -> Node:
    node = cluster.node_of(instance_id)
    if node is None:
        raise not_found("instance", instance_id)
    return node


def _check_repairable(world: World, cluster: Cluster, node: Node, mode: RemediationMode) -> None:
    if cluster.phase not in SETTLED:
        raise conflict(f"cluster {cluster.cluster_id!r} cannot be repaired while it is {cluster.phase.status}")
    if node.phase not in _REPAIRABLE or node.leaves_at is not None:
        state = "about to leave" if node.leaves_at is not None else node.phase.status
        raise conflict(f"instance {node.instance_id!r} cannot be repaired while it is {state}")
    if (already := _open_for(world, node)) is not None:
        raise conflict(
            f"instance {node.instance_id!r} has remediation {already.remediation_id!r} in state {already.state}"
        )
    if mode is RemediationMode.EVICT_WITHOUT_REPLACEMENT and cluster.needs(node):
        raise conflict(remediations.LAST_NODE)


def _check_state(found: Remediation, wanted: frozenset[RemediationState] | set[RemediationState], done: str) -> None:
    if found.state not in wanted:
        raise conflict(f"remediation {found.remediation_id!r} cannot be {done} in state {found.state}")


def _open_for(world: World, node: Node) -> Remediation | None:
    for each in world.remediations.values():
        if each.target_id == node.instance_id and not each.over:
            return each
    return None


def _in_cooldown(world: World, node: Node, now: datetime) -> bool:
    """provider: no new repair of its own for about half an hour after the last one."""
    cooldown = timedelta(seconds=world.repair_policy.cooldown_seconds / world.pace.speed)
    ends = (each.ended_at for each in world.remediations.values() if each.target_id == node.instance_id)
    return any(end is not None and now < end + cooldown for end in ends)


def _with_new(world: World, made: Remediation) -> World:
    """The repair takes up the alerts of its instance that still fire."""
    for alert in list(world.alerts.values()):
        if alert.instance_id == made.instance_id and alert.resolved_at is None and not alert.remediation_id:
            world = world.with_alert(replace(alert, remediation_id=made.remediation_id))
    return world.with_remediation(made)

"""A remediation: the repair of one node, from the request or the provider's own proposal to its end. Pure.

The provider documents the moves before a repair begins. The rest is played as the words of its states suggest: a mode
that touches the host isolates it first; a repair has succeeded once the node, or its replacement, runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from tunesmith_simulator import machines
from tunesmith_simulator.clusters import Cluster, NodeEvent
from tunesmith_simulator.identifiers import derived_id
from tunesmith_simulator.machines import Node, NodePhase
from tunesmith_simulator.pace import Pace, rescaled


class RemediationMode(StrEnum):
    """How a node is repaired."""

    VM_ONLY = "REMEDIATION_MODE_VM_ONLY"
    HOST_AWARE = "REMEDIATION_MODE_HOST_AWARE"
    EVICT_WITHOUT_REPLACEMENT = "REMEDIATION_MODE_EVICT_WITHOUT_REPLACEMENT"
    REBOOT_VM = "REMEDIATION_MODE_REBOOT_VM"
    HOST_POWER_CYCLE = "REMEDIATION_MODE_HOST_POWER_CYCLE"


class RemediationState(StrEnum):
    """Where a repair stands."""

    PENDING_APPROVAL = "PENDING_APPROVAL"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    AUTO_RESOLVED = "AUTO_RESOLVED"
    QUARANTINING = "QUARANTINING"
    QUARANTINED = "QUARANTINED"


class Trigger(StrEnum):
    """Who wanted a repair: a user, or the provider itself."""

    MANUAL = "REMEDIATION_TRIGGER_MANUAL"
    AUTOMATED = "REMEDIATION_TRIGGER_AUTOMATED"


_S = RemediationState
OVER = frozenset({_S.SUCCEEDED, _S.FAILED, _S.CANCELLED, _S.AUTO_RESOLVED})
NOT_BEGUN = frozenset({_S.PENDING_APPROVAL, _S.PENDING})
ALLOWED: Mapping[RemediationState, frozenset[RemediationState]] = {
    _S.PENDING_APPROVAL: frozenset({_S.PENDING, _S.CANCELLED, _S.AUTO_RESOLVED}),
    _S.PENDING: frozenset({_S.QUARANTINING, _S.RUNNING, _S.CANCELLED, _S.AUTO_RESOLVED, _S.FAILED}),
    _S.QUARANTINING: frozenset({_S.QUARANTINED, _S.FAILED}),
    _S.QUARANTINED: frozenset({_S.RUNNING, _S.FAILED}),
    _S.RUNNING: frozenset({_S.SUCCEEDED, _S.FAILED}),
    **dict.fromkeys(OVER, frozenset[RemediationState]()),
}
"""Where a remediation may go from each state."""

_ISOLATES_HOST = frozenset({RemediationMode.HOST_AWARE, RemediationMode.HOST_POWER_CYCLE})
_REPLACES = frozenset({RemediationMode.VM_ONLY, RemediationMode.HOST_AWARE})


@dataclass(frozen=True, slots=True)
class RemediationTransition:
    """A remediation came into ``state`` at ``time``."""

    state: RemediationState
    time: datetime


@dataclass(frozen=True, slots=True)
class Review:
    """A person's word about a proposal."""

    reviewer: str
    comment: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Remediation:
    """One repair. ``replacement_id`` is the instance that takes the place of ``instance_id``, once there is one."""

    remediation_id: str
    cluster_id: str
    instance_id: str
    host_name: str
    mode: RemediationMode
    trigger: Trigger
    requested_by: str
    history: tuple[RemediationTransition, ...]
    reason: str = ""
    review: Review | None = None
    due_at: datetime | None = None
    replacement_id: str = ""
    error_message: str = ""

    @property
    def state(self) -> RemediationState:
        """The state it is in."""
        return self.history[-1].state

    @property
    def since(self) -> datetime:
        """When it came into its state."""
        return self.history[-1].time

    @property
    def over(self) -> bool:
        """Nothing comes of it any more."""
        return self.state in OVER

    @property
    def created_at(self) -> datetime:
        """When it was asked for or proposed."""
        return self.history[0].time

    @property
    def updated_at(self) -> datetime:
        """When it last changed."""
        return self.since

    @property
    def started_at(self) -> datetime | None:
        """When the provider began."""
        begun = (step.time for step in self.history if step.state in {_S.QUARANTINING, _S.RUNNING})
        return next(begun, None)

    @property
    def ended_at(self) -> datetime | None:
        """When it was over."""
        return self.since if self.over else None

    @property
    def target_id(self) -> str:
        """The instance whose running ends the repair."""
        return self.replacement_id or self.instance_id


def new_remediation(
    *,
    remediation_id: str,
    cluster_id: str,
    node: Node,
    mode: RemediationMode,
    trigger: Trigger,
    requested_by: str,
    reason: str,
    needs_approval: bool,
    now: datetime,
    pace: Pace,
) -> Remediation:
    """A repair that was asked for, or proposed, just now."""
    state = _S.PENDING_APPROVAL if needs_approval else _S.PENDING
    asked = Remediation(
        remediation_id=remediation_id,
        cluster_id=cluster_id,
        instance_id=node.instance_id,
        host_name=node.host_name,
        mode=mode,
        trigger=trigger,
        requested_by=requested_by,
        reason=reason,
        history=(),
    )
    return entered(asked, state, now, pace)


def entered(
    remediation: Remediation, state: RemediationState, at: datetime, pace: Pace, *, error: str = ""
) -> Remediation:
    """The remediation from the moment it comes into ``state``."""
    durations = pace.durations.remediation
    seconds = {
        _S.PENDING: durations.pending_seconds,
        _S.QUARANTINING: durations.quarantining_seconds,
        _S.QUARANTINED: durations.quarantined_seconds,
    }.get(state)
    return replace(
        remediation,
        history=(*remediation.history, RemediationTransition(state, at)),
        due_at=None if seconds is None else pace.after(at, seconds),
        error_message=error,
    )


def advanced(
    remediation: Remediation, cluster: Cluster, now: datetime, pace: Pace, free_gpus: int
) -> tuple[Remediation, Cluster]:
    """The remediation and its cluster as they are at ``now``. ``free_gpus`` of the cluster's kind can be sold."""
    while not remediation.over:
        before = remediation
        remediation, cluster = _step(remediation, cluster, now, pace, free_gpus)
        if remediation is before:
            break
    return remediation, cluster


def replayed(remediation: Remediation, now: datetime, factor: float) -> Remediation:
    """The remediation after a change of speed: what is left of its wait takes ``factor`` times as long."""
    return replace(remediation, due_at=rescaled(remediation.due_at, now, factor))


def _step(
    remediation: Remediation, cluster: Cluster, now: datetime, pace: Pace, free_gpus: int
) -> tuple[Remediation, Cluster]:
    node = cluster.node_of(remediation.target_id)
    if remediation.state is _S.RUNNING and remediation.mode is RemediationMode.EVICT_WITHOUT_REPLACEMENT:
        return _evicted(remediation, cluster, pace), cluster
    if cluster.leaving or node is None or node.leaves_at is not None:
        return _without_target(remediation, cluster, node, now, pace), cluster
    if remediation.state is _S.RUNNING:
        return _followed(remediation, node, pace), cluster
    if _well_again(remediation, node):
        return entered(remediation, _S.AUTO_RESOLVED, node.since, pace), cluster
    if remediation.due_at is None or remediation.due_at > now:
        return remediation, cluster
    return _after_wait(remediation, cluster, node, pace, free_gpus)


def _evicted(remediation: Remediation, cluster: Cluster, pace: Pace) -> Remediation:
    gone = next((n for n in cluster.deleted_nodes if n.instance_id == remediation.instance_id), None)
    if gone is not None and gone.deleted_at is not None:
        return entered(remediation, _S.SUCCEEDED, max(gone.deleted_at, remediation.since), pace)
    if cluster.leaving:
        return entered(remediation, _S.FAILED, max(cluster.since, remediation.since), pace, error=_CLUSTER_LEAVES)
    return remediation


LAST_NODE = "the last standard node of a cluster cannot be evicted without a replacement"
_CLUSTER_LEAVES = "the cluster is being deleted"


def _without_target(
    remediation: Remediation, cluster: Cluster, node: Node | None, now: datetime, pace: Pace
) -> Remediation:
    at = max(cluster.since, remediation.since) if cluster.leaving else now
    if remediation.state in NOT_BEGUN:
        return entered(remediation, _S.CANCELLED, at, pace)
    error = _CLUSTER_LEAVES if cluster.leaving else f"instance {remediation.target_id} was removed from the cluster"
    return entered(remediation, _S.FAILED, at, pace, error=error)


def _followed(remediation: Remediation, node: Node, pace: Pace) -> Remediation:
    if node.since < remediation.since:
        return remediation
    if node.phase is NodePhase.RUNNING:
        return entered(remediation, _S.SUCCEEDED, node.since, pace)
    if node.phase is NodePhase.FAILED:
        error = f"instance {node.instance_id} failed while it was being repaired"
        return entered(remediation, _S.FAILED, node.since, pace, error=error)
    return remediation


def _well_again(remediation: Remediation, node: Node) -> bool:
    """The provider's own proposal has lost its cause before it began."""
    proposed = remediation.trigger is Trigger.AUTOMATED and remediation.state in NOT_BEGUN
    return proposed and node.phase is NodePhase.RUNNING and node.since > remediation.created_at


def _after_wait(
    remediation: Remediation, cluster: Cluster, node: Node, pace: Pace, free_gpus: int
) -> tuple[Remediation, Cluster]:
    at = remediation.due_at or remediation.since
    if remediation.state is _S.PENDING and remediation.mode in _ISOLATES_HOST:
        return entered(remediation, _S.QUARANTINING, at, pace), cluster
    if remediation.state is _S.QUARANTINING:
        return entered(remediation, _S.QUARANTINED, at, pace), cluster
    return _begun(remediation, cluster, node, at=at, pace=pace, free_gpus=free_gpus)


def _begun(
    remediation: Remediation, cluster: Cluster, node: Node, *, at: datetime, pace: Pace, free_gpus: int
) -> tuple[Remediation, Cluster]:
    if remediation.mode is RemediationMode.HOST_AWARE and free_gpus < node.num_gpus:
        # The isolated host cannot take the new machine, so another one must be free.
        error = "no other host is free for the replacement"
        return entered(remediation, _S.FAILED, at, pace, error=error), cluster
    if remediation.mode is RemediationMode.EVICT_WITHOUT_REPLACEMENT and cluster.needs(node):
        return entered(remediation, _S.FAILED, at, pace, error=LAST_NODE), cluster
    running = entered(remediation, _S.RUNNING, at, pace)
    if remediation.mode is RemediationMode.EVICT_WITHOUT_REPLACEMENT:
        leaves_at = pace.after(at, pace.durations.node_leaving_seconds)
        return running, cluster.with_node(replace(node, leaves_at=leaves_at, leaving_since=at))
    if remediation.mode in _REPLACES:
        new = _replacement(remediation, cluster, node, at, pace)
        return replace(running, replacement_id=new.instance_id), _with_replacement(cluster, node, new, at)
    return running, cluster.with_node(machines.rebooting(node, at, pace, backed=cluster.backed))


def _replacement(remediation: Remediation, cluster: Cluster, old: Node, at: datetime, pace: Pace) -> Node:
    node_id = derived_id(remediation.remediation_id, "node")
    prefix = old.host_name.rpartition("-")[0]
    new = machines.new_node(
        node_id=node_id,
        instance_id=derived_id(remediation.remediation_id, "instance"),
        host_name=f"{prefix}-{node_id[:8]}",
        num_gpus=old.num_gpus,
        now=at,
        backed=cluster.backed,
        source=old.source,
    )
    return machines.started(replace(new, replaces=old.instance_id), at, pace)


def _with_replacement(cluster: Cluster, old: Node, new: Node, at: datetime) -> Cluster:
    """The old machine is deleted and the new one asked for in one moment, so the cluster's size stays as bought."""
    event = NodeEvent(new.host_name, "TogetherNodeAdded", f"Node added in place of {old.host_name}.", at)
    return replace(
        cluster,
        gpu_nodes=tuple(new if node is old else node for node in cluster.gpu_nodes),
        deleted_nodes=(*cluster.deleted_nodes, replace(old, deleted_at=at)),
        events=(*cluster.events, event),
    )
